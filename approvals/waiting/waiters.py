"""Who in this process waits for which request, and the look at the table that all who wait share.

`approval_events` names each request that changed (approvals/services.py: notify); a bell may be missed, the table is the truth.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from approvals import sql
from database.listening import FIRST_PAUSE, LONGEST_PAUSE, LOST, Listener

logger = logging.getLogger(__name__)

GATHER_SECONDS = 0.002  # looks of so long become one query
PENDING = "pending"


class State(NamedTuple):
    """What a look sees of a request."""

    status: str
    effect_pending: bool  # decided, and it can still be undone

    @property
    def is_over(self) -> bool:
        return self.status != PENDING and not self.effect_pending


class Waiters:
    """Made by Waiters.here(); ends with its event loop."""

    @classmethod
    def here(cls) -> "Waiters":
        return Listener.here().of(cls)

    def __init__(self) -> None:
        self.readers = Listener.here().readers
        self.calls: dict[tuple[str, str], Callable[[], None]] = {}  # (request, caller): what ends the call that waits
        self._bells: dict[str, set[asyncio.Event]] = {}
        self._asked: dict[str, asyncio.Future[State | None]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._count = 0

    @property
    def count(self) -> int:
        """How many wait."""
        return self._count

    @contextmanager
    def waiting_for(self, approval_id: str) -> Iterator[asyncio.Event]:
        """A bell that rings when the request may have changed. Look only after this: what changed before rings nobody."""
        bell = asyncio.Event()
        self._bells.setdefault(approval_id, set()).add(bell)
        self._count += 1
        try:
            yield bell
        finally:
            self._count -= 1
            bells = self._bells[approval_id]
            bells.discard(bell)
            if not bells:
                del self._bells[approval_id]

    @contextmanager
    def only_call(self, approval_id: str, caller: str, end: Callable[[], None]) -> Iterator[None]:
        """A caller waits for a request once: an earlier call is ended. Of this process; others are not asked."""
        name = (approval_id, caller)
        if name in self.calls:
            self.calls[name]()
        self.calls[name] = end
        try:
            yield
        finally:
            if self.calls.get(name) == end:
                del self.calls[name]

    async def look(self, approval_id: str) -> State | None:
        """The request as it is now; None: it is gone. As long as the database is away there is no answer."""
        state = self._asked.get(approval_id)
        if state is None:
            state = self._asked[approval_id] = asyncio.get_running_loop().create_future()
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look())
        return await asyncio.shield(state)  # others wait for it too: who leaves takes it from nobody

    async def _look(self) -> None:
        while self._asked:
            await asyncio.sleep(GATHER_SECONDS)
            asked, self._asked = self._asked, {}  # who asks from now on wants to know of what has not happened yet
            states = await self._states(list(asked))
            for approval_id, future in asked.items():
                future.set_result(states.get(approval_id))

    async def _states(self, ids: list[str]) -> dict[str, State]:
        """Asks until the database answers: who waits for this look would wait for ever."""
        pause = FIRST_PAUSE
        while True:
            try:
                rows = await self.readers.rows(sql.STATES.encode(), [ids])
            except Exception as error:
                if not isinstance(error, LOST):
                    logger.exception("Requests cannot be looked at")
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                return {approval_id: State(*state) for approval_id, *state in rows}

    def heard(self, channel: str, payload: str) -> None:
        if channel == "approval_events":
            for bell in self._bells.get(payload, ()):
                bell.set()

    def missed(self, *, outage: bool) -> None:
        """A connection that lives misses nothing: without an outage nobody needs to look."""
        for bells in self._bells.values() if outage else ():
            for bell in bells:
                bell.set()

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
