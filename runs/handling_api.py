"""Claim, release, assign, extend, comment, undo: working on a request by API."""

from typing import Annotated, Any

from django.http import HttpResponse
from ninja import Router
from pydantic import Field

from accounts.doors import ApiRequest, door, takes
from accounts.idempotency import once
from approvals.access import decision_of, get_approval
from approvals.models import Approval
from approvals.schemas import Note, approval_object
from runs import decisions, handling
from web.bodies import Body, Int, read, read_json
from web.errors import Invalid

router = Router(tags=["Approvals"])


class ClaimBody(Body):
    take_over: bool = False


class NoBody(Body):
    """Takes no fields."""


class AssignBody(Body):
    assignee: Annotated[str, Field(max_length=40)] | None = None
    note: Note | None = None


class ExtendBody(Body):
    seconds: Annotated[Int, Field(ge=1, le=handling.LONGEST_EXTENSION)]


class CommentBody(Body):
    text: Annotated[str, Field(min_length=1, max_length=4000)]


def _shown(approval: Approval) -> dict[str, Any]:
    return approval_object(approval, decision_of(approval) if approval.status != "pending" else None)


@router.post(
    "/approvals/{approval_id}/claim", summary="Work on a request: nobody else decides it meanwhile", **takes(ClaimBody)
)
@door("approvals:decide")
def claim(request: ApiRequest, approval_id: str) -> HttpResponse:
    get_approval(request.actor, approval_id)
    body = read(request, ClaimBody)
    return once(request, lambda: _shown(handling.claim(request.actor, approval_id, take_over=body.take_over)))


@router.post("/approvals/{approval_id}/release", summary="Give a claimed request back", **takes(NoBody))
@door("approvals:decide")
def release(request: ApiRequest, approval_id: str) -> HttpResponse:
    get_approval(request.actor, approval_id)
    read(request, NoBody)
    return once(request, lambda: _shown(handling.release(request.actor, approval_id)))


@router.post("/approvals/{approval_id}/assign", summary="Route a request to a person or group", **takes(AssignBody))
@door("approvals:decide")
def assign(request: ApiRequest, approval_id: str) -> HttpResponse:
    get_approval(request.actor, approval_id)
    body = read(request, AssignBody)
    if "assignee" not in read_json(request):
        raise Invalid((("body", "assignee"), "Field required; null takes the assignment away.", "missing"))
    return once(request, lambda: _shown(handling.assign(request.actor, approval_id, body.assignee, body.note)))


@router.post("/approvals/{approval_id}/extend", summary="Give people more time", **takes(ExtendBody))
@door("approvals:decide")
def extend(request: ApiRequest, approval_id: str) -> HttpResponse:
    get_approval(request.actor, approval_id)
    body = read(request, ExtendBody)
    return once(request, lambda: _shown(handling.extend(request.actor, approval_id, body.seconds)))


@router.post("/approvals/{approval_id}/comment", summary="Say something beside a request", **takes(CommentBody))
@door("approvals:read")
def comment(request: ApiRequest, approval_id: str) -> HttpResponse:
    get_approval(request.actor, approval_id)
    body = read(request, CommentBody)
    return once(request, lambda: _shown(handling.comment(request.actor, approval_id, body.text)))


@router.post("/approvals/{approval_id}/undo", summary="Take a decision back before it takes effect", **takes(NoBody))
@door("approvals:decide")
def undo(request: ApiRequest, approval_id: str) -> HttpResponse:
    get_approval(request.actor, approval_id)
    read(request, NoBody)
    return once(request, lambda: _shown(decisions.undo(request.actor, approval_id)))
