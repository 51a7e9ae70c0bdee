"""P13: the queue with 10,000 open requests: its first byte; and a change of it at 200 open queue pages of one web process.

The page is asked for one time after the other, as one person does, beside the same page with few requests. A change is a run
that is cancelled: the pages hear by their sockets which request left the queue and how many are left.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from urllib.parse import urlsplit

from django.conf import settings
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from approvals.models import Approval
from benchmarks.bench import Bench
from benchmarks.figures.p01_decide import park
from benchmarks.figures.p05_waiting import copy_waiting, wait_for_people
from benchmarks.figures.p06_live import Heard, arrival_delays, session
from benchmarks.table import Mark, Row, ms, spread
from runs.services import cancel_run

FEW, MANY = (25, 2), (10_000, 20)
ASKED = (200, 5)
PAGES, CHANGES = (200, 3), (10, 3)
KINDS = ("/", "/?sort=oldest", "/?who=free", "/?kind=approval")


def measure(bench: Bench) -> list[Row]:
    park(bench)
    with bench.here.workers(1):
        held = wait_for_people(bench, bench.of(*FEW))
    cookie = session(bench)
    with bench.here.web() as address:
        few = asyncio.run(first_bytes(address, cookie, bench.of(*ASKED)))
        many = copy_waiting(bench.here.url, held, bench.of(*MANY))
        full = asyncio.run(first_bytes(address, cookie, bench.of(*ASKED)))
        changes = asyncio.run(
            arrival_delays(
                partial(_page, address, cookie), partial(_cancel, bench), bench.of(*PAGES), bench.of(*CHANGES)
            )
        )
    return [_first_byte(full, few, many), _changes(changes, bench.of(*PAGES))]


def _first_byte(full: list[float], few: list[float], many: int) -> Row:
    (p50, p99), (least, worst) = spread(full), spread(few)
    return Row(
        "P13",
        f"queue page with {many} open requests, first byte, p50 / p99",
        f"{ms(p50)} / {ms(p99)} ms",
        f"with few {ms(least)} / {ms(worst)} ms",
        p50 / least,
        "p99 < 150 ms",
        "< 75 ms",
        (Mark(p99, 0.150, 0.075),),
        {"p50_ms": p50 * 1000, "p99_ms": p99 * 1000, "few_p50_ms": least * 1000, "few_p99_ms": worst * 1000},
    )


def _changes(delays: list[float], pages: int) -> Row:
    p50, p99 = spread(delays)
    return Row(
        "P13",
        f"change of the queue → {pages} open pages, p50 / p99",
        f"{ms(p50)} / {ms(p99)} ms",
        "",
        None,
        "p99 ≤ 1 s",
        "≤ 250 ms",
        (Mark(p99, 1.0, 0.25),),
        {"samples": len(delays), "p50_ms": p50 * 1000, "p99_ms": p99 * 1000},
    )


async def first_bytes(address: str, cookie: str, count: int, pages: Sequence[str] = KINDS) -> list[float]:
    """Seconds until the first byte of the page, one call after the other over one kept connection."""
    place = urlsplit(address)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    taken = []
    for n in range(count + 3):
        head = f"GET {pages[n % len(pages)]} HTTP/1.1\r\nHost: {place.netloc}\r\n"
        begun = time.perf_counter()
        writer.write(f"{head}Cookie: {settings.SESSION_COOKIE_NAME}={cookie}\r\n\r\n".encode())
        first = await reader.readexactly(1)
        taken.append(time.perf_counter() - begun)
        headers = (first + await reader.readuntil(b"\r\n\r\n")).lower()
        if b" 200 " not in headers.split(b"\r\n")[0]:
            raise RuntimeError(f"The page answered {headers[:40]!r}")
        await reader.readexactly(int(headers.split(b"content-length:")[1].split(b"\r\n")[0]))
    writer.close()
    return taken[3:]  # the first ones warm up


def _cancel(bench: Bench) -> tuple[float, int]:
    """Cancel a run that waits: when, and how many requests are left."""
    waiting = Approval.objects.filter(team=bench.scene.team, status="pending")
    run_id = waiting.values_list("run_id", flat=True)[0]
    begun = time.perf_counter()
    cancel_run(bench.scene.test, run_id)
    return begun, waiting.count()


async def _page(address: str, cookie: str, heard: Heard) -> None:
    """The socket of one open queue page; it hears how many requests are left."""
    headers = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={cookie}"}
    url = f"{address.replace('http', 'ws')}/ws/team"
    async with connect(url, additional_headers=headers, origin=address, open_timeout=60) as socket:  # type: ignore[arg-type]
        with suppress(ConnectionClosed):
            async for message in socket:
                said = json.loads(message)
                if "queue" in said:
                    heard(said["queue"].get("waiting", 0))
