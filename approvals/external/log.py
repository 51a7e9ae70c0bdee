"""The log of an external request: rows appended in the transaction of the change they report."""

from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone
from psycopg.types.json import Json

from accounts.team.event_retention import remove_old
from approvals import sql
from approvals.models import Approval, ApprovalEvent
from approvals.services import notify, queue_changed
from database.outbox import BATCH
from database.sql import prepared

_TYPES = {"commented": "comment"}  # a change of a request, where its event is called otherwise


def record(approval: Approval, change: str, data: dict[str, Any]) -> None:
    """Append an event and tell open pages. The caller holds the request's lock."""
    row = {"id": approval.id, "type": _TYPES.get(change, change), "data": Json(data), "now": timezone.now()}
    prepared(sql.LOG, row)
    notify(approval)
    queue_changed(approval.team_id, approval.test)


def sweep() -> int:
    """Forget events of requests that were closed longer ago than their team keeps events; called by the clock.

    The last of each request stays: the number of what is still to come (a comment, a result) follows from it.
    """
    return remove_old(_old)


def _old(team_id: str, before: datetime) -> QuerySet[ApprovalEvent]:
    closed = Approval.objects.filter(team_id=team_id, resolved_at__lt=before).exclude(status="pending")
    later = ApprovalEvent.objects.filter(approval=OuterRef("approval"), seq__gt=OuterRef("seq"))
    rows = ApprovalEvent.objects.filter(Exists(later), approval__in=closed, created_at__lt=before)
    return ApprovalEvent.objects.filter(id__in=list(rows.values_list("id", flat=True)[:BATCH]))
