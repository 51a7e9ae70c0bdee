"""Request bodies and answers of approvals."""

from typing import Annotated, Any, Literal

from django.db.models import Q
from ninja import FilterLookup, FilterSchema
from pydantic import BeforeValidator, Field
from typing_extensions import TypedDict

from accounts.actor import ActorRef
from approvals.deciders.eligibility import eligible
from approvals.deciders.quorum import NeedObject, needs
from approvals.kinds import VERDICTS, Kind
from approvals.models import Approval, ApprovalStatus, Decision
from approvals.policies.schemas import Conditions, conditions_of
from web.bodies import Body
from web.errors import InvalidFilter, InvalidStatusFilter
from web.filters import Text, one_of, several_of, words_of
from web.times import Timestamp, rfc3339

MAX_NOTE = 2000  # characters
Note = Annotated[str, Field(max_length=MAX_NOTE)]


class ApprovalFilters(FilterSchema):
    """The filters of GET /v1/approvals; only what waits unless `status` says otherwise."""

    status: Annotated[str, several_of(ApprovalStatus.values, "all"), BeforeValidator(lambda t: t or "pending")] = (
        "pending"
    )
    kind: Annotated[Text, several_of(Kind.values)] = None
    run_id: Annotated[Text, FilterLookup(["root_run_id", "run_id"])] = None

    def filter_status(self, status: str) -> Q:
        """Raises InvalidStatusFilter."""
        unknown = InvalidStatusFilter(valid_options=[*ApprovalStatus.values, "all"])
        return Q(status__in=words_of(status, ApprovalStatus.values, unknown)) if status != "all" else Q()

    def filter_kind(self, kind: str | None) -> Q:
        """Raises InvalidFilter."""
        unknown = InvalidFilter(parameter="kind", valid_options=list(Kind.values))
        return Q(kind__in=words_of(kind, Kind.values, unknown)) if kind else Q()


class DecideBody(Body):
    verdict: Annotated[str, Field(max_length=32), one_of(VERDICTS)]
    answers: dict[str, Any] | None = None
    values: dict[str, Any] | None = None
    edited_action: dict[str, Any] | None = None
    note: Note | None = None
    remember: bool | Literal["run"] = False
    remember_when: Conditions | None = None
    action_hash: Annotated[str, Field(max_length=128)] | None = None

    def fields_of_answer(self) -> dict[str, Any]:
        """By their names in approvals.answers.answer.Answer."""
        fields = self.model_dump(exclude={"remember_when"})
        return fields | {"remember_when": None if self.remember_when is None else conditions_of(self.remember_when)}


class ReceiptObject(TypedDict):
    """How far the decision got: decided, in effect, with the agent, carried out."""

    decided_at: Timestamp
    effective_at: Timestamp | None
    delivered_at: Timestamp | None
    execution_started_at: Timestamp | None
    executed_at: Timestamp | None
    outcome: str | None
    error: str | None


class DecisionObject(TypedDict):
    id: str
    verdict: str
    effect: str
    actor: ActorRef
    via: str
    note: str | None
    answers: dict[str, Any] | None
    values: dict[str, Any] | None
    action_before: dict[str, Any] | None
    action_after: dict[str, Any] | None
    remembered: bool
    policy_id: str | None
    at: Timestamp
    receipt: ReceiptObject


class VoteObject(TypedDict):
    actor: ActorRef
    group: str
    note: str | None
    at: Timestamp


class CommentObject(TypedDict):
    actor: ActorRef
    text: str
    at: Timestamp


class SourceObject(TypedDict):
    """Which program asks, in its own words; `ref`: what it calls its run or job."""

    name: str
    url: str | None
    ref: str | None


class ExternalSubjectObject(TypedDict):
    """What a program outside asks about; `source` in its own words."""

    type: Literal["external"]
    source: SourceObject


class RunSubjectObject(TypedDict):
    type: Literal["run"]
    id: str


class ResultObject(TypedDict):
    """What the program did with the decision, as it says itself."""

    outcome: str
    text: str | None
    at: Timestamp


class ApprovalObject(TypedDict):
    id: str
    request_id: str
    object: str
    subject: RunSubjectObject | ExternalSubjectObject
    run_id: str | None
    root_run_id: str | None
    workflow_id: str | None
    step_id: str | None
    step_index: int | None
    seq: int | None
    kind: str
    status: str
    reason_code: str
    input_kind: str
    title: str
    message: str
    agent_message: str | None
    action: dict[str, Any] | None
    action_hash: str | None
    edited_action: dict[str, Any] | None
    questions: list[dict[str, Any]]
    plan: dict[str, Any] | None
    input_schema: dict[str, Any] | None
    budget: dict[str, Any] | None
    allowed_verdicts: list[str]
    on_reject: str
    on_timeout: str
    can_remember: bool
    remember_default: bool
    priority: int
    expires_at: Timestamp | None
    quorum: list[NeedObject]
    four_eyes: bool
    eligible: list[str]
    assignee: str | None
    claimed_by: ActorRef | None
    claim_expires_at: Timestamp | None
    votes: list[VoteObject]
    comments: list[CommentObject]
    evidence: dict[str, Any]
    previous_approval_id: str | None
    replaced_by: str | None
    void_reason: str | None
    external_id: str | None
    source: SourceObject | None
    end_user: str | None
    metadata: dict[str, Any] | None
    result: ResultObject | None
    decision: DecisionObject | None
    created_at: Timestamp
    resolved_at: Timestamp | None
    effective_at: Timestamp | None
    undo_until: Timestamp | None
    version: int
    test: bool


class DecidedRunObject(TypedDict):
    id: str
    status: str
    state: str


class DecisionResultObject(TypedDict):
    object: str
    approval: ApprovalObject
    decision: DecisionObject | None
    run: DecidedRunObject | None
    resumed: bool
    remembered: bool
    policy_id: str | None


class WaitingObject(TypedDict):
    """Of all requests that the filters leave, not of one page."""

    pending: int
    blocked_runs: int
    oldest_created_at: Timestamp | None


class ApprovalListObject(TypedDict):
    """As web.paging.Page, with the sums."""

    object: str
    data: list[ApprovalObject]
    has_more: bool
    next_cursor: str | None
    request_id: str
    summary: WaitingObject


def decision_object(row: Decision) -> DecisionObject:
    return {
        "id": row.id,
        "verdict": row.verdict,
        "effect": row.effect,
        "actor": row.actor,
        "via": row.via,
        "note": row.note,
        "answers": row.answers,
        "values": row.values,
        "action_before": row.action_before,
        "action_after": row.action_after,
        "remembered": row.remembered,
        "policy_id": row.policy_id,
        "at": rfc3339(row.at),
        "receipt": receipt(row),
    }


def receipt(row: Decision) -> ReceiptObject:
    return {
        "decided_at": rfc3339(row.at),
        "effective_at": rfc3339(row.approval.effective_at),
        "delivered_at": rfc3339(row.delivered_at),
        "execution_started_at": rfc3339(row.execution_started_at),
        "executed_at": rfc3339(row.executed_at),
        "outcome": row.outcome,
        "error": row.error,
    }


def _votes(row: Approval) -> list[VoteObject]:
    found = row.votes.order_by("at") if row.quorum else ()
    return [{"actor": v.actor, "group": v.group, "note": v.note, "at": rfc3339(v.at)} for v in found]


def _comments(row: Approval) -> list[CommentObject]:
    return [{"actor": c.actor, "text": c.text, "at": rfc3339(c.at)} for c in row.comments.order_by("at")]


def _evidence(row: Approval) -> dict[str, Any]:
    """Of pictures that a program sent along: where they are, not how they are kept."""
    evidence: dict[str, Any] = row.evidence
    if "pictures" not in evidence:
        return evidence
    shown = [
        {
            "index": picture["index"],
            "url": f"/v1/approvals/{row.id}/pictures/{picture['index']}",
            "width": picture["width"],
            "height": picture["height"],
        }
        for picture in evidence["pictures"]
    ]
    return evidence | {"pictures": shown}


def subject_object(row: Approval) -> RunSubjectObject | ExternalSubjectObject:
    """What the request is about."""
    if row.external_request is not None:
        return {"type": "external", "source": row.external_request.source}
    return {"type": "run", "id": str(row.run_id)}


def approval_object(row: Approval, decision: Decision | None) -> ApprovalObject:
    """The request as the API shows it (docs/api/approvals.md section 2); `decision` is the one that counts."""
    return {
        "id": row.id,
        "request_id": row.id,
        "object": "approval_request",
        "subject": subject_object(row),
        "run_id": row.run_id,
        "root_run_id": row.root_run_id,
        "workflow_id": row.workflow_id,
        "step_id": row.step_id,
        "step_index": row.step_index,
        "seq": row.seq,
        "kind": row.kind,
        "status": row.status,
        "reason_code": row.traits.reason_code,
        "input_kind": row.traits.input_kind,
        "title": row.title,
        "message": row.message,
        "agent_message": row.agent_message,
        "action": row.action,
        "action_hash": row.action_hash,
        "edited_action": row.edited_action,
        "questions": row.questions,
        "plan": row.plan,
        "input_schema": row.input_schema,
        "budget": row.budget,
        "allowed_verdicts": list(row.traits.verdicts),
        "on_reject": row.on_reject,
        "on_timeout": row.on_timeout,
        "can_remember": row.can_remember,
        "remember_default": row.remember_default,
        "priority": row.priority,
        "expires_at": rfc3339(row.expires_at),
        "quorum": needs(row),
        "four_eyes": row.four_eyes,
        "eligible": eligible(row),
        "assignee": row.assignee,
        "claimed_by": row.claimed_by,
        "claim_expires_at": rfc3339(row.claim_expires_at),
        "votes": _votes(row),
        "comments": _comments(row),
        "evidence": _evidence(row),
        "previous_approval_id": row.previous_approval_id,
        "replaced_by": row.replaced_by,
        "void_reason": row.void_reason,
        "external_id": row.external_request.external_id if row.external_request else None,
        "source": row.external_request.source if row.external_request else None,
        "end_user": row.context.get("end_user"),
        "metadata": row.external_request.metadata if row.external_request else None,
        "result": row.context.get("result"),
        "decision": decision_object(decision) if decision else None,
        "created_at": rfc3339(row.created_at),
        "resolved_at": rfc3339(row.resolved_at),
        "effective_at": rfc3339(row.effective_at),
        "undo_until": rfc3339(row.undo_until),
        "version": row.version,
        "test": row.test,
    }
