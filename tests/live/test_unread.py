"""Callers who ask for much and read nothing: what waits for them does not fill the memory, and not for ever."""

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from django.db import connection

from accounts.models import Team
from config.own_processes import wait_until
from runs.models import Run
from tests.cast import Cast
from tests.live import logs
from tests.live.test_web_process import events_of, opening
from tests.live.web_process import Web, process_behind

pytestmark = pytest.mark.slow
MIB = 2**20
BYTES = 20_000  # of one event


def memory(address: str, which: str) -> int:
    """VmRSS is what the process uses now, VmHWM the most it has used."""
    found = re.search(rf"{which}:\s+(\d+) kB", Path(f"/proc/{process_behind(address)}/status").read_text())
    assert found
    return int(found[1]) * 1024


def long_run(team: Team, count: int) -> Run:
    run = logs.new_run(team, logs.status("queued"))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO runs_runevent (run_id, seq, type, data, created_at) SELECT %s, n, 'text',"
            " jsonb_build_object('text', repeat(md5(n::text), %s)), now() FROM generate_series(2, %s) AS n",
            [run.id, BYTES // 32, count],
        )
    Run.objects.filter(id=run.id).update(next_seq=count + 1)
    return run


@contextmanager
def unread(
    address: str, path: str, count: int, headers: dict[str, str], *, in_turn: bool = False
) -> Iterator[list[socket.socket]]:
    """So many connections that asked for the path and take what the kernel takes for them; `in_turn`: each asks when the one before
    has been answered."""
    place = urlsplit(address)
    lines = [f"GET {path} HTTP/1.1", f"Host: {place.netloc}", *(f"{name}: {value}" for name, value in headers.items())]
    words = "\r\n".join([*lines, "", ""]).encode()
    with ExitStack() as stack:
        links = []
        for _ in range(count):
            link = stack.enter_context(socket.socket())
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            link.connect((str(place.hostname), place.port or 0))
            link.sendall(words)
            links.append(link)
            if in_turn:
                assert link.recv(1) == b"H"
        yield links


def torn(link: socket.socket) -> bool:
    """The server has given the connection up; what the kernel had taken can still be read."""
    link.settimeout(0.2)
    try:
        while link.recv(MIB):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


def test_streams_that_nobody_reads_do_not_fill_the_memory(
    web: Web,
    client: httpx.Client,
    team: Team,
    key: str,
) -> None:
    count, address = 3000, web()  # 60 MB of events
    run = long_run(team, count)
    before = memory(address, "VmHWM")
    with (
        unread(address, f"/v1/runs/{run.id}/events", 6, {"X-API-Key": key}),
        client.stream("GET", events_of(address, run), timeout=60) as response,
    ):
        lines = (line for line in response.iter_lines() if line.startswith("id: "))
        seqs = [int(line[4:]) for line in islice(lines, count)]
        assert seqs == list(range(1, count + 1))  # whoever reads gets everything, and once
    assert memory(address, "VmHWM") - before < 100 * MIB


def test_downloads_that_nobody_reads_do_not_fill_the_memory(web: Web, cast: Cast) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts_auditentry (team_id, test, actor, verb, subject, data, at) SELECT %s, true,"
            """ '{"type": "system", "id": "system", "name": "x"}', 'machine.action', 'mch_' || n,"""
            " jsonb_build_object('more', repeat(md5(n::text), 100)), now() FROM generate_series(1, 8000) AS n",
            [cast.team.id],
        )  # 26 MB as a file
    address = web()
    browser = cast.browser("olga", mode="test")
    cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in browser.cookies.items())
    with httpx.Client(headers={"Cookie": cookie}, timeout=60) as client:
        whole = client.get(f"{address}/audit/export.csv")
        assert len(whole.content) > 25 * MIB
        before = memory(address, "VmHWM")
        with unread(address, "/audit/export.csv", 8, {"Cookie": cookie}):
            assert len(client.get(f"{address}/audit/export.csv").content) == len(whole.content)
    assert memory(address, "VmHWM") - before < 80 * MIB


def test_answers_that_nobody_reads_do_not_fill_the_memory(web: Web, team: Team, key: str) -> None:
    """Each of them is small enough to be made in one piece."""
    address = web()
    run = long_run(team, 201)
    path, headers = f"/v1/runs/{run.id}/events?format=json&limit=200", {"X-API-Key": key}
    assert len(httpx.get(f"{address}{path}", headers=headers).content) > 3.5 * MIB
    before = memory(address, "VmHWM")
    with unread(address, path, 120, headers, in_turn=True) as links:  # 480 MB
        for _ in range(3):
            assert httpx.get(f"{address}{path}", headers=headers, timeout=60).status_code == 200
        assert wait_until(lambda: sum(map(torn, links[:80])) > 0, 60)  # the oldest make room for the newest
    assert memory(address, "VmHWM") - before < 200 * MIB


def places() -> int:
    """Streams that count for their callers, over all web processes."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return int(cursor.fetchone()[0])


def test_who_reads_nothing_for_long_is_given_up_and_frees_the_place(
    web: Web, client: httpx.Client, team: Team, key: str
) -> None:
    address = web()
    run = long_run(team, 1000)
    with unread(address, f"/v1/runs/{run.id}/events", 20, {"X-API-Key": key}) as links:
        assert wait_until(lambda: places() > 0, 20)
        assert wait_until(lambda: places() == 0, 40)
        assert all(map(torn, links))
    assert opening(client, events_of(address, run)) == 200


def test_a_slow_reader_is_no_dead_one(web: Web, team: Team, key: str) -> None:
    """Some bytes now and then are a sign of life, however long it takes in all."""
    address, count = web(), 20
    run = long_run(team, count)
    with unread(address, f"/v1/runs/{run.id}/events", 1, {"X-API-Key": key}) as (link,):
        received = b""
        while received.count(b"\nevent: ") < count:
            part = link.recv(65_536)
            assert part, "the server gave a reader up"
            received += part
            wait_until(lambda: False, 0.1)  # slowly
