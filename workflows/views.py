"""Workflows on pages: the list, a workflow with its drawing, its versions and what changed between them."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from accounts.pages import PageRequest, signed_in
from runs.models import Run
from web.paging import page
from workflows import services
from workflows.access import get_version, get_workflow, last_runs, versions_of, workflows_of
from workflows.definition.documents import Definition
from workflows.definition.examples import examples
from workflows.drawing import diff
from workflows.drawing.layout import draw, listed
from workflows.forms import pretty_json
from workflows.models import STATUSES, Workflow, WorkflowVersion

PAGE = 50
VERSIONS = 20
RATED = 20  # newest runs from which the success rate is made
SHOWN = 3


@require_GET
@signed_in("workflows:read")
def workflow_list(request: PageRequest) -> HttpResponse:
    status = request.GET.get("status", "active")
    every = workflows_of(request.actor)
    rows = every.filter(status=status) if status in STATUSES else every
    part = page(rows, {**request.GET.dict(), "limit": str(PAGE)}, _row, request_id=request.request_id)
    runs = last_runs(request.actor, [row["workflow"].id for row in part["data"]], RATED)
    context = _frame(request) | {
        "rows": [row | _rated(runs[row["workflow"].id]) for row in part["data"]],
        "status": status,
        "next_cursor": part["next_cursor"],
        "any": bool(part["data"]) or every.exists(),
        "examples": examples(),
    }
    return render(request, "workflows/list.html", context)


def _row(workflow: Workflow) -> dict[str, Any]:
    return {"workflow": workflow}


def _frame(request: PageRequest) -> dict[str, Any]:
    return {"section": "workflows", "may_write": request.actor.may("workflows:write")}


def _rated(runs: list[Run]) -> dict[str, Any]:
    """The newest runs, and how many of those that ended succeeded."""
    ended = [run for run in runs if run.is_terminal]
    return {"runs": runs[:SHOWN], "ended": len(ended), "succeeded": sum(run.status == "succeeded" for run in ended)}


@require_GET
@signed_in("workflows:read")
def workflow_page(request: PageRequest, workflow_id: str) -> HttpResponse:
    workflow = get_workflow(request.actor, workflow_id)
    query = {**request.GET.dict(), "limit": str(VERSIONS)}
    part = page(versions_of(workflow), query, _version, request_id=request.request_id, order=("-version",))
    runs = last_runs(request.actor, [workflow.id], RATED)[workflow.id]
    context = {
        **_frame(request),
        **_drawn(workflow.definition),
        **_rated(runs),
        "workflow": workflow,
        "versions": [each["version"] for each in part["data"]],
        "next_cursor": part["next_cursor"],
        "runs": runs[:10],
        "schema": pretty_json(workflow.inputs_schema),
        "done": request.GET.get("done"),
    }
    return render(request, "workflows/workflow.html", context)


def _version(version: WorkflowVersion) -> dict[str, Any]:
    return {"version": version}


def _drawn(definition: Definition) -> dict[str, Any]:
    return {"drawing": draw(definition), "steps": listed(definition)}


@require_POST
@signed_in("workflows:write")
def set_status(request: PageRequest, workflow_id: str) -> HttpResponse:
    """Archived or active, as the form says: a second click changes nothing."""
    workflow = get_workflow(request.actor, workflow_id)
    archive = request.POST.get("status") == "archived"
    if archive == (workflow.status == "archived"):
        return redirect("workflow", workflow.id)
    if archive:
        services.archive_workflow(request.actor, workflow.id)
        return redirect(f"{reverse('workflow', args=[workflow.id])}?done=archived")
    services.update_workflow(request.actor, workflow.id, {"status": "active"})
    messages.success(request, "The workflow is active again. Runs can be started.")
    return redirect("workflow", workflow.id)


@require_GET
@signed_in("workflows:read")
def version_page(request: PageRequest, workflow_id: str, number: int) -> HttpResponse:
    workflow = get_workflow(request.actor, workflow_id)
    version = get_version(workflow, number)
    context = {
        **_frame(request),
        **_drawn(version.definition),
        "workflow": workflow,
        "version": version,
        "schema": pretty_json(version.inputs_schema),
        "text": pretty_json(version.definition),
        "before": version.version - 1,
    }
    return render(request, "workflows/version.html", context)


@require_GET
@signed_in("workflows:read")
def diff_page(request: PageRequest, workflow_id: str) -> HttpResponseBase:
    """Without two numbers: what the newest version changed."""
    workflow = get_workflow(request.actor, workflow_id)
    newest = workflow.version
    old = get_version(workflow, request.GET.get("from") or max(1, newest - 1))
    new = get_version(workflow, request.GET.get("to") or newest)
    context = _frame(request) | {
        "workflow": workflow,
        "old": old,
        "new": new,
        "rows": diff.rows(old, new),
        "summary": diff.summary(old, new),
        "numbers": list(versions_of(workflow).order_by("-version").values_list("version", flat=True)[:200]),
    }
    return render(request, "workflows/diff.html", context)
