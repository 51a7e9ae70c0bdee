"""Timers of requests, called by `manage.py clock` several times a second. Each looks for what is due and does it once."""

from django.utils import timezone

from approvals import deciding
from approvals.models import Approval
from database.timers import each_due

BATCH = 200


def expiries() -> int:
    """Expire requests that nobody answered in time."""
    going = Approval.objects.filter(status="pending", stopped_at__isnull=True)
    due = going.filter(expires_at__lte=timezone.now()).order_by("expires_at")
    return each_due(deciding.expire, list(due.values_list("id", flat=True)[:BATCH]))


def effects() -> int:
    """Let decisions take effect whose undo window is over."""
    going = Approval.objects.filter(effect_pending=True, stopped_at__isnull=True)
    due = going.filter(effective_at__lte=timezone.now()).order_by("effective_at")
    return each_due(deciding.make_effective, list(due.values_list("id", flat=True)[:BATCH]))
