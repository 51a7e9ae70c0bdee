"""Connections of our own, beside those of Django: for who listens, and for who works while others hold the database up.

What a web process hears comes over one LISTEN connection, however many callers wait. A bell may be missed; the tables are the
truth. There is one Listener per event loop, begun by whoever first waits there, since daphne tells nobody when it starts.
"""

import asyncio
import contextlib
import logging
import time
import weakref
from typing import Any, Protocol, TypeVar

import psycopg
from django.db import connection
from psycopg.rows import TupleRow

logger = logging.getLogger(__name__)

_OF_DJANGO = frozenset({"cursor_factory", "context", "pool", "prepare_threshold"})
LOST = (psycopg.Error, OSError, TimeoutError)  # what a reader sees while the database restarts
READ_SECONDS = 10.0
SAFETY_SECONDS = 15.0  # look again so often even if no bell was heard
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0  # between two tries, in seconds
CHANNELS = ("run_events", "team_events", "team_looks", "approval_events")  # all that a web process listens to

Connection = psycopg.AsyncConnection[TupleRow]


def parameters() -> dict[str, Any]:
    """Those of Django's database, as psycopg takes them. A server whose host is gone is noticed (settings DATABASES)."""
    return {name: value for name, value in connection.get_connection_params().items() if name not in _OF_DJANGO}


def own_connection(*, bounded: bool = True) -> psycopg.Connection[Any]:
    """`bounded` False: with no limit of time. Raises psycopg.OperationalError."""
    options = parameters()
    if not bounded:
        options.pop("options", None)
    return psycopg.connect(**options, autocommit=True)


async def connect(name: str) -> Connection:
    """A connection of our own to Django's database; `name` is what pg_stat_activity shows."""
    options = parameters() | {"application_name": f"countersign-{name}"}
    return await psycopg.AsyncConnection.connect(**options, autocommit=True)


class Readers:
    """Up to `most` connections for short reads. A failed one is dropped with all idle ones: the server restarted."""

    def __init__(self, most: int = 4) -> None:
        self.queries = 0
        self._gate = asyncio.Semaphore(most)
        self._idle: list[Connection] = []

    async def rows(self, query: bytes, values: list[Any]) -> list[TupleRow]:
        """Raises one of LOST when the database is away."""
        async with self._gate, asyncio.timeout(READ_SECONDS):
            self.queries += 1
            reader = self._idle.pop() if self._idle else await connect("read")
            try:
                rows = await (await reader.execute(query, values)).fetchall()
            except BaseException:
                self._idle.append(reader)
                await self.close()
                raise
            self._idle.append(reader)
            return rows

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().close()


class Subscriber(Protocol):
    """Who wants to know what the database says, one of its class for each event loop: Listener.here().of(class)."""

    def heard(self, channel: str, payload: str) -> None:
        """A NOTIFY on one of CHANNELS, whoever it is for."""

    def missed(self, *, outage: bool) -> None:
        """Bells may have been missed: look again. `outage`: the connection is a new one; else it has been SAFETY_SECONDS."""

    async def close(self) -> None:
        """The event loop ends."""


S = TypeVar("S", bound=Subscriber)


class Listener:
    """Made by Listener.here(); closes itself, and its subscribers, with its event loop."""

    @classmethod
    def here(cls) -> "Listener":
        loop = asyncio.get_running_loop()
        listener = _listeners.get(loop)
        if listener is None or listener.is_closed:
            listener = _listeners[loop] = cls()
        return listener

    def __init__(self) -> None:
        self.readers = Readers()
        self.outages = 0  # how often the database was lost
        self._subscribers: dict[type[Subscriber], Subscriber] = {}
        self._task = asyncio.create_task(self._serve())

    @property
    def is_closed(self) -> bool:
        return self._task.done()

    def of(self, kind: type[S]) -> S:
        """The one of this class here, made when it is first asked for."""
        subscriber = self._subscribers.get(kind) or self._subscribers.setdefault(kind, kind())
        assert isinstance(subscriber, kind)
        return subscriber

    async def close(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _serve(self) -> None:
        pause = FIRST_PAUSE
        try:
            while True:
                since = time.monotonic()
                try:
                    await self._listen()
                except LOST as error:
                    logger.warning("Live updates lost the database and will try again: %s", error)
                except Exception:
                    logger.exception("Live updates failed and will try again")
                self.outages += 1
                pause = FIRST_PAUSE if time.monotonic() - since > LONGEST_PAUSE else min(pause * 2, LONGEST_PAUSE)
                await asyncio.sleep(pause)
        finally:
            for subscriber in list(self._subscribers.values()):
                await subscriber.close()
            await self.readers.close()

    async def _listen(self) -> None:
        async with await connect("listen") as listening:
            for channel in CHANNELS:
                await listening.execute(f"LISTEN {channel}".encode())
            outage = True  # who knows what was missed
            while True:
                for subscriber in list(self._subscribers.values()):
                    subscriber.missed(outage=outage)
                outage = False
                async for notify in listening.notifies(timeout=SAFETY_SECONDS):
                    for subscriber in list(self._subscribers.values()):
                        subscriber.heard(notify.channel, notify.payload)


_listeners: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Listener] = weakref.WeakKeyDictionary()


async def rings(bell: asyncio.Event, until: float) -> bool:
    """Wait for the bell up to the loop's time `until`."""
    try:
        async with asyncio.timeout_at(until):
            await bell.wait()
    except TimeoutError:
        return False
    return True
