"""P4: five hundred runs at once whose model takes 200 ms to answer, on two worker processes.

How late: from the outcome of a step to the intent of the next, less the 200 ms. It says something about the product
only while the machine keeps up; beyond that it is the queue for the processor.
"""

import psycopg

from benchmarks.bench import Bench
from benchmarks.figures.p03_steps import WORKERS, product, start_runs, steps_per_second
from benchmarks.installation import until
from benchmarks.memory import pss_mb, tree
from benchmarks.table import Mark, Row, ms, percentile
from runs.models import Run

RUNS, LATENCY = (500, 10), 0.2
SECONDS = (8.0, 1.0)

_LATE = """
WITH s AS (SELECT started_at - lag(finished_at) OVER (PARTITION BY run_id ORDER BY index) AS gap FROM runs_step)
SELECT extract(epoch FROM gap) - %s FROM s WHERE gap IS NOT NULL
"""


def measure(bench: Bench) -> list[Row]:
    count, seconds = bench.of(*RUNS), bench.of(*SECONDS)
    most = bench.known.get("P3 live") or product(bench, live=True, seconds=seconds / 2)
    ids = start_runs(bench.scene, True, count, f"[slow:{int(LATENCY * 1000)}] [steps:400]")
    with bench.here.workers(WORKERS) as cluster:
        until(lambda: not Run.objects.filter(id__in=ids, steps_completed=0).exists(), 120, 0.2)
        steps = steps_per_second(ids, seconds)
        memory = pss_mb(tree(cluster.pid))
    late = lateness(bench.here.url)
    wanted = min(count / LATENCY, most)
    which = "500 / 0.2 s" if wanted < most else "P3, which is lower,"
    return [
        Row(
            "P4",
            f"{count} runs, model of 200 ms, {WORKERS} workers",
            f"{steps:.0f} steps/s",
            f"{which} {wanted:.0f} /s",
            steps / wanted,
            "≥ 0.6",
            "≥ 0.95",
            (Mark(steps / wanted, 0.6, 0.95),),
            {"steps": steps, "limit": wanted},
        ),
        Row(
            "P4",
            "lateness p99; memory of the workers (PSS)",
            f"{ms(late)} ms; {memory:.0f} MB",
            "",
            None,
            "–",
            "≤ 100 ms, < 400 MB",
            (Mark(late, float("inf"), 0.1), Mark(memory, float("inf"), 400)),
            {"late_p99_ms": late * 1000, "memory_mb": memory},
        ),
    ]


def lateness(url: str) -> float:
    with psycopg.connect(url) as link:
        return percentile([float(row[0]) for row in link.execute(_LATE, [LATENCY])], 99)
