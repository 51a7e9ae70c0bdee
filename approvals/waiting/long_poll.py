"""GET /v1/approvals/{id}?wait=: the answer comes when the request is no longer pending or the time is over.

The thread reads once and leaves; a wait is a bell and a few objects in the event loop (accounts/later.py, docs/adr/0012).
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings
from django.http import HttpResponse

from accounts import limits
from accounts.access import actor_now
from accounts.actor import Actor
from accounts.later import Db, arrived_at, later
from accounts.middleware import ApiRequest, refusal_to
from approvals.waiting.waiters import PENDING, Waiters
from database.listening import FIRST_PAUSE, rings
from database.outages import is_away
from web.errors import Invalid, Overloaded, Refusal

LONGEST_WAIT = 60  # seconds: proxies cut what is silent for longer
MOST_WAITS = 10_000  # of a web process, some 40 KB each; whoever comes then is told to come again
WAITS: dict[str, Any] = {
    "parameters": [
        {
            "name": "wait",
            "in": "query",
            "required": False,
            "description": "Seconds to wait while the request is pending; the answer comes as soon as it no longer is.",
            "schema": {"type": "integer", "minimum": 0, "maximum": LONGEST_WAIT, "default": 0},
        }
    ],
    "responses": {422: {}},
}  # of the route, for the OpenAPI document
Show = Callable[[Actor], HttpResponse]  # the request as it is now, for this caller


def read_wait(query: Mapping[str, str]) -> int:
    """Seconds of `wait`, 0-60. Raises Invalid."""
    text = query.get("wait", "0")
    if text.isascii() and text.isdecimal() and len(text.lstrip("0")) <= 2 and int(text) <= LONGEST_WAIT:
        return int(text)
    raise Invalid((("query", "wait"), f"Must be a whole number of seconds from 0 to {LONGEST_WAIT}.", "value_error"))


def answer_in_time(
    request: ApiRequest, approval_id: str, seconds: int, show: Show, *, until_final: bool = False
) -> HttpResponse:
    """The answer to a call that waits for a request. `seconds` count from the arrival of the call.

    `until_final`: a decision that can still be undone is waited for too. Raises RateLimited, and what `show` raises.
    """
    limits.spend(request.actor, approval_id, settings.WAITS_PER_REQUEST)
    wait = _Wait(request, approval_id, arrived_at(request) + seconds, show, until_final=until_final)
    return later(request, wait.work)


class _Wait:
    """One call that waits. A second one of the same caller for the same request ends it: nobody reads two."""

    def __init__(
        self, request: ApiRequest, approval_id: str, until: float, show: Show, *, until_final: bool = False
    ) -> None:
        self.path, self.request_id = request.path_info, request.request_id
        self.actor = request.actor
        self.approval_id = approval_id
        self.until = until  # time.monotonic()
        self.show = show
        self.until_final = until_final
        self.shown = show(self.actor).content
        self.has_changed = False
        self.is_superseded = False
        self.bell: asyncio.Event | None = None

    async def work(self, db: Db) -> HttpResponse:
        waiters = Waiters.here()
        if waiters.count >= MOST_WAITS:
            return refusal_to(self.path, self.request_id, Overloaded())
        try:
            with waiters.only_call(self.approval_id, self.actor.caller, self.end):
                is_decided = await self._changes(waiters)
            if is_decided or self.has_changed:
                return await self._as_it_is(db)
        except asyncio.CancelledError:
            pass  # the server ends, or the caller has left: then nobody reads this
        return self._as_it_was()

    def end(self) -> None:
        self.is_superseded = True
        if self.bell is not None:
            self.bell.set()

    async def _changes(self, waiters: Waiters) -> bool:
        """Whether the request stopped pending, or became final, before the time was over."""
        until = asyncio.get_running_loop().time() + self.until - time.monotonic()
        with waiters.waiting_for(self.approval_id) as self.bell:
            while not self.is_superseded:
                self.bell.clear()
                try:
                    async with asyncio.timeout_at(until):
                        state = await waiters.look(self.approval_id)
                except TimeoutError:
                    return False
                if state is None or (state.is_over if self.until_final else state.status != PENDING):
                    return True
                if not await rings(self.bell, until):
                    return False
                self.has_changed = True  # a claim, a comment, a vote, an undo; or nothing, and the database was away
        return False

    async def _as_it_is(self, db: Db) -> HttpResponse:
        """A database that went away is asked again until the time is over."""
        while True:
            try:
                return await db(self._read)  # type: ignore[no-any-return]  # it is what _read gives
            except Refusal as refusal:
                return refusal_to(self.path, self.request_id, refusal)
            except Exception as error:
                if not is_away(error):
                    raise
            if time.monotonic() >= self.until:
                return self._as_it_was()
            await asyncio.sleep(FIRST_PAUSE)

    def _read(self) -> HttpResponse:
        """Raises a Refusal also for a key that was revoked, or a person who left, while the call waited."""
        return self.show(actor_now(self.actor))

    def _as_it_was(self) -> HttpResponse:
        return HttpResponse(self.shown, content_type="application/json")
