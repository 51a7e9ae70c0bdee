"""Real web processes, as they are started in production, with real connections."""

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from django.db import connection, transaction

from accounts.models import AuditEntry, Team
from config.own_processes import command_of, wait_until
from runs.models import Run
from tests.cast import Cast
from tests.live import logs
from tests.live.web_process import Web, answers, process_behind
from tests.runs.driving import simulated, waiting


def events_of(address: str, run: Run, query: str = "") -> str:
    return f"{address}/v1/runs/{run.id}/events{query}"


def ids(lines: Iterator[str]) -> list[int]:
    return [int(line[4:]) for line in lines if line.startswith("id: ")]


@pytest.mark.slow
def test_T_116_a_stream_opens_at_once_waits_and_ends(web: Web, client: httpx.Client, team: Team) -> None:
    run = logs.new_run(team, logs.status("queued"), logs.status("running"), *logs.opening())
    start = time.monotonic()
    with client.stream("GET", events_of(web(), run, "?after=4")) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["x-request-id"].startswith("req_")
        assert response.headers["x-test-mode"] == "true"
        lines = response.iter_lines()
        assert [next(lines) for _ in range(4)] == [": keepalive", ""] * 2
        logs.write(run, *logs.decision(), *logs.end())
        assert ids(lines) == [5, 6, 7, 8]
    assert time.monotonic() - start < 30


def most_memory(address: str) -> int:
    """What the process behind the address has used at most, in bytes."""
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process_behind(address)}/status").read_text())
    assert peak
    return int(peak[1]) * 1024


@pytest.mark.slow
def test_a_body_without_end_does_not_fill_the_memory(web: Web, client: httpx.Client) -> None:
    """Nobody has to be known to send one."""
    address, size = web(), 300_000_000
    httpx.post(f"{address}/v1/health", content=b"x")
    before = most_memory(address)
    chunk = b"x" * 1_000_000
    for headers in ({}, {"Content-Length": str(size)}):
        chunks = (chunk for _ in range(size // len(chunk)))
        answer = httpx.post(f"{address}/v1/runs", content=chunks, headers=headers, timeout=60)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "INVALID_API_KEY")
    assert most_memory(address) - before < 150_000_000
    answer = client.post(f"{address}/v1/runs", content=(chunk for _ in range(40)), timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")


@pytest.mark.slow
def test_T_117_a_decision_is_answered_while_the_same_client_streams(web: Web, cast: Cast) -> None:
    api = cast.api(test=True)
    run = Run.objects.get(id=waiting(api)["id"])
    address = web()
    with (
        httpx.Client(headers={"X-API-Key": api.key}, timeout=5) as client,
        client.stream("GET", events_of(address, run, f"?after={run.next_seq - 1}")) as response,
    ):
        lines = response.iter_lines()
        assert next(lines) == ": keepalive"
        decided = client.post(f"{address}/v1/runs/{run.id}/resume", json={})
        assert decided.status_code == 200
        assert decided.elapsed.total_seconds() < 4
        blocks = (line for line in lines if line.startswith("event: "))
        assert list(islice(blocks, 2)) == ["event: resumed", "event: status"]


@pytest.mark.slow
def test_T_117_other_calls_are_answered_while_many_streams_are_open(web: Web, client: httpx.Client, team: Team) -> None:
    """More streams than the web process has database connections."""
    address = web()
    run, other = logs.new_run(team, logs.status("queued")), logs.new_run(team, logs.status("queued"))
    keys = [logs.new_key(team) for _ in range(3)]
    with ExitStack() as streams:
        lines = [
            streams.enter_context(
                client.stream("GET", events_of(address, followed), headers={"X-API-Key": key})
            ).iter_lines()
            for key in keys
            for followed in [run, other] * 10
        ]
        assert {next(each) for each in lines} == {"id: 1"}
        assert opening(client, events_of(address, run), **{"X-API-Key": keys[0]}) == 429
        assert client.get(events_of(address, run, "?format=json")).json()["next_after"] == 1
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
            assert cursor.fetchone()[0] < 24
    assert wait_until(
        lambda: opening(client, events_of(address, run), **{"X-API-Key": keys[0]}) == 200, 5
    )  # leaving is noticed


def opening(client: httpx.Client, url: str, **headers: str) -> int:
    """The status that a stream opens with; then we leave."""
    with client.stream("GET", url, headers=headers) as response:
        return response.status_code


@pytest.mark.slow
def test_the_server_leaves_the_body_alone_whatever_its_type_says(web: Web, client: httpx.Client) -> None:
    address = web()
    for kind in ("multipart/form-data", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "x"):
        answer = client.post(f"{address}/v1/runs", content=b'{"task": "x"}', headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["task"]) == (200, "x"), kind


@pytest.mark.slow
def test_two_processes_send_the_same_bytes_and_count_seats_together(web: Web, client: httpx.Client, team: Team) -> None:
    addresses = [web(), web()]
    whole = logs.new_run(team, *logs.WHOLE)
    sent = {client.get(events_of(address, whole)).content for address in addresses}
    assert [content.count(b"\n\n") for content in sent] == [len(logs.WHOLE)]
    run = logs.new_run(team, logs.status("queued"))
    with ExitStack() as streams:
        for number in range(20):
            opened = client.stream("GET", events_of(addresses[number % 2], run))
            assert streams.enter_context(opened).status_code == 200
        assert [opening(client, events_of(address, run)) for address in addresses] == [429, 429]


@pytest.mark.slow
@pytest.mark.chaos
def test_a_database_that_drops_everybody_loses_nothing(web: Web, client: httpx.Client, team: Team) -> None:
    address = web()
    run = logs.new_run(team, logs.status("queued"))
    seen: list[list[int]] = []

    def read() -> None:
        with client.stream("GET", events_of(address, run)) as response:
            seen.append(ids(response.iter_lines()))

    readers = [threading.Thread(target=read) for _ in range(5)]
    for reader in readers:
        reader.start()
    for index in range(200):
        logs.write(run, logs.text(str(index)))
        if index in {60, 120, 121}:
            drop_everybody()
    logs.write(run, *logs.end())
    for reader in readers:
        reader.join(20)
    assert seen == [list(range(1, 204))] * 5


def drop_everybody() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@pytest.mark.slow
def test_a_process_that_is_told_to_end_answers_what_it_has_in_hand(web: Web, cast: Cast) -> None:
    """The machine does it in any case; without the answer the caller would not know."""
    api, address = cast.api(test=True), web()
    machine = simulated(api)
    body = {"command": "wait", "parameters": {"ms": 1500}}
    with httpx.Client(headers={"X-API-Key": api.key}, timeout=10) as client, ThreadPoolExecutor(3) as threads:
        calls = [threads.submit(client.post, f"{address}/v1/machines/{machine}/actions", json=body) for _ in range(3)]
        assert wait_until(lambda: AuditEntry.objects.filter(verb="machine.action").count() == 3, 10)
        os.kill(process_behind(address), signal.SIGTERM)
        assert [(call.result().status_code, call.result().json()["success"]) for call in calls] == [(200, True)] * 3
    assert wait_until(lambda: not answers(address), 10)


@pytest.mark.slow
@pytest.mark.parametrize("pause", [0.0, 0.01, 0.03])
def test_streams_that_open_while_the_process_ends_do_not_keep_it(web: Web, team: Team, key: str, pause: float) -> None:
    address = web()
    run, place = logs.new_run(team, logs.status("queued")), urlsplit(address)
    words = f"GET /v1/runs/{run.id}/events HTTP/1.1\r\nHost: {place.netloc}\r\nX-API-Key: {key}\r\n\r\n".encode()
    with ExitStack() as links:
        for _ in range(10):
            link = links.enter_context(socket.create_connection((str(place.hostname), place.port or 0)))
            link.sendall(words)
        threading.Event().wait(pause)  # how far they get is chance; whatever it is, the process ends
        pid = process_behind(address)
        os.kill(pid, signal.SIGTERM)
        assert wait_until(lambda: not command_of(pid) or gone(pid), 10)


def gone(pid: int) -> bool:
    """It has ended, and only waits for its parent to hear of it."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    return True


@pytest.mark.slow
def test_a_download_that_breaks_is_torn_and_costs_the_process_nothing(web: Web, cast: Cast) -> None:
    """Its statement waits for a lock when its connection is lost: the head of the file has been sent by then."""
    address, browser = web(), cast.browser("olga", mode="test")
    names = {name: morsel.value for name, morsel in browser.cookies.items()}
    with httpx.Client(cookies=names, timeout=5) as client, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE accounts_auditentry IN ACCESS EXCLUSIVE MODE")
        with client.stream("GET", f"{address}/audit/export.csv") as response:
            assert response.status_code == 200
            parts = response.iter_raw()
            assert next(parts).startswith(b"at,")
            assert wait_until(lambda: end_who_waits(cursor), 5)
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                next(parts)
    assert answers(address)


def end_who_waits(cursor: Any) -> bool:
    cursor.execute(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return bool(cursor.fetchone()[0])
