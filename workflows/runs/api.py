"""Workflow runs: start and list. Everything else of a run is in runs/."""

from django.http import HttpResponse
from ninja import Router

from accounts.doors import ApiRequest, door, takes
from accounts.idempotency import once
from accounts.webhooks import targets
from runs.api import created, listed
from web.bodies import read_json
from workflows.access import get_workflow
from workflows.runs import starting
from workflows.runs.schemas import VersionStart
from workflows.schemas import DocumentStart

router = Router(tags=["Workflows"])


@router.post("/workflows/runs", summary="Start a document that is not saved", **takes(DocumentStart))
@door("workflows:write")
def start_document(request: ApiRequest) -> HttpResponse:
    body = read_json(request)
    with targets.looked_up(body.get("webhook_url")):
        return once(request, lambda: created(starting.start_document(request.actor, body, request.request_id)))


@router.get("/workflows/runs", summary="Workflow runs, newest first")
@door("workflows:read")
def list_runs(request: ApiRequest) -> HttpResponse:
    return listed(request, kind="workflow")


@router.post("/workflows/{workflow:workflow_id}/runs", summary="Start a workflow", **takes(VersionStart))
@door("workflows:write")
def start_saved(request: ApiRequest, workflow_id: str) -> HttpResponse:
    workflow = get_workflow(request.actor, workflow_id)
    body = read_json(request)
    with targets.looked_up(body.get("webhook_url")):
        return once(request, lambda: created(starting.start_saved(request.actor, workflow, body, request.request_id)))
