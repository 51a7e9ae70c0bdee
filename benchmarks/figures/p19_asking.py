"""P19: a program asks (POST /v1/approvals): when it is answered, and when the row stands in the queue page that a person has open.

The page is its socket and the page that it loads again when the socket says that the queue changed, as static/js/live.js does; what
a browser needs to draw it is not in the figure.
"""

import asyncio
import json
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import httpx
from django.conf import settings
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from benchmarks.bench import Bench
from benchmarks.figures.p06_live import Heard, arrival_delays, session
from benchmarks.limits import round_trips
from benchmarks.table import Mark, Row, ms, spread

ASKED = (100, 4)
_TITLE = re.compile("No\\. ([0-9]+) of a program")


@dataclass
class Program:
    """What asks; `taken`: seconds until each of its calls was answered."""

    calls: httpx.Client
    taken: list[float] = field(default_factory=list)

    def ask(self) -> tuple[float, int]:
        """When it was sent, and the number in its title."""
        number = len(self.taken) + 1
        body = {
            "kind": "approval",
            "title": f"No. {number} of a program",
            "external_id": str(number),
            "timeout_seconds": 86_400 - 60 * number,  # the newest is due first: it is on the first page
        }
        begun = time.perf_counter()
        self.calls.post("/v1/approvals", json=body).raise_for_status()
        self.taken.append(time.perf_counter() - begun)
        return begun, number


def measure(bench: Bench) -> list[Row]:
    trip = spread(round_trips(bench.here.url, bench.of(200, 10)))[0]
    cookie = session(bench)
    with (
        bench.here.web() as address,
        httpx.Client(base_url=address, headers={"X-API-Key": bench.scene.test_key}) as calls,
    ):
        program = Program(calls)
        shown = asyncio.run(arrival_delays(partial(_page, address, cookie), program.ask, 1, bench.of(*ASKED)))
    return [_row("is answered", program.taken[1:], trip), _row("stands in an open queue page", shown, trip)]


def _row(what: str, delays: list[float], trip: float) -> Row:
    p50, p99 = spread(delays)
    return Row(
        "P19",
        f"what a program asks {what}, p50 / p99",
        f"{ms(p50)} / {ms(p99)} ms",
        f"NOTIFY {ms(trip)} ms",
        p50 / trip,
        "p99 < 150 ms",
        "< 75 ms",
        (Mark(p99, 0.150, 0.075),),
        {"samples": len(delays), "p50_ms": p50 * 1000, "p99_ms": p99 * 1000},
    )


async def _page(address: str, cookie: str, heard: Heard) -> None:
    """One open queue page; it hears the number of the newest request that it shows, 0 for none."""
    headers = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={cookie}"}
    url = f"{address.replace('http', 'ws')}/ws/team"
    async with (
        httpx.AsyncClient(base_url=address, headers=headers) as page,
        connect(url, additional_headers=headers, origin=address, open_timeout=60) as socket,  # type: ignore[arg-type]
    ):
        with suppress(ConnectionClosed):
            async for message in socket:
                if "queue" in json.loads(message):
                    shown = (await page.get("/")).raise_for_status().text
                    heard(max(map(int, _TITLE.findall(shown)), default=0))
