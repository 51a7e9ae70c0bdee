"""GET /v1/approvals/{id}/events: the log of a request that a program asked, as server-sent events or as a page.

A stream holds a place and a bell; no thread, and never a database connection. It ends with the request: when it is decided and
nobody can undo that any more, or expired, cancelled or void. What is reported of its execution stands in the log then.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from ninja import Router

from accounts import limits
from accounts.doors import ApiRequest, door
from accounts.idempotency import answer
from approvals import sql
from approvals.access import get_readable
from approvals.errors import LogOfRun
from approvals.models import Approval
from approvals.waiting.waiters import Waiters
from database.listening import LONGEST_PAUSE, LOST, rings
from database.stream_limits import Place, place_for
from web.event_streams import (
    CONTENT_TYPE,
    HEADERS,
    KEEPALIVE,
    LIFE_SECONDS,
    PAGE,
    block,
    cursor,
    documented,
    last_event_id,
    no_more,
    wants_page,
)
from web.paging import read_limit
from web.times import rfc3339

router = Router(tags=["Approvals"])
OVER = "The request is over, and Last-Event-ID is its last event or beyond"


class Row(NamedTuple):
    """One entry of the log."""

    seq: int
    type: str
    created_at: Any
    data: dict[str, Any]

    @property
    def item(self) -> dict[str, Any]:
        return {"seq": self.seq, "type": self.type, "created_at": rfc3339(self.created_at), "data": self.data}

    @property
    def block(self) -> bytes:
        return block(self.seq, self.type, self.data)


@router.get(
    "/approvals/{approval_id}/events", summary="The log of a request, as a stream or as a page", **documented(OVER)
)
@door("approvals:read", "approvals:request")
def approval_events(request: ApiRequest, approval_id: str) -> HttpResponseBase:
    approval = get_readable(request.actor, approval_id)
    if approval.run_id is not None:
        raise LogOfRun(run_id=approval.run_id)
    if wants_page(request):
        return _page(request, approval, read_limit(request.GET, default=100))
    limits.spend(request.actor, f"sse:{approval.id}", settings.STREAM_CONNECTS_PER_MINUTE)
    is_over = not approval.is_unsettled
    rows = stored_rows(approval, cursor(request))
    if is_over and not rows and last_event_id(request) > 0:
        return no_more()
    if is_over or not isinstance(request, ASGIRequest):  # a server that cannot wait: the client comes again
        content: Any = (row.block for row in rows)
    else:
        content = Live(approval.id, cursor(request), place_for(request.actor.caller))
    return StreamingHttpResponse(content, content_type=CONTENT_TYPE, headers=HEADERS)


def stored_rows(approval: Approval, after: int, most: int | None = None) -> list[Row]:
    """A log has some dozens of rows: all after `after`, or so many of them."""
    rows = approval.events.filter(seq__gt=after).order_by("seq")[:most]
    return [Row(*row) for row in rows.values_list("seq", "type", "created_at", "data")]


def _page(request: ApiRequest, approval: Approval, limit: int) -> HttpResponse:
    """`next_after` is where to read on, now or, after the last page, when there may be more."""
    after = cursor(request)
    rows = stored_rows(approval, after, limit + 1)
    data = [row.item for row in rows[:limit]]
    page = {"object": "list", "data": data, "has_more": len(rows) > limit}
    return answer(page | {"next_after": data[-1]["seq"] if data else after, "request_id": request.request_id})


class Live:
    """The stored blocks, then each new one, until the request is over. Django calls close() also for one that never began."""

    def __init__(self, approval_id: str, after: int, place: Place) -> None:
        self.approval_id = approval_id
        self.after = after
        self.place = place
        self.end = time.monotonic() + LIFE_SECONDS

    def close(self) -> None:
        self.place.leave()

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        yield b""  # sends the headers
        waiters, loop = Waiters.here(), asyncio.get_running_loop()
        with waiters.waiting_for(self.approval_id) as bell:
            while time.monotonic() < self.end:
                bell.clear()
                try:
                    rows, is_over = await self._read(waiters)
                except LOST:
                    yield KEEPALIVE
                    await asyncio.sleep(LONGEST_PAUSE)
                    continue
                if rows:
                    yield b"".join(row.block for row in rows)
                    self.after = rows[-1].seq
                elif is_over:
                    return
                elif not await rings(bell, loop.time() + settings.SSE_KEEPALIVE_SECONDS):
                    yield KEEPALIVE

    async def _read(self, waiters: Waiters) -> tuple[list[Row], bool]:
        """The next rows, and whether these were the last ones: it is looked at first, so what ended it is among them.

        Raises one of LOST while the database is away.
        """
        async with asyncio.timeout(settings.SSE_KEEPALIVE_SECONDS):
            state = await waiters.look(self.approval_id)
        rows = await waiters.readers.rows(sql.EVENTS.encode(), [self.approval_id, self.after, PAGE])
        return [Row(*row) for row in rows], state is None or state.is_over
