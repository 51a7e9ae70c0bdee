"""Who is answered next when there are more calls than threads."""

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from config.server import request_threads
from config.server.callers import asks_model, caller_of, is_health, is_slow
from config.server.request_threads import RequestThreads, SlowCalls
from tests.conventions.routes import ROUTES, filled, nameless
from web.errors import Overloaded, TooManySlowCalls

SECONDS = 10


@pytest.fixture
async def threads() -> AsyncIterator[RequestThreads]:
    """Two, of which each caller has one at once."""
    made = RequestThreads("test", 2, 1)
    yield made
    made.close()


async def begun(threads: RequestThreads, caller: str) -> asyncio.Task[None]:
    """A call that waits for its turn, as far as it gets by itself."""
    task = asyncio.create_task(threads.turn(caller))
    await settled()
    return task


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_caller_has_its_share_and_others_pass(threads: RequestThreads) -> None:
    first, second, other = [await begun(threads, caller) for caller in ("often", "often", "seldom")]
    assert (first.done(), second.done(), other.done()) == (True, False, True)
    assert await threads.run("often", threading.current_thread) is not threading.current_thread()
    async with asyncio.timeout(SECONDS):
        await second


async def test_callers_take_turns(threads: RequestThreads) -> None:
    await threads.turn("one")
    await threads.turn("two")
    waiting = [await begun(threads, caller) for caller in ("one", "one", "three", "four")]
    await threads.run("two", int)
    await settled()
    assert [task.done() for task in waiting] == [False, False, True, False], "one has its share; three waited longest"
    await threads.run("one", int)
    await settled()
    assert [task.done() for task in waiting] == [True, False, True, False]
    for task in waiting:
        task.cancel()


async def test_who_leaves_keeps_nobody_from_a_thread(threads: RequestThreads) -> None:
    await threads.turn("one")
    left, after = await begun(threads, "one"), await begun(threads, "one")
    left.cancel()
    await threads.run("one", int)
    async with asyncio.timeout(SECONDS):
        await after


async def test_who_leaves_at_the_moment_of_its_turn_gives_it_back(threads: RequestThreads) -> None:
    await threads.turn("one")
    late = await begun(threads, "one")
    threads._done("one")  # now it is its turn, and it does not know yet
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    assert not threads._running
    async with asyncio.timeout(SECONDS):
        await threads.turn("one")
        await threads.turn("two")


async def test_who_waits_too_long_or_behind_too_many_is_refused(
    threads: RequestThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    await threads.turn("one")
    with pytest.raises(Overloaded) as refusal:
        await threads.turn("one", patience=0.01)
    assert refusal.value.headers == {"Retry-After": "2"}
    monkeypatch.setattr(request_threads, "MOST_WAITING", 1)
    waiting = await begun(threads, "one")
    with pytest.raises(Overloaded):
        await threads.turn("two")
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await threads.turn("two")


def test_slow_calls_are_counted_by_caller() -> None:
    calls = SlowCalls(2)
    with (
        calls.one_of("one"),
        calls.one_of("one"),
        calls.one_of("two"),
        pytest.raises(TooManySlowCalls),
        calls.one_of("one"),
    ):
        pass
    with calls.one_of("one"):
        pass


KEY = [(b"x-api-key", b" cs_live_1 "), (b"authorization", b"Bearer cs_live_2"), (b"cookie", b"sessionid=abc")]


@pytest.mark.parametrize(("headers", "caller"), [
    (KEY, "key cs_live_1"), (KEY[1:], "key cs_live_2"), (KEY[2:], "session abc"), ([], "computer 10.0.0.1"),
    ([(b"authorization", b"Basic x")], "computer 10.0.0.1"), ([(b"cookie", b"\xff=;;=")], "computer 10.0.0.1"),
])  # fmt: skip
def test_a_caller_is_known_by_its_key(headers: list[tuple[bytes, bytes]], caller: str) -> None:
    assert caller_of({"headers": headers, "client": ["10.0.0.1", 1]}) == caller


def test_what_takes_long_is_known_by_its_address() -> None:
    def those(test: Callable[[Any], bool]) -> set[str]:
        return {nameless(m, p) for m, p, _ in ROUTES if test({"method": m, "path": f"/v1{filled(p)}"})}

    assert those(is_slow) == {
        "POST /machines/{}/actions", "POST /machines/{}/actions/batch", "POST /machines/{}/terminal",
        "GET /machines/{}/screenshot",
    }  # fmt: skip
    assert those(asks_model) == {"POST /predict", "POST /ground", "POST /sessions/{}/predict"}
    assert those(is_health) == {"GET /health"}
    assert is_slow({"method": "HEAD", "path": "/v1/machines/m/screenshot/"})
    assert is_slow({"method": "POST", "path": "/machines/m/control/act"})
    assert not is_slow({"method": "POST", "path": "/machines/m/stop"})
    assert not is_health({"method": "POST", "path": "/healthz"})


async def test_any_order_of_coming_leaving_and_ending_keeps_the_count(threads: RequestThreads) -> None:
    """At the end both threads are free, whoever left when."""
    chance = random.Random(12)

    async def call(caller: str) -> None:
        await threads.turn(caller, patience=chance.choice([None, 0.001]))
        await threads.run(caller, time.sleep, chance.choice([0, 0.001]))

    calls = [asyncio.create_task(call(chance.choice("abc"))) for _ in range(200)]
    for task in calls:
        await asyncio.sleep(0)
        if chance.random() < 0.3:
            task.cancel()
    async with asyncio.timeout(SECONDS):
        await asyncio.gather(*calls, return_exceptions=True)
    assert (threads._free, threads._queued, dict(threads._running), dict(threads._waiting)) == (2, 0, {}, {})
