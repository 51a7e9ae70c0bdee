"""The hub against a real PostgreSQL: nothing lost, nothing doubled, few queries."""

import asyncio
import contextlib
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from accounts.models import Team
from config.own_processes import wait_until
from database.stream_limits import StreamLimits
from runs.live.hub import Hub, batches, follow, pokes
from runs.models import Run
from tests.live import logs
from web.errors import RateLimited

write = sync_to_async(logs.write)
new_run = sync_to_async(logs.new_run)


async def collect(run: Run, after: int, until: int, heartbeat: float = 15.0) -> list[int]:
    """The seqs that a follower sees up to `until`."""
    found = []
    async with contextlib.aclosing(follow(run.id, after, heartbeat)) as rows:
        async for row in rows:
            if row:
                found.append(row.seq)
                if row.seq >= until:
                    break
    return found


def terminate(pids: list[int]) -> None:
    with connection.cursor() as cursor:
        for pid in pids:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])


async def test_a_killed_listener_loses_and_doubles_nothing(hub: Hub, team: Team, backends: Any) -> None:
    run = await new_run(team, logs.status("queued"))
    followers = [asyncio.create_task(collect(run, after, 201)) for after in (0, 0, 1, 50, 150)]
    find = sync_to_async(backends)
    for index in range(200):
        await write(run, logs.text(str(index)))
        if index in {40, 90, 91, 140}:
            await sync_to_async(terminate)([*await find("listen"), *await find("read")])
    async with asyncio.timeout(10):
        seen = await asyncio.gather(*followers)
    assert seen == [list(range(after + 1, 202)) for after in (0, 0, 1, 50, 150)]


async def test_a_row_written_while_the_hub_is_deaf_arrives(hub: Hub, team: Team, backends: Any) -> None:
    run = await new_run(team, logs.status("queued"))
    follower = asyncio.create_task(collect(run, 0, 2))
    await asyncio.sleep(0.2)
    await sync_to_async(terminate)(await sync_to_async(backends)("listen"))
    await write(run, logs.status("running"))
    async with asyncio.timeout(3):
        assert await follower == [1, 2]


async def test_many_followers_cost_one_query_per_ring(hub: Hub, team: Team) -> None:
    run = await new_run(team, logs.status("queued"))
    followers = [asyncio.create_task(collect(run, 0, 11)) for _ in range(100)]
    await asyncio.sleep(0.3)
    before = hub.readers.queries
    for index in range(10):
        await write(run, logs.text(str(index)))
        await asyncio.sleep(0.02)
    async with asyncio.timeout(5):
        assert await asyncio.gather(*followers) == [list(range(1, 12))] * 100
    assert hub.readers.queries - before <= 10


async def test_a_late_follower_gets_a_log_that_is_longer_than_the_tail(
    hub: Hub, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runs.live.hub.TAIL", 20)
    monkeypatch.setattr("runs.live.hub.PAGE", 30)
    run = await new_run(team, *(logs.text(str(i)) for i in range(100)))
    slow = batches(run.id, 0)
    assert [row.seq for row in await anext(slow)] == list(range(1, 31))
    await write(run, *(logs.text(str(i)) for i in range(100)))
    seen = 30
    async with asyncio.timeout(5):
        while seen < 200:
            rows = await anext(slow)
            assert [row.seq for row in rows] == list(range(seen + 1, rows[-1].seq + 1))
            seen = rows[-1].seq
    assert await collect(run, 95, 200) == list(range(96, 201))
    await slow.aclose()


async def test_silence_has_a_heartbeat(hub: Hub, team: Team) -> None:
    run = await new_run(team, logs.status("queued"))
    async with contextlib.aclosing(follow(run.id, 0, heartbeat=0.1)) as rows:
        assert [row and row.seq for row in [await anext(rows) for _ in range(3)]] == [1, None, None]


async def test_heartbeats_go_on_while_the_database_is_away(
    hub: Hub, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await new_run(team, logs.status("queued"))

    async def away(*args: object) -> list[Any]:
        raise OSError

    rows = hub.readers.rows
    monkeypatch.setattr(hub.readers, "rows", away)
    async with contextlib.aclosing(follow(run.id, 0, heartbeat=0.1)) as found:
        assert [await anext(found) for _ in range(3)] == [None, None, None]
        monkeypatch.setattr(hub.readers, "rows", rows)
        async with asyncio.timeout(3):
            while (row := await anext(found)) is None:
                pass
        assert row.seq == 1


async def test_the_team_is_poked_for_its_world_only(hub: Hub, team: Team, backends: Any) -> None:
    mine, other = pokes(f"{team.id}:test", heartbeat=0.5), pokes(f"{team.id}:live", heartbeat=0.5)
    assert [bool(await anext(mine)), bool(await anext(other))] == [True, True]
    assert await sync_to_async(wait_until)(lambda: bool(backends("listen")), 5)  # the first connect rings everybody
    for each in (mine, other):
        while await anext(each):  # until it is silent
            pass
    heard = [asyncio.create_task(anext(mine)), asyncio.create_task(anext(other))]  # type: ignore[arg-type]
    await new_run(team, logs.status("queued"))
    assert [found.get("team") for found in await asyncio.gather(*heard)] == [1, None]
    await mine.aclose()
    await other.aclose()
    assert hub.teams == {}


async def test_bells_with_nothing_to_tell_delay_no_heartbeat(hub: Hub, team: Team) -> None:
    async with contextlib.aclosing(pokes(f"{team.id}:test", 0.3)) as found:
        while await anext(found):
            pass  # what there was at first
        changes = hub.teams[f"{team.id}:test"]

        async def ring() -> None:
            while True:
                changes.ring()
                await asyncio.sleep(0.05)

        ringing = asyncio.create_task(ring())
        async with asyncio.timeout(3):
            assert await anext(found) == {}
        ringing.cancel()


async def test_the_seats_of_another_process_count(hub: Hub, team: Team, backends: Any) -> None:
    elsewhere = StreamLimits()
    theirs = [await elsewhere.take("key_1", 3) for _ in range(2)]
    mine = await StreamLimits.here().take("key_1", 3)
    for limits in (elsewhere, StreamLimits.here()):
        with pytest.raises(RateLimited):
            await limits.take("key_1", 3)
    await elsewhere.close()  # the process dies, and the server notices
    assert await sync_to_async(wait_until)(lambda: len(backends("streams")) == 1, 5)
    again = [await StreamLimits.here().take("key_1", 3) for _ in range(2)]
    with pytest.raises(RateLimited):
        await StreamLimits.here().take("key_1", 3)
    del theirs, mine, again
    await asyncio.sleep(0.1)
    assert StreamLimits.here().in_use == 0


async def test_seats_outlive_a_restart_of_the_database(hub: Hub, backends: Any) -> None:
    held = [await StreamLimits.here().take("key_1", 2)]
    await sync_to_async(terminate)(await sync_to_async(backends)("streams"))
    held.append(await StreamLimits.here().take("key_1", 2))
    elsewhere = StreamLimits()
    with pytest.raises(RateLimited):
        await elsewhere.take("key_1", 2)
    await elsewhere.close()
