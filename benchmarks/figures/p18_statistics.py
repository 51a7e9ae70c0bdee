"""P18: the page that says how people are asked, with a million requests of 90 days, asked for one time after the other."""

import asyncio

import psycopg

from approvals.models import Approval
from benchmarks.bench import Bench
from benchmarks.figures.p01_decide import park
from benchmarks.figures.p05_waiting import wait_for_people
from benchmarks.figures.p06_live import session
from benchmarks.figures.p13_queue import first_bytes
from benchmarks.table import Mark, Row, ms, spread
from runs.services import cancel_run

REQUESTS, RUNS = (1_000_000, 2_000), (300_000, 500)
ASKED = (60, 3)
PAGES = tuple(f"/approvals/statistics?days={days}" for days in (1, 30, 90))
# What a copy has of its own; the days go back by the number of the copy.
AT = "now() - n * interval '90 days' / %(copies)s"
_REQUEST = {
    "id": "id || '_' || n",
    "run_id": "run_id || '_' || n",
    "root_run_id": "root_run_id || '_' || n",
    "created_at": AT,
}
_DECISION = {
    "id": "id || '_' || n", "approval_id": "approval_id || '_' || n", "via": "'dashboard'", "verdict": "'approve'",
    "actor": "jsonb_build_object('type', 'user', 'id', 'usr_' || n %% 20, 'name', 'Person ' || n %% 20)",
    "at": f"{AT} + n %% 40 * interval '0.5 s'",
}  # fmt: skip
_RUN = {"id": "id || '_' || n", "root_id": "id || '_' || n", "created_at": AT, "finished_at": AT}


def measure(bench: Bench) -> list[Row]:
    park(bench)
    with bench.here.workers(1):
        wait_for_people(bench, 1)
    cancel_run(bench.scene.test, str(Approval.objects.get().run_id))
    cookie = session(bench)
    with bench.here.web() as address:
        few = asyncio.run(first_bytes(address, cookie, bench.of(*ASKED), PAGES))
        copy_decided(bench.here.url, bench.of(*REQUESTS), bench.of(*RUNS))
        many = asyncio.run(first_bytes(address, cookie, bench.of(*ASKED), PAGES))
    (p50, p99), (least, worst) = spread(many), spread(few)
    row = Row(
        "P18",
        f"statistics of {bench.of(*REQUESTS)} requests, first byte, p50 / p99",
        f"{ms(p50)} / {ms(p99)} ms",
        f"with few {ms(least)} / {ms(worst)} ms",
        p50 / least,
        "p99 < 1 s",
        "< 500 ms",
        (Mark(p99, 1.0, 0.5),),
        {"p50_ms": p50 * 1000, "p99_ms": p99 * 1000, "few_p50_ms": least * 1000, "few_p99_ms": worst * 1000},
    )
    return [row]


def copy_decided(url: str, requests: int, runs: int) -> None:
    """Copies of the one run that there is, its request and its decision, spread over the last 90 days."""
    with psycopg.connect(url, autocommit=True) as link:
        for table, changed, copies in (
            ("runs_run", _RUN, runs),
            ("approvals_approval", _REQUEST, requests),
            ("approvals_decision", _DECISION, requests),
        ):
            query = f"SELECT column_name FROM information_schema.columns WHERE table_name = '{table}'"
            names = [name for (name,) in link.execute(query)]
            values = ", ".join(changed.get(name, f'"{name}"') for name in names)
            columns = ", ".join(f'"{name}"' for name in names)
            link.execute(
                f"INSERT INTO {table} ({columns}) SELECT {values} FROM {table}, generate_series(1, %(copies)s::int) n",
                {"copies": copies},
            )
        link.execute("VACUUM ANALYZE")
