"""What webhooks say of external requests, as of the moment; called in the transaction of the change.

The webhook_url of a request hears all of it, as the team's webhooks do that subscribe.
"""

from typing import Any

from accounts.webhooks.outbox import Own, emit
from approvals.access import decision_of
from approvals.models import Approval, ExternalRequest
from approvals.schemas import approval_object


def tell(request: ExternalRequest, approval: Approval, event: str, change: str | None = None) -> None:
    """`event`: created, decided, expired or cancelled."""
    secret = bytes(request.webhook_secret) if request.webhook_secret else None
    own = Own(request.webhook_url, secret) if request.webhook_url and secret else None
    emit(f"approval.{event}", request.team_id, request.test, lambda: _facts(approval, change), own=own)


def _facts(approval: Approval, change: str | None) -> dict[str, Any]:
    return {
        "status": approval.status,
        "state": approval.status,
        "change": change,
        "approval_id": approval.id,
        "input_kind": approval.traits.input_kind,
        "data": {"approval_id": approval.id, "status": approval.status},
        "approval": approval_object(approval, decision_of(approval)),
    }
