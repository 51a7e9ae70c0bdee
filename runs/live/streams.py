"""GET /v1/runs/{id}/events and /events/stream: the log as server-sent events, and page by page for who does not stream.

A stream holds a place and a subscription at the hub; no thread, and never a database connection.
"""

import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.db.models import Max, Q
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils import timezone
from ninja import Router

from accounts import limits
from accounts.doors import ApiRequest
from accounts.idempotency import answer
from database.stream_limits import Place, place_for
from runs.access import get_run, show
from runs.live.envelopes import Enveloper, Form, Plain, Row
from runs.live.hub import batches
from runs.models import Run, RunEvent
from runs.routes import of_runs
from web.event_streams import (
    CONTENT_TYPE,
    HEADERS,
    KEEPALIVE,
    LIFE_SECONDS,
    PAGE,
    cursor,
    documented,
    last_event_id,
    no_more,
    wants_page,
)
from web.paging import read_limit

router = Router(tags=["Events"])
OVER = "The run has ended, and Last-Event-ID is its last event or beyond"
EVENTS: Any = documented(OVER)
PART_BYTES = 64 * 1024  # after so many a part is sent


@of_runs(
    router.get,
    "/events",
    "runs:read",
    summary="The run's log as a stream, or as a page",
    workflow_operation="runs_streams_workflow_events",
    **EVENTS,
)
def events(request: ApiRequest, run_id: str) -> HttpResponseBase:
    return _answer(request, run_id, enveloped=False)


@of_runs(
    router.get,
    "/events/stream",
    "runs:read",
    summary="The run's log in envelopes, as a stream or as a page",
    workflow_operation="runs_streams_enveloped_workflow_events",
    **EVENTS,
)
def enveloped_events(request: ApiRequest, run_id: str) -> HttpResponseBase:
    return _answer(request, run_id, enveloped=True)


@dataclass(frozen=True)
class Reading:
    """What one caller reads: the rows after `after`, which are preceded by `resync` if older ones are gone."""

    run: Run
    after: int
    resync: Row | None
    form: Form

    @property
    def over(self) -> bool:
        """Nothing will ever come."""
        return self.run.is_terminal and self.after >= self.run.next_seq - 1

    @property
    def start(self) -> int:
        """Where to read from: rows before a cursor beyond the end are not shown, but `done` may be among them."""
        return min(self.after, self.run.next_seq - 1)

    def parts(self, rows: list[Row]) -> Iterator[bytes]:
        """Their blocks, some at a time: of what its caller does not read a stream makes no more."""
        part = b""
        for row in rows:
            block = self.form.block(row)
            if block and row.seq > self.after:
                part += block
            if len(part) > PART_BYTES:
                yield part
                part = b""
        if part:
            yield part


def _answer(request: ApiRequest, run_id: str, *, enveloped: bool) -> HttpResponseBase:
    run = get_run(request.actor, run_id)
    if wants_page(request):
        return _page(request, _reading(run, cursor(request), enveloped=enveloped), read_limit(request.GET, default=100))
    limits.spend(request.actor, f"sse:{run.id}", settings.STREAM_CONNECTS_PER_MINUTE)
    reading = _reading(run, cursor(request), enveloped=enveloped)
    if reading.over and last_event_id(request) >= run.next_seq - 1:
        return no_more()
    content = _content(request, reading)
    return StreamingHttpResponse(content, content_type=CONTENT_TYPE, headers=HEADERS)


def _reading(run: Run, after: int, *, enveloped: bool) -> Reading:
    resync = _resync(run, after)
    after = resync.seq if resync else after
    form = Enveloper(run.id, run.kind, _past(run, min(after, run.next_seq - 1))) if enveloped else Plain()
    return Reading(run, after, resync, form)


def _resync(run: Run, after: int) -> Row | None:
    """Says that rows after `after` are gone; only logs of finished runs lose their oldest rows."""
    latest = run.next_seq - 1
    if not run.is_terminal or after >= latest:
        return None
    oldest = run.events.order_by("seq").values_list("seq", flat=True).first() or latest + 1
    if oldest <= after + 1:
        return None
    data = {"after": after, "oldest_seq": oldest, "latest_seq": latest, "run": show(run)}
    return Row(oldest - 1, "resync", timezone.now(), data)


def _past(run: Run, after: int) -> Iterator[Row]:
    """What an Enveloper must know of the rows up to `after`."""
    past = run.events.filter(seq__lte=after)
    step = past.filter(type="step").aggregate(last=Max("seq"))["last"] or 0
    return map(_row, past.filter(Q(type="status") | Q(type="text", seq__gt=step)).order_by("seq"))


def _row(event: RunEvent) -> Row:
    return Row(event.seq, event.type, event.created_at, event.data)


def _stored(reading: Reading) -> Iterator[Row]:
    """What the table holds for the reading now, some rows at a time: the caller may stop early."""
    if reading.resync:
        yield reading.resync
    after = reading.after
    while rows := list(reading.run.events.filter(seq__gt=after).order_by("seq")[:PAGE]):
        yield from map(_row, rows)
        after = rows[-1].seq


def _page(request: ApiRequest, reading: Reading, limit: int) -> HttpResponse:
    """`next_after` is where to read on, now or, after the last page, when there may be more."""
    data: list[dict[str, Any]] = []
    has_more = False
    next_after = reading.after
    for row in _stored(reading):
        item = reading.form.item(row)
        has_more = item is not None and len(data) == limit
        if has_more:
            break
        next_after = row.seq
        if item is not None:
            data.append(item)
    page = {"object": "list", "data": data, "has_more": has_more, "next_after": next_after}
    return answer(page | {"request_id": request.request_id})


def _content(request: ApiRequest, reading: Reading) -> "Live | Iterator[bytes]":
    if not isinstance(request, ASGIRequest):  # a server that cannot wait: the client comes again with its cursor
        return (block for row in _stored(reading) if (block := reading.form.block(row)))
    return Live(reading, place_for(request.actor.caller))


class Live:
    """The stored blocks, then each new one, until `done`. Django calls close() also for a stream that never began."""

    def __init__(self, reading: Reading, place: Place) -> None:
        self.reading = reading
        self.place = place
        self.end = time.monotonic() + LIFE_SECONDS
        self.keepalive = settings.SSE_KEEPALIVE_SECONDS

    def close(self) -> None:
        self.place.leave()

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        reading = self.reading
        yield b""  # sends the headers
        if reading.resync:
            yield reading.form.block(reading.resync) or b""
        if reading.over:
            return
        async with aclosing(batches(reading.run.id, reading.start, self.keepalive)) as found:
            async for rows in found:
                sent = False
                for part in reading.parts(rows):
                    yield part
                    sent = True
                if not sent:
                    yield KEEPALIVE
                if (rows and rows[-1].type == "done") or time.monotonic() > self.end:
                    return
