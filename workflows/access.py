"""Reading workflows, the actor first."""

from collections.abc import Iterable

from django.db.models import QuerySet
from django.urls import register_converter
from django.urls.converters import StringConverter

from accounts.actor import Actor
from runs.access import runs_of
from runs.models import Run
from web.errors import NotFound
from workflows.errors import WorkflowNotFound
from workflows.models import Workflow, WorkflowVersion


class WorkflowId(StringConverter):
    """`{workflow:workflow_id}` in a path: runs and validate have routes of their own and are never ids."""

    regex = r"(?!(?:runs|validate)(?:/|\Z))[^/]+"


register_converter(WorkflowId, "workflow")


def workflows_of(actor: Actor) -> QuerySet[Workflow]:
    return Workflow.objects.filter(team_id=actor.team_id, test=actor.test)


def get_workflow(actor: Actor, workflow_id: str, *, lock: bool = False) -> Workflow:
    """Raises WorkflowNotFound, also for another team's or world's. With `lock` the caller is inside atomic()."""
    rows = workflows_of(actor).select_for_update() if lock else workflows_of(actor)
    workflow = rows.filter(id=workflow_id).first()
    if workflow is None:
        raise WorkflowNotFound
    return workflow


def last_runs(actor: Actor, workflow_ids: Iterable[str], most: int) -> dict[str, list[Run]]:
    """The newest runs of each of these workflows, newest first; one query."""
    runs: dict[str, list[Run]] = {each: [] for each in workflow_ids}
    newest = [runs_of(actor).filter(workflow_id=each).order_by("-created_at", "-id")[:most] for each in runs]
    rows = newest[0].union(*newest[1:], all=True) if newest else ()
    for run in sorted(rows, key=lambda run: (run.created_at, run.id), reverse=True):
        runs[run.workflow_id or ""].append(run)
    return runs


def versions_of(workflow: Workflow) -> QuerySet[WorkflowVersion]:
    return WorkflowVersion.objects.filter(workflow=workflow)


def get_version(workflow: Workflow, number: str | int) -> WorkflowVersion:
    """Raises NotFound, also for what is no number."""
    text = str(number)
    is_number = text.isascii() and text.isdecimal() and len(text) < 10
    version = versions_of(workflow).filter(version=int(text)).first() if is_number else None
    if version is None:
        raise NotFound("There is no such version.")
    return version
