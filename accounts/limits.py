"""Rates: how often one caller may call (docs/api/README.md section 9)."""

import re
import time
from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest

from accounts.actor import Actor
from accounts.models import RateWindow
from accounts.sql import COUNT_CALL
from database.sql import prepared
from web.errors import RateLimited
from web.json_rpc import is_mcp

# GET /v1/approvals/{id}?wait= (approvals/waiting/long_poll.py), but wait=0, which is answered at once.
_WAITED_FOR = re.compile(r"/v1/approvals/[^/]+")
# The same by MCP, beside tasks/get: method and name. A header that says otherwise than the body is refused (mcp_server/messages.py).
_LOOKS = frozenset({("tools/call", "get_approval"), ("tools/call", "get_run")})
_WAITS = re.compile(r"(?:^|&)wait=0*[^0&]")


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


def bucket_of(request: HttpRequest) -> str:
    """What the call counts as: one that waits for a decision comes again and again, and takes nothing from others."""
    if is_mcp(request.path_info):
        named = (request.headers.get("Mcp-Method"), request.headers.get("Mcp-Name"))
        return "waits" if named[0] == "tasks/get" or named in _LOOKS else "requests"
    waits = request.META["REQUEST_METHOD"] == "GET" and _WAITS.search(request.META.get("QUERY_STRING", ""))
    return "waits" if waits and _WAITED_FOR.fullmatch(request.path_info) else "requests"


def count_request(actor: Actor, minute: int, bucket: str) -> int:
    """Count one call of the caller; how many of this minute there are with it."""
    return _count(actor.caller, bucket, minute)


def rate(used: int, minute: int, bucket: str = "requests") -> Rate:
    """What the answer says after so many calls of the minute, and the refusal past the limit."""
    limit, second = _limit(bucket), int(time.time()) - minute * 60
    headers = {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(max(0, limit - used)),
        "X-RateLimit-Reset": str((minute + 1) * 60),
    }
    return Rate(headers, RateLimited(retry_after=max(1, 60 - second)) if used > limit else None)


def _limit(bucket: str) -> int:
    limit: int = settings.WAITS_PER_MINUTE if bucket == "waits" else settings.RATE_LIMIT_PER_MINUTE
    return limit


def spend(actor: Actor, bucket: str, limit: int) -> None:
    """Count one more of `bucket` (runs, streams:<run>) for the caller. Raises RateLimited past `limit` in a minute."""
    minute, second = divmod(int(time.time()), 60)
    if _count(actor.caller, bucket, minute) > limit:
        raise RateLimited(retry_after=60 - second)


def sweep() -> int:
    """Forget the windows of past minutes."""
    return RateWindow.objects.filter(minute__lt=int(time.time()) // 60 - 1).delete()[0]
