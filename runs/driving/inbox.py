"""What people sent to a run and its agent has not read yet: as it may be shown, and sealed beside it as it can be read."""

from typing import Any

from django.utils import timezone

from approvals.models import Approval, Decision
from approvals.services import Settled
from database.sealing import seal, unseal
from runs.models import Run


def decided(run: Run, approval: Approval, settled: Settled) -> dict[str, Any]:
    """The fields of a run whose agent is to be told of a decision. What people say to a model's trouble is not for the
    agent: that the run goes on is all there is to it."""
    decision = settled.decision
    assert decision is not None
    if not approval.evidence.keys().isdisjoint(("model", "machine")):
        Decision.objects.filter(id=decision.id).update(delivered_at=timezone.now())
        return {}
    message = {
        "kind": approval.kind,
        "verdict": decision.verdict,
        "payload": settled.redacted,
        "approval_id": approval.id,
    }
    message |= {"action_hash": approval.action_hash} if approval.action_hash else {}
    message |= {"target": approval.action.get("target")} if approval.action else {}
    message |= {"checks": approval.evidence["checks"]} if approval.evidence.get("checks") else {}
    return with_message(run, message, settled.payload)


def with_message(run: Run, message: dict[str, Any], payload: dict[str, Any]) -> dict[str, Any]:
    """The fields of a run with one message more; `payload` is its readable form."""
    return {"inbox": [*run.inbox, message], "inbox_secrets": seal([*readable(run), payload])}


def readable(run: Run) -> list[dict[str, Any]]:
    """The payloads of all messages."""
    payloads: list[dict[str, Any]] = (
        unseal(run.inbox_secrets) if run.inbox_secrets else [m["payload"] for m in run.inbox]
    )
    return payloads
