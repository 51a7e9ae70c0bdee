"""Workflows: create, change, archive, versions, and what a document is worth before anybody stores it."""

from collections.abc import Callable
from typing import TypeVar

from django.http import HttpResponse
from ninja import Query, Router

from accounts.doors import ApiRequest, door, takes
from accounts.idempotency import answer, once
from web.bodies import read_json
from web.json_values import Detail
from web.paging import Page, page
from workflows import services
from workflows.access import get_version, get_workflow, versions_of, workflows_of
from workflows.checking import Examined, accept, examine
from workflows.models import Workflow
from workflows.schemas import (
    WarningObject,
    WorkflowArchivedObject,
    WorkflowCreate,
    WorkflowExaminationObject,
    WorkflowFilters,
    WorkflowObject,
    WorkflowPut,
    WorkflowValidate,
    WorkflowVersionObject,
    version_object,
    workflow_object,
)

router = Router(tags=["Workflows"])
Row = TypeVar("Row")
Shown = TypeVar("Shown")


def _shown(render: Callable[[Row, str], Shown], request: ApiRequest) -> Callable[[Row], Shown]:
    return lambda row: render(row, request.request_id)


@router.post(
    "/workflows",
    summary="Create a workflow, or the next version under its slug",
    response=WorkflowObject,
    **takes(WorkflowCreate),
)
@door("workflows:write")
def create(request: ApiRequest) -> HttpResponse:
    values = accept(request.actor, read_json(request), "create")
    return once(request, lambda: _object(request, services.save_workflow(request.actor, values)))


def _object(request: ApiRequest, workflow: Workflow) -> WorkflowObject:
    return workflow_object(workflow, request.request_id)


@router.get("/workflows", summary="Workflows of the team and world, newest first", response=Page[WorkflowObject])
@door("workflows:read")
def list_workflows(request: ApiRequest, filters: Query[WorkflowFilters]) -> HttpResponse:
    rows = filters.filter(workflows_of(request.actor))
    return answer(page(rows, request.GET, _shown(workflow_object, request), request_id=request.request_id))


@router.post(
    "/workflows/validate",
    summary="What is wrong with a document, and what it may cost",
    response=WorkflowExaminationObject,
    **takes(WorkflowValidate),
)
@door("workflows:read")
def validate(request: ApiRequest) -> HttpResponse:
    body = read_json(request)
    return once(request, lambda: _examined(examine(request.actor, body)))


def _examined(examined: Examined) -> WorkflowExaminationObject:
    return {
        "valid": examined.valid,
        "errors": _details(examined.errors),
        "warnings": _details(examined.warnings),
        "estimate": examined.estimate,
    }


def _details(details: list[Detail]) -> list[WarningObject]:
    return [{"loc": list(loc), "msg": message, "type": kind} for loc, message, kind in details]


@router.get("/workflows/{workflow:workflow_id}", summary="One workflow", response=WorkflowObject)
@door("workflows:read")
def read_workflow(request: ApiRequest, workflow_id: str) -> HttpResponse:
    return answer(_object(request, get_workflow(request.actor, workflow_id)))


@router.put(
    "/workflows/{workflow:workflow_id}",
    summary="The next version of a workflow",
    response=WorkflowObject,
    **takes(WorkflowPut),
)
@door("workflows:write")
def put(request: ApiRequest, workflow_id: str) -> HttpResponse:
    workflow = get_workflow(request.actor, workflow_id)
    values = accept(request.actor, read_json(request), "put")
    return answer(_object(request, services.update_workflow(request.actor, workflow.id, values)))


@router.delete("/workflows/{workflow:workflow_id}", summary="Archive a workflow", response=WorkflowArchivedObject)
@door("workflows:write")
def delete(request: ApiRequest, workflow_id: str) -> HttpResponse:
    workflow = services.archive_workflow(request.actor, workflow_id)
    return answer(_object(request, workflow) | {"deleted": True})


@router.get(
    "/workflows/{workflow:workflow_id}/versions",
    summary="Versions of a workflow, newest first",
    response=Page[WorkflowVersionObject],
)
@door("workflows:read")
def list_versions(request: ApiRequest, workflow_id: str) -> HttpResponse:
    rows = versions_of(get_workflow(request.actor, workflow_id))
    render = _shown(version_object, request)
    return answer(page(rows, request.GET, render, request_id=request.request_id, order=("-version",)))


@router.get(
    "/workflows/{workflow:workflow_id}/versions/{number}",
    summary="One version of a workflow",
    response=WorkflowVersionObject,
)
@door("workflows:read")
def read_version(request: ApiRequest, workflow_id: str, number: str) -> HttpResponse:
    version = get_version(get_workflow(request.actor, workflow_id), number)
    return answer(version_object(version, request.request_id))
