"""People at the live screen of a machine, whose pictures a test makes when it wants to."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.db import connections

from accounts.sockets import threads
from config.asgi import application
from database.listening import Listener
from machines.drivers.base import MachineGone
from machines.drivers.live_screen import Input, Picture
from machines.live import feeds
from machines.models import Machine, TakeoverLease
from machines.takeover import services as takeover
from tests.at_once import close_connections
from tests.cast import Cast, make_cast
from tests.runs.driving import simulated

in_thread = sync_to_async
PATIENCE = 30.0  # seconds: the computer may be busy


class Screen:
    """A live screen of which each picture is what the test draws."""

    def __init__(self) -> None:
        self.drawn: asyncio.Queue[bytes] = asyncio.Queue()
        self.now = b"first"
        self.rests = False  # it was paused, and not asked since
        self.asked = 0  # how often a picture was wanted
        self.hidden: list[Sequence[str]] = []
        self.gone = False
        self.closed = False
        self.calm = False
        self.age = 0.0  # of its pictures
        self.given: list[Input] = []
        self.let_gos = 0
        self.on_give: Callable[[], Awaitable[None]] | None = None
        self._shown: bytes | None = None

    def anew(self) -> "Screen":
        self._shown = None
        return self

    def draw(self, picture: bytes) -> None:
        self.now = picture
        self.drawn.put_nowait(picture)

    async def next(self, hidden: Sequence[str] = ()) -> Picture:
        self.asked += 1
        self.rests = False
        self.hidden.append(hidden)
        if self.gone:
            raise MachineGone("It fell over.")
        if self._shown is None:
            while not self.drawn.empty():
                self.drawn.get_nowait()
        else:
            await self.drawn.get()
        self._shown = self.now
        return Picture(self.now, time.monotonic() - self.age)

    async def give(self, events: Sequence[Input]) -> None:
        self.given += events
        if self.on_give:
            await self.on_give()

    async def let_go(self) -> None:
        self.let_gos += 1

    async def pause(self) -> None:
        self.rests, self._shown = True, None

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    made = Screen()
    monkeypatch.setattr(feeds, "live_screen", lambda session: made.anew())
    return made


@pytest.fixture
def people(transactional_db: None) -> Cast:
    return make_cast("acme")


@pytest.fixture
def machine(people: Cast) -> str:
    return simulated(people.api(test=True))


@pytest.fixture(autouse=True)
async def tidy(transactional_db: None) -> AsyncIterator[None]:
    yield
    assert feeds.feeds() == {}
    await asyncio.gather(*feeds._closing)
    await Listener.here().close()
    await sync_to_async(connections.close_all)()
    await asyncio.to_thread(close_connections, threads)


class Viewer:
    """A page that looks at the machine; it says that it has seen each picture unless told otherwise."""

    def __init__(self, communicator: WebsocketCommunicator) -> None:
        self.communicator = communicator
        self.state: dict[str, Any] = {}
        self.reads = True

    async def _receive(self, seconds: float = PATIENCE) -> dict[str, Any]:
        output: dict[str, Any] = await self.communicator.receive_output(seconds)
        if output.get("text"):
            self.state |= json.loads(output["text"])
        return output

    async def say(self, **message: Any) -> None:
        await self.communicator.send_to(text_data=json.dumps(message))

    async def picture(self) -> bytes:
        """The next picture; what is said meanwhile goes into `state`."""
        while True:
            output = await self._receive()
            assert output["type"] == "websocket.send", output
            if output.get("bytes"):
                if self.reads:
                    await self.say(seen=1)
                return bytes(output["bytes"][4:])

    async def hears(self, name: str, test: Callable[[Any], bool]) -> Any:
        while name not in self.state or not test(self.state[name]):
            output = await self._receive()
            assert output["type"] == "websocket.send", output
        return self.state[name]

    async def code(self, before: bytes = b"") -> int:
        """The code it is closed with. No picture came but `before`, which was on its way."""
        while (output := await self._receive())["type"] != "websocket.close":
            assert not output.get("bytes") or bytes(output["bytes"][4:]) == before, output
        return int(output["code"])

    async def pictures_for(self, seconds: float) -> list[bytes]:
        seen = []
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    if not await self.communicator.receive_nothing(0.05):
                        output = await self._receive(1)
                        if output.get("bytes"):
                            seen.append(bytes(output["bytes"][4:]))
        return seen


class Look:
    """look("bob", machine): Bob's viewer, open as long as the block lasts."""

    def __init__(self, people: Cast) -> None:
        self.people = people

    @asynccontextmanager
    async def __call__(self, name: str, machine: str, query: str = "", mode: str = "test") -> AsyncIterator[Viewer]:
        cookie = ""
        if name:
            browser = await in_thread(self.people.browser)(name, mode=mode)
            cookie = f"{settings.SESSION_COOKIE_NAME}={browser.cookies[settings.SESSION_COOKIE_NAME].value}"
        headers = [(b"host", b"localhost"), (b"origin", b"http://localhost"), (b"cookie", cookie.encode())]
        communicator = WebsocketCommunicator(application, f"/ws/machines/{machine}/screen{query}", headers=headers)
        accepted, _ = await communicator.connect(PATIENCE)
        assert accepted
        try:
            yield Viewer(communicator)
        finally:
            await communicator.disconnect(timeout=PATIENCE)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  nothing rings for it
            await asyncio.sleep(0.01)


@pytest.fixture
def look(people: Cast) -> Look:
    return Look(people)


def take(people: Cast, machine: str, name: str = "ana", **more: Any) -> TakeoverLease:
    return takeover.take(people.actor(name, test=True), machine, **more)


def release(people: Cast, lease: TakeoverLease, name: str = "ana") -> None:
    takeover.release(people.actor(name, test=True), lease.machine_id, lease.id)


def change(machine: str, **fields: Any) -> None:
    Machine.objects.filter(id=machine).update(**fields)
