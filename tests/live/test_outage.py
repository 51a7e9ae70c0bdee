"""kill -9 of a PostgreSQL of our own under a hundred open sockets: each is served again, or told by a code that it is over."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from config.own_processes import wait_until
from config.postgres.server import Postgres
from tests.live.web_process import ROOT, answers, free_port

pytestmark = [pytest.mark.slow, pytest.mark.chaos]
SOCKETS = 100
START_SECONDS = 90  # of a web process beside many others
OUTAGE = 3.0  # seconds: six heartbeats of these sockets fall into it
SEED = """
import json
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from tests.cast import make_cast
from tests.live import logs
cast = make_cast("acme")
run = logs.new_run(cast.team, logs.status("queued"))
cookies = {n: cast.browser(n, mode="test").cookies["sessionid"].value for n in ("alice", "bob")}
print(json.dumps({"run": run.id, "team": cast.team.id, "bob": cast.people["bob"].id, "cookies": cookies}))
"""
WRITE = """
WITH e AS (INSERT INTO runs_runevent (run_id, seq, type, data, created_at) VALUES (%(run)s, 2, 'text', '{"text": "a"}', now())),
u AS (UPDATE runs_run SET next_seq = 3 WHERE id = %(run)s)
SELECT pg_notify('run_events', %(run)s || ':2'), pg_notify('team_events', %(team)s || ':test')
"""


@dataclass
class Site:
    server: Postgres
    url: str
    address: str
    seed: dict[str, Any]
    web: subprocess.Popen[bytes]

    def restart_web(self) -> None:
        """kill -9, and another one at the same address."""
        self.web.kill()
        self.web.wait()
        self.web = start_web(int(self.address.rsplit(":", 1)[1]), os.environ | {"DATABASE_URL": self.url})
        assert wait_until(lambda: answers(f"http://{self.address}"), START_SECONDS)

    def kill_database(self) -> None:
        """Every process of it at once, so that nobody says goodbye."""
        assert self.server.process is not None
        parent = self.server.process.pid
        kin = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True, check=False).stdout.split()
        for pid in (parent, *map(int, kin)):
            os.kill(pid, signal.SIGKILL)
        self.server.process.wait()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with running(tmp_path, SEED) as site:
        yield site


@contextmanager
def running(tmp_path: Path, seed: str) -> Iterator[Site]:
    """A database of our own, with what the program `seed` puts into it and says, and a web process."""
    tmp_path.chmod(0o711)
    server = Postgres(tmp_path, fast=True)
    server.start()
    server.create_database("outage")
    url, port = server.url("outage"), free_port()
    env = os.environ | {"DATABASE_URL": url, "SOCKET_BEAT_SECONDS": "0.5"}
    made = subprocess.run([sys.executable, "-c", seed], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    site = Site(server, url, f"127.0.0.1:{port}", json.loads(made.stdout.splitlines()[-1]), start_web(port, env))
    try:
        assert wait_until(lambda: answers(f"http://{site.address}"), START_SECONDS)
        yield site
    finally:
        site.web.kill()
        site.web.wait()
        server.stop()


def start_web(port: int, env: dict[str, str]) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "daphne", "-v", "0", "-b", "127.0.0.1", "-p", str(port), "config.asgi:application"]
    return subprocess.Popen(words, cwd=ROOT, env=env | {"COUNTERSIGN_PROCESS": "web"})


@dataclass
class Page:
    """What came over one socket."""

    link: ClientConnection
    heard: list[dict[str, Any]] = field(default_factory=list)
    code: int | None = None

    async def listen(self) -> None:
        try:
            async for message in self.link:
                self.heard.append(json.loads(message))
        except ConnectionClosed:
            pass
        self.code = self.link.close_code


async def open_pages(site: Site, stack: AsyncExitStack, who: str, count: int) -> list[Page]:
    headers = {"Cookie": f"sessionid={site.seed['cookies'][who]}"}
    paths = (f"/ws/runs/{site.seed['run']}?after=1", "/ws/team")
    pages = []
    for number in range(count):
        address = f"ws://{site.address}{paths[number % 2]}"
        link = connect(address, additional_headers=headers, origin=f"http://{site.address}", open_timeout=20)  # type: ignore[arg-type]
        pages.append(Page(await stack.enter_async_context(link)))
    return pages


async def until(condition: Any, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  nothing rings for it
            await asyncio.sleep(0.05)


async def test_no_socket_falls_silent_when_postgresql_is_killed(site: Site) -> None:
    async with AsyncExitStack() as stack:
        pages = await open_pages(site, stack, "alice", SOCKETS)
        leavers = await open_pages(site, stack, "bob", 10)
        listening = [asyncio.create_task(page.listen()) for page in (*pages, *leavers)]
        await until(lambda: all(page.heard for page in (*pages, *leavers)), 20)
        site.kill_database()
        await asyncio.to_thread(threading.Event().wait, OUTAGE)
        await asyncio.to_thread(site.server.start)
        marks = [len(page.heard) for page in pages]
        with psycopg.connect(site.url) as writer:
            writer.execute("DELETE FROM accounts_membership WHERE user_id = %(bob)s", site.seed)
            writer.execute(WRITE, site.seed)

        def served(page: Page, mark: int) -> bool:
            """It heard of the new event, or it was told that it is over."""
            news = any(said.get("seq") == 2 or said.get("team") for said in page.heard[mark:])
            return news or (page.code is not None and 4000 <= page.code < 5000)

        await until(lambda: all(served(*each) for each in zip(pages, marks, strict=True)), 20)
        await until(lambda: all(page.code in (4401, 4503) for page in leavers), 20)
        assert not any(said.get("seq") == 2 for page in leavers for said in page.heard)
        again = await open_pages(site, stack, "alice", 2)
        listening += [asyncio.create_task(page.listen()) for page in again]
        await until(lambda: any(said.get("seq") == 2 for said in again[0].heard), 20)
        for page in (*pages, *leavers, *again):
            await page.link.close()
        await asyncio.gather(*listening)
