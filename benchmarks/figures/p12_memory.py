"""P12: memory of what `make run` keeps running, idle, without PostgreSQL. Proportional: shared pages count once."""

import time

import httpx

from benchmarks.bench import Bench
from benchmarks.installation import until
from benchmarks.memory import pss_mb, rss_mb, tree
from benchmarks.scene import start_run
from benchmarks.table import Mark, Row
from runs.models import Run

IDLE_SECONDS = (6.0, 1.0)


def measure(bench: Bench) -> list[Row]:
    here = bench.here
    with here.web() as address, here.workers(1) as cluster:
        clock = here.manage("clock", "--skip-checks", COUNTERSIGN_PROCESS="clock")
        _used_once(bench, address)
        time.sleep(bench.of(*IDLE_SECONDS))
        pids = {"web": tree(here.children[0].pid), "worker cluster": tree(cluster.pid), "clock": tree(clock.pid)}
        pss = {name: pss_mb(of) for name, of in pids.items()}
        rss = {name: rss_mb(of) for name, of in pids.items()}
    total = sum(pss.values())
    parts = ", ".join(f"{name} {size:.0f}" for name, size in pss.items())
    return [
        Row(
            "P12",
            "memory of web + one worker + clock, idle (PSS)",
            f"{total:.0f} MB",
            parts,
            None,
            "< 400 MB",
            "< 250 MB",
            (Mark(total, 400, 250),),
            {"pss_mb": pss, "rss_mb": rss, "processes": {k: len(v) for k, v in pids.items()}},
        )
    ]


def _used_once(bench: Bench, address: str) -> None:
    """Everything was needed once: a page, a call, a run."""
    httpx.get(f"{address}/sign-in")
    httpx.get(f"{address}/v1/runs", headers={"X-API-Key": bench.scene.test_key})
    run_id = start_run(bench.scene.test, "[steps:2]")
    until(lambda: Run.objects.filter(id=run_id, finished_at__isnull=False).exists())
