"""Websockets of the pages. They only poke: "run X has events up to N"; the page then asks over HTTP, as it always may.

Close codes: 4401 nobody is signed in, or the right is gone; 4404 there is no such run for this person.
"""

import asyncio
import json
import logging
from contextlib import aclosing
from importlib import import_module
from typing import Any
from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest, QueryDict

from accounts.access import actor_of_page, actor_of_session
from accounts.actor import Actor
from approvals.access import get_approval
from approvals.errors import ApprovalNotFound
from runs.access import get_run
from runs.boards import say_look
from runs.envelopes import Row, read_seq
from runs.errors import RunNotFound
from runs.hub import HEARTBEAT, Hub, batches, pokes
from runs.models import Run

logger = logging.getLogger(__name__)
NOT_SIGNED_IN = 4401
RUN_NOT_FOUND = 4404
CRASHED = 1011
MOST_BYTES = 1024  # of what a page says
LOOK_PAUSE = 0.2  # seconds between two such words; what comes sooner is passed over
POKE_SECONDS = 0.1  # at most one poke in this time; what comes meanwhile goes into the next


def person_behind(session_key: str | None, actor: Actor | None = None, query: bytes = b"") -> Actor | None:
    """Who is signed in with that session now; with `actor` given, only if it is still them with a right to that team.

    The session is read anew each time: a sign-out or a removed membership must end the sockets that are open.
    """
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    request.user = get_user(request)
    if actor:
        request.session["team"] = actor.team_id  # they may look at another team in another tab; not saved
    request.GET = QueryDict(query)
    found = actor_of_session(request) if actor else actor_of_page(request)
    if found is None or not found.may("runs:read"):
        return None
    return found if actor is None or (found.id, found.team_id) == (actor.id, actor.team_id) else None


class PersonConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """A socket of a signed-in person. A subclass says what is sent, in talk()."""

    heartbeat = HEARTBEAT
    actor: Actor
    _talk: asyncio.Task[None] | None = None
    _check_at = 0.0

    async def connect(self) -> None:
        """Accepts first: a browser sees the close code of open sockets only."""
        await self.accept()
        actor = await self._person()
        if actor is None:
            await self.close(NOT_SIGNED_IN)
            return
        self.actor = actor
        self._put_off_check()
        self._talk = asyncio.create_task(self.talk())
        self._talk.add_done_callback(self._ended)

    async def disconnect(self, code: int) -> None:
        if self._talk:
            self._talk.cancel()
            await asyncio.wait([self._talk])

    async def talk(self) -> None:
        raise NotImplementedError

    async def say(self, message: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps(message))

    async def may_go_on(self) -> bool:
        """Once per heartbeat: beats if the person still has the right, else closes."""
        if asyncio.get_running_loop().time() < self._check_at:
            return True
        self._put_off_check()
        if await self._person(self.actor) is None:
            await self.close(NOT_SIGNED_IN)
            return False
        await self.say({"beat": 1})
        return True

    def _put_off_check(self) -> None:
        self._check_at = asyncio.get_running_loop().time() + self.heartbeat * 0.9  # a beat may come a little early

    async def _person(self, actor: Actor | None = None) -> Actor | None:
        session_key, query = self.scope["session"].session_key, self.scope["query_string"]
        found: Actor | None = await database_sync_to_async(person_behind)(session_key, actor, query)
        return found

    def _ended(self, talk: asyncio.Task[None]) -> None:
        error = None if talk.cancelled() else talk.exception()
        if error:
            logger.error("The socket %s failed", self.scope["path"], exc_info=error)
            self._talk = asyncio.create_task(self.close(CRASHED))


class RunConsumer(PersonConsumer):
    """/ws/runs/<id>?after=N: {hello, seq}, then {run, seq} with the new status if it changed, and {beat}."""

    async def talk(self) -> None:
        run = await self._run()
        if run is None:
            await self.close(RUN_NOT_FOUND)
            return
        latest = run.next_seq - 1
        await self.say({"hello": True, "seq": latest})
        if latest > self._after():
            await self.say({"run": run.id, "seq": latest, "status": run.status})
        async with aclosing(batches(run.id, latest, self.heartbeat)) as found:
            async for rows in found:
                if rows:
                    await self.say(poke(run.id, rows))
                if not await self.may_go_on():
                    return
                if rows:
                    await asyncio.sleep(POKE_SECONDS)

    async def _run(self) -> Run | None:
        run_id = self.scope["url_route"]["kwargs"]["run_id"]
        try:
            found: Run = await database_sync_to_async(get_run)(self.actor, run_id)
        except RunNotFound:
            return None
        return found

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
                if changed:
                    await self.say(changed)
                if not await self.may_go_on():
                    return
                if changed:
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
            wanted = json.loads(text_data).get("look")
        except (ValueError, AttributeError, RecursionError):
            return
        if isinstance(wanted, str) and (wanted in {"", self._looks_at} or await self._exists(wanted)):
            self._looks_at = wanted
            await self._look(wanted)

    async def disconnect(self, code: int) -> None:
        if self._looks_at:
            await self._look("")
        await super().disconnect(code)

    async def _look(self, approval: str) -> None:
        await say_look(Hub.here().readers, self._team, self.actor.id, self.actor.name, approval)

    async def _exists(self, approval_id: str) -> bool:
        try:
            await database_sync_to_async(get_approval)(self.actor, approval_id)
        except ApprovalNotFound:
            return False
        return self.actor.may("approvals:read")
