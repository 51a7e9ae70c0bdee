"""/v1/runs/{id}/resume, signal, approve, answer: a run's doors to the one decision function; permissions and their mode."""

from typing import Annotated, Any, Literal

from django.http import HttpResponse
from ninja import Router
from pydantic import Field

from accounts.doors import ApiRequest, door, takes
from accounts.idempotency import answer, once
from approvals.access import decision_of
from approvals.deciding import DecisionResult
from approvals.errors import ApprovalNotFound, UnknownSignal
from approvals.kinds import BY_ANSWER, SIGNALS
from approvals.models import Approval
from approvals.schemas import Note, approval_object
from runs import verbs
from runs.access import get_run, show
from runs.requests import permission_mode as modes
from runs.routes import of_runs
from runs.schemas import (
    AnswerResultObject,
    PermissionModeObject,
    PermissionObject,
    PermissionResultObject,
    ResumeBody,
    RunObject,
    SignalObject,
    WorkflowResumeBody,
    WorkflowRunObject,
)
from runs.subject import LockedRun
from runs.verbs import decide_for_run
from web.bodies import Body, read
from web.errors import Invalid
from web.filters import one_of

router = Router(tags=["Approvals"])


class SignalBody(Body):
    action: Annotated[str, one_of(SIGNALS)]
    payload: dict[str, Any] = Field(default_factory=dict)
    approval_id: str | None = None
    idempotency_key: Annotated[str, Field(pattern=r"^[A-Za-z0-9_:-]{1,128}$")] | None = None


class ApproveBody(Body):
    request_id: str
    decision: Literal["allow", "deny"]
    remember: bool = False
    reason: Note | None = None


class AnswerBody(Body):
    answers: Annotated[dict[str, Any], Field(json_schema_extra={"minProperties": 1})]
    request_id: str | None = None


class ModeBody(Body):
    permission_mode: Literal["autonomous", "approval", "plan"]


def _named(text: str | None) -> str | None:
    return (text or "").strip() or None


@router.post("/runs/{run_id}/resume", summary="Decide what the run waits for", response=RunObject, **takes(ResumeBody))
@door("approvals:decide")
def resume(request: ApiRequest, run_id: str) -> HttpResponse:
    return _resume(request, run_id)


@router.post(
    "/workflows/runs/{run_id}/resume",
    summary="Decide what the workflow run waits for",
    response=WorkflowRunObject | RunObject,
    **takes(WorkflowResumeBody),
)
@door("approvals:decide")
def resume_workflow_run(request: ApiRequest, run_id: str) -> HttpResponse:
    return _resume(request, run_id, approved_required=True)


def _resume(request: ApiRequest, run_id: str, *, approved_required: bool = False) -> HttpResponse:
    run = get_run(request.actor, run_id)
    body = read(request, ResumeBody)
    if approved_required and body.approved is None:
        raise Invalid((("body", "approved"), "Field required.", "missing"))
    named = _named(body.approval_id)
    return once(request, lambda: show(verbs.resume(request.actor, run.id, named, lambda a: verbs.by_resume(a, body))))


@of_runs(
    router.post,
    "/signal",
    "approvals:decide",
    summary="approve, reject or submit_input",
    workflow_operation="signal_of_workflow_run",
    response=SignalObject,
    **takes(SignalBody),
)
def signal(request: ApiRequest, run_id: str) -> HttpResponse:
    run = get_run(request.actor, run_id)
    body = read(request, SignalBody)
    if body.action not in SIGNALS:
        raise UnknownSignal(reason_code="invalid_signal_type", allowed=list(SIGNALS))

    def effect() -> SignalObject:
        result = decide_for_run(
            request.actor, run.id, _named(body.approval_id), lambda a: verbs.by_signal(a, body.action, body.payload)
        )
        return _signalled(result, body.action)

    return once(request, effect, body_key=body.idempotency_key)


def _signalled(result: DecisionResult[LockedRun], action: str) -> SignalObject:
    run = result.subject
    return {
        "object": "signal",
        "id": result.decision.id if result.decision else None,
        "action": action,
        "run_id": run.id,
        "approval_id": result.approval.id,
        "status": run.status,
        "state": run.status,
        "resumed": result.resumed,
    }


def permission_item(approval: Approval) -> PermissionObject:
    """A request as the permissions list shows it."""
    shown = approval_object(approval, decision_of(approval) if approval.status != "pending" else None)
    tool_name, tool_input = verbs.tool_of(approval)
    return {
        **shown,
        "tool_name": tool_name,
        "tool_input": tool_input,
        "status": verbs.PERMISSION_STATUS[approval.status],
    }


@of_runs(
    router.post,
    "/approve",
    "approvals:decide",
    summary="Allow or deny the named request",
    workflow_operation="approve_of_workflow_run",
    response=PermissionResultObject,
    **takes(ApproveBody),
)
def approve(request: ApiRequest, run_id: str) -> HttpResponse:
    run = get_run(request.actor, run_id)
    body = read(request, ApproveBody)
    named = _named(body.request_id)
    if named is None:
        raise ApprovalNotFound

    def effect() -> dict[str, Any]:
        allow = body.decision == "allow"
        result = decide_for_run(
            request.actor, run.id, named, lambda a: verbs.by_approve(a, allow, body.reason, body.remember)
        )
        remembered = bool(result.decision and result.decision.remembered)
        return permission_item(result.approval) | {"resumed": result.resumed, "remembered": remembered}

    return once(request, effect)


@of_runs(
    router.post,
    "/answer",
    "approvals:decide",
    summary="Answer questions, submit data, judge a plan",
    workflow_operation="answer_of_workflow_run",
    response=AnswerResultObject,
    **takes(AnswerBody),
)
def answer_run(request: ApiRequest, run_id: str) -> HttpResponse:
    run = get_run(request.actor, run_id)
    body = read(request, AnswerBody)
    if not body.answers:
        raise Invalid((("body", "answers"), "Must hold at least one answer.", "value_error"))

    def effect() -> dict[str, Any]:
        named, kinds = _named(body.request_id), BY_ANSWER
        result = decide_for_run(request.actor, run.id, named, lambda a: verbs.by_answer(a, body.answers), kinds=kinds)
        shown = approval_object(result.approval, result.decision)
        return {"status": "ok", "resumed": result.resumed, "run_status": result.subject.status, "approval": shown}

    return once(request, effect)


@of_runs(
    router.get,
    "/permissions",
    "approvals:read",
    summary="All requests of the run, oldest first",
    workflow_operation="permissions_of_workflow_run",
    response=list[PermissionObject],
)
def permissions(request: ApiRequest, run_id: str) -> HttpResponse:
    run = get_run(request.actor, run_id)
    rows = Approval.objects.filter(root_run_id=run.id) | Approval.objects.filter(run_id=run.id)
    return answer([permission_item(a) for a in rows.order_by("created_at", "id")])


@of_runs(
    router.patch,
    "/permission-mode",
    "approvals:decide",
    summary="Ask more or less from now on",
    workflow_operation="permission_mode_of_workflow_run",
    response=PermissionModeObject,
    **takes(ModeBody),
)
def permission_mode(request: ApiRequest, run_id: str) -> HttpResponse:
    run = get_run(request.actor, run_id)
    body = read(request, ModeBody)
    resolved = modes.switch(request.actor, run.id, body.permission_mode)
    return answer({"run_id": run.id, "permission_mode": body.permission_mode, "resolved": resolved})
