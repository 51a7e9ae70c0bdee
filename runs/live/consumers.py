"""Websockets of the pages. They only poke: "run X has events up to N"; the page then asks over HTTP, as it always may.

Close codes are those of accounts/sockets.py, and 4404: there is no such run for this person.
"""

import asyncio
import json
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qs

from accounts.sockets import AWAY, Over, PersonConsumer, in_thread
from approvals.access import get_approval
from approvals.errors import ApprovalNotFound
from runs.access import get_run
from runs.errors import RunNotFound
from runs.live.envelopes import Row
from runs.live.hub import Hub, batches, pokes
from runs.live.team_changes import say_look
from runs.models import Run
from web.event_streams import read_seq

RUN_NOT_FOUND = 4404
MOST_BYTES = 1024  # of what a page says
LOOK_PAUSE = 0.2  # seconds between two such words; what comes sooner is passed over
POKE_SECONDS = 0.1  # at most one poke in this time; what comes meanwhile goes into the next


class RunConsumer(PersonConsumer):
    """/ws/runs/<id>?after=N: {hello, seq}, then {run, seq} with the new status if it changed, and {beat}."""

    async def talk(self) -> None:
        run = await self._run()
        latest = run.next_seq - 1
        await self.say({"hello": True, "seq": latest})
        if latest > self._after():
            await self.say({"run": run.id, "seq": latest, "status": run.status})
        async with aclosing(batches(run.id, latest, self.heartbeat)) as found:
            async for rows in found:
                await self.still_may()
                if rows:
                    await self.say(poke(run.id, rows))
                    await asyncio.sleep(POKE_SECONDS)

    async def _run(self) -> Run:
        try:
            return await self.ask(get_run, self.actor, self.scope["url_route"]["kwargs"]["run_id"])
        except RunNotFound:
            raise Over(RUN_NOT_FOUND) from None

    def _after(self) -> int:
        """Up to which event the page was made."""
        return read_seq(parse_qs(self.scope["query_string"].decode(errors="replace")).get("after", [""])[0])


def poke(run_id: str, rows: list[Row]) -> dict[str, Any]:
    states = [row.data["status"] for row in rows if row.type == "status"]
    return {"run": run_id, "seq": rows[-1].seq} | ({"status": states[-1]} if states else {})


class TeamConsumer(PersonConsumer):
    """/ws/team: {hello}, then {team: 1} whenever something changed, with `queue` {waiting, closed, spread} when the queue
    did and `looks` [[approval, user, name]] when somebody opened another card; everything at once at first; {beat}.

    A page says {look: approval id}, and again every 20 s; "" when it looks at none.
    """

    _looks_at = ""
    _looked = 0.0

    async def talk(self) -> None:
        await self.say({"hello": True, "you": self.actor.id})
        async with aclosing(pokes(self._team, self.heartbeat)) as found:
            async for changed in found:
                await self.still_may()
                if changed:
                    await self.say(changed)
                    await asyncio.sleep(POKE_SECONDS)

    @property
    def _team(self) -> str:
        return f"{self.actor.team_id}:{'test' if self.actor.test else 'live'}"

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """What is not understood, and requests of others, are passed over."""
        now = asyncio.get_running_loop().time()
        if (
            not hasattr(self, "actor")
            or not text_data
            or len(text_data) > MOST_BYTES
            or now - self._looked < LOOK_PAUSE
        ):
            return
        self._looked = now
        try:
            approval_id = json.loads(text_data).get("look")
        except (ValueError, AttributeError, RecursionError):
            return
        if isinstance(approval_id, str) and (approval_id in {"", self._looks_at} or await self._exists(approval_id)):
            self._looks_at = approval_id
            await self._look(approval_id)

    async def disconnect(self, code: int) -> None:
        await super().disconnect(code)
        if self._looks_at:
            await self._look("")

    async def _look(self, approval: str) -> None:
        await say_look(Hub.here().readers, self._team, self.actor.id, self.actor.name, approval)

    async def _exists(self, approval_id: str) -> bool:
        """Nor is one that cannot be looked up now: the page says again what it looks at."""
        try:
            await in_thread(get_approval, self.actor, approval_id)
        except (ApprovalNotFound, *AWAY):
            return False
        return self.actor.may("approvals:read")
