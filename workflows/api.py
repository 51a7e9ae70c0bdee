"""Workflows: create, change, archive, versions, and what a document is worth before anybody stores it."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.http import HttpResponse
from ninja import Router

from accounts.doors import ApiRequest, door, takes
from accounts.idempotency import answer, once
from web.bodies import read_json
from web.errors import InvalidStatusFilter
from web.json_values import Detail
from web.paging import page
from workflows import services
from workflows.access import get_version, get_workflow, versions_of, workflows_of
from workflows.checking import Examined, accept, examine
from workflows.models import STATUSES, Workflow
from workflows.schemas import WorkflowCreate, WorkflowPut, WorkflowValidate, version_object, workflow_object

router = Router(tags=["Workflows"])
Row = TypeVar("Row")


def _shown(render: Callable[[Row, str], dict[str, Any]], request: ApiRequest) -> Callable[[Row], dict[str, Any]]:
    return lambda row: render(row, request.request_id)


@router.post("/workflows", summary="Create a workflow, or the next version under its slug", **takes(WorkflowCreate))
@door("workflows:write")
def create(request: ApiRequest) -> HttpResponse:
    values = accept(request.actor, read_json(request), "create")
    return once(request, lambda: _object(request, services.save_workflow(request.actor, values)))


def _object(request: ApiRequest, workflow: Workflow) -> dict[str, Any]:
    return workflow_object(workflow, request.request_id)


@router.get("/workflows", summary="Workflows of the team and world, newest first")
@door("workflows:read")
def list_workflows(request: ApiRequest) -> HttpResponse:
    rows = workflows_of(request.actor)
    words = request.GET.get("status")
    if words:
        statuses = [word.strip() for word in words.split(",")]
        if not set(statuses) <= set(STATUSES):
            raise InvalidStatusFilter(valid_options=list(STATUSES))
        rows = rows.filter(status__in=statuses)
    return answer(page(rows, request.GET, _shown(workflow_object, request), request_id=request.request_id))


@router.post(
    "/workflows/validate", summary="What is wrong with a document, and what it may cost", **takes(WorkflowValidate)
)
@door("workflows:read")
def validate(request: ApiRequest) -> HttpResponse:
    body = read_json(request)
    return once(request, lambda: _examined(examine(request.actor, body)))


def _examined(examined: Examined) -> dict[str, Any]:
    return {
        "valid": examined.valid,
        "errors": _details(examined.errors),
        "warnings": _details(examined.warnings),
        "estimate": examined.estimate,
    }


def _details(details: list[Detail]) -> list[dict[str, Any]]:
    return [{"loc": list(loc), "msg": message, "type": kind} for loc, message, kind in details]


@router.get("/workflows/{workflow:workflow_id}", summary="One workflow")
@door("workflows:read")
def read_workflow(request: ApiRequest, workflow_id: str) -> HttpResponse:
    return answer(_object(request, get_workflow(request.actor, workflow_id)))


@router.put("/workflows/{workflow:workflow_id}", summary="The next version of a workflow", **takes(WorkflowPut))
@door("workflows:write")
def put(request: ApiRequest, workflow_id: str) -> HttpResponse:
    workflow = get_workflow(request.actor, workflow_id)
    values = accept(request.actor, read_json(request), "put")
    return answer(_object(request, services.update_workflow(request.actor, workflow.id, values)))


@router.delete("/workflows/{workflow:workflow_id}", summary="Archive a workflow")
@door("workflows:write")
def delete(request: ApiRequest, workflow_id: str) -> HttpResponse:
    workflow = services.archive_workflow(request.actor, workflow_id)
    return answer(_object(request, workflow) | {"deleted": True})


@router.get("/workflows/{workflow:workflow_id}/versions", summary="Versions of a workflow, newest first")
@door("workflows:read")
def list_versions(request: ApiRequest, workflow_id: str) -> HttpResponse:
    rows = versions_of(get_workflow(request.actor, workflow_id))
    render = _shown(version_object, request)
    return answer(page(rows, request.GET, render, request_id=request.request_id, order=("-version",)))


@router.get("/workflows/{workflow:workflow_id}/versions/{number}", summary="One version of a workflow")
@door("workflows:read")
def read_version(request: ApiRequest, workflow_id: str, number: str) -> HttpResponse:
    version = get_version(get_workflow(request.actor, workflow_id), number)
    return answer(version_object(version, request.request_id))
