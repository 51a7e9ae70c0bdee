"""Workflow runs on pages: start, watch, decide in place, run again."""

import json
from typing import Any

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from accounts.pages import PageRequest, show, signed_in
from approvals.access import pending_of_root
from approvals.cards.card import card, receipt
from runs.access import get_run, runs_of, totals, waiting_on
from runs.errors import RunNotFound
from runs.models import Run
from runs.starting.forms import as_curl, rerun_values
from runs.views import page_title
from web.errors import Refusal
from workflows.access import get_version, get_workflow, versions_of
from workflows.definition.estimate import estimate
from workflows.drawing.layout import draw
from workflows.drawing.run_progress import Row, ended_at, marks_of, rows_of
from workflows.models import Execution, Workflow
from workflows.runs import starting
from workflows.runs.forms import StartForm

VERSIONS = 50  # that the start form offers


@require_GET
@signed_in("workflows:read", "runs:read")
def workflow_run_page(request: PageRequest, run_id: str) -> HttpResponse:
    run = get_run(request.actor, run_id)
    execution = Execution.objects.get(run=run)
    rows = rows_of(run, execution)
    _say_why_tasks_wait(rows)
    spent = totals(run)
    approvals = list(pending_of_root(run.id)) if request.actor.may("approvals:read") else []
    approval = next((a for a in approvals if a.id == request.GET.get("open")), approvals[0] if approvals else None)
    context = {
        "section": "runs",
        "run": run,
        "rows": rows,
        "drawing": draw(execution.definition, marks_of(rows)),
        "waits": waiting_on(run),
        "clocks": run.clocks(timezone.now()),
        "waits_now": run.status == "awaiting_human",
        "steps_done": spent["steps_completed"],
        "spent": spent["cost_cents"],
        "asked": approvals,
        "last_seq": run.next_seq - 1,
        "card": card(request.actor, approval, request.path) if approval else None,
        "decided": receipt(request.actor, request.GET.get("decided"), request.path),
        "workflow": _workflow(request, run),
        "before": run.rerun_of,
        "after": _reruns(request, run),
        "may_write": request.actor.may("workflows:write"),
        "has_tasks": any(row.tasks for row in rows),
        "ended_at": ended_at(rows, run),
        "iterations": min(run.iterations_used, run.max_iterations or run.iterations_used),
        "inputs": _as_text(run.inputs),
        "output": _as_text(run.output),
        "live_title": page_title(run),
        "api_call": _as_api_call(run, f"{request.scheme}://{request.get_host()}"),
    }
    return show(request, "workflows/run.html", context)


def _say_why_tasks_wait(rows: list[Row]) -> None:
    """`waits` of each task that does not move, for example because its machine is busy."""
    for task in (task for row in rows for task in row.tasks if task.status in ("queued", "running")):
        task.waits = waiting_on(task)  # type: ignore[attr-defined]


def _workflow(request: PageRequest, run: Run) -> Workflow | None:
    if run.workflow_id is None or not request.actor.may("workflows:read"):
        return None
    return get_workflow(request.actor, run.workflow_id)


def _reruns(request: PageRequest, run: Run) -> list[Run]:
    return list(runs_of(request.actor).filter(rerun_of=run.id).order_by("-created_at")[:10])


def _as_text(value: Any) -> str:
    return "" if value in (None, {}) else json.dumps(value, ensure_ascii=False, indent=2)


def _as_api_call(run: Run, origin: str) -> str:
    body: dict[str, Any] = {"inputs": run.inputs} if run.inputs else {}
    body |= {"version": run.workflow_version} if run.workflow_version else {}
    body |= {"machine_id": machine} if (machine := _named_machine(run)) else {}
    return as_curl(origin, f"/v1/workflows/{run.workflow_id}/runs", body)


# --- starting


@require_http_methods(["GET", "POST"])
@signed_in("workflows:write")
def start_page(request: PageRequest, workflow_id: str) -> HttpResponseBase:
    """`like` names a run of this workflow that is repeated, with other inputs where they are changed."""
    workflow = get_workflow(request.actor, workflow_id)
    like = _like(request, workflow)
    number = request.POST.get("version") or request.GET.get("version") or (like.workflow_version if like else None)
    version = get_version(workflow, number or workflow.version)
    numbers = list(versions_of(workflow).order_by("-version").values_list("version", flat=True)[:VERSIONS])
    initial = (_values_of(like) if like else {}) | {"version": version.version}
    form = StartForm(request.actor, version.definition, version.inputs_schema, numbers, _sent(request), initial=initial)
    context = {"workflow": workflow, "name": version.name, "version": version, "like": like}
    return _started(
        request,
        form,
        context,
        lambda fields: starting.start_saved(
            request.actor, workflow, fields, request.request_id, rerun_of=like.id if like else None
        ),
    )


@require_http_methods(["GET", "POST"])
@signed_in("workflows:write")
def rerun_page(request: PageRequest, run_id: str) -> HttpResponseBase:
    """Run a document again that was sent with its start; a saved workflow has its own form."""
    run = get_run(request.actor, run_id)
    if run.workflow_id:
        return redirect(f"{reverse('workflow-start', args=[run.workflow_id])}?like={run.id}")
    execution = Execution.objects.get(run=run)
    document = {"name": run.name, "definition": execution.definition, "inputs_schema": execution.inputs_schema}
    form = StartForm(
        request.actor, execution.definition, execution.inputs_schema, [], _sent(request), initial=_values_of(run)
    )
    return _started(
        request,
        form,
        {"name": run.title, "like": run},
        lambda fields: starting.start_document(request.actor, document | fields, request.request_id, rerun_of=run.id),
    )


def _started(request: PageRequest, form: StartForm, context: dict[str, Any], begin: Any) -> HttpResponseBase:
    if form.is_valid():
        try:
            return redirect("run", begin(form.given()).id)
        except Refusal as refusal:
            form.refuse_by(refusal)
    status = 422 if form.errors else 200
    worst = estimate(form.definition, {}, settings.PRICE_STEP_CENTS, settings.MAX_STEPS_CEILING)
    context |= {"section": "workflows", "form": form, "estimate": worst}
    return render(request, "workflows/start.html", context, status=status)


def _sent(request: PageRequest) -> Any:
    return request.POST if request.method == "POST" else None


def _like(request: PageRequest, workflow: Workflow) -> Run | None:
    named = request.POST.get("like") or request.GET.get("like")
    run = get_run(request.actor, named) if named else None
    if run is not None and run.workflow_id != workflow.id:
        raise RunNotFound
    return run


def _named_machine(run: Run) -> str:
    """The machine that its start named; empty where each task got one of the kind that it needed."""
    return (run.machine_id or "") if Execution.objects.filter(run=run, machine_named=True).exists() else ""


def _values_of(run: Run) -> dict[str, Any]:
    values = {name: value for name, value in rerun_values(run).items() if name != "task"}
    return values | {"inputs": run.inputs, "max_iterations": run.max_iterations, "machine_id": _named_machine(run)}
