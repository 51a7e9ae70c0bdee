"""P6: from the commit of an event to its arrival at 500 SSE clients, and at 500 websocket clients, of one web process.

All follow one run, which is the hardest: one commit wakes all of them. The clock starts before the commit is sent.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from importlib import import_module
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.db import transaction
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from accounts.models import Membership
from benchmarks.bench import Bench
from benchmarks.limits import round_trips
from benchmarks.load import request
from benchmarks.scene import start_run
from benchmarks.table import Mark, Row, ms, spread
from runs.log import record
from runs.models import Run

CLIENTS, EVENTS = (500, 5), (20, 3)
PAUSE = 0.5  # seconds between two events
PATIENCE = 20.0  # seconds until an event has come to everybody
AT_ONCE = 25  # clients that connect at the same time
Heard = Callable[[int], None]
Client = Callable[[Heard], Coroutine[None, None, None]]


class Arrivals:
    """When each seq came to the clients."""

    def __init__(self) -> None:
        self.at: dict[int, list[float]] = {}

    def heard(self, seq: int) -> None:
        self.at.setdefault(seq, []).append(time.perf_counter())


def measure(bench: Bench) -> list[Row]:
    trips = round_trips(bench.here.url, bench.of(200, 10))
    rows = []
    clients = (("SSE", partial(_streams, bench.scene.test_key)), ("websocket", partial(_sockets, session(bench))))
    for name, client in clients:
        run_id = start_run(bench.scene.test, "[steps:1]")
        with bench.here.web() as address:
            follow, commit = partial(client, address, run_id), partial(_commit, run_id)
            delays = asyncio.run(arrival_delays(follow, commit, bench.of(*CLIENTS), bench.of(*EVENTS)))
        rows.append(_row(bench, name, delays, trips))
    return rows


def _row(bench: Bench, name: str, delays: list[float], trips: list[float]) -> Row:
    (p50, p99), trip = spread(delays), spread(trips)
    return Row(
        "P6",
        f"commit → received by {bench.of(*CLIENTS)} {name} clients, p50 / p99",
        f"{ms(p50)} / {ms(p99)} ms",
        f"NOTIFY {ms(trip[0])} / {ms(trip[1])} ms",
        p99 / trip[1],
        "p99 ≤ 250 ms",
        "≤ 50 ms",
        (Mark(p99, 0.250, 0.050),),
        {"samples": len(delays), "p50_ms": p50 * 1000, "p99_ms": p99 * 1000, "notify_p99_ms": trip[1] * 1000},
    )


async def arrival_delays(
    client: Client, commit: Callable[[], tuple[float, int]], count: int, events: int
) -> list[float]:
    """Seconds from each commit to each client; `commit` gives when it was sent and the number that the clients hear."""
    arrivals = Arrivals()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(_all(count, client, arrivals))
        delays: list[float] = []
        for _ in range(events):
            begun, seq = await asyncio.to_thread(commit)
            async with asyncio.timeout(PATIENCE):
                while len(arrivals.at.get(seq, ())) < count:  # noqa: ASYNC110  a wake-up per arrival would cost more
                    await asyncio.sleep(0.02)
            delays += [at - begun for at in arrivals.at[seq]]
            await asyncio.sleep(PAUSE)
    return delays[count:]  # the first event warms up


def _commit(run_id: str) -> tuple[float, int]:
    with transaction.atomic():
        run = Run.objects.select_for_update().get(id=run_id)
        record(run, ("text", {"text": "Something happened."}))
        return time.perf_counter(), run.next_seq - 1


@asynccontextmanager
async def _all(count: int, client: Client, arrivals: Arrivals) -> AsyncIterator[None]:
    """So many clients, all of them following the run."""
    gate, ready = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(0)

    async def one() -> None:
        def heard(seq: int) -> None:
            if seq:
                arrivals.heard(seq)
            if not is_ready.done():
                is_ready.set_result(None)

        is_ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        async with gate:
            task = asyncio.create_task(client(heard))
            tasks.append(task)
            await asyncio.wait([is_ready, task], return_when=asyncio.FIRST_COMPLETED)
        ready.release()

    tasks: list[asyncio.Task[None]] = []
    try:
        async with asyncio.timeout(90):
            await asyncio.gather(*(one() for _ in range(count)))
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _streams(key: str, address: str, run_id: str, heard: Heard) -> None:
    """One SSE client."""
    place = urlsplit(address)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        writer.write(request(address, "GET", f"/v1/runs/{run_id}/events", key))
        async for line in reader:
            if line.startswith(b"id: "):
                heard(int(line[4:]))
    finally:
        writer.close()


async def _sockets(session: str, address: str, run_id: str, heard: Heard) -> None:
    """One websocket client, signed in."""
    cookie = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={session}"}
    url = f"{address.replace('http', 'ws')}/ws/runs/{run_id}?after=1"
    async with connect(url, additional_headers=cookie, origin=address, open_timeout=60) as socket:  # type: ignore[arg-type]
        with suppress(ConnectionClosed):
            async for message in socket:
                heard(_seq(message))


def _seq(message: str | bytes) -> int:
    said = json.loads(message)
    return 0 if "hello" in said else int(said.get("seq", 0))


def session(bench: Bench) -> str:
    """The key of a session in which the team's owner is signed in and looks at the test world."""
    owner = Membership.objects.filter(team=bench.scene.team).select_related("user").latest("id").user
    store = import_module(settings.SESSION_ENGINE).SessionStore()
    store.update({SESSION_KEY: owner.pk, BACKEND_SESSION_KEY: settings.AUTHENTICATION_BACKENDS[1]})
    store.update({HASH_SESSION_KEY: owner.get_session_auth_hash(), "mode": "test"})
    store.create()
    return str(store.session_key)
