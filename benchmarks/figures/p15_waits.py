"""P15: 2,000 calls that wait for a decision each, at one web process: what they cost, and how soon a decision answers its own.

The clock starts when the decision is sent to the API, so its commit is part of the figure.
"""

import asyncio
import json
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from approvals.models import Approval
from benchmarks.bench import Bench
from benchmarks.figures.p01_decide import park
from benchmarks.figures.p05_waiting import copy_waiting, wait_for_people
from benchmarks.limits import round_trips
from benchmarks.load import request
from benchmarks.memory import rss_mb, threads
from benchmarks.table import Mark, Row, ms, spread

HELD = (25, 2)
WAITS, DECISIONS = (2000, 4), (300, 2)
AT_ONCE = 25  # calls that are sent at the same time
WARM = 50  # calls before memory is looked at
IDLE_SECONDS = (5.0, 0.2)


@dataclass
class Waits:
    """The calls that wait at the web process behind `address`."""

    address: str
    key: str
    calls: dict[str, asyncio.Task[None]] = field(default_factory=dict)  # by the request that each waits for
    answered: dict[str, float] = field(default_factory=dict)  # when its decision had come

    async def wait(self, approval_id: str, sent: asyncio.Semaphore) -> None:
        place = urlsplit(self.address)
        async with sent:
            reader, writer = await asyncio.open_connection(place.hostname, place.port)
            writer.write(request(self.address, "GET", f"/v1/approvals/{approval_id}?wait=60", self.key))
            await writer.drain()
        answer = json.loads(await body(reader))
        if answer["status"] != "pending":
            self.answered[approval_id] = time.perf_counter()
        writer.close()


async def body(reader: asyncio.StreamReader) -> bytes:
    """Of an answer that is 200. Raises RuntimeError."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    content = await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise RuntimeError(f"{head[:40]!r} {content[:300]!r}")
    return content


@dataclass
class Costs:
    """Of the web process: memory in MB, and threads."""

    memory: float
    threads: int


def measure(bench: Bench) -> list[Row]:
    trips = round_trips(bench.here.url, bench.of(200, 10))
    park(bench)
    with bench.here.workers(1):
        held = wait_for_people(bench, bench.of(*HELD))
    copy_waiting(bench.here.url, held, bench.of(*WAITS))
    ids = list(Approval.objects.filter(status="pending", test=True).values_list("id", flat=True))
    with bench.here.web(WAITS_PER_MINUTE="1000000", WAITS_PER_REQUEST="1000000") as address:
        pid = bench.here.children[-1].pid
        before, after, delays = asyncio.run(_measure(bench, Waits(address, bench.scene.test_key), pid, ids))
    return [_speed(delays, len(ids), trips), _memory(before, after, len(ids))]


async def _measure(bench: Bench, waits: Waits, pid: int, ids: list[str]) -> tuple[Costs, Costs, list[float]]:
    await _warm_up(waits, ids[0])
    before, sent = _costs(pid), asyncio.Semaphore(AT_ONCE)
    waits.calls = {approval_id: asyncio.create_task(waits.wait(approval_id, sent)) for approval_id in ids}
    await _until_all_wait(waits, len(ids))
    await asyncio.sleep(bench.of(*IDLE_SECONDS))
    after = _costs(pid)
    delays = await _decide(waits, ids[: bench.of(*DECISIONS)])
    for call in waits.calls.values():
        call.cancel()
    await asyncio.gather(*waits.calls.values(), return_exceptions=True)
    return before, after, delays


def _costs(pid: int) -> Costs:
    return Costs(rss_mb([pid]), threads([pid]))


async def _warm_up(waits: Waits, approval_id: str) -> None:
    """The threads and their connections are there before the first wait begins."""
    plain = request(waits.address, "GET", f"/v1/approvals/{approval_id}", waits.key)
    await asyncio.gather(*(_call(waits.address, plain) for _ in range(WARM)))


async def _call(address: str, call: bytes) -> None:
    place = urlsplit(address)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(call)
    await body(reader)
    writer.close()


async def _until_all_wait(waits: Waits, count: int) -> None:
    """What the process was asked last it does last: a plain call that is answered came after all of them."""
    await asyncio.sleep(0.01 * count)
    await _warm_up(waits, "")


async def _decide(waits: Waits, ids: list[str]) -> list[float]:
    """Seconds from each decision to the answer of the call that waits for it."""
    place = urlsplit(waits.address)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    delays = []
    for approval_id in ids:
        call = request(
            waits.address, "POST", f"/v1/approvals/{approval_id}/decide", waits.key, b'{"verdict": "approve"}'
        )
        begun = time.perf_counter()
        writer.write(call)
        await body(reader)
        async with asyncio.timeout(10):
            await waits.calls[approval_id]
        delays.append(waits.answered[approval_id] - begun)
    writer.close()
    return delays


def _speed(delays: list[float], count: int, trips: list[float]) -> Row:
    (p50, p99), trip = spread(delays), spread(trips)
    return Row(
        "P15",
        f"decision → its call is answered, {count} calls wait, p50 / p99",
        f"{ms(p50)} / {ms(p99)} ms",
        f"NOTIFY {ms(trip[0])} / {ms(trip[1])} ms",
        p50 / trip[0],
        "20 / 60 ms",
        "10 / 30 ms",
        (Mark(p50, 0.020, 0.010), Mark(p99, 0.060, 0.030)),
        {"samples": len(delays), "p50_ms": p50 * 1000, "p99_ms": p99 * 1000, "notify_p50_ms": trip[0] * 1000},
    )


def _memory(before: Costs, after: Costs, count: int) -> Row:
    more, grown = after.memory - before.memory, after.threads - before.threads
    return Row(
        "P15",
        f"memory and threads of {count} calls that wait",
        f"{more:.0f} MB, {grown:+d} threads",
        f"without them {before.memory:.0f} MB, {before.threads} threads",
        None,
        "< 100 MB",
        "< 50 MB",
        (Mark(more, 100, 50), Mark(grown, 16, 1)),
        {"more_mb": more, "more_threads": grown, "before_mb": before.memory, "threads": before.threads},
    )
