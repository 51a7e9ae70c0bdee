"""Reminders: after half of a request's time and when a tenth is left, while it waits; then the next group hears of it."""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from approvals.mail import outbox, recipients
from approvals.models import Approval
from database.timers import each_due

SHARES = (0.5, 0.9)  # of the time between created_at and expires_at
WORDS = ("Half of the time is over", "Little time is left")
BATCH = 200


def first_at(created_at: datetime, expires_at: datetime | None) -> datetime | None:
    """When a new request is recalled for the first time; None for one that never expires."""
    return created_at + (expires_at - created_at) * SHARES[0] if expires_at is not None else None


def moments(approval: Approval) -> list[datetime]:
    if approval.expires_at is None:
        return []
    span = approval.expires_at - approval.created_at
    return [approval.created_at + span * share for share in SHARES]


def plan(approval: Approval, now: datetime) -> None:
    """Set `reminders` and `remind_at` to what is past and to come of the request's time; the caller saves them."""
    ahead = [at for at in moments(approval) if at > now]
    approval.remind_at = min(ahead, default=None)
    approval.reminders = len(moments(approval)) - len(ahead)


def remind_due() -> int:
    """Send the reminders whose moment has come; called by the clock."""
    going = Approval.objects.filter(status="pending", stopped_at__isnull=True)
    due = going.filter(remind_at__lte=timezone.now()).order_by("remind_at")
    return each_due(_remind, list(due.values_list("id", flat=True)[:BATCH]))


def _remind(approval_id: str) -> bool:
    """False when its turn has passed. After a pause of the clock only the last of the missed reminders is sent."""
    with transaction.atomic():
        now = timezone.now()
        rows = Approval.objects.select_for_update(skip_locked=True)
        approval = rows.filter(id=approval_id, status="pending", remind_at__lte=now, stopped_at=None).first()
        if approval is None:
            return False
        plan(approval, now)
        approval.save(update_fields=["reminders", "remind_at"])
        if approval.expires_at is None or approval.expires_at <= now:
            return False
        _tell(approval)
        return True


def _tell(approval: Approval) -> None:
    """Never twice in one span of time: the span's end is part of the occasion."""
    assert approval.expires_at is not None
    span = int(approval.expires_at.timestamp())
    people = recipients.to_tell(approval, reminder=True)
    outbox.tell(approval, people, f"{outbox.REMINDER} {approval.reminders} {span}", WORDS[approval.reminders - 1])
    if approval.reminders < len(SHARES):
        return
    approval.went_on = True  # from here on the next groups may vote, and hear of it in words of their own
    approval.save(update_fields=["went_on"])
    for group in recipients.asked_groups(approval):
        if group.next_group is not None:
            further = [each for each in recipients.next_to_tell(approval, group.next_group) if each not in people]
            outbox.tell(approval, further, f"next {group.id} {span}", f"Nobody of {group.name} has answered yet")
