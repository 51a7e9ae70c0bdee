"""Workflow runs: start and list. Everything else of a run is in runs/."""

from django.http import HttpResponse
from ninja import Query, Router

from accounts.doors import ApiRequest, door, takes
from accounts.idempotency import once
from accounts.webhooks import targets
from runs.api import created, listed
from runs.schemas import RunFilters, WorkflowRunObject
from web.bodies import read_json
from web.errors import ErrorObject
from web.paging import Page
from workflows.access import get_workflow
from workflows.runs import starting
from workflows.schemas import DocumentStart, VersionStart

router = Router(tags=["Workflows"])


@router.post(
    "/workflows/runs",
    summary="Start a document that is not saved",
    response={200: WorkflowRunObject, 402: ErrorObject, 404: ErrorObject},
    **takes(DocumentStart),
)
@door("workflows:write")
def start_document(request: ApiRequest) -> HttpResponse:
    body = read_json(request)
    with targets.looked_up(body.get("webhook_url")):
        return once(request, lambda: created(starting.start_document(request.actor, body, request.request_id)))


@router.get(
    "/workflows/runs", summary="Workflow runs, newest first", response={200: Page[WorkflowRunObject], 404: ErrorObject}
)
@door("workflows:read")
def list_runs(request: ApiRequest, filters: Query[RunFilters], parent_id: str | None = None) -> HttpResponse:
    return listed(request, filters, parent_id, kind="workflow")


@router.post(
    "/workflows/{workflow:workflow_id}/runs",
    summary="Start a workflow",
    response={200: WorkflowRunObject, 402: ErrorObject},
    **takes(VersionStart),
)
@door("workflows:write")
def start_saved(request: ApiRequest, workflow_id: str) -> HttpResponse:
    workflow = get_workflow(request.actor, workflow_id)
    body = read_json(request)
    with targets.looked_up(body.get("webhook_url")):
        return once(request, lambda: created(starting.start_saved(request.actor, workflow, body, request.request_id)))
