"""What the pages of one team and world are told: that something changed, what left the queue, who looks at what.

One object per watched team in each web process: a change costs one query, however many pages are open. What it says may
be missed; pages ask over HTTP for what they show.
"""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

from database.listening import LONGEST_PAUSE, LOST, Readers
from runs.live import sql

LOOK_SECONDS = 45.0  # who looks says so again before this time is over
CLOSED_SECONDS = 30  # how long a closed request is still told of
MOST_CLOSED = 200
SPREAD_SECONDS = 0.015  # per open page: so much time their refreshes are spread over


@dataclass
class PageState:
    """How much of a team's changes one page has been told; -1: nothing yet."""

    changes: int = -1
    queue: int = -1
    looks: int = -1


class TeamChanges:
    """`team` is `<team id>:<live or test>`."""

    def __init__(self, team: str, readers: Readers) -> None:
        self.team = team
        self.bells: set[asyncio.Event] = set()
        self.changes = self.queue = self.looks = 0
        self._readers = readers
        self._lookers: dict[str, tuple[str, str, float]] = {}  # user id -> (approval id, name, until)
        self._news: tuple[int, asyncio.Task[dict[str, Any] | None]] | None = None

    def changed(self, *, queue: bool) -> None:
        self.changes += 1
        self.queue += queue
        self.ring()

    def ring(self) -> None:
        for bell in self.bells:
            bell.set()

    def look(self, user: str, name: str, approval: str) -> None:
        """The person looks at this request from now on; "" = at none."""
        before = self._lookers.pop(user, ("", "", 0.0))
        if approval:
            self._lookers[user] = (approval, name, time.monotonic() + LOOK_SECONDS)
        if before[0] != approval:
            self.looks += 1
            self.ring()

    def forget_silent(self) -> None:
        """Who has not said for long that they look, does not."""
        now = time.monotonic()
        for user in [user for user, (_, _, until) in self._lookers.items() if until < now]:
            self.look(user, "", "")

    async def since(self, page: PageState) -> dict[str, Any]:
        """The message for this page, whose state is brought up to now; {} when there is nothing new."""
        message: dict[str, Any] = {}
        if page.changes != self.changes:
            page.changes = self.changes
            message["team"] = 1
        if page.queue != self.queue:
            queue, news = self.queue, await self._latest()
            if news is not None:
                page.queue = queue
                message["queue"] = news | {"spread": round(len(self.bells) * SPREAD_SECONDS, 2)}
        if page.looks != self.looks:
            page.looks = self.looks
            message["looks"] = [[approval, user, name] for user, (approval, name, _) in self._lookers.items()]
        return message

    async def _latest(self) -> dict[str, Any] | None:
        """{waiting, closed}: read once for each change, for all pages together. None: not now; the bell rings for it later."""
        if self._news is None or self._news[0] != self.queue:
            self._news = (self.queue, asyncio.create_task(self._read()))
        return await asyncio.shield(self._news[1])

    async def _read(self) -> dict[str, Any] | None:
        team, _, world = self.team.partition(":")
        mine = [team, world == "test"]
        try:
            rows = await self._readers.rows(sql.NEWS.encode(), [*mine, *mine, CLOSED_SECONDS, MOST_CLOSED])
        except LOST:
            asyncio.get_running_loop().call_later(LONGEST_PAUSE, self._read_again)
            return None
        waiting, closed = rows[0]
        return {"waiting": waiting, "closed": closed}

    def _read_again(self) -> None:
        self._news = None
        self.ring()


async def say_look(readers: Readers, team: str, user: str, name: str, approval: str) -> None:
    """Tell all web processes; lost without a word when the database is away, since it is said again soon."""
    payload = json.dumps([team, user, name[:128], approval])
    try:
        await readers.rows(sql.LOOKS.encode(), [payload])
    except LOST:
        return
