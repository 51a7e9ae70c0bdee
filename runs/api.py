"""Runs: start, list, read, cancel, webhooks, calls of models, screenshots."""

from typing import Annotated, Any

from django.http import HttpResponse
from ninja import Query, Router
from pydantic import Field, ValidationError

from accounts.doors import ApiRequest, door, takes
from accounts.idempotency import answer, once
from accounts.webhooks import targets
from accounts.webhooks.access import deliveries_of_run
from accounts.webhooks.schemas import DeliveryObject, delivery_object
from database.sealing import unseal
from inference.models import Call
from inference.schemas import ModelCallObject, call_object
from machines import pictures
from runs import services
from runs.access import get_run, runs_of, show, tasks_of
from runs.models import Run, Screenshot
from runs.routes import of_runs
from runs.schemas import (
    CancelBody,
    RunCreate,
    RunFilters,
    RunObject,
    ScreenshotObject,
    screenshot_object,
)
from runs.starting import services as starting
from web.bodies import read, read_fields, refused
from web.errors import ErrorObject, NotFound
from web.paging import Page, page

router = Router(tags=["Runs"])
AfterIndex = Annotated[str, Field(description="A whole number; what is none counts as not given.")]
PNG: Any = {"openapi_extra": {"responses": {200: {"content": {"image/png": {}}}}}}


@router.post(
    "/runs", summary="Start a run", response={200: RunObject, 402: ErrorObject, 404: ErrorObject}, **takes(RunCreate)
)
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


@router.get("/runs", summary="Top-level runs, newest first", response={200: Page[RunObject], 404: ErrorObject})
@door("runs:read")
def list_runs(request: ApiRequest, filters: Query[RunFilters], parent_id: str | None = None) -> HttpResponse:
    return listed(request, filters, parent_id)


def listed(request: ApiRequest, filters: RunFilters, parent_id: str | None, **only: str) -> HttpResponse:
    """Top-level runs, newest first, or the child runs of one, oldest first. Raises RunNotFound, and what the filters raise."""
    rows, order = runs_of(request.actor), ("-created_at", "-id")
    if parent_id:
        rows, order = tasks_of(request.actor, parent_id), ("created_at", "id")
    rows = filters.filter(rows.filter(**only))
    return answer(page(rows, request.GET, show, request_id=request.request_id, order=order))


@of_runs(
    router.get, "", "runs:read", summary="One run", workflow_operation="runs_api_read_workflow_run", response=RunObject
)
def read_run(request: ApiRequest, run_id: str) -> HttpResponse:
    return answer(show(get_run(request.actor, run_id)))


@of_runs(
    router.post,
    "/cancel",
    "runs:write",
    summary="Cancel a run",
    workflow_operation="runs_api_cancel_workflow_run",
    response=RunObject,
    **takes(CancelBody),
)
def cancel(request: ApiRequest, run_id: str) -> HttpResponse:
    run = get_run(request.actor, run_id)
    body = read(request, CancelBody)
    return once(request, lambda: show(services.cancel_run(request.actor, run.id, body.reason)))


@of_runs(
    router.get,
    "/deliveries",
    "runs:read",
    summary="Webhooks sent about a run, newest first",
    workflow_operation="runs_api_list_workflow_deliveries",
    response=Page[DeliveryObject],
)
def list_deliveries(request: ApiRequest, run_id: str) -> HttpResponse:
    rows = deliveries_of_run(request.actor, get_run(request.actor, run_id).id)
    return answer(page(rows, request.GET, delivery_object, request_id=request.request_id))


@router.get(
    "/runs/{run_id}/calls", summary="Calls of models made for a run, oldest first", response=Page[ModelCallObject]
)
@door("runs:read")
def list_calls(request: ApiRequest, run_id: str) -> HttpResponse:
    run = get_run(request.actor, run_id)
    rows = Call.objects.filter(run_id=run.id, team_id=run.team_id, test=run.test)
    return answer(page(rows, request.GET, call_object, request_id=request.request_id, order=("started_at", "id")))


@of_runs(
    router.get,
    "/screenshots",
    "runs:read",
    summary="Pictures of a run, oldest first",
    workflow_operation="runs_api_list_workflow_screenshots",
    response=Page[ScreenshotObject],
)
def list_screenshots(request: ApiRequest, run_id: str, after_index: AfterIndex = "") -> HttpResponse:
    run = get_run(request.actor, run_id)
    rows = Screenshot.objects.filter(run=run, index__gt=_index(after_index))
    return answer(page(rows, request.GET, screenshot_object, request_id=request.request_id, order=("index",)))


@of_runs(
    router.get,
    "/screenshots/{index}",
    "runs:read",
    summary="One picture of a run as PNG",
    workflow_operation="runs_api_read_workflow_screenshot",
    **PNG,
)
def read_screenshot(request: ApiRequest, run_id: str, index: str) -> HttpResponse:
    run = get_run(request.actor, run_id)
    row = Screenshot.objects.filter(run=run, index=_index(index)).first()
    if row is None:
        raise NotFound
    try:
        content = pictures.read(row.sha256)
    except FileNotFoundError:  # its time is over
        raise NotFound from None
    return HttpResponse(content, content_type="image/png", headers={"Cache-Control": "no-store"})


def _index(text: str) -> int:
    """-1, which no picture has, for what is not a number."""
    return int(text) if text.isdecimal() and len(text) < 10 else -1
