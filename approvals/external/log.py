"""The log of an external request: rows appended in the transaction of the change they report."""

from typing import Any

from approvals import sql
from approvals.models import Approval, ApprovalEvent
from database.sql import prepared

_TYPES = {"commented": "comment"}  # a change of a request, where its event is called otherwise


def record(approval: Approval, change: str, data: dict[str, Any]) -> None:
    """Append an event and tell open pages. The caller holds the request's lock."""
    seq = ApprovalEvent.objects.filter(approval=approval).count() + 1
    ApprovalEvent.objects.create(approval=approval, seq=seq, type=_TYPES.get(change, change), data=data)
    world = "test" if approval.test else "live"
    prepared(sql.TELL_PAGES, {"team": f"{approval.team_id}:{world}/queue"})
