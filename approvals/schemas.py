"""Request bodies and answers of approvals."""

from typing import Annotated, Any, Literal

from pydantic import Field

from approvals.deciders.eligibility import eligible
from approvals.deciders.quorum import needs
from approvals.models import Approval, Decision
from web.bodies import Body
from web.times import rfc3339

MAX_NOTE = 2000  # characters
Note = Annotated[str, Field(max_length=MAX_NOTE)]


class DecideBody(Body):
    verdict: Annotated[str, Field(max_length=32)]
    answers: dict[str, Any] | None = None
    values: dict[str, Any] | None = None
    edited_action: dict[str, Any] | None = None
    note: Note | None = None
    remember: bool | Literal["run"] = False
    action_hash: Annotated[str, Field(max_length=128)] | None = None


def decision_object(row: Decision) -> dict[str, Any]:
    return {
        "id": row.id, "verdict": row.verdict, "effect": row.effect, "actor": row.actor, "via": row.via, "note": row.note,
        "answers": row.answers, "values": row.values, "action_before": row.action_before, "action_after": row.action_after,
        "remembered": row.remembered, "policy_id": row.policy_id, "at": rfc3339(row.at), "receipt": receipt(row),
    }  # fmt: skip


def receipt(row: Decision) -> dict[str, Any]:
    return {
        "decided_at": rfc3339(row.at), "effective_at": rfc3339(row.approval.effective_at), "delivered_at": rfc3339(row.delivered_at),
        "execution_started_at": rfc3339(row.execution_started_at), "executed_at": rfc3339(row.executed_at),
        "outcome": row.outcome, "error": row.error,
    }  # fmt: skip


def _votes(row: Approval) -> list[dict[str, Any]]:
    found = row.votes.order_by("at") if row.quorum else ()
    return [{"actor": v.actor, "group": v.group, "note": v.note, "at": rfc3339(v.at)} for v in found]


def _comments(row: Approval) -> list[dict[str, Any]]:
    return [{"actor": c.actor, "text": c.text, "at": rfc3339(c.at)} for c in row.comments.order_by("at")]


def approval_object(row: Approval, decision: Decision | None) -> dict[str, Any]:
    """The request as the API shows it (contract/approvals.md section 2); `decision` is the one that counts."""
    return {
        "id": row.id, "request_id": row.id, "object": "approval_request", "run_id": row.run_id, "root_run_id": row.root_run_id,
        "workflow_id": row.workflow_id, "step_id": row.step_id, "step_index": row.step_index, "seq": row.seq, "kind": row.kind,
        "status": row.status, "reason_code": row.traits.reason_code, "input_kind": row.traits.input_kind, "title": row.title,
        "message": row.message, "agent_message": row.agent_message, "action": row.action, "action_hash": row.action_hash,
        "edited_action": row.edited_action, "questions": row.questions, "plan": row.plan, "input_schema": row.input_schema,
        "budget": row.budget, "allowed_verdicts": list(row.traits.verdicts), "on_reject": row.on_reject,
        "on_timeout": row.on_timeout, "can_remember": row.can_remember, "remember_default": row.remember_default,
        "priority": row.priority, "expires_at": rfc3339(row.expires_at),
        "quorum": needs(row),
        "four_eyes": row.four_eyes, "eligible": eligible(row), "assignee": row.assignee,
        "claimed_by": row.claimed_by, "claim_expires_at": rfc3339(row.claim_expires_at), "votes": _votes(row), "comments": _comments(row),
        "evidence": row.evidence, "previous_approval_id": row.previous_approval_id, "replaced_by": row.replaced_by,
        "void_reason": row.void_reason, "decision": decision_object(decision) if decision else None,
        "created_at": rfc3339(row.created_at), "resolved_at": rfc3339(row.resolved_at),
        "effective_at": rfc3339(row.effective_at), "undo_until": rfc3339(row.undo_until), "version": row.version,
        "test": row.test,
    }  # fmt: skip
