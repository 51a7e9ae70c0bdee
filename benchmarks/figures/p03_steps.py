"""P3: durable steps per second, simulated machines, zero-latency agent, all workers; beside bare commits of its rows.

Live runs: each step holds its price and captures it. Three pairs of product and bare, in turn; the median pair.
"""

import threading
import time
from typing import Any

import psycopg
from django.db import transaction
from django.db.models import Sum

from benchmarks.bench import Bench
from benchmarks.installation import until
from benchmarks.scene import Scene, start_run
from benchmarks.table import Mark, Row
from runs.models import Run
from runs.services import cancel_run

RUNS, STEPS = 48, 400
WORKERS, THREADS = 2, 4  # connections: one for each thread of each worker
SECONDS = (4.0, 1.0)


def measure(bench: Bench) -> list[Row]:
    rows = [_row(bench, live=True)]
    return rows if bench.tiny else [*rows, _row(bench, live=False)]


def _row(bench: Bench, *, live: bool) -> Row:
    rounds = [_pair(bench, live) for _ in range(bench.of(3 if live else 1, 1))]
    steps, bare = sorted(rounds, key=lambda pair: pair[0] / pair[1])[len(rounds) // 2]
    world = "live" if live else "test"
    bench.known[f"P3 {world}"] = max(pair[0] for pair in rounds)
    return Row(
        "P3",
        f"durable steps per second, {world} runs, {WORKERS} workers",
        f"{steps:.0f} /s",
        f"bare commits {bare:.0f} /s",
        steps / bare,
        "≥ 0.3",
        "≥ 0.7",
        (Mark(steps / bare, 0.3, 0.7),),
        {"steps": steps, "bare": bare, "rounds": rounds},
    )


def _pair(bench: Bench, live: bool) -> tuple[float, float]:
    """(steps, bare steps) per second"""
    seconds = bench.of(*SECONDS)
    steps = product(bench, live, seconds)
    return steps, commits(bench.here.url, WORKERS * THREADS, live, seconds)


def product(bench: Bench, live: bool, seconds: float) -> float:
    """Steps per second over a time, once every run has made its first."""
    ids = start_runs(bench.scene, live, RUNS, f"[steps:{STEPS}]")
    mine = Run.objects.filter(id__in=ids)
    with bench.here.workers(WORKERS, RUN_LOOP_THREADS=str(THREADS)):
        until(lambda: not mine.filter(steps_completed=0).exists())
        rate = steps_per_second(ids, seconds)
    cancel(bench.scene, live, ids)
    return rate


def start_runs(scene: Scene, live: bool, count: int, task: str, **more: Any) -> list[str]:
    """Queued runs that appear all at once."""
    with transaction.atomic():
        return [start_run(scene.live if live else scene.test, task, **more) for _ in range(count)]


def cancel(scene: Scene, live: bool, ids: list[str]) -> None:
    with transaction.atomic():
        for run_id in Run.objects.filter(id__in=ids, finished_at__isnull=True).values_list("id", flat=True):
            cancel_run(scene.live if live else scene.test, run_id)


def steps_per_second(ids: list[str], seconds: float) -> float:
    """How fast these runs move on; they must have enough to do."""

    def done() -> int:
        return Run.objects.filter(id__in=ids).aggregate(n=Sum("steps_completed"))["n"] or 0

    first, begun = done(), time.monotonic()
    time.sleep(seconds)
    return (done() - first) / (time.monotonic() - begun)


# The rows that one step of the product writes, in its two commits, and nothing else.
_INTENT = """
WITH e AS (INSERT INTO runs_runevent (run_id, seq, type, data, created_at)
  SELECT %(run)s, %(seq)s + i, 'tool_call', %(data)s, now() FROM generate_series(0, 1) i),
p AS (INSERT INTO runs_screenshot (run_id, index, step, phase, sha256, width, height, taken_at)
  VALUES (%(run)s, %(step)s * 2, %(step)s, 'before', repeat('a', 64), 1280, 800, now())),
r AS (UPDATE runs_run SET next_seq = next_seq + 2 WHERE id = %(run)s)
INSERT INTO runs_step (run_id, index, status, call_id, action, text, skipped, cost_cents, inbox, started_at)
VALUES (%(run)s, %(step)s, 'acting', %(call)s, %(data)s, '', false, 0, '[]', now())
"""
_OUTCOME = """
WITH e AS (INSERT INTO runs_runevent (run_id, seq, type, data, created_at)
  SELECT %(run)s, %(seq)s + 2 + i, 'tool_call', %(data)s, now() FROM generate_series(0, 3) i),
p AS (INSERT INTO runs_screenshot (run_id, index, step, phase, sha256, width, height, taken_at)
  VALUES (%(run)s, %(step)s * 2 + 1, %(step)s, 'after', repeat('a', 64), 1280, 800, now())),
r AS (UPDATE runs_run SET next_seq = next_seq + 4, steps_completed = steps_completed + 1 WHERE id = %(run)s)
UPDATE runs_step SET status = 'completed', finished_at = now() WHERE run_id = %(run)s AND status = 'acting'
"""
_LEDGER = """
WITH w AS (UPDATE billing_wallet SET available_cents = available_cents - 5
  WHERE team_id = (SELECT team_id FROM runs_run WHERE id = %(run)s) AND %(type)s::text = 'hold')
INSERT INTO billing_transaction (id, team_id, type, source, target, amount_cents, available_after_cents, run_id,
  step_index, description, created_by, created_at)
SELECT gen_random_uuid()::text, team_id, %(type)s::text, 'wallet', 'held', 5, 0, id, %(step)s, 'Step', %(data)s, now()
FROM runs_run WHERE id = %(run)s
"""


def commits(url: str, connections: int, live: bool, seconds: float) -> float:
    """Bare steps per second: the same rows in two commits, by as many connections, without any of our code."""
    ids = list(Run.objects.order_by("-created_at").values_list("id", flat=True)[:connections])
    done = [0] * connections
    until_time = time.monotonic() + seconds

    def work(n: int) -> None:
        values: dict[str, Any] = {
            "run": ids[n],
            "data": psycopg.types.json.Jsonb({"step": 1, "params": {"x": 100, "y": 200}}),
        }
        with psycopg.connect(url, autocommit=True) as link:
            while time.monotonic() < until_time:
                at = values | {"step": 10_000 + done[n], "seq": 1_000_000 + done[n] * 6, "call": f"call_{n}_{done[n]}"}
                for statement, kind in ((_INTENT, "hold"), (_OUTCOME, "capture")):
                    with link.transaction():
                        link.execute(statement, at)
                        if live:
                            link.execute(_LEDGER, at | {"type": kind})
                done[n] += 1

    threads = [threading.Thread(target=work, args=(n,)) for n in range(connections)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.monotonic() - begun)
