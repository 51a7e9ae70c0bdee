"""Changes to workflows. Every version is a row that is never changed; the workflow's own row repeats the newest."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.actor import Actor
from accounts.audit.services import audit
from billing.services import set_workflow_budget
from workflows.access import get_workflow, workflows_of
from workflows.errors import SavedMeanwhile
from workflows.models import Workflow, WorkflowVersion

_DOCUMENT = ("name", "declared_version", "definition", "inputs_schema", "description", "metadata")
_EMPTY: dict[str, Any] = dict.fromkeys(_DOCUMENT) | {"budget_cents_month": 0}
_LONG = ("definition", "inputs_schema")  # the audit says that they changed; what they were stands in the versions
Values = dict[str, Any]  # as documents.Reading names them


def save_workflow(actor: Actor, values: Values) -> Workflow:
    """A new workflow, or of a slug that is taken the next version, active again. What is not given is empty, as when new; but a
    budget stays until somebody says otherwise.

    Of two calls with the same new slug one makes the workflow; the other waits at the unique index and makes version 2.
    """
    fields = _EMPTY | _whole(values)
    with transaction.atomic():
        new = Workflow(team_id=actor.team_id, test=actor.test, version=0, **fields)
        Workflow.objects.bulk_create([new], ignore_conflicts=True)
        workflow = workflows_of(actor).select_for_update().get(slug=new.slug)
        if "budget_cents_month" not in values:
            fields["budget_cents_month"] = workflow.budget_cents_month
        return _next_version(actor, workflow, fields | {"status": "active"})


def update_workflow(actor: Actor, workflow_id: str, values: Values, *, based_on: int | None = None) -> Workflow:
    """The next version, in which what is not given stays as it was. Raises WorkflowNotFound.

    With `based_on` it must follow that very version, else SavedMeanwhile is raised.
    """
    with transaction.atomic():
        workflow = get_workflow(actor, workflow_id, lock=True)
        if based_on not in (None, workflow.version):
            raise SavedMeanwhile(workflow.version)
        return _next_version(actor, workflow, _whole(values))


def archive_workflow(actor: Actor, workflow_id: str) -> Workflow:
    """No run starts any more; those that run go on. A second call changes nothing. Raises WorkflowNotFound."""
    with transaction.atomic():
        workflow = get_workflow(actor, workflow_id, lock=True)
        if workflow.status != "archived":
            _write(actor, workflow, "workflow.archived", {"status": "archived"})
        return workflow


def _whole(values: Values) -> Values:
    """500.0 is a whole number of cents."""
    budget = values.get("budget_cents_month")
    return values if budget is None else values | {"budget_cents_month": int(budget)}


def _next_version(actor: Actor, workflow: Workflow, values: Values) -> Workflow:
    """The caller holds the workflow's lock."""
    verb = "workflow.updated" if workflow.version else "workflow.created"
    _write(actor, workflow, verb, values | {"version": workflow.version + 1})
    document = {name: getattr(workflow, name) for name in ("version", *_DOCUMENT)}
    WorkflowVersion.objects.create(
        workflow=workflow, created_by=actor.ref(), created_at=workflow.updated_at, **document
    )
    return workflow


def _write(actor: Actor, workflow: Workflow, verb: str, values: Values) -> None:
    """The only writer of a workflow's row, its status included. The caller holds its lock."""
    before = {name: getattr(workflow, name) for name in values} if workflow.version else {}
    for name, value in values.items():
        setattr(workflow, name, value)
    workflow.updated_at = timezone.now()
    workflow.save(update_fields=[*values, "updated_at"])
    if "budget_cents_month" in values and not workflow.test:
        set_workflow_budget(workflow.team_id, workflow.id, workflow.budget_cents_month)
    differing = [name for name in values if before.get(name) != values[name]]
    short = [name for name in differing if name not in _LONG]
    audit(
        actor,
        verb,
        workflow.id,
        name=workflow.name,
        before={name: before[name] for name in short if name in before},
        after={name: values[name] for name in short},
        changed=[name for name in differing if name in _LONG],
    )
