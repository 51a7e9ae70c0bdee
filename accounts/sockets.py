"""Websockets of signed-in people: who they are is asked again and again, since a sign-out must end what is open.

Close codes: 4401 nobody is signed in, or the right is gone; 4500 a fault of ours; 4503 the database stays away: come again. They
are all of 4000 to 4999: of the others a server may send 1000 only.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any, TypeVar

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth import get_user
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, QueryDict

from accounts.access import actor_of_page, actor_of_session
from accounts.actor import Actor
from database.listening import FIRST_PAUSE, Listener

logger = logging.getLogger(__name__)
NOT_SIGNED_IN = 4401
CRASHED = 4500
DATABASE_AWAY = 4503
PATIENCE = 10.0  # seconds in which a database that is away may come back
AWAY = (OperationalError, InterfaceError)
T = TypeVar("T")
# Threads of the sockets' own: each of them hangs as long as the connection that it uses.
threads = ThreadPoolExecutor(4, thread_name_prefix="socket-db")


def person_behind(
    session_key: str | None, actor: Actor | None = None, query: bytes = b"", right: str = "runs:read"
) -> Actor | None:
    """Who is signed in with that session now; with `actor` given, only if it is still them with that right to that team.

    The session is read anew each time: a sign-out or a removed membership must end the sockets that are open.
    """
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    request.user = get_user(request)
    if actor:
        request.session["team"] = actor.team_id  # they may look at another team in another tab; not saved
    request.GET = QueryDict(query)
    person = actor_of_session(request) if actor else actor_of_page(request)
    if person is None or not person.may(right):
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
    right = "runs:read"  # without it there is nothing to hear
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
        before = getattr(self, "actor", None)
        actor = await self.ask(
            person_behind, self.scope["session"].session_key, before, self.scope["query_string"], self.right
        )
        if actor is None:
            raise Over(NOT_SIGNED_IN)
        self.actor = actor
        self._check_at = asyncio.get_running_loop().time() + self.heartbeat * 0.9  # a beat may come a little early

    async def ask(self, work: Callable[..., T], *args: Any) -> T:
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
