"""The run loop's own small parts."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from machines.drivers.within import within
from runs.driving.loop import RunLoop

TURNS = range(6)  # of the event loop, between what happens and the cancellation


async def cancelled(task: asyncio.Task[Any], turns: int) -> bool:
    """Whether the task ends when it is cancelled so many turns of the event loop from now."""
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=1)
    return task.done()


@pytest.mark.parametrize("turns", TURNS)
def test_who_waits_for_a_bell_can_be_cancelled_while_it_rings(turns: int) -> None:
    """Else it waits on unseen, and takes the next ring from the run: of a cancel, say."""

    async def story() -> None:
        bell = asyncio.Event()
        host: Any = SimpleNamespace(bells={"run": bell})

        async def watch() -> None:
            while True:
                await RunLoop.wait_for_bell(host, "run", 600)

        task = asyncio.create_task(watch())
        await asyncio.sleep(0)
        bell.set()
        assert await cancelled(task, turns)

    asyncio.run(story())


@pytest.mark.parametrize("turns", TURNS)
def test_work_with_a_limit_of_time_can_be_cancelled_while_it_ends(turns: int) -> None:
    async def story() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def work() -> None:
            await within(600, future)
            await asyncio.sleep(600)

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        future.set_result(None)
        assert await cancelled(task, turns)

    asyncio.run(story())


def test_work_that_takes_too_long_is_ended() -> None:
    ended = []

    async def work() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            ended.append(True)

    with pytest.raises(TimeoutError):
        asyncio.run(within(0.01, work()))
    assert ended
