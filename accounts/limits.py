"""Rates: how often one caller may call (docs/api/README.md section 9)."""

import time
from dataclasses import dataclass

from django.conf import settings

from accounts.actor import Actor
from accounts.models import RateWindow
from accounts.sql import COUNT_CALL
from database.sql import prepared
from web.errors import RateLimited


@dataclass(frozen=True)
class Rate:
    headers: dict[str, str]
    refusal: RateLimited | None


def _count(caller: str, bucket: str, minute: int) -> int:
    row = prepared(COUNT_CALL, {"caller": caller, "bucket": bucket, "minute": minute})
    assert row is not None  # it inserts or updates
    return int(row[0])


def this_minute() -> int:
    return int(time.time()) // 60


def count_request(actor: Actor, minute: int) -> int:
    """Count one request of the caller; how many of this minute there are with it."""
    return _count(actor.caller, "requests", minute)


def rate(used: int, minute: int) -> Rate:
    """What the answer says after so many requests of the minute, and the refusal past the limit."""
    limit, second = settings.RATE_LIMIT_PER_MINUTE, int(time.time()) - minute * 60
    headers = {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(max(0, limit - used)),
        "X-RateLimit-Reset": str((minute + 1) * 60),
    }
    return Rate(headers, RateLimited(retry_after=max(1, 60 - second)) if used > limit else None)


def spend(actor: Actor, bucket: str, limit: int) -> None:
    """Count one more of `bucket` (runs, streams:<run>) for the caller. Raises RateLimited past `limit` in a minute."""
    minute, second = divmod(int(time.time()), 60)
    if _count(actor.caller, bucket, minute) > limit:
        raise RateLimited(retry_after=60 - second)


def sweep() -> int:
    """Forget the windows of past minutes."""
    return RateWindow.objects.filter(minute__lt=int(time.time()) // 60 - 1).delete()[0]
