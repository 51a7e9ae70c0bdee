"""P9: the interpreter's steps per second, pure and durable; a thousand workflow runs that wait; the largest document validated.

A step is an assert in a loop of ten thousand. Durable: two workers run such loops; each slice of control flow is one commit that
holds the events of its steps. Beside it: the same rows in as many commits, by as many connections. Three pairs; the median pair.
"""

import json
import statistics
import threading
import time
from datetime import UTC, datetime
from typing import Any

import psycopg
from django.db import transaction
from psycopg.types.json import Jsonb

from benchmarks.bench import Bench
from benchmarks.figures.p05_waiting import clock_ticks, costs, held_row
from benchmarks.installation import until
from benchmarks.scene import Scene
from benchmarks.table import Mark, Row, ms
from runs.models import Run
from workflows.checking import examine
from workflows.interpreter import control_flow
from workflows.interpreter.advance import advance
from workflows.interpreter.effects import GoOn, Write
from workflows.interpreter.triggers import Resumed, Started
from workflows.models import Execution
from workflows.runs.starting import start_document

STEPS = (10_000, 200)  # all, tiny
WORKERS, RUNS = 2, 4
WAITING = (1000, 10)
SAME = {"op": "eq", "left": "{{vars.iteration}}", "right": "{{vars.iteration}}"}
Steps = list[dict[str, Any]]


def measure(bench: Bench) -> list[Row]:
    return [_pure(bench), _durable(bench), _waiting(bench), _validated(bench)]


def asserts(count: int) -> Steps:
    return [{"id": "l", "type": "loop", "count": count, "body": [{"id": "c", "type": "assert", "condition": SAME}]}]


def start(scene: Scene, steps: Steps) -> str:
    return start_document(scene.test, {"steps": steps}, "req_bench").id


# --- pure


def _pure(bench: Bench) -> Row:
    count = bench.of(*STEPS)
    rates = [interpreted(count) for _ in range(bench.of(5, 1))]
    rate = statistics.median(rates)
    return Row(
        "P9",
        f"interpreter, pure: steps per second in a loop of {count} asserts",
        f"{rate:.0f} /s",
        first="≥ 10000 /s",
        goal="≥ 50000 /s",
        marks=(Mark(rate, 10_000, 50_000),),
        numbers={"rates": rates},
    )


def interpreted(count: int) -> float:
    """Steps per second."""
    definition = {"steps": asserts(count)}
    begun = time.process_time()  # not the neighbours'
    state, effects = advance(definition, {}, Started({}))
    done = sum(isinstance(each, Write) for each in effects)
    while isinstance(last := effects[-1], GoOn):
        state, effects = advance(definition, state, Resumed(last.slice))
        done += sum(isinstance(each, Write) for each in effects)
    assert done == count
    return count / (time.process_time() - begun)


# --- durable


def _durable(bench: Bench) -> Row:
    rounds = [_pair(bench) for _ in range(bench.of(3, 1))]
    steps, bare = sorted(rounds, key=lambda pair: pair[0] / pair[1])[len(rounds) // 2]
    return Row(
        "P9",
        f"interpreter, durable: steps per second, {RUNS} such runs, {WORKERS} workers",
        f"{steps:.0f} /s",
        f"bare commits {bare:.0f} /s",
        steps / bare,
        "≥ 0.25",
        "≥ 0.5",
        (Mark(steps / bare, 0.25, 0.5),),
        {"steps": steps, "bare": bare, "rounds": rounds},
    )


def _pair(bench: Bench) -> tuple[float, float]:
    """(steps, bare steps) per second"""
    count = bench.of(*STEPS)
    with bench.here.workers(WORKERS):
        begun = time.perf_counter()
        with transaction.atomic():
            ids = [start(bench.scene, asserts(count)) for _ in range(RUNS)]
        mine = Run.objects.filter(id__in=ids)
        until(lambda: not mine.filter(finished_at=None).exists(), 120, 0.005)
        steps = RUNS * count / (time.perf_counter() - begun)
    assert set(mine.values_list("status", flat=True)) == {"succeeded"}
    return steps, bare_steps(bench.here.url, ids, count)


# What one slice writes: its events, the run's row, and where it stands.
_EVENTS = "COPY runs_runevent (run_id, seq, type, data, created_at) FROM STDIN"
_ROWS = """
WITH r AS (UPDATE runs_run SET next_seq = next_seq + %(n)s::int, iterations_used = %(seq)s WHERE id = %(run)s)
UPDATE workflows_execution SET state = %(state)s::json, changed_at = now() WHERE run_id = %(run)s
"""


def bare_steps(url: str, ids: list[str], count: int) -> float:
    """Steps per second: the rows of these runs once more, without any of our code."""
    states = {each.run_id: Jsonb(each.state) for each in Execution.objects.filter(run_id__in=ids)}
    data = json.dumps({"step_id": "c", "type": "assert", "passed": True})
    now = datetime.now(UTC).isoformat()
    of_each = control_flow.SLICE // 2  # an assert and the end of its list are two steps of control flow

    def work(mine: list[str]) -> None:
        with psycopg.connect(url, autocommit=True) as link:
            for run_id in mine:
                for done in range(0, count, of_each):
                    first, n = 1_000_000 + done, min(of_each, count - done)
                    lines = "".join([f"{run_id}\t{first + k}\tstep\t{data}\t{now}\n" for k in range(n)])
                    with link.transaction(), link.cursor() as cursor:
                        with cursor.copy(_EVENTS) as copy:
                            copy.write(lines)
                        cursor.execute(_ROWS, {"run": run_id, "state": states[run_id], "seq": first, "n": n})

    threads = [threading.Thread(target=work, args=(ids[n::WORKERS],)) for n in range(WORKERS)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(ids) * count / (time.perf_counter() - begun)


# --- waiting


def _waiting(bench: Bench) -> Row:
    """Workflow runs at an approval: as P5 of agent runs."""
    here = bench.here
    with here.workers(WORKERS) as cluster:
        parents = [cluster, here.manage("clock")]
        until(lambda: clock_ticks(here.url))
        wait_at_a_step(bench, bench.of(50, 5))
        before = costs(bench, parents)
        held = wait_at_a_step(bench, bench.of(*WAITING))
        after = costs(bench, parents)
    return held_row("P9", "workflow runs held at an approval", held, before, after)


def wait_at_a_step(bench: Bench, count: int) -> int:
    """So many more workflow runs that wait for people; returns how many do."""
    with transaction.atomic():
        for _ in range(count):
            start(bench.scene, [{"id": "ok", "type": "human_approval"}])
    mine = Run.objects.filter(kind="workflow", finished_at__isnull=True)
    until(lambda: mine.filter(status="awaiting_human").count() == mine.count(), 300, 0.5)
    return mine.count()


# --- validating


def _validated(bench: Bench) -> Row:
    body = {"steps": largest()}
    taken = []
    for _ in range(bench.of(50, 2)):
        begun = time.perf_counter()
        found = examine(bench.scene.test, body)
        taken.append(time.perf_counter() - begun)
    assert found.estimate is not None
    assert (found.estimate["step_count"], found.estimate["depth"]) == (200, 8)
    p50 = statistics.median(taken)
    return Row(
        "P9",
        "a document of 200 steps, 8 deep, validated and estimated, p50",
        f"{ms(p50)} ms",
        first="≤ 20 ms",
        goal="≤ 20 ms",
        marks=(Mark(p50 * 1000, 20, 20),),
        numbers={"p50_ms": p50 * 1000, "max_ms": max(taken) * 1000},
    )


def largest() -> Steps:
    """As many steps as a document may have, as deep as they may stand."""
    steps: Steps = [_leaf(n) for n in range(100)]
    for n in range(7):
        kind: dict[str, Any] = {"type": "retry", "max_attempts": 2} if n % 2 else {"type": "loop", "count": 2}
        steps = [{"id": f"o{n}", "body": steps} | kind, *(_leaf(100 + 14 * n + k) for k in range(13 if n < 6 else 15))]
    return steps


def _leaf(n: int) -> dict[str, Any]:
    if n % 2:
        return {"id": f"s{n}", "type": "assert", "condition": {"op": "and", "conditions": [SAME, SAME]}}
    return {"id": f"s{n}", "type": "task", "task": "File {{inputs.file}} of {{vars.iteration}}"}
