"""P4 with models: two hundred runs whose model takes 200 ms over HTTP and remembers twenty pictures; on two worker processes.

Ideal is what the machine leaves: so many runs / 0.2 s, or, where that is more than two cores do, the time of a durable step (P3) and
of one call by a bare loop of the SDK with as many pictures, one after the other. Twenty pictures: measured once every run has
made so many steps, and before its conversation is begun anew.
"""

import asyncio
import time
from itertools import pairwise

from benchmarks.bench import Bench
from benchmarks.figures.p03_steps import WORKERS, cancel, product, start_runs, steps_per_second
from benchmarks.installation import until
from benchmarks.memory import rss_mb, tree
from benchmarks.models import bare
from benchmarks.models.serving import Models, models
from benchmarks.table import Mark, Row, ms, percentile
from machines.processes.sessions import simulated_machine
from runs.models import Run, RunEvent, Step

WIRE, LATENCY = "compatible", 0.2
RUNS, PICTURES = (200, 6), (20, 2)
SECONDS = (8.0, 1.0)
MB_EACH = 2.0


def measure(bench: Bench) -> list[Row]:
    count, seconds = bench.of(*RUNS), bench.of(*SECONDS)
    most = bench.known.get("P3 live") or product(bench, live=True, seconds=seconds / 2)
    with models(bench.here, "--delay", str(LATENCY)) as server:
        calls = asyncio.run(_bare(server, count, bench.of(*PICTURES), seconds))
        profile = server.profile(bench.scene.live, WIRE, concurrent=count)
        steps, more, late, lost = _runs(bench, profile, count, seconds)
    ideal = min(count / LATENCY, 1 / (1 / most + 1 / calls))
    return [_speed(count, steps, ideal, most, calls), _held(count, late, more, lost)]


async def _bare(server: Models, count: int, pictures: int, seconds: float) -> float:
    """Calls per second by as many bare loops in one process, each with so many pictures in its conversation."""
    session = simulated_machine().session
    png, over, done = (await session.screenshot()).png, asyncio.Event(), 0

    async def loop() -> None:
        nonlocal done
        async with bare.asking(WIRE, server.address) as asking:
            for _ in range(pictures):
                await asking.say(png)
            await ready.wait()
            while not over.is_set():
                await asking.say(png)
                done += 1

    ready = asyncio.Barrier(count + 1)
    tasks = [asyncio.create_task(loop()) for _ in range(count)]
    await ready.wait()
    first, begun = done, time.monotonic()
    await asyncio.sleep(seconds)
    rate = (done - first) / (time.monotonic() - begun)
    over.set()
    await asyncio.gather(*tasks)
    return rate


def _runs(bench: Bench, profile: str, count: int, seconds: float) -> tuple[float, float, float, int]:
    """(steps per second, MB that each run adds to the workers, p99 of lateness in seconds, leases that were lost)"""
    with bench.here.workers(WORKERS) as cluster:
        warm = start_runs(bench.scene, True, WORKERS * 2, bare.TASK, agent=profile)  # the SDK is imported
        until(lambda: not Run.objects.filter(id__in=warm, steps_completed__lt=2).exists(), 120, 0.2)
        cancel(bench.scene, True, warm)
        before = rss_mb(tree(cluster.pid))
        ids = start_runs(bench.scene, True, count, bare.TASK, agent=profile)
        until(lambda: not Run.objects.filter(id__in=ids, steps_completed__lt=bench.of(*PICTURES)).exists(), 300, 0.2)
        steps = steps_per_second(ids, seconds)
        more = (rss_mb(tree(cluster.pid)) - before) / count
    late = lateness(ids)
    lost = sum(epoch - 1 for epoch in Run.objects.filter(id__in=ids).values_list("lease_epoch", flat=True))
    ends = Run.objects.filter(id__in=ids).exclude(status="running").values_list("status", "error")
    if ends:
        raise RuntimeError(f"Not all runs go on: {list(ends[:3])}")
    return steps, more, late, lost + RunEvent.objects.filter(run_id__in=ids, data__error="interrupted").count()


def lateness(ids: list[str]) -> float:
    """From the outcome of a step to the intent of the next, less the model's time; p99 in seconds."""
    rows = (
        Step.objects.filter(run_id__in=ids)
        .order_by("run_id", "index")
        .values_list("run_id", "started_at", "finished_at")
    )
    pairs = pairwise(rows)
    gaps = [(b - end).total_seconds() - LATENCY for (one, _, end), (other, b, _) in pairs if one == other and end]
    return percentile(gaps, 99)


def _speed(count: int, steps: float, ideal: float, most: float, calls: float) -> Row:
    return Row(
        "P4",
        f"{count} model runs, {PICTURES[0]} pictures, model of 200 ms, {WORKERS} workers",
        f"{steps:.0f} steps/s",
        f"P3 {most:.0f}/s and bare SDK {calls:.0f}/s in turn: {ideal:.0f}/s",
        steps / ideal,
        "≥ 0.6",
        "≥ 0.95",
        (Mark(steps / ideal, 0.6, 0.95),),
        {"steps": steps, "limit": ideal, "p3": most, "bare_calls": calls},
    )


def _held(count: int, late: float, more: float, lost: int) -> Row:
    return Row(
        "P4",
        "model runs: leases lost; lateness p99; memory of each (RSS)",
        f"{lost}; {ms(late)} ms; {more:.2f} MB",
        "",
        None,
        "0; –; < 2 MB",
        "0; ≤ 100 ms; < 2 MB",
        (Mark(lost, 0, 0), Mark(late, float("inf"), 0.1), Mark(more, MB_EACH, MB_EACH)),
        {"lost": lost, "late_p99_ms": late * 1000, "mb_each": more, "runs": count},
    )
