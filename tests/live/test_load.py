"""Bad days of a web process, for real: slow calls, more calls than threads, locks that are held, connections that died."""

import re
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from django.db import connection, transaction

from accounts.models import ApiKey, Team
from config.own_processes import wait_until
from runs.models import Run
from tests.cast import Cast
from tests.live import logs
from tests.live.test_web_process import drop_everybody
from tests.live.web_process import Web, process_behind
from tests.runs.driving import simulated

pytestmark = pytest.mark.slow
MANY = 60  # more than there are threads for requests


@pytest.fixture(autouse=True)
def _few_of_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the processes that a test starts."""
    for name, value in {
        "REQUEST_THREADS": "4", "SLOW_THREADS": "6", "SLOW_CALLS_PER_KEY": "4", "LOCK_SECONDS": "20", "STREAMS_PER_KEY": "90",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)


@pytest.fixture
def many() -> Iterator[httpx.Client]:
    limits = httpx.Limits(max_connections=None)
    with httpx.Client(timeout=60, limits=limits) as client:
        yield client


def threads_of(address: str) -> int:
    status = Path(f"/proc/{process_behind(address)}/status").read_text()
    return int(re.search(r"Threads:\s+(\d+)", status)[1])  # type: ignore[index]


def connections_of(address: str) -> int:
    """Of the database this test has, apart from ours."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_stat_clear_snapshot(); "
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        cursor.nextset()
        return int(cursor.fetchone()[0])


def waiting_for_locks() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_stat_clear_snapshot(); "  # else a transaction is shown again what it saw first
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        cursor.nextset()
        return int(cursor.fetchone()[0])


def test_slow_calls_of_one_key_take_nothing_from_others(web: Web, cast: Cast, many: httpx.Client) -> None:
    """As many as the key may have are at work, the rest is told to come again; meanwhile others are answered."""
    api, address = cast.api(test=True), web()
    machine = simulated(api)
    other = {"X-API-Key": logs.new_key(Team.objects.get(id=cast.team.id))}
    body = {"command": "wait", "parameters": {"ms": 4000}}
    with ThreadPoolExecutor(30) as threads:
        url, mine = f"{address}/v1/machines/{machine}/actions", {"X-API-Key": api.key}
        slow = [threads.submit(many.post, url, json=body, headers=mine) for _ in range(30)]
        assert wait_until(lambda: sum(each.done() for each in slow) == 26, 20)
        refused = [each.result() for each in slow if each.done()]
        assert {answer.status_code for answer in refused} == {429}
        error = refused[0].json()["error"]
        assert (error["code"], error["reason_code"]) == ("RATE_LIMITED", "slow_calls")
        assert {answer.headers["retry-after"] for answer in refused} == {str(error["retry_after"])}
        assert refused[0].headers["x-request-id"] == error["request_id"]
        assert many.get(f"{address}/v1/runs", headers=other).status_code == 200
        assert many.get(f"{address}/healthz").json() == {"status": "ok"}
        at_work = {"command": "wait", "parameters": {"ms": 1}}
        assert many.post(url, json=at_work, headers=other).status_code == 200  # its own share of the slow threads
        assert sum(not each.done() for each in slow) == 4, "all of it happened while the slow calls were at work"
        assert Counter(each.result().status_code for each in slow) == {200: 4, 429: 26}
    assert many.post(url, json=at_work, headers=mine).status_code == 200


def test_calls_beyond_the_threads_wait_and_the_health_is_known(
    web: Web,
    many: httpx.Client,
    team: Team,
    key: str,
) -> None:
    """Every call that reads its key stands still; the process has no more threads and connections than it may."""
    address, mine = web(), {"X-API-Key": key}
    with ThreadPoolExecutor(MANY) as threads:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {ApiKey._meta.db_table} IN ACCESS EXCLUSIVE MODE")
            calls = [threads.submit(many.get, f"{address}/v1/runs", headers=mine) for _ in range(MANY)]
            assert wait_until(lambda: waiting_for_locks() >= 2, 30)
            assert many.get(f"{address}/healthz").json() == {"status": "ok"}
            head = many.get(f"{address}/v1/health")
            assert (head.status_code, head.json()) == (200, {"status": "ok"})
            assert head.headers["x-request-id"].startswith("req_")
            assert many.head(f"{address}/healthz").content == b""
            assert threads_of(address) < 4 + 6 + 12
            assert connections_of(address) < 4 + 6 + 8
            assert not any(call.done() for call in calls)
        assert {call.result().status_code for call in calls} == {200}


def test_no_caller_has_all_threads(web: Web, many: httpx.Client, team: Team, key: str) -> None:
    """Calls of one key stand still at a lock; those of another key are answered meanwhile."""
    address, mine, other = web(), {"X-API-Key": key}, {"X-API-Key": logs.new_key(team)}
    run = logs.new_run(team, logs.status("queued"))
    with ThreadPoolExecutor(MANY) as threads:
        with transaction.atomic():
            Run.objects.select_for_update().get(id=run.id)
            calls = [threads.submit(many.post, f"{address}/v1/runs/{run.id}/cancel", headers=mine) for _ in range(20)]
            assert wait_until(lambda: waiting_for_locks() >= 2, 30)
            assert many.get(f"{address}/v1/runs", headers=other).status_code == 200
            assert not any(call.done() for call in calls)
        assert {call.result().status_code for call in calls} <= {200, 409}


def test_what_is_locked_for_too_long_is_said_and_nothing_is_changed(
    web: Web,
    many: httpx.Client,
    team: Team,
    key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOCK_SECONDS", "0.5")
    address = web()
    run = logs.new_run(team, logs.status("queued"))
    with transaction.atomic():
        Run.objects.select_for_update().get(id=run.id)
        answer = many.post(f"{address}/v1/runs/{run.id}/cancel", headers={"X-API-Key": key})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["reason_code"]) == (503, "UPSTREAM_UNAVAILABLE", "locked")
    assert answer.headers["retry-after"] == str(error["retry_after"])
    run.refresh_from_db()
    assert run.status == "queued"
    assert many.post(f"{address}/v1/runs/{run.id}/cancel", headers={"X-API-Key": key}).status_code == 200


def test_connections_that_died_are_noticed_before_they_are_used(
    web: Web,
    many: httpx.Client,
    key: str,
) -> None:
    """As after a restart of the database: none of the calls after it is answered with an error."""
    address, mine = web(), {"X-API-Key": key}
    with ThreadPoolExecutor(12) as threads:
        for _ in range(3):
            meet = threading.Barrier(12)

            def call(meet: threading.Barrier = meet) -> int:
                meet.wait(10)
                return many.get(f"{address}/v1/runs", headers=mine).status_code

            assert {each.result() for each in [threads.submit(call) for _ in range(12)]} == {200}
            drop_everybody()
            answers = [
                threads.submit(many.post, f"{address}/v1/runs", json={"task": "x"}, headers=mine) for _ in range(12)
            ]
            assert {each.result().status_code for each in answers} == {200}


def test_a_call_that_waits_for_another_with_its_key_is_no_hindrance(
    web: Web,
    many: httpx.Client,
    team: Team,
    key: str,
) -> None:
    """Calls with one Idempotency-Key wait for the first where slow calls wait; other calls of the same key go on."""
    address, mine = web(), {"X-API-Key": key}
    run = logs.new_run(team, logs.status("queued"))
    with ThreadPoolExecutor(MANY) as threads:
        with transaction.atomic():
            Run.objects.select_for_update().get(id=run.id)
            url, once = f"{address}/v1/runs/{run.id}/cancel", mine | {"Idempotency-Key": "again"}
            calls = [threads.submit(many.post, url, headers=once) for _ in range(4)]
            assert wait_until(lambda: waiting_for_locks() >= 4, 30)
            assert many.get(f"{address}/v1/runs", headers=mine).status_code == 200
        answers = [call.result() for call in calls]
    assert {answer.status_code for answer in answers} == {200}
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 3
