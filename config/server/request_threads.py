"""Threads that answer requests, shared fairly: who calls often waits behind the own calls, not before those of others.

Everything here happens in one event loop, that of the web process; only the work itself is in the threads.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from asgiref.sync import sync_to_async

from web.errors import Overloaded, TooManySlowCalls

MOST_WAITING = 3000  # calls without a thread; one more is refused
PATIENCE = 20.0  # seconds that a call waits for a thread
RETRY_SECONDS = 1


class RequestThreads:
    """So many threads, and of these so many at once for one caller. The rest waits; callers take turns."""

    def __init__(self, name: str, threads: int, share: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._free = threads
        self._share = share
        self._running: Counter[str] = Counter()
        self._queued = 0
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    async def turn(self, caller: str, patience: float | None = PATIENCE) -> None:
        """Wait for a thread; whoever gets one must call run(). Raises Overloaded; None waits as long as it takes."""
        if patience is not None and self._queued >= MOST_WAITING:
            raise Overloaded
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(place)
        self._queued += 1
        self._give_out()
        try:
            async with asyncio.timeout(patience):
                await place
        except BaseException as error:
            self._leave(caller, place)
            if isinstance(error, TimeoutError):
                raise Overloaded from None
            raise

    async def run(self, caller: str, call: Callable[..., Any], *args: Any) -> Any:
        """Do it in the thread that turn() waited for."""
        try:
            return await sync_to_async(call, thread_sensitive=False, executor=self._threads)(*args)
        finally:
            self._done(caller)

    def close(self) -> None:
        self._threads.shutdown()

    def _leave(self, caller: str, place: asyncio.Future[None]) -> None:
        if place in (places := self._waiting.get(caller, ())):
            self._take(caller, places.index(place))
        elif not place.cancelled():  # it was this one's turn at that very moment
            self._done(caller)

    def _done(self, caller: str) -> None:
        self._free += 1
        self._running[caller] -= 1
        if not self._running[caller]:
            del self._running[caller]
        self._give_out()

    def _give_out(self) -> None:
        while self._free and (caller := self._next()) is not None:
            place = self._take(caller, 0)
            if caller in self._waiting:
                self._waiting.move_to_end(caller)
            if not place.done():  # else its call is just leaving
                self._free -= 1
                self._running[caller] += 1
                place.set_result(None)

    def _take(self, caller: str, index: int) -> asyncio.Future[None]:
        """Out of the queue."""
        places = self._waiting[caller]
        place = places[index]
        del places[index]
        self._queued -= 1
        if not places:
            del self._waiting[caller]
        return place

    def _next(self) -> str | None:
        """Who has waited longest of those with less than their share; few have more, so few are passed over."""
        return next((caller for caller in self._waiting if self._running[caller] < self._share), None)


class SlowCalls:
    """How many calls that take long each caller has at work."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._at_work: Counter[str] = Counter()

    @contextmanager
    def one_of(self, caller: str) -> Iterator[None]:
        """Raises TooManySlowCalls."""
        if self._at_work[caller] >= self._limit:
            raise TooManySlowCalls(limit=self._limit, retry_after=RETRY_SECONDS)
        self._at_work[caller] += 1
        try:
            yield
        finally:
            self._at_work[caller] -= 1
            if not self._at_work[caller]:
                del self._at_work[caller]
