"""P1: how long after a person's decision the run's next action starts, when nothing else runs.

From the sending of `POST /v1/approvals/{id}/decide` to the bell of the committed intent: right after that commit the
worker acts. Attached: the worker still holds the waiting run. Parked: its lease is given back, any worker claims it.
And how long the decision itself took to be answered.
"""

import time

from accounts.models import Team
from approvals.models import Approval
from benchmarks.bench import Bench
from benchmarks.calls import Caller
from benchmarks.ear import Ear, listening
from benchmarks.installation import until
from benchmarks.limits import round_trips, small_commits
from benchmarks.scene import start_run
from benchmarks.table import Mark, Row, ms, spread
from runs.models import Run, RunEvent

FIRST, GOAL = "20 / 80 ms", "5 / 15 ms"
REST = 0.03  # seconds between two decisions
SECONDS, LEAST = 25.0, 50  # no more decisions after this time, but so many in any case


def measure(bench: Bench) -> list[Row]:
    with bench.here.workers(2), bench.here.web() as address:
        attached = decisions(bench, address, bench.of(100, 3))
        park(bench)
        parked = decisions(bench, address, bench.of(50, 2), parked=True)
        answers = [answered for _, answered in (*attached, *parked)]
    commits = small_commits(bench.here.url, bench.of(200, 20))
    trips = round_trips(bench.here.url, bench.of(200, 20))
    begun = {"attached run": started(attached), "parked run": started(parked)}
    bench.known["P1 parked"] = begun["parked run"]
    rows = [_row(f"decide → next action, {what}", taken, commits, trips) for what, taken in begun.items()]
    return [*rows, _row("decide → its answer", answers, commits, trips)]


def started(pairs: list[tuple[float, float]]) -> list[float]:
    """Of each decision, after how many seconds the next action started."""
    return [begun for begun, _ in pairs]


def _row(what: str, taken: list[float], commits: list[float], trips: list[float]) -> Row:
    p50, p99 = spread(taken)
    commit, trip = spread(commits)[0], spread(trips)[0]
    return Row(
        "P1",
        f"{what}, p50 / p99",
        f"{ms(p50)} / {ms(p99)} ms",
        f"commit {ms(commit)} + NOTIFY {ms(trip)} ms",
        p50 / (commit + trip),
        FIRST,
        GOAL,
        marks(p50, p99),
        {
            "samples": len(taken),
            "p50_ms": p50 * 1000,
            "p99_ms": p99 * 1000,
            "commit_ms": commit * 1000,
            "notify_ms": trip * 1000,
        },
    )


def marks(p50: float, p99: float) -> tuple[Mark, Mark]:
    return Mark(p50, 0.020, 0.005), Mark(p99, 0.080, 0.015)


def park(bench: Bench) -> None:
    """From now on a waiting run is let go of at once."""
    Team.objects.filter(id=bench.scene.team.id).update(hot_window_seconds=0)


def decisions(bench: Bench, address: str, count: int, *, parked: bool = False) -> list[tuple[float, float]]:
    """(seconds to the next action, seconds to the answer) of `count` decisions on one live run that asks before each
    step; one more warms up."""
    task = " ".join(f"[pause:{n}]" for n in range(1, count + 2))
    run_id = start_run(bench.scene.live, f"{task} [steps:{count + 2}]")
    caller = Caller(address, bench.scene.live_key)
    taken: list[tuple[float, float]] = []
    end = time.monotonic() + SECONDS
    with listening(bench.here.url) as ear:
        for step in range(2, count + 3):
            taken.append(_decide(ear, caller, run_id, step, parked))
            if time.monotonic() > end and len(taken) > LEAST:
                break
    return taken[1:]


def _decide(ear: Ear, caller: Caller, run_id: str, step: int, parked: bool) -> tuple[float, float]:
    """Approve what the run waits for and hear when the action of `step` starts."""
    pending = Approval.objects.filter(run_id=run_id, status="pending").values_list("id", flat=True)
    approval_id = until(pending.first)
    until(lambda: Run.objects.filter(id=run_id, parked_at__isnull=not parked, status="awaiting_human").exists())
    time.sleep(REST)
    resumed = Run.objects.values_list("next_seq", flat=True).get(id=run_id) + 1  # it writes `resumed` and `status`
    begun = time.perf_counter()
    caller.call("POST", f"/v1/approvals/{approval_id}/decide", {"verdict": "approve"})
    answered = time.perf_counter()
    started, seq = ear.past(run_id, resumed)
    assert RunEvent.objects.filter(run_id=run_id, seq=seq, type="tool_call", data__step=step).exists()
    return started - begun, answered - begun
