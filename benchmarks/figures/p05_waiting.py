"""P5: a thousand runs that wait for people are rows: no process, no thread, no polling; and P1 beside them.

Idle: transactions per second of web, two workers and clock while nothing happens, with none and with a thousand waiting.

P2, as it costs little here: the same with ten thousand.
"""

import subprocess
import time
from functools import partial

import psycopg
from django.db import transaction
from django_q.models import OrmQ

from benchmarks.bench import Bench
from benchmarks.figures.p01_decide import decisions, marks, park, started
from benchmarks.installation import until
from benchmarks.memory import threads, tree
from benchmarks.scene import start_run
from benchmarks.table import Mark, Row, ms, spread
from config.clock import LOCK
from runs.models import Run

WAITING, MANY = (1000, 10), (10_000, 20)  # all, tiny
NAMES = frozenset({"id", "root_id", "run_id", "root_run_id"})
IDLE_SECONDS = (20.0, 1.0)
IDLE_FIRST, IDLE_GOAL = 5.0, 2.0  # transactions per second
SETTLE_SECONDS = (
    30.0,
    1.0,
)  # what the waits before left to do; and PostgreSQL counts what an idle connection did up to 10 s later
POOLS = 16  # threads by which the pools of the workers may still grow, however many runs there are


def measure(bench: Bench) -> list[Row]:
    park(bench)
    here, samples = bench.here, bench.of(60, 2)
    web = here.web()
    with here.workers(2) as cluster, web as address:
        clock = here.manage("clock")
        parents = [cluster, clock]
        until(partial(clock_ticks, here.url))
        quiet = costs(bench, parents)[2]
        wait_for_people(bench, bench.of(50, 5))  # the pools of threads are full from here on
        alone = started(decisions(bench, address, samples, parked=True))
        before = costs(bench, parents)
        held = wait_for_people(bench, bench.of(*WAITING))
        after = costs(bench, parents)
        beside = started(decisions(bench, address, samples, parked=True))
        timed = _idle_with_timeouts(bench, parents)
        many = copy_waiting(here.url, held, bench.of(*MANY))
        among = started(decisions(bench, address, samples, parked=True))
    idle = idle_row({"nothing": quiet, f"{held} waiting": after[2], f"{held} waiting, with timeouts": timed})
    held_ = held_row("P5", "waiting runs held", held, before, after)
    return [held_, idle, _p1(alone, beside, held), _p2(alone, among, many)]


def _idle_with_timeouts(bench: Bench, parents: list[subprocess.Popen[bytes]]) -> float:
    """The same while each of the requests expires some time within the next hours, after its reminders."""
    with psycopg.connect(bench.here.url) as link:
        link.execute(
            "UPDATE approvals_approval SET expires_at = now() + make_interval(hours => 2, mins => (random() * 600)::int),"
            " remind_at = now() + make_interval(hours => 1, mins => (random() * 60)::int) WHERE status = 'pending' AND test"
        )
    return costs(bench, parents)[2]


def idle_row(rates: dict[str, float]) -> Row:
    """Transactions per second while nothing happens, by what waits meanwhile; the most of them counts."""
    said = ", ".join(f"{rate:.1f} with {what}" for what, rate in rates.items())
    mark = Mark(max(rates.values()), IDLE_FIRST, IDLE_GOAL)
    marks_ = f"< {IDLE_FIRST:.0f}", f"< {IDLE_GOAL:.0f}"
    return Row("P5", "idle transactions per second", said, "", None, *marks_, (mark,), {"xacts": rates})


def held_row(figure: str, what: str, held: int, before: tuple[int, int, float], after: tuple[int, int, float]) -> Row:
    said = [
        f"{now - then:+d} {what}"
        for what, then, now in zip(("processes", "threads"), before[:2], after[:2], strict=True)
    ]
    idle = f"{after[2]:.0f} transactions/s (with none: {before[2]:.0f})"
    costless = after[0] <= before[0] and after[1] <= before[1] + POOLS and after[2] <= before[2] * 1.25 + 5
    return Row(
        figure,
        what,
        f"{held} runs, {', '.join(said)}",
        idle,
        None,
        "1000",
        "100000",
        (Mark(held if costless else 0, 1000, 100_000),),
        {
            "held": held,
            "processes": [before[0], after[0]],
            "threads": [before[1], after[1]],
            "xacts": [before[2], after[2]],
        },
    )


def _p1(alone: list[float], beside: list[float], held: int) -> Row:
    (p50, p99), (least, worst) = spread(beside), spread(alone)
    return Row(
        "P5",
        f"P1, parked, with {held} waiting runs, p50 / p99",
        f"{ms(p50)} / {ms(p99)} ms",
        f"with none {ms(least)} / {ms(worst)} ms",
        p50 / least,
        "20 / 80 ms",
        "5 / 15 ms",
        marks(p50, p99),
        {"p50_ms": p50 * 1000, "p99_ms": p99 * 1000, "alone_p50_ms": least * 1000, "alone_p99_ms": worst * 1000},
    )


def _p2(alone: list[float], among: list[float], held: int) -> Row:
    (p50, p99), (least, worst) = spread(among), spread(alone)
    return Row(
        "P2",
        f"P1, parked, with {held} waiting runs, p50 / p99",
        f"{ms(p50)} / {ms(p99)} ms",
        f"with none {ms(least)} / {ms(worst)} ms",
        p50 / least,
        "≤ 1.5x",
        "≤ 1.1x",
        (Mark(p50 / least, 1.5, 1.1),),
        {"p50_ms": p50 * 1000, "p99_ms": p99 * 1000},
    )


def wait_for_people(bench: Bench, count: int) -> int:
    """So many more test runs that the workers drove until they waited and then let go of; returns how many are held."""
    with transaction.atomic():
        for _ in range(count):
            start_run(bench.scene.test, "[pause] [steps:2]")
    mine = Run.objects.filter(test=True, finished_at__isnull=True)
    held = mine.filter(status="awaiting_human", lease_owner__isnull=True)  # by nobody: a worker that ends parks none
    until(lambda: held.count() == mine.count(), 300, 0.5)
    return held.count()


def clock_ticks(url: str) -> bool:
    with psycopg.connect(url) as link:
        return (
            link.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = %s", [LOCK]).fetchone()
            is not None
        )


def costs(bench: Bench, parents: list[subprocess.Popen[bytes]]) -> tuple[int, int, float]:
    """(processes, threads, transactions per second) of workers and clock while nothing happens."""
    seconds = bench.of(*IDLE_SECONDS)
    until(lambda: not OrmQ.objects.exists(), 120, 0.2)  # each new run left a task that only rings
    time.sleep(bench.of(*SETTLE_SECONDS))
    before, begun = _transactions(bench.here.url), time.monotonic()
    time.sleep(seconds)
    rate = (_transactions(bench.here.url) - before) / (time.monotonic() - begun)
    pids = [pid for parent in parents for pid in tree(parent.pid)]
    return len(pids), threads(pids), rate


def _transactions(url: str) -> int:
    with psycopg.connect(url) as link:
        found = link.execute("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()").fetchone()
    return int(found[0]) if found else 0


def copy_waiting(url: str, held: int, wanted: int) -> int:
    """Copies of waiting runs and their requests, until there are `wanted`; returns how many there are."""
    times = wanted // held - 1
    with psycopg.connect(url) as link:
        for table, waits in (("runs_run", "awaiting_human"), ("approvals_approval", "pending")):
            names = _columns(link, table)
            copied = [f"a.{name} || '_' || n" if name.strip('"') in NAMES else f"a.{name}" for name in names]
            link.execute(
                f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(copied)}"
                f" FROM {table} a, generate_series(1, %s::int) n WHERE a.status = %s AND a.test",
                [times, waits],
            )
        link.execute("ANALYZE runs_run")
    return held * (times + 1)


def _columns(link: psycopg.Connection[tuple[str]], table: str) -> list[str]:
    query = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
    return [f'"{row[0]}"' for row in link.execute(query, [table])]
