"""All of /v1/approvals: what waits, one request, deciding it, and working on it without deciding."""

from collections.abc import Callable
from typing import Annotated, TypeVar

from django.db.models import QuerySet
from django.http import HttpResponse
from ninja import Query, Router
from pydantic import ConfigDict, Field

from accounts.access import require
from accounts.actor import Actor
from accounts.doors import ApiRequest, door, takes
from accounts.idempotency import answer, once
from accounts.middleware import is_head
from approvals import deciding, handling, undoing
from approvals.access import DUE, assigned_names, by_due, decision_of, get_approval, get_readable, readable
from approvals.answers.answer import Answer
from approvals.deciding import DecisionResult
from approvals.models import Approval
from approvals.queue.listing import summary
from approvals.schemas import (
    ApprovalFilters,
    ApprovalListObject,
    ApprovalObject,
    DecideBody,
    DecidedRunObject,
    DecisionResultObject,
    Note,
    approval_object,
    decision_object,
)
from approvals.subjects import Locked
from approvals.waiting.long_poll import WAITS, answer_in_time, read_wait
from web.bodies import Body, Int, read, read_json
from web.errors import Invalid, InvalidFilter
from web.filters import one_of
from web.paging import Page, page

router = Router(tags=["Approvals"])
B = TypeVar("B", bound=Body)
SORTS = ("due", "created")


class ClaimBody(Body):
    take_over: bool = False


class NoBody(Body):
    """Takes no fields."""


class AssignBody(Body):
    """Null takes the assignment away."""

    model_config = ConfigDict(json_schema_extra={"required": ["assignee"]})

    assignee: Annotated[str, Field(max_length=40)] | None = None
    note: Note | None = None


class ExtendBody(Body):
    seconds: Annotated[Int, Field(ge=1, le=handling.LONGEST_EXTENSION)]


class CommentBody(Body):
    text: Annotated[str, Field(min_length=1, max_length=4000)]


@router.get("/approvals", summary="Requests to people, what is due first", response=ApprovalListObject)
@door("approvals:read", "approvals:request")
def list_approvals(
    request: ApiRequest,
    filters: Query[ApprovalFilters],
    assignee: Annotated[str, Field(description="A person or group; `me`; `none`.")] = "",
    sort: Annotated[str, one_of(SORTS)] = "due",
) -> HttpResponse:
    rows = filters.filter(readable(request.actor)).select_related("external_request")
    rows = _assigned_to(request.actor, rows, assignee) if assignee else rows
    return answer({**_listed(request, rows, sort), "summary": summary(rows)})


def _assigned_to(actor: Actor, rows: QuerySet[Approval], assignee: str) -> QuerySet[Approval]:
    if assignee == "none":
        return rows.filter(assignee__isnull=True)
    return rows.filter(assignee__in=assigned_names(actor) if assignee == "me" else [assignee])


def _listed(request: ApiRequest, rows: QuerySet[Approval], sort: str) -> Page[ApprovalObject]:
    if sort not in SORTS:
        raise InvalidFilter(parameter="sort", valid_options=list(SORTS))
    if sort == "due":
        return page(by_due(rows), request.GET, object_of, request_id=request.request_id, order=DUE)
    return page(rows, request.GET, object_of, request_id=request.request_id)


def object_of(row: Approval) -> ApprovalObject:
    """The request as it is now."""
    return approval_object(row, decision_of(row) if row.status != "pending" else None)


@router.get(
    "/approvals/{approval_id}",
    summary="One request, at once or when it is decided",
    response=ApprovalObject,
    openapi_extra=WAITS,
)
@door("approvals:read", "approvals:request")
def read_approval(request: ApiRequest, approval_id: str) -> HttpResponse:
    approval = get_readable(request.actor, approval_id)
    seconds = read_wait(request.GET)
    if approval.status != "pending" or seconds == 0 or is_head(request):
        return answer(object_of(approval))
    return answer_in_time(request, approval_id, seconds, lambda actor: _shown(actor, approval_id))


def _shown(actor: Actor, approval_id: str) -> HttpResponse:
    require(actor, "approvals:read", "approvals:request")
    return answer(object_of(get_readable(actor, approval_id)))


@router.post(
    "/approvals/{approval_id}/decide", summary="Decide a request", response=DecisionResultObject, **takes(DecideBody)
)
@door("approvals:decide")
def decide_route(request: ApiRequest, approval_id: str) -> HttpResponse:
    approval = get_approval(request.actor, approval_id)
    body = read(request, DecideBody)
    decision = Answer(**body.fields_of_answer())
    return once(request, lambda: result_object(deciding.decide(request.actor, approval, decision)))


def result_object(result: DecisionResult[Locked]) -> DecisionResultObject:
    decision = result.decision
    return {
        "object": "decision_result",
        "approval": approval_object(result.approval, decision),
        "decision": decision_object(decision) if decision else None,
        "run": _run_object(result),
        "resumed": result.resumed,
        "remembered": bool(decision and decision.remembered),
        "policy_id": decision.policy_id if decision else None,
    }


def _run_object(result: DecisionResult[Locked]) -> DecidedRunObject | None:
    """None where no run of ours goes on: what a program outside asked."""
    subject = result.subject
    if result.approval.run_id is None:
        return None
    return {"id": subject.id, "status": subject.status, "state": subject.status}


@router.post(
    "/approvals/{approval_id}/claim",
    summary="Work on a request: nobody else decides it meanwhile",
    response=ApprovalObject,
    **takes(ClaimBody),
)
@door("approvals:decide")
def claim(request: ApiRequest, approval_id: str) -> HttpResponse:
    return _changed(
        request,
        approval_id,
        ClaimBody,
        lambda body: handling.claim(request.actor, approval_id, take_over=body.take_over),
    )


def _changed(
    request: ApiRequest, approval_id: str, body_type: type[B], change: Callable[[B], Approval]
) -> HttpResponse:
    """The request after `change`, once."""
    get_approval(request.actor, approval_id)
    body = read(request, body_type)
    return once(request, lambda: object_of(change(body)))


@router.post(
    "/approvals/{approval_id}/release", summary="Give a claimed request back", response=ApprovalObject, **takes(NoBody)
)
@door("approvals:decide")
def release(request: ApiRequest, approval_id: str) -> HttpResponse:
    return _changed(request, approval_id, NoBody, lambda _: handling.release(request.actor, approval_id))


@router.post(
    "/approvals/{approval_id}/assign",
    summary="Route a request to a person or group",
    response=ApprovalObject,
    **takes(AssignBody),
)
@door("approvals:decide")
def assign(request: ApiRequest, approval_id: str) -> HttpResponse:
    get_approval(request.actor, approval_id)
    body = read(request, AssignBody)
    if "assignee" not in read_json(request):
        raise Invalid((("body", "assignee"), "Field required; null takes the assignment away.", "missing"))
    return once(request, lambda: object_of(handling.assign(request.actor, approval_id, body.assignee, body.note)))


@router.post(
    "/approvals/{approval_id}/extend", summary="Give people more time", response=ApprovalObject, **takes(ExtendBody)
)
@door("approvals:decide")
def extend(request: ApiRequest, approval_id: str) -> HttpResponse:
    return _changed(
        request, approval_id, ExtendBody, lambda body: handling.extend(request.actor, approval_id, body.seconds)
    )


@router.post(
    "/approvals/{approval_id}/comment",
    summary="Say something beside a request",
    response=ApprovalObject,
    **takes(CommentBody),
)
@door("approvals:read")
def comment(request: ApiRequest, approval_id: str) -> HttpResponse:
    return _changed(
        request, approval_id, CommentBody, lambda body: handling.comment(request.actor, approval_id, body.text)
    )


@router.post(
    "/approvals/{approval_id}/undo",
    summary="Take a decision back before it takes effect",
    response=ApprovalObject,
    **takes(NoBody),
)
@door("approvals:decide")
def undo(request: ApiRequest, approval_id: str) -> HttpResponse:
    return _changed(request, approval_id, NoBody, lambda _: undoing.undo(request.actor, approval_id))
