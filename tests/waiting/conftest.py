"""The handler of a web process, in this process, and callers who wait at it."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.db import connection

from accounts.models import Team
from config.server.asgi_handler import Handler
from database.listening import Listener
from tests.at_once import close_connections
from tests.live import logs

SECONDS = 60  # at most, for what a computer at ease does in milliseconds


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: Any


@dataclass
class Caller:
    """One key at the handler. Nothing is sent twice."""

    handler: Handler
    key: str

    def communicator(self, path: str, method: str = "GET", headers: dict[str, str] | None = None) -> Any:
        address, _, query = path.partition("?")
        sent = {"X-API-Key": self.key, "Host": "testserver"} | (headers or {})
        scope = {
            "type": "http",
            "method": method,
            "path": f"/v1{address}",
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
        }
        return ApplicationCommunicator(self.handler, scope)  # type: ignore[no-untyped-call]

    def open(self, path: str, method: str = "GET", body: bytes = b"") -> "Call":
        asked = self.communicator(path, method)
        return Call(asked, asyncio.create_task(_answer(asked, body)))

    async def get(self, path: str) -> Answer:
        return await self.open(path)

    async def post(self, path: str, body: Any) -> Answer:
        return await self.open(path, "POST", json.dumps(body).encode())


@dataclass
class Call:
    """A call that is under way: await it for its answer."""

    asked: Any
    answering: "asyncio.Task[Answer]"

    def __await__(self) -> Any:
        return self.answering.__await__()

    async def leave(self) -> None:
        """The caller goes away."""
        await self.asked.send_input({"type": "http.disconnect"})

    def server_ends(self) -> None:
        """As daphne does with what it has in hand."""
        self.asked.future.cancel()


async def _answer(asked: Any, body: bytes) -> Answer:
    await asked.send_input({"type": "http.request", "body": body})
    start = await asked.receive_output(SECONDS)
    content = b""
    more = True
    while more:
        part = await asked.receive_output(SECONDS)
        content, more = content + part.get("body", b""), part.get("more_body", False)
    headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], headers, json.loads(content) if content else None)


@pytest.fixture
async def handler(transactional_db: None, settings: Any) -> AsyncIterator[Handler]:
    settings.REQUEST_THREADS, settings.SLOW_THREADS = 4, 1
    handler = Handler()
    yield handler
    await Listener.here().close()
    for threads in (handler._quick, handler._slow):
        await asyncio.to_thread(close_connections, threads._threads)
    handler.close()


@pytest.fixture
def team(transactional_db: None) -> Team:
    return logs.new_team()


@pytest.fixture
def asker(handler: Handler, team: Team) -> Caller:
    return Caller(handler, logs.new_key(team))


@pytest.fixture
def decider(handler: Handler, team: Team) -> Caller:
    return Caller(handler, logs.new_key(team))


@pytest.fixture
def request_id(team: Team) -> str:
    """A request of a run that waits."""
    approval_id = logs.new_request(team).id
    connection.close()
    return approval_id
