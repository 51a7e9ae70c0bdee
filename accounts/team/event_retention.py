"""How long a team keeps what has happened (its setting event_retention_days)."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import Team


def remove_old(old: Callable[[str, datetime], QuerySet[Any]]) -> int:
    """Remove rows that are older than their team keeps events; how many. `old(team_id, before)` may be a part of them: the clock
    calls again and again."""
    now = timezone.now()
    teams = Team.objects.values_list("id", "event_retention_days")
    return sum(old(team_id, now - timedelta(days=days)).delete()[0] for team_id, days in teams)
