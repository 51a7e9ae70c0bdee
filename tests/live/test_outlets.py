"""Room in the memory for what is not read: which answers wait, and who is given up. Transports are stand-ins with Twisted's names."""

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from config.server import unread_answers
from config.server.unread_answers import Outlet, unsent


@dataclass
class Transport:
    dataBuffer: bytes = b""  # noqa: N815  the names are Twisted's
    offset: int = 0
    _tempDataLen: int = 0  # noqa: N815


@dataclass
class Caller:
    """Who asked, with the outlet of the answer."""

    transport: Transport = field(default_factory=Transport)
    given_up: bool = False

    def __post_init__(self) -> None:
        self.outlet = Outlet(self.transport, self._give_up)

    def _give_up(self) -> None:
        self.given_up = True


def full(holds: int = 0, waits: int = 1) -> Caller:
    caller = Caller(Transport(_tempDataLen=waits))
    caller.outlet.holds = holds
    caller.outlet.pauseProducing()
    return caller


@pytest.fixture(autouse=True)
def quick(settings: Any) -> None:
    settings.UNREAD_SECONDS = 0.2


async def test_who_reads_is_not_waited_for() -> None:
    caller = Caller()
    await caller.outlet.drained()
    assert not caller.given_up


async def test_who_reads_nothing_is_given_up() -> None:
    caller = full()
    async with asyncio.timeout(5):
        await caller.outlet.drained()
    assert caller.given_up


async def test_who_reads_a_little_now_and_then_is_not(settings: Any) -> None:
    caller = full(waits=1000)
    looks = 0
    is_free = caller.outlet._is_free

    async def reads_between_two_looks(seconds: float) -> bool:
        nonlocal looks
        looks += 1
        caller.transport._tempDataLen -= 1
        if looks == 5:
            caller.outlet.resumeProducing()
        return await is_free(0.01)

    caller.outlet._is_free = reads_between_two_looks  # type: ignore[method-assign]
    async with asyncio.timeout(5):
        await caller.outlet.drained()
    assert (looks, caller.given_up) == (5, False)


async def test_who_leaves_holds_nobody_up(settings: Any) -> None:
    settings.UNREAD_SECONDS = 60
    caller = full()
    waiting = asyncio.create_task(caller.outlet.drained())
    await asyncio.sleep(0)
    caller.outlet.stopProducing()
    async with asyncio.timeout(5):
        await waiting
    assert not caller.given_up


async def test_who_waited_longest_makes_room_for_the_others(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """A stream has no length, and holds one part only."""
    settings.UNREAD_SECONDS = 60
    monkeypatch.setattr(unread_answers, "MOST_BYTES", 25)
    callers = [full(), full(10), full(10), full(10)]
    waiting = []
    for caller in callers:
        waiting.append(asyncio.create_task(caller.outlet.drained()))
        await asyncio.sleep(0)
    assert [caller.given_up for caller in callers] == [False, True, False, False]
    for caller in callers:
        caller.outlet.stopProducing()
    await asyncio.gather(*waiting)
    assert not unread_answers._waiting


def test_what_waits_behind_tls_counts() -> None:
    assert unsent(SimpleNamespace(transport=Transport(b"abc", 1, 4))) == 6


async def test_a_websocket_that_nobody_reads_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    from daphne.ws_protocol import WebSocketProtocol

    from config.server import protocol as web

    dropped = []

    async def hand_over(*args: Any) -> None:
        pass

    monkeypatch.setattr(web, "_hand_over", hand_over)
    monkeypatch.setattr(WebSocketProtocol, "dropConnection", lambda self, abort: dropped.append(abort))
    protocol = WebSocketProtocol()
    for waits, count in ((1000, 0), (unread_answers.MOST_OF_A_SOCKET + 1, 1)):
        protocol.transport = Transport(_tempDataLen=waits)
        await web._send(None, protocol, {"type": "websocket.send", "text": "x"})
        assert len(dropped) == count
