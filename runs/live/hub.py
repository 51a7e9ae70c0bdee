"""What a web process hears wakes everybody who follows a run or looks at a team's pages (database/listening.py).

The doorbell (run_events, team_events) may be missed; the table is the truth. Each followed run has one reader that asks
the table once per ring, keeps a short tail of rows, and then wakes its followers: a thousand followers cost one query.
"""

import asyncio
import json
import logging
from bisect import bisect_right
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

from database.listening import FIRST_PAUSE, LONGEST_PAUSE, LOST, Listener, Readers, rings
from runs.live import sql
from runs.live.envelopes import Row
from runs.live.team_changes import PageState, TeamChanges

logger = logging.getLogger(__name__)

HEARTBEAT = 15.0
PAGE = 200  # rows of one read
TAIL = 256  # rows kept for followers who are almost up to date


class Topic:
    """One followed run: its reader, the tail of its log up to `end`, and the bells of its followers."""

    def __init__(self, run_id: str, readers: Readers) -> None:
        self.run_id = run_id
        self.bells: set[asyncio.Event] = set()
        self.end: int | None = None  # the last seq read; None before the first read
        self.tail: list[Row] = []
        self._readers = readers
        self._wanted = asyncio.Event()
        self._task = asyncio.create_task(self._keep_reading())
        self.ring()

    def ring(self, seq: int | None = None) -> None:
        """There may be rows up to `seq`; None: nobody knows."""
        if seq is None or self.end is None or seq > self.end:
            self._wanted.set()

    def close(self) -> None:
        self._task.cancel()

    async def after(self, seq: int) -> list[Row]:
        """The next rows after `seq`, none if there are none yet. Raises one of LOST."""
        if self.end is None or seq >= self.end:
            return []
        if self.tail[0].seq > seq + 1:
            rows = await self._rows(sql.AFTER, [self.run_id, seq, PAGE])
            if rows:
                return rows
        return self.tail[bisect_right(self.tail, seq, key=lambda row: row.seq) :]

    async def _keep_reading(self) -> None:
        pause = FIRST_PAUSE
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._read()
            except Exception as error:
                if not isinstance(error, LOST):  # its followers would never hear anything again
                    logger.exception("The log of %s cannot be read", self.run_id)
                self._wanted.set()
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                pause = FIRST_PAUSE

    async def _read(self) -> None:
        if self.end is None:
            newest = await self._rows(sql.NEWEST, [self.run_id, TAIL])
            self._append(newest[::-1])
        full = True
        while full:
            rows = await self._rows(sql.AFTER, [self.run_id, self.end, PAGE])
            self._append(rows)
            full = len(rows) == PAGE

    def _append(self, rows: list[Row]) -> None:
        self.tail = [*self.tail, *rows][-TAIL:]
        before, self.end = self.end, self.tail[-1].seq if self.tail else 0
        if self.end != before:
            for bell in self.bells:
                bell.set()

    async def _rows(self, query: str, values: list[str | int | None]) -> list[Row]:
        return [Row(*row) for row in await self._readers.rows(query.encode(), values)]


class Hub:
    """Made by Hub.here(); ends with its event loop."""

    @classmethod
    def here(cls) -> "Hub":
        return Listener.here().of(cls)

    def __init__(self) -> None:
        self.readers = Listener.here().readers
        self.topics: dict[str, Topic] = {}
        self.teams: dict[str, TeamChanges] = {}

    async def close(self) -> None:
        for topic in self.topics.values():
            topic.close()

    @contextmanager
    def following(self, run_id: str) -> Iterator[tuple[Topic, asyncio.Event]]:
        """The topic of the run and a bell that rings when its log has grown."""
        topic = self.topics.get(run_id) or self.topics.setdefault(run_id, Topic(run_id, self.readers))
        bell = asyncio.Event()
        topic.bells.add(bell)
        try:
            yield topic, bell
        finally:
            topic.bells.discard(bell)
            if not topic.bells:
                topic.close()
                self.topics.pop(run_id, None)

    @contextmanager
    def watching(self, team: str) -> Iterator[tuple[TeamChanges, asyncio.Event]]:
        """What changes for the pages of `<team id>:<live or test>`, and a bell that rings when it changed; it has rung once already."""
        changes = self.teams.get(team) or self.teams.setdefault(team, TeamChanges(team, self.readers))
        bell = asyncio.Event()
        bell.set()
        changes.bells.add(bell)
        try:
            yield changes, bell
        finally:
            changes.bells.discard(bell)
            if not changes.bells:
                self.teams.pop(team, None)

    def missed(self, *, outage: bool) -> None:
        if outage:
            for changes in self.teams.values():
                changes.changed(queue=True)
        for topic in self.topics.values():
            topic.ring()

    def heard(self, channel: str, payload: str) -> None:
        if channel == "team_events":
            team, _, queue = payload.partition("/")
            if changes := self.teams.get(team):
                changes.changed(queue=bool(queue))
        elif channel == "team_looks":
            team, *look = json.loads(payload)
            if changes := self.teams.get(team):
                changes.look(*look)
        elif channel == "run_events":
            run_id, _, seq = payload.rpartition(":")
            if topic := self.topics.get(run_id):
                topic.ring(int(seq))


async def batches(run_id: str, after: int, heartbeat: float = HEARTBEAT) -> AsyncGenerator[list[Row], None]:
    """The rows of the run after seq `after`, as many at a time as there are; [] after `heartbeat` seconds of silence.

    Never ends by itself; closing it unsubscribes. While the database is away it is silent but for the heartbeats.
    """
    loop = asyncio.get_running_loop()
    beat_at = loop.time() + heartbeat
    with Hub.here().following(run_id) as (topic, bell):
        while True:
            bell.clear()
            try:
                rows = await topic.after(after)
                patience = beat_at
            except LOST:
                rows = []
                patience = min(beat_at, loop.time() + LONGEST_PAUSE)
            if rows:
                after = rows[-1].seq
            elif await rings(bell, patience) or loop.time() < beat_at:
                continue
            yield rows
            beat_at = loop.time() + heartbeat


async def follow(run_id: str, after: int, heartbeat: float = HEARTBEAT) -> AsyncGenerator[Row | None, None]:
    """As batches(), row by row; None is a heartbeat."""
    async with aclosing(batches(run_id, after, heartbeat)) as batch:
        async for rows in batch:
            if not rows:
                yield None
            for row in rows:
                yield row


async def pokes(team: str, heartbeat: float = HEARTBEAT) -> AsyncGenerator[dict[str, Any], None]:
    """What changed for the pages of `<team id>:<live or test>`, at the start everything; {} after `heartbeat` seconds of silence."""
    loop = asyncio.get_running_loop()
    page, beat_at = PageState(), loop.time() + heartbeat
    with Hub.here().watching(team) as (changes, bell):
        while True:
            await rings(bell, beat_at)
            bell.clear()
            changes.forget_silent()
            message = await changes.since(page)
            if message or loop.time() >= beat_at:  # a bell with nothing to tell is no sign of life
                yield message
                beat_at = loop.time() + heartbeat
