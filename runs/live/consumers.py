"""Websockets of the pages. They only poke: "run X has events up to N"; the page then asks over HTTP, as it always may.

Close codes: 4401 nobody is signed in, or the right is gone; 4404 there is no such run for this person; 4500 a fault of ours; 4503
the database stays away: come again. They are all of 4000 to 4999: of the others a server may send 1000 only.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from importlib import import_module
from typing import Any, TypeVar
from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth import get_user
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, QueryDict

from accounts.access import actor_of_page, actor_of_session
from accounts.actor import Actor
from approvals.access import get_approval
from approvals.errors import ApprovalNotFound
from database.listening import FIRST_PAUSE, Listener
from runs.access import get_run
from runs.errors import RunNotFound
from runs.live.envelopes import Row
from runs.live.hub import Hub, batches, pokes
from runs.live.team_changes import say_look
from runs.models import Run
from web.event_streams import read_seq

logger = logging.getLogger(__name__)
NOT_SIGNED_IN = 4401
RUN_NOT_FOUND = 4404
CRASHED = 4500
DATABASE_AWAY = 4503
PATIENCE = 10.0  # seconds in which a database that is away may come back
AWAY = (OperationalError, InterfaceError)
MOST_BYTES = 1024  # of what a page says
LOOK_PAUSE = 0.2  # seconds between two such words; what comes sooner is passed over
POKE_SECONDS = 0.1  # at most one poke in this time; what comes meanwhile goes into the next
T = TypeVar("T")
# Threads of the sockets' own: each of them hangs as long as the connection that it uses.
threads = ThreadPoolExecutor(4, thread_name_prefix="socket-db")


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
    person = actor_of_session(request) if actor else actor_of_page(request)
    if person is None or not person.may("runs:read"):
        return None
    return person if actor is None or (person.id, person.team_id) == (actor.id, actor.team_id) else None


async def in_thread(work: Callable[..., T], *args: Any) -> T:
    """Synchronous work with the database."""
    done: T = await database_sync_to_async(work, thread_sensitive=False, executor=threads)(*args)
    return done


class Over(Exception):
    """The socket ends, with this close code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class PersonConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """A socket of a signed-in person. A subclass says what is sent, in talk()."""

    heartbeat = settings.SOCKET_BEAT_SECONDS
    actor: Actor
    _talk: asyncio.Task[None] | None = None
    _check_at = 0.0
    _outages = 0

    async def connect(self) -> None:
        """Accepts first: a browser sees the close code of open sockets only."""
        await self.accept()
        self._talk = asyncio.create_task(self._serve())

    async def disconnect(self, code: int) -> None:
        if self._talk:
            self._talk.cancel()
            await asyncio.wait([self._talk])

    async def _serve(self) -> None:
        """The whole life of the socket, which ends with a close code whatever happens: nobody waits at one that is dead."""
        try:
            await self._check()
            await self.talk()
        except Over as over:
            code = over.code
        except Exception:
            logger.exception("The socket %s failed", self.scope["path"])
            code = CRASHED
        await self.close(code)

    async def talk(self) -> None:
        """Ends by raising Over."""
        raise NotImplementedError

    async def say(self, message: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps(message))

    async def still_may(self) -> None:
        """Before anything is said. Once per heartbeat, and after each outage of the database, it asks whether the person still
        has the right, and beats. Raises Over."""
        if asyncio.get_running_loop().time() >= self._check_at or self._outages != Listener.here().outages:
            await self._check()
            await self.say({"beat": 1})

    async def _check(self) -> None:
        """Raises Over."""
        self._outages = Listener.here().outages
        actor = await self._ask(
            person_behind, self.scope["session"].session_key, getattr(self, "actor", None), self.scope["query_string"]
        )
        if actor is None:
            raise Over(NOT_SIGNED_IN)
        self.actor = actor
        self._check_at = asyncio.get_running_loop().time() + self.heartbeat * 0.9  # a beat may come a little early

    async def _ask(self, work: Callable[..., T], *args: Any) -> T:
        """What the database answers: asked again while it is away, for PATIENCE at most. Raises Over."""
        pause = FIRST_PAUSE
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    try:
                        return await in_thread(work, *args)
                    except AWAY:
                        await asyncio.sleep(pause)
                        pause = min(2 * pause, 1.0)
        except TimeoutError:
            raise Over(DATABASE_AWAY) from None


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
            return await self._ask(get_run, self.actor, self.scope["url_route"]["kwargs"]["run_id"])
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
