"""Deciding by API: resume, decide; and the list of what waits. Every route ends in runs.decisions."""

from typing import Any

from django.http import HttpResponse
from ninja import Router

from accounts.doors import ApiRequest, door, takes
from accounts.idempotency import answer, once
from approvals.access import DUE, approvals_of, assigned_names, by_due, decision_of, get_approval, summary
from approvals.answers.answer import Answer
from approvals.answers.defaults import answer_by_note
from approvals.kinds import Kind
from approvals.models import Approval, ApprovalStatus
from approvals.schemas import DecideBody, approval_object, decision_object
from runs import takeover
from runs.access import get_run, show
from runs.decisions import DecisionResult, decide
from runs.schemas import ResumeBody
from web.bodies import read
from web.errors import Invalid, InvalidFilter, InvalidStatusFilter
from web.paging import page

router = Router(tags=["Approvals"])


def resume_answer(approval: Approval, body: ResumeBody) -> Answer:
    """What `resume` means for a request of this kind (contract/approvals.md section 4)."""
    if body.approved is False:
        if approval.kind == "plan":
            return Answer("revise", note=(body.note or "").strip() or "Rejected without a comment.")
        return Answer("reject", note=body.note)
    if approval.kind in ("question", "input"):
        return answer_by_note(approval, body.note)
    return Answer("approve", note=body.note)


@router.post("/runs/{run_id}/resume", summary="Decide what the run waits for", **takes(ResumeBody))
@door("approvals:decide")
def resume(request: ApiRequest, run_id: str) -> HttpResponse:
    return _resume(request, run_id)


@router.post("/workflows/runs/{run_id}/resume", summary="Decide what the workflow run waits for", **takes(ResumeBody))
@door("approvals:decide")
def resume_workflow_run(request: ApiRequest, run_id: str) -> HttpResponse:
    return _resume(request, run_id, approved_required=True)


def _resume(request: ApiRequest, run_id: str, *, approved_required: bool = False) -> HttpResponse:
    run = get_run(request.actor, run_id)
    body = read(request, ResumeBody)
    if approved_required and body.approved is None:
        raise Invalid((("body", "approved"), "Field required.", "missing"))
    named = (body.approval_id or "").strip() or None

    def effect() -> dict[str, Any]:
        return show(takeover.resume(request.actor, run.id, named, lambda a: resume_answer(a, body)))

    return once(request, effect)


@router.get("/approvals", summary="Requests to people, what is due first")
@door("approvals:read")
def list_approvals(request: ApiRequest) -> HttpResponse:
    query = request.GET
    rows = approvals_of(request.actor)
    status = query.get("status") or "pending"
    if status != "all":
        words = [w.strip() for w in status.split(",")]
        if not set(words) <= set(ApprovalStatus.values):
            raise InvalidStatusFilter(valid_options=[*ApprovalStatus.values, "all"])
        rows = rows.filter(status__in=words)
    if query.get("kind"):
        kinds = query["kind"].split(",")
        if not set(kinds) <= set(Kind.values):
            raise InvalidFilter(parameter="kind", valid_options=list(Kind.values))
        rows = rows.filter(kind__in=kinds)
    if query.get("run_id"):
        rows = rows.filter(root_run_id=query["run_id"]) | rows.filter(run_id=query["run_id"])
    if query.get("assignee"):
        who = query["assignee"]
        rows = (
            rows.filter(assignee__isnull=True)
            if who == "none"
            else rows.filter(assignee__in=assigned_names(request.actor) if who == "me" else [who])
        )
    return answer(_listed(request, rows, query.get("sort", "due")) | {"summary": summary(rows)})


def _listed(request: ApiRequest, rows: Any, sort: str) -> dict[str, Any]:
    if sort not in ("due", "created"):
        raise InvalidFilter(parameter="sort", valid_options=["due", "created"])
    if sort == "due":
        return page(by_due(rows), request.GET, _object, request_id=request.request_id, order=DUE)
    return page(rows, request.GET, _object, request_id=request.request_id)


def _object(row: Approval) -> dict[str, Any]:
    return approval_object(row, decision_of(row) if row.status != "pending" else None)


@router.get("/approvals/{approval_id}", summary="One request")
@door("approvals:read")
def read_approval(request: ApiRequest, approval_id: str) -> HttpResponse:
    return answer(_object(get_approval(request.actor, approval_id)))


@router.post("/approvals/{approval_id}/decide", summary="Decide a request", **takes(DecideBody))
@door("approvals:decide")
def decide_route(request: ApiRequest, approval_id: str) -> HttpResponse:
    approval = get_approval(request.actor, approval_id)
    body = read(request, DecideBody)
    given = Answer(
        body.verdict, note=body.note, answers=body.answers, values=body.values, edited_action=body.edited_action,
        remember=body.remember, action_hash=body.action_hash,
    )  # fmt: skip
    return once(request, lambda: result_object(decide(request.actor, approval, given)))


def result_object(result: DecisionResult) -> dict[str, Any]:
    return {
        "object": "decision_result", "approval": approval_object(result.approval, result.decision),
        "decision": decision_object(result.decision) if result.decision else None,
        "run": {"id": result.run.id, "status": result.run.status, "state": result.run.status},
        "resumed": result.resumed, "remembered": bool(result.decision and result.decision.remembered),
        "policy_id": result.decision.policy_id if result.decision else None,
    }  # fmt: skip
