"""P7: runs started and read per second by one web process; beside the same server with an empty django-ninja endpoint.

Rounds of empty, read, start, each after the other, so that all three meet the same machine; the median round of each.
No worker runs: what is started stays queued.
"""

import statistics

from benchmarks.bench import Bench
from benchmarks.load import per_second, request
from benchmarks.scene import start_run
from benchmarks.table import Mark, Row

CALLERS = 8
SECONDS = (2.0, 0.5)
ROUNDS = (3, 1)
BODY = b'{"task": "Look at the page."}'


def measure(bench: Bench) -> list[Row]:
    scene, here, seconds = bench.scene, bench.here, bench.of(*SECONDS)
    run_id = start_run(scene.test, "[steps:1]")
    rounds: dict[str, list[float]] = {"empty": [], "GET /v1/runs/{id}": [], "POST /v1/runs": []}
    with here.web("benchmarks.empty_app:application") as bare, here.web() as address:
        calls = {
            "empty": (bare, request(bare, "GET", "/v1/health")),
            "GET /v1/runs/{id}": (address, request(address, "GET", f"/v1/runs/{run_id}", scene.test_key)),
            "POST /v1/runs": (address, request(address, "POST", "/v1/runs", scene.test_key, BODY)),
        }
        for where, call in calls.values():
            per_second(where, call, 2, seconds / 4)
        for _ in range(bench.of(*ROUNDS)):
            for name, (where, call) in calls.items():
                rounds[name].append(per_second(where, call, CALLERS, seconds))
    empty = rounds.pop("empty")
    return [_row(name, found, empty) for name, found in rounds.items()]


def _row(name: str, found: list[float], empty: list[float]) -> Row:
    ratio = statistics.median(mine / limit for mine, limit in zip(found, empty, strict=True))
    return Row(
        "P7",
        f"{name} per second, one web process",
        f"{statistics.median(found):.0f} /s",
        f"empty endpoint {statistics.median(empty):.0f} /s",
        ratio,
        "≥ 0.25",
        "≥ 0.5",
        (Mark(ratio, 0.25, 0.5),),
        {"rounds": found, "empty": empty},
    )
