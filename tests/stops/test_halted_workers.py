"""A stop waits for nobody: workers that were halted (SIGSTOP) wherever it hurts most keep no lock, and do nothing when they wake."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from billing.models import Transaction
from database.listening import parameters
from machines.models import Stop
from runs.models import Run, RunEvent, Step
from runs.stops import clock
from runs.stops.hung import ending_hung_transactions
from tests.cast import Api, Cast
from tests.chance import ROUNDS
from tests.runs.driving import begin, simulated, until
from tests.runs.invariants import check_run
from tests.stops.stopping import lift, stop

pytestmark = pytest.mark.django_db(transaction=True)
Started = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def record(tmp_path: Path) -> Path:
    path = tmp_path / "record"
    path.touch()
    return path


@pytest.fixture
def worker_that(record: Path, database_url: str) -> Iterator[Started]:
    """Starts a worker of its own process that halts there; it is woken and ended with the test."""
    environment = os.environ | {"DATABASE_URL": database_url, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    environment |= {"LEASE_SECONDS": "3", "RUN_LOOP_THREADS": "1"}  # who halts has no other transaction open
    begun: list[subprocess.Popen[str]] = []

    def start(where: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "tests.stops.halting", str(record), where]
        process = subprocess.Popen(
            command, env=environment, cwd=settings.BASE_DIR, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.send_signal(signal.SIGCONT)
        process.communicate(timeout=30)


def halts(process: "subprocess.Popen[str]") -> None:
    assert process.stdout
    assert process.stdout.readline() == "halts\n"
    until(lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")


def done(record: Path) -> int:
    return len(record.read_text().splitlines())


def test_a_transaction_that_hangs_with_a_lock_is_ended(test_key: Api) -> None:
    """Whoever has the lock and does nothing; who waits for it in between goes on."""
    run = begin(test_key)
    with closing(psycopg.connect(**parameters())) as hung:
        hung.execute("SELECT 1 FROM runs_run WHERE id = %s FOR UPDATE", [run["id"]])
        assert stop(test_key)["runs"] == 1
        with pytest.raises(psycopg.OperationalError):
            hung.execute("SELECT 1")


def test_a_transaction_that_hangs_elsewhere_is_left_alone(test_key: Api, cast: Cast) -> None:
    run = begin(cast.api(), machine_id=simulated(cast.api()), agent="scripted")
    with (
        closing(psycopg.connect(**parameters())) as other,
        closing(psycopg.connect(**parameters())) as hung,
    ):
        other.execute("SELECT 1 FROM runs_run WHERE id = %s FOR UPDATE", [run["id"]])
        hung.execute("SELECT 1 FROM runs_run WHERE id = %s FOR UPDATE", [begin(test_key)["id"]])
        stop(test_key)
        assert other.execute("SELECT 1").fetchone() == (1,)


def test_nothing_is_ended_where_nobody_waits(test_key: Api) -> None:
    with psycopg.connect(**parameters()) as idle, ending_hung_transactions(), connection.cursor() as cursor:
        idle.execute("SELECT 1 FROM accounts_team FOR UPDATE")
        cursor.execute("SELECT pg_sleep(1)")
        assert idle.execute("SELECT 1").fetchone() == (1,)


def test_two_halted_workers_hinder_no_stop_and_do_nothing_when_they_wake(
    live: Api, worker_that: Started, record: Path
) -> None:
    """One is halted in the middle of a hold, its rows locked; one between its intent and the action."""
    runs = [
        begin(live, "do it [steps:8]", machine_id=simulated(live, f"m{n}"), agent="scripted")["id"]
        for n in range(12 if ROUNDS > 10 else 6)
    ]
    after_intent = worker_that("intent")
    halts(after_intent)
    in_hold = worker_that("hold")  # it halts with the wallet's lock: nobody else gets on
    halts(in_hold)
    before = done(record)
    stopped = stop(live)
    assert stopped["runs"] == len(runs)
    intents = RunEvent.objects.filter(type="tool_call").count()
    assert (done(record), intents > before) == (before, True)
    assert stopped["confirmed_at"] is None  # one action may still be in the hands of who is halted
    for process in (in_hold, after_intent):
        process.send_signal(signal.SIGCONT)
    good = worker_that("none")
    until(lambda: (clock.enforce(), Stop.objects.get().confirmed_at)[1], 30)
    until(lambda: not Run.objects.filter(lease_owner__isnull=False).exists(), 30)
    assert (done(record), RunEvent.objects.filter(type="tool_call").count()) == (before, intents)
    assert good.poll() is None
    lift(live, stopped)
    until(lambda: not Run.objects.filter(id__in=runs, finished_at__isnull=True).exists(), 60)
    for run in Run.objects.filter(id__in=runs):
        check_run(run.id)
        assert (run.status, run.steps_completed, run.cost_cents) == ("succeeded", 8, 40)
    lost = Step.objects.filter(status="interrupted").count()  # whether these were done is not known: decided anew
    assert 8 * len(runs) <= done(record) <= 8 * len(runs) + lost
    taken = Transaction.objects.filter(type="capture", run_id__in=runs).values_list("run_id", "step_index")
    assert sorted(taken) == sorted((run, index) for run in runs for index in range(1, 9))
    assert live.get("/billing/balance").json()["balance_cents"] == 10_000 - 40 * len(runs)
