"""What outboxes have in common. Their rows are written in the transaction of what they report; each waits until `next_attempt_at`,
and until `queued_until` a task for it waits or works. What a dying worker had in hand is due again when that has passed.
"""

from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db.models import Model, Q, QuerySet
from django.utils import timezone

M = TypeVar("M", bound=Model)
QUEUED = timedelta(seconds=60)  # a queued task that was not begun by then is queued again
BATCH = 200


def due(rows: QuerySet[M], now: datetime) -> QuerySet[M]:
    return rows.filter(status="pending", next_attempt_at__lte=now)


def take_due(rows: QuerySet[M]) -> list[M]:
    """Some that are due and that nobody has in hand, for tasks that the caller queues; inside atomic()."""
    now = timezone.now()
    free = due(rows, now).filter(Q(queued_until__isnull=True) | Q(queued_until__lte=now)).order_by("next_attempt_at")
    due_now = list(free.select_for_update(skip_locked=True)[:BATCH])
    rows.filter(pk__in=[row.pk for row in due_now]).update(queued_until=now + QUEUED)
    return due_now


def put_off(until: datetime) -> dict[str, Any]:
    """Fields of a row that is tried again then."""
    return {"next_attempt_at": until, "queued_until": None}


def ended(status: str, now: datetime) -> dict[str, Any]:
    """Fields of a row that is done with, one way or the other."""
    return {"status": status, "finished_at": now, "next_attempt_at": None, "queued_until": None}
