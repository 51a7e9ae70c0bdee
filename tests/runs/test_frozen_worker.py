"""A worker that is stopped (SIGSTOP) while it holds locks: everybody else goes on, and so does it when it is let go on."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.own_processes import wait_until
from runs.models import Run
from tests.cast import Cast
from tests.runs.driving import begin, simulated
from tests.runs.invariants import check_run

Start = Callable[[str], subprocess.Popen[str]]
ROOT = Path(__file__).resolve().parents[2]
# After these the wallet of the team, or a run with its root, is locked.
PLACES = ("billing.services:hold", pytest.param("runs.services:lock_run", marks=pytest.mark.slow))


@pytest.fixture
def worker(database_url: str) -> Iterator[Start]:
    """worker(where): one more worker, told to stop itself there."""
    started: list[subprocess.Popen[str]] = []

    def start(where: str) -> subprocess.Popen[str]:
        env = {
            "DATABASE_URL": database_url, "COUNTERSIGN_PROCESS": "worker", "DJANGO_SETTINGS_MODULE": "tests.settings",
            "TRANSACTION_IDLE_SECONDS": "1", "LEASE_SECONDS": "2", "LOCK_SECONDS": "5",
        }  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.runs.freezing", where],
            cwd=ROOT, env=os.environ | env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        assert heard(process) == "drives"
        return process

    yield start
    for process in started:
        process.send_signal(signal.SIGCONT)
        assert process.stdin
        process.stdin.close()
    for process in started:
        with process:
            process.wait(20)


def heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def ended(*ids: str) -> bool:
    return not Run.objects.filter(id__in=ids, finished_at__isnull=True).exists()


@pytest.mark.parametrize("place", PLACES)
def test_a_worker_that_is_stopped_with_locks_in_hand_stops_nobody_else(worker: Start, cast: Cast, place: str) -> None:
    """Its own run is taken over, those of the team are driven, one is cancelled; let go on it does no harm, and works."""
    live = cast.api()
    machines = [simulated(live, f"m{n}") for n in range(4)]
    frozen = worker(place)
    runs = [begin(live, "do it [steps:2]", machine_id=m, agent="scripted")["id"] for m in machines[:3]]
    assert heard(frozen) == "frozen"
    other = worker("-")
    more = begin(live, "wait [steps:40] [slow:500]", machine_id=machines[3], agent="scripted")["id"]
    assert live.post(f"/runs/{more}/cancel").status_code == 200
    assert wait_until(lambda: ended(*runs), 40), list(Run.objects.values("id", "status", "takeovers", "error"))
    frozen.send_signal(signal.SIGCONT)
    assert other.stdin
    other.stdin.close()
    assert other.wait(20) == 0
    last = begin(live, "do it [steps:2]", machine_id=machines[0], agent="scripted")["id"]
    assert wait_until(lambda: ended(last), 40), "the worker that was stopped works again"
    assert frozen.poll() is None
    for run in [*runs, last]:
        check_run(run)
        assert Run.objects.get(id=run).status == "succeeded"
    assert live.get("/billing/balance").json()["ledger_ok"] is True


@pytest.mark.slow
def test_nobody_waits_for_ever_for_a_row_that_another_one_holds(database_url: str) -> None:
    """What the settings say of each kind of process is what its sessions do."""
    script = (
        "import django; django.setup(); from django.db import connection as c; "
        "f=lambda n: c.cursor().execute(f'SHOW {n}').fetchone()[0]; "
        "print(*map(f, ('lock_timeout', 'idle_in_transaction_session_timeout', 'statement_timeout')))"
    )
    shown = {}
    for process in ("web", "worker", "clock", ""):
        env = {"DATABASE_URL": database_url, "COUNTERSIGN_PROCESS": process, "DJANGO_SETTINGS_MODULE": "tests.settings"}
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, env=os.environ | env, capture_output=True, text=True, check=True
        )
        shown[process] = done.stdout.split()
    assert shown == {
        "web": ["8s", "5s", "30s"], "worker": ["8s", "5s", "1min"], "clock": ["8s", "5s", "5min"], "": ["0", "0", "0"],
    }  # fmt: skip
