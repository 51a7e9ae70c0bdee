"""Calls that wait at a real web process: killed, ended, its database killed, and a herd of callers at once."""

import asyncio
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from benchmarks.memory import threads
from config.own_processes import wait_until
from tests.live.test_outage import Site, running

pytestmark = [pytest.mark.slow, pytest.mark.chaos]
WAITERS = 200
HERD = 2000
TESTS = 4
SECONDS = 90
SEED = f"""
import json
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from tests.live import logs
team = logs.new_team()
batches = [[logs.new_request(team).id for _ in range({WAITERS})] for _ in range({TESTS})]
print(json.dumps({{"key": logs.new_key(team), "batches": batches}}))
"""
DECIDED = "SELECT count(*) FROM approvals_decision WHERE counts AND approval_id = ANY(%s) GROUP BY approval_id"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with pytest.MonkeyPatch.context() as environment:
        for name in ("RATE_LIMIT_PER_MINUTE", "WAITS_PER_REQUEST"):
            environment.setenv(name, "100000")
        with running(tmp_path_factory.mktemp("waits"), SEED) as site:
            yield site


@pytest.fixture
def site(place: Site) -> Site:
    """The one installation, with requests that no test before has touched."""
    place.seed["requests"] = place.seed["batches"].pop()
    if place.web.poll() is not None:
        place.restart_web()
    return place


@dataclass
class Answer:
    """What came over one connection until the server closed it; status 0: nothing did."""

    status: int = 0
    body: Any = None


async def call(site: Site, path: str, method: str = "GET", body: str = "") -> Answer:
    host, port = site.address.split(":")
    try:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"{method} /v1{path} HTTP/1.1\r\nHost: {site.address}\r\nX-API-Key: {site.seed['key']}\r\n"
            f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        head, _, content = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    except OSError:
        return Answer()
    return Answer(int(head[9:12] or 0), json.loads(content) if content else None)


async def patient(site: Site, path: str, method: str = "GET", body: str = "") -> Answer:
    """Comes again when the server has no thread to spare, as it says."""
    while (answer := await call(site, path, method, body)).status == 503:
        assert answer.body["error"]["reason_code"] == "overloaded"
        await asyncio.sleep(answer.body["error"]["retry_after"])
    return answer


def begin(site: Site) -> list[asyncio.Task[Answer]]:
    """One call waits for each request."""
    return [asyncio.create_task(call(site, f"/approvals/{each}?wait=60")) for each in site.seed["requests"]]


async def all_wait(site: Site) -> None:
    """As the counters of rates say; and each of them had its turn in a thread before this call."""

    def counted() -> bool:
        with psycopg.connect(site.url) as link:
            row = link.execute(
                "SELECT count(DISTINCT bucket) FROM accounts_ratewindow WHERE bucket = ANY(%s)", [site.seed["requests"]]
            ).fetchone()
        return row is not None and row[0] == WAITERS

    assert await asyncio.to_thread(wait_until, counted, SECONDS)
    assert (await patient(site, "/approvals?limit=1")).status == 200


async def decide_all(site: Site) -> None:
    for approval_id in site.seed["requests"]:
        answer = await patient(site, f"/approvals/{approval_id}/decide", "POST", '{"verdict": "approve"}')
        assert answer.status == 200, answer.body


def decisions(site: Site) -> Counter[int]:
    """How many requests have how many decisions."""
    with psycopg.connect(site.url) as link:
        return Counter(count for (count,) in link.execute(DECIDED, [site.seed["requests"]]).fetchall())


async def test_every_caller_is_answered_once_when_postgresql_is_killed(site: Site) -> None:
    calls = begin(site)
    await all_wait(site)
    site.kill_database()
    await asyncio.to_thread(threading.Event().wait, 1.0)
    site.server.start()  # by this thread: it ends with the one that began it
    assert not any(each.done() for each in calls), "an outage answers nobody"
    await decide_all(site)
    async with asyncio.timeout(SECONDS):
        answers = await asyncio.gather(*calls)
    assert Counter((each.status, each.body["status"]) for each in answers) == {(200, "approved"): WAITERS}
    assert [each.body["id"] for each in answers] == site.seed["requests"]
    assert decisions(site) == {1: WAITERS}


async def test_who_asks_again_after_a_killed_web_process_gets_the_decision(site: Site) -> None:
    calls = begin(site)
    await all_wait(site)
    await asyncio.to_thread(site.restart_web)
    async with asyncio.timeout(SECONDS):
        assert {each.status for each in await asyncio.gather(*calls)} == {0}, "cut off"
    again = begin(site)
    await decide_all(site)
    async with asyncio.timeout(SECONDS):
        answers = await asyncio.gather(*again)
    assert Counter((each.status, each.body["status"]) for each in answers) == {(200, "approved"): WAITERS}
    assert decisions(site) == {1: WAITERS}


async def test_a_process_that_is_told_to_end_answers_all_who_wait(site: Site) -> None:
    calls = begin(site)
    await all_wait(site)
    os.kill(site.web.pid, signal.SIGTERM)
    async with asyncio.timeout(SECONDS):
        answers = await asyncio.gather(*calls)
    assert Counter((each.status, each.body["status"]) for each in answers) == {(200, "pending"): WAITERS}
    await asyncio.to_thread(site.web.wait, 10)


async def test_a_herd_breaks_nothing(site: Site) -> None:
    """Ten times as many callers as there are requests, all at once; each ends the wait before it for the same request."""
    ids = site.seed["requests"]
    calls = [asyncio.create_task(patient(site, f"/approvals/{ids[n % len(ids)]}?wait=30")) for n in range(HERD)]
    await all_wait(site)
    with psycopg.connect(site.url) as link:
        row = link.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()").fetchone()
    assert row is not None
    assert row[0] < 16 + 8 + 4
    assert threads([site.web.pid]) < 16 + 12
    await decide_all(site)
    async with asyncio.timeout(SECONDS):
        answers = await asyncio.gather(*calls)
    assert {each.status for each in answers} == {200}
    assert decisions(site) == {1: WAITERS}
