"""Places for open streams: so many per caller, over all web processes.

A place is a session-level advisory lock named after caller and number, held on one connection per process. PostgreSQL
gives it back by itself when the process dies, which a counter in a table would not survive. After a restart of the
database the places in use are taken again with the next one.
"""

import asyncio

from asgiref.sync import SyncToAsync
from django.conf import settings

from database.listening import LOST, Connection, Listener, connect
from web.errors import RateLimited

LOOP_SECONDS = 1.0  # how often a thread that waits for the event loop looks whether it still goes round
RETRY_AFTER = 5  # seconds; nobody knows when a stream ends
_NAME = "hashtextextended('stream ' || %s || ' ' || n, 0)"
# LIMIT stops the scan at the first lock that was free.
_TAKE = f"SELECT n FROM unnest(%s::int[]) AS n WHERE pg_try_advisory_lock({_NAME}) LIMIT 1"  # noqa: S608
_LEAVE = f"SELECT pg_advisory_unlock({_NAME}) FROM unnest(%s::int[]) AS n"  # noqa: S608


class Place:
    """Held by the stream; given back by leave(), at the latest when the stream is forgotten without having begun."""

    def __init__(self, limits: "StreamLimits", caller: str, number: int) -> None:
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._place: tuple[str, int] | None = (caller, number)

    def leave(self) -> None:
        place, self._place = self._place, None
        if place and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._limits.leave_soon, *place)

    def __del__(self) -> None:
        self.leave()


def place_for(caller: str) -> Place:
    """Taken in the event loop, for which this thread waits. Where that has stopped, the process ends: so does the wait.

    Raises RateLimited.
    """
    loop = SyncToAsync.threadlocal.main_event_loop
    taking = asyncio.run_coroutine_threadsafe(_take_place(caller), loop)
    while True:
        try:
            return taking.result(LOOP_SECONDS)
        except TimeoutError:
            if taking.done() or not loop.is_running():
                raise


async def _take_place(caller: str) -> Place:
    return await StreamLimits.here().take(caller, settings.STREAMS_PER_KEY)


class StreamLimits:
    """All streams of a process share one, StreamLimits.here(): the limit is that of a caller, whatever they read."""

    @classmethod
    def here(cls) -> "StreamLimits":
        return Listener.here().of(cls)

    def __init__(self) -> None:
        self._held: dict[str, set[int]] = {}
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def in_use(self) -> int:
        return sum(map(len, self._held.values()))

    async def take(self, caller: str, limit: int) -> Place:
        """Raises RateLimited when `limit` streams of the caller are open."""
        async with self._turn:
            free = [n for n in range(limit) if n not in self._held.get(caller, ())]
            number = await self._lock_one(caller, free) if free else None
            if number is None:
                raise RateLimited(retry_after=RETRY_AFTER)
            self._held.setdefault(caller, set()).add(number)
            return Place(self, caller, number)

    def leave_soon(self, caller: str, number: int) -> None:
        task = asyncio.create_task(self._leave(caller, number))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def heard(self, channel: str, payload: str) -> None:
        """Nobody tells it anything."""

    def missed(self, *, outage: bool) -> None:
        """It finds out by itself, with the next place."""

    async def close(self) -> None:
        if self._connection:
            await self._connection.close()
            self._connection = None

    async def _lock_one(self, caller: str, free: list[int]) -> int | None:
        try:
            return await self._ask(caller, free)
        except LOST:
            await self.close()
            return await self._ask(caller, free)

    async def _ask(self, caller: str, free: list[int]) -> int | None:
        if self._connection is None:
            self._connection = await connect("streams")
            for other, numbers in self._held.items():
                for number in numbers:
                    await self._connection.execute(_TAKE, [[number], other])
        row = await (await self._connection.execute(_TAKE, [free, caller])).fetchone()
        return row[0] if row else None

    async def _leave(self, caller: str, number: int) -> None:
        async with self._turn:
            numbers = self._held[caller]
            numbers.discard(number)
            if not numbers:
                del self._held[caller]
            try:
                if self._connection:
                    await self._connection.execute(_LEAVE, [caller, [number]])
            except LOST:
                await self.close()
