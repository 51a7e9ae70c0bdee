"""Runs: start, list, read, cancel, screenshots."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from ninja import Router
from pydantic import ValidationError

from accounts.doors import ApiRequest, door, takes
from accounts.idempotency import answer, once
from accounts.webhooks import targets
from accounts.webhooks.access import deliveries_of_run
from accounts.webhooks.schemas import delivery_object
from database.sealing import unseal
from machines import pictures
from runs import services
from runs.access import get_run, runs_of, show, tasks_of
from runs.models import Run, RunStatus, Screenshot
from runs.schemas import CancelBody, RunCreate
from runs.starting import services as starting
from web.bodies import read, read_fields, refused
from web.errors import InvalidFilter, InvalidStatusFilter, NotFound
from web.paging import page
from web.times import rfc3339

router = Router(tags=["Runs"])


@router.post("/runs", summary="Start a run", **takes(RunCreate))
@door("runs:write")
def create(request: ApiRequest) -> HttpResponse:
    fields = read_fields(request)
    try:
        body = RunCreate.model_validate(fields)
    except ValidationError as error:  # all that is wrong is said at once
        raise refused(error, starting.violations(request.actor, fields)) from error
    with targets.looked_up(body.webhook_url):
        return once(request, lambda: created(starting.create_run(request.actor, body, request.request_id)))


def created(run: Run) -> HttpResponse:
    """The answer to whoever started the run: the one that shows the secret of its webhooks."""
    response = answer(show(run, webhook_secret=unseal(run.webhook_secret) if run.webhook_secret else None))
    if run.webhook_secret:
        response["Cache-Control"] = "no-store"
    return response


@router.get("/runs", summary="Top-level runs, newest first")
@door("runs:read")
def list_runs(request: ApiRequest) -> HttpResponse:
    return listed(request)


def listed(request: ApiRequest, **only: str) -> HttpResponse:
    """Top-level runs, newest first, or the child runs of one, oldest first. Raises RunNotFound, and as _filtered()."""
    parent = request.GET.get("parent_id")
    rows, order = runs_of(request.actor), ("-created_at", "-id")
    if parent:
        rows, order = tasks_of(request.actor, parent), ("created_at", "id")
    rows = _filtered(rows.filter(**only), request)
    return answer(page(rows, request.GET, show, request_id=request.request_id, order=order))


def _filtered(rows: QuerySet[Run], request: ApiRequest) -> QuerySet[Run]:
    """The filters of GET /v1/runs. Raises InvalidStatusFilter, InvalidFilter."""
    query = request.GET
    words = query.get("status") or query.get("state")
    if words:
        statuses = [w.strip() for w in words.split(",")]
        if not set(statuses) <= set(RunStatus.values):
            raise InvalidStatusFilter(valid_options=list(RunStatus.values))
        rows = rows.filter(status__in=statuses)
    kind = query.get("kind")
    if kind:
        if kind not in ("agent", "workflow"):
            raise InvalidFilter(parameter="kind", valid_options=["agent", "workflow"])
        rows = rows.filter(kind=kind)
    for name in ("workflow_id", "machine_id", "end_user"):
        if query.get(name):
            rows = rows.filter(**{name: query[name]})
    return rows


@router.get("/runs/{run_id}", summary="One run")
@door("runs:read")
def read_run(request: ApiRequest, run_id: str) -> HttpResponse:
    return _run(request, run_id)


@router.get("/workflows/runs/{run_id}", summary="One workflow run")
@door("workflows:read", "runs:read")
def read_workflow_run(request: ApiRequest, run_id: str) -> HttpResponse:
    return _run(request, run_id)


def _run(request: ApiRequest, run_id: str) -> HttpResponse:
    return answer(show(get_run(request.actor, run_id)))


@router.post("/runs/{run_id}/cancel", summary="Cancel a run", **takes(CancelBody))
@door("runs:write")
def cancel(request: ApiRequest, run_id: str) -> HttpResponse:
    return _cancel(request, run_id)


@router.post("/workflows/runs/{run_id}/cancel", summary="Cancel a workflow run", **takes(CancelBody))
@door("workflows:write", "runs:write")
def cancel_workflow_run(request: ApiRequest, run_id: str) -> HttpResponse:
    return _cancel(request, run_id)


def _cancel(request: ApiRequest, run_id: str) -> HttpResponse:
    run = get_run(request.actor, run_id)
    body = read(request, CancelBody)
    return once(request, lambda: show(services.cancel_run(request.actor, run.id, body.reason)))


@router.get("/runs/{run_id}/deliveries", summary="Webhooks sent about a run, newest first")
@door("runs:read")
def list_deliveries(request: ApiRequest, run_id: str) -> HttpResponse:
    return _deliveries(request, run_id)


@router.get("/workflows/runs/{run_id}/deliveries", summary="Webhooks sent about a workflow run, newest first")
@door("workflows:read", "runs:read")
def list_workflow_deliveries(request: ApiRequest, run_id: str) -> HttpResponse:
    return _deliveries(request, run_id)


def _deliveries(request: ApiRequest, run_id: str) -> HttpResponse:
    rows = deliveries_of_run(request.actor, get_run(request.actor, run_id).id)
    return answer(page(rows, request.GET, delivery_object, request_id=request.request_id))


def screenshot_object(row: Screenshot) -> dict[str, Any]:
    return {
        "index": row.index, "step": row.step, "phase": row.phase, "taken_at": rfc3339(row.taken_at),
        "width": row.width, "height": row.height, "sha256": row.sha256,
    }  # fmt: skip


@router.get("/runs/{run_id}/screenshots", summary="Pictures of a run, oldest first")
@door("runs:read")
def list_screenshots(request: ApiRequest, run_id: str) -> HttpResponse:
    return _screenshots(request, run_id)


@router.get("/workflows/runs/{run_id}/screenshots", summary="Pictures of a workflow run, oldest first")
@door("workflows:read", "runs:read")
def list_workflow_screenshots(request: ApiRequest, run_id: str) -> HttpResponse:
    return _screenshots(request, run_id)


def _screenshots(request: ApiRequest, run_id: str) -> HttpResponse:
    run = get_run(request.actor, run_id)
    after = request.GET.get("after_index", "")
    rows = Screenshot.objects.filter(run=run, index__gt=int(after) if after.isdecimal() and len(after) < 10 else -1)
    answer_page = page(rows, request.GET, screenshot_object, request_id=request.request_id, order=("index",))
    return answer(answer_page)


@router.get("/runs/{run_id}/screenshots/{index}", summary="One picture as PNG")
@door("runs:read")
def read_screenshot(request: ApiRequest, run_id: str, index: str) -> HttpResponse:
    return _screenshot(request, run_id, index)


@router.get("/workflows/runs/{run_id}/screenshots/{index}", summary="One picture of a workflow run as PNG")
@door("workflows:read", "runs:read")
def read_workflow_screenshot(request: ApiRequest, run_id: str, index: str) -> HttpResponse:
    return _screenshot(request, run_id, index)


def _screenshot(request: ApiRequest, run_id: str, index: str) -> HttpResponse:
    run = get_run(request.actor, run_id)
    row = Screenshot.objects.filter(run=run, index=int(index) if index.isdecimal() and len(index) < 10 else -1).first()
    if row is None:
        raise NotFound
    try:
        content = pictures.read(row.sha256)
    except FileNotFoundError:  # its time is over
        raise NotFound from None
    return HttpResponse(content, content_type="image/png", headers={"Cache-Control": "no-store"})
