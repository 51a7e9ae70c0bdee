"""The clock as a real process that sleeps, and what wakes it."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import ProgrammingError, connection, transaction
from django.utils import timezone
from django_q.models import OrmQ

from accounts.models import Team, WebhookDelivery
from accounts.webhooks import outbox
from approvals import clock as approvals_clock
from approvals.mail import outbox as mail
from approvals.mail import reminders
from approvals.models import Approval, Notice
from config import clock
from config.own_processes import wait_until
from machines.models import Machine, Stop, TakeoverLease
from machines.processes import freezing, lifecycle
from machines.takeover import services
from runs import clock as run_clock
from runs.models import Run, Worker
from runs.stops import clock as stops
from tests.cast import Api, Cast, make_cast
from tests.runs.driving import begin, drive_all, shift, show, simulated, status_of, waiting
from tests.takeover.control import take
from tests.workflows import engine
from workflows import clock as workflows
from workflows.models import Execution, Ticket
from workflows.runs import running

ROOT = Path(__file__).resolve().parents[2]
NEVER = "3600"  # seconds between two looks: a clock that looks so rarely hears of everything by a ring, or by its own reckoning
SECONDS = 30.0  # within which everything here must happen


def address() -> str:
    """Of this worker's test database."""
    name = connection.settings_dict["NAME"]
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()


@contextmanager
def ticking(look_seconds: str) -> Iterator[subprocess.Popen[bytes]]:
    """`manage.py clock`, which may have to stand by."""
    environment = os.environ | {
        "DATABASE_URL": address(), "CLOCK_LOOK_SECONDS": look_seconds, "COUNTERSIGN_PROCESS": "clock",
    }  # fmt: skip
    command = [sys.executable, "manage.py", "clock", "--skip-checks"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(10) in (0, -signal.SIGKILL, -signal.SIGTERM)  # the last: it had not begun


def holders() -> list[int]:
    """The server's processes of clocks that tick."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND granted AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())",
            [clock.LOCK],
        )
        return [row[0] for row in cursor.fetchall()]


def ticks() -> bool:
    return wait_until(lambda: len(holders()) == 1, SECONDS)


@pytest.fixture(scope="class")
def asleep(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """A clock that looks at the tables only when it was rung or knows that something is due."""
    with django_db_blocker.unblock(), ticking(NEVER):
        assert ticks()
        yield


@pytest.fixture
def people(transactional_db: None) -> Cast:
    return make_cast("acme")


@pytest.fixture
def api(people: Cast) -> Api:
    return people.api(test=True)


def comes(true: Callable[[], bool]) -> None:
    assert wait_until(true, SECONDS, 0.05)


# --- each kind of timer, made while the clock sleeps


@pytest.mark.usefixtures("asleep")
class TestASleepingClock:
    @pytest.mark.parametrize("seconds", [1, 3])
    def test_a_request_expires(self, api: Api, seconds: int) -> None:
        run = waiting(api, awaiting_human_timeout_seconds=seconds)
        comes(lambda: status_of(run["id"]) == "cancelled")

    def test_a_request_expires_that_had_more_time_before(self, api: Api) -> None:
        run = waiting(api, awaiting_human_timeout_seconds=3600)
        Approval.objects.filter(run_id=run["id"]).update(expires_at=timezone.now() + timedelta(seconds=1))
        comes(lambda: status_of(run["id"]) == "cancelled")

    @pytest.mark.parametrize("seconds", [1, 2])
    def test_a_deadline_falls(self, api: Api, seconds: int) -> None:
        run = begin(api, deadline_seconds=seconds)
        comes(lambda: status_of(run["id"]) == "timed_out")

    def test_a_deadline_falls_that_stood_still(self, api: Api) -> None:
        run = waiting(api, "x [pause] [steps:2]", deadline_seconds=3600)
        Run.objects.filter(id=run["id"]).update(deadline_seconds=2, created_at=timezone.now() - timedelta(seconds=1))
        api.post(f"/runs/{run['id']}/resume")
        comes(lambda: status_of(run["id"]) == "timed_out")

    def test_a_decision_takes_effect_after_the_undo_window(self, api: Api) -> None:
        run = waiting(api)
        Team.objects.update(undo_window_seconds=1)
        assert api.post(f"/runs/{run['id']}/resume").json()["status"] == "awaiting_human"
        comes(lambda: status_of(run["id"]) == "running")

    def test_an_attempt_of_a_webhook_is_queued(self, api: Api) -> None:
        begin(api, webhook_url="https://93.184.216.34/hook")
        drive_all()
        row = WebhookDelivery.objects.get()
        OrmQ.objects.all().delete()
        WebhookDelivery.objects.update(next_attempt_at=timezone.now() + timedelta(seconds=1), queued_until=None)
        comes(lambda: WebhookDelivery.objects.get().queued_until is not None)
        assert [queued.task["args"] for queued in OrmQ.objects.all()] == [(row.id, 0)]

    def test_what_was_queued_and_is_late_is_queued_again(self, api: Api) -> None:
        begin(api, webhook_url="https://93.184.216.34/hook")
        drive_all()
        soon = timezone.now() + timedelta(seconds=1)
        WebhookDelivery.objects.update(queued_until=soon)
        comes(lambda: WebhookDelivery.objects.get().queued_until != soon)

    def test_people_are_reminded_and_written_to(self, api: Api) -> None:
        run = waiting(api, awaiting_human_timeout_seconds=3600)
        now = timezone.now()
        Notice.objects.update(next_attempt_at=now + timedelta(seconds=1), queued_until=None)
        comes(lambda: not Notice.objects.filter(queued_until=None, status="pending").exists())
        Approval.objects.filter(run_id=run["id"]).update(
            created_at=now - timedelta(seconds=1801), remind_at=now + timedelta(seconds=2)
        )
        comes(lambda: Notice.objects.filter(occasion__startswith=mail.REMINDER).exists())

    def test_the_stop_of_a_run_is_confirmed_whose_worker_is_gone(self, api: Api) -> None:
        run = begin(api)
        soon = timezone.now() + timedelta(seconds=1)
        Run.objects.filter(id=run["id"]).update(lease_owner="gone", lease_until=soon, status="running", started_at=soon)
        assert api.post(f"/runs/{run['id']}/cancel").json()["stop_confirmed_at"] is None
        comes(lambda: show(api, run["id"])["stop_confirmed_at"] is not None)

    @pytest.mark.parametrize("clock_of", ["expires_at", "idle_expires_at"])
    def test_control_lapses(self, people: Cast, clock_of: str) -> None:
        live = people.api()
        machine = simulated(live)
        run = waiting(live, "x [steps:1] [takeover]", machine_id=machine, agent="scripted")
        lease = take(live, machine)
        TakeoverLease.objects.update(**{clock_of: timezone.now() + timedelta(seconds=1)})
        comes(lambda: TakeoverLease.objects.get(id=lease["id"]).end == "lapsed")
        assert status_of(run["id"]) == "awaiting_human"

    def test_control_of_a_machine_that_ends_lapses(self, people: Cast) -> None:
        live = people.api()
        machine = simulated(live)
        take(live, machine)
        Machine.objects.filter(id=machine).update(status="terminating")
        comes(lambda: TakeoverLease.objects.get().end == "lapsed")

    def test_many_at_once(self, api: Api) -> None:
        runs = [waiting(api, awaiting_human_timeout_seconds=3600) for _ in range(5)]
        with transaction.atomic():
            soon = timezone.now() + timedelta(seconds=1)
            Approval.objects.update(expires_at=soon)
        comes(lambda: {status_of(run["id"]) for run in runs} == {"cancelled"})


def test_what_no_worker_took_up_or_passed_on_goes_on(api: Api) -> None:
    """Nothing rings three seconds after a worker was lost: the clock looks often enough to know of it before."""
    with ticking("2.5"):
        assert ticks()
        run = engine.begin(api, [engine.task()])
        comes(lambda: Execution.objects.get(run_id=run["id"]).state != {})
        drive_all()
        OrmQ.objects.all().delete()  # with the news of the task's end
        comes(lambda: status_of(run["id"]) == "succeeded")
        assert not Ticket.objects.filter(open=True).exists()


# --- what is lost, and who is lost


def test_a_ring_that_is_lost_is_made_up_for(api: Api) -> None:
    with ticking("0.5"):
        assert ticks()
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE approvals_approval DISABLE TRIGGER ring_clock")
        try:
            run = waiting(api, awaiting_human_timeout_seconds=1)
            comes(lambda: status_of(run["id"]) == "cancelled")
        finally:
            with connection.cursor() as cursor:
                cursor.execute("ALTER TABLE approvals_approval ENABLE TRIGGER ring_clock")


def test_a_clock_that_dies_is_replaced(api: Api) -> None:
    with ticking(NEVER) as first:
        assert ticks()
        [before] = holders()
        with ticking(NEVER) as second:
            run = waiting(api, awaiting_human_timeout_seconds=2)
            first.kill()
            comes(lambda: holders() not in ([], [before]))
            comes(lambda: status_of(run["id"]) == "cancelled")
            assert second.poll() is None


def test_a_clock_that_is_stopped_is_replaced_and_stands_by_when_it_goes_on(api: Api) -> None:
    """It cannot give its lock back: the server ends the session of a clock that asks nothing."""
    with ticking("0.2") as first:
        assert ticks()
        [before] = holders()
        with ticking("0.2") as second:
            run = waiting(api, awaiting_human_timeout_seconds=2)
            first.send_signal(signal.SIGSTOP)
            comes(lambda: holders() not in ([], [before]))
            comes(lambda: status_of(run["id"]) == "cancelled")
            [after] = holders()
            first.send_signal(signal.SIGCONT)
            run = waiting(api, awaiting_human_timeout_seconds=1)
            comes(lambda: status_of(run["id"]) == "cancelled")
            assert (holders(), first.poll(), second.poll()) == ([after], None, None)


def test_a_worker_that_fell_silent_leaves_the_table(db: None) -> None:
    now = timezone.now()
    for name, seconds in (("lives", 1), ("died", 61)):
        Worker.objects.create(name=name, started_at=now, heartbeat_at=now - timedelta(seconds=seconds))
    assert run_clock.workers() == 1
    assert list(Worker.objects.values_list("name", flat=True)) == ["lives"]
    assert next(chore.every for chore in clock.CHORES if chore.work is run_clock.workers) <= 10


def test_a_clock_that_ends_gives_way_to_another(api: Api) -> None:
    with ticking(NEVER) as first:
        assert ticks()
        with ticking(NEVER):
            first.terminate()
            assert first.wait(10) == 0
            run = waiting(api, awaiting_human_timeout_seconds=1)
            comes(lambda: status_of(run["id"]) == "cancelled")


def test_a_clock_that_loses_its_connection_goes_on(api: Api) -> None:
    with ticking(NEVER) as process:
        assert ticks()
        for _ in range(3):
            [before] = holders()
            run = waiting(api, awaiting_human_timeout_seconds=1)
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(%s)", [before])
            comes(lambda: status_of(run["id"]) == "cancelled")  # noqa: B023
            assert ticks()
            assert process.poll() is None


# --- what the tables say

LONG_AGO = timedelta(minutes=5)


def _expiry(api: Api) -> None:
    shift(waiting(api, awaiting_human_timeout_seconds=60)["id"], 300)


def _deadline(api: Api) -> None:
    shift(begin(api, deadline_seconds=60)["id"], 300)


def _effect(api: Api) -> None:
    run = waiting(api)
    Team.objects.update(undo_window_seconds=60)
    api.post(f"/runs/{run['id']}/resume")
    Approval.objects.update(effective_at=timezone.now() - LONG_AGO)


def _delivery(api: Api) -> None:
    begin(api, webhook_url="https://93.184.216.34/hook")
    drive_all()
    WebhookDelivery.objects.update(next_attempt_at=timezone.now() - LONG_AGO, queued_until=timezone.now() - LONG_AGO)


def _reminder(api: Api) -> None:
    shift(waiting(api, awaiting_human_timeout_seconds=3600)["id"], 1900)


def _notice(api: Api) -> None:
    waiting(api)
    assert Notice.objects.update(next_attempt_at=timezone.now() - LONG_AGO, queued_until=None)


def _stop(api: Api) -> None:
    run = begin(api)
    Run.objects.filter(id=run["id"]).update(lease_owner="gone", lease_until=timezone.now() + LONG_AGO)
    api.post(f"/runs/{run['id']}/cancel")
    Run.objects.filter(id=run["id"]).update(lease_until=timezone.now() - LONG_AGO)


def _stop_above(api: Api) -> None:
    """The run above waits for the stop of its task."""
    run = engine.ran(api, [engine.task("asks", "x [pause]")])
    Run.objects.filter(parent_id=run["id"]).update(lease_owner="gone", lease_until=timezone.now() + LONG_AGO)
    api.post(f"/runs/{run['id']}/cancel")
    Run.objects.filter(parent_id=run["id"]).update(lease_until=timezone.now() - LONG_AGO)


def _orphan(api: Api) -> None:
    run = waiting(api)
    Run.objects.filter(id=run["id"]).update(lease_owner="gone", lease_until=timezone.now() - LONG_AGO)


def _lapse(api: Api) -> None:
    machine = api.post("/machines", {"display_name": "m"}).json()["id"]
    take(api, machine)
    TakeoverLease.objects.update(expires_at=timezone.now() - LONG_AGO)


def _late_begin(api: Api) -> None:
    shift(engine.begin(api, [engine.task()])["id"], 300)
    OrmQ.objects.all().delete()


def _late_cut(api: Api) -> None:
    run = engine.begin(api, [{"id": "many", "type": "loop", "count": 2000, "body": []}])
    running.begin(run["id"])
    OrmQ.objects.all().delete()
    assert Execution.objects.update(changed_at=timezone.now() - LONG_AGO) == Execution.objects.filter(cut=True).count()


def _late_tell(api: Api) -> None:
    engine.ran(api, [engine.task("asks", "x [pause] [steps:1]")])
    [asked] = Approval.objects.all()
    api.post(f"/runs/{asked.run_id}/resume")
    drive_all()
    OrmQ.objects.all().delete()
    Run.objects.filter(id=asked.run_id).update(finished_at=timezone.now() - LONG_AGO)


def _late_answer(api: Api) -> None:
    engine.ran(api, [engine.approval("ok"), engine.task()])
    [asked] = Approval.objects.all()
    api.post(f"/approvals/{asked.id}/decide", {"verdict": "approve"})
    OrmQ.objects.all().delete()
    Approval.objects.update(effective_at=timezone.now() - LONG_AGO)


def _stuck(api: Api) -> None:
    machine = api.post("/machines", {"display_name": "m"}).json()["id"]
    Machine.objects.filter(id=machine).update(status="starting", status_at=timezone.now() - LONG_AGO)


def _stop_unconfirmed(api: Api) -> None:
    api.post("/stop", {"scope": "team", "reason": "x"})
    Stop.objects.update(requested_at=timezone.now() - LONG_AGO, confirmed_at=None)


def _lift_unfinished(api: Api) -> None:
    stop_id = api.post("/stop", {"scope": "team", "reason": "x"}).json()["id"]
    api.post(f"/stop/{stop_id}/lift")
    Stop.objects.update(lifted_at=timezone.now() - LONG_AGO, thawed_at=None)


def _left_standing(api: Api) -> None:
    machine = api.post("/machines", {"display_name": "m"}).json()["id"]
    over = {"pid": 2**22, "starttime": 1}
    record = {"holder": list(over.values()), "lease": None, "halted": True, "group": "", "left": [], "stands": []}
    Machine.objects.filter(id=machine).update(handle=over, frozen=record)


def _stopped_by_nobody(api: Api) -> None:
    run_id = api.post("/runs", {"task": "x"}).json()["id"]
    Run.objects.filter(id=run_id).update(stopped_at=timezone.now())


DUE: list[tuple[Callable[[Api], None], Callable[[], object]]] = [
    (_expiry, approvals_clock.expiries), (_deadline, run_clock.deadlines), (_effect, approvals_clock.effects),
    (_delivery, outbox.queue_due), (_reminder, reminders.remind_due), (_notice, mail.queue_due), (_stop, run_clock.stops),
    (_stop_above, run_clock.stops), (_orphan, run_clock.stops), (_lapse, services.lapses), (_left_standing, freezing.settle_all),
    (_late_begin, workflows.begin_late), (_late_cut, workflows.go_on_late), (_late_tell, workflows.tell_late),
    (_late_answer, workflows.tell_late), (_stuck, lifecycle.retry_stuck),
    (_stop_unconfirmed, stops.enforce), (_lift_unfinished, stops.thaw), (_stopped_by_nobody, stops.uphold),
]  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize(("make", "work"), DUE, ids=[make.__name__.strip("_") for make, _ in DUE])
def test_the_tables_name_what_the_chore_finds(test_key: Api, make: Callable[[Api], None], work: Any) -> None:
    place = next(n for n, chore in enumerate(clock.SLEEPING) if chore.work is work)
    assert clock.due_in()[place] is None
    make(test_key)
    seconds = clock.due_in()[place]
    assert seconds is not None
    assert seconds <= 0
    work()
    if make is _stop_above:
        work()  # its tasks first
    left = clock.due_in()[place]
    assert left is None or left > 0


def test_every_chore_that_sleeps_is_tried_here() -> None:
    assert {chore.work for chore in clock.SLEEPING} == {work for _, work in DUE}


@pytest.mark.django_db
def test_a_clock_that_cannot_ask_looks_for_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    chores = tuple(
        clock.Chore(lambda name=n: done.append(name), 0.0, "SELECT nothing FROM nowhere")
        for n in ("one", "two")  # type: ignore[misc]
    )
    monkeypatch.setattr(clock, "CHORES", chores)
    monkeypatch.setattr(clock, "SLEEPING", chores)

    def broken() -> list[float | None]:
        raise ProgrammingError("no such table")

    monkeypatch.setattr(clock, "due_in", broken)
    monkeypatch.setattr(clock, "SLACK", -1.0)
    ticking_here = clock.Clock(threading.Event())
    for _ in range(2):
        ticking_here._ask_at = 0.0
        ticking_here._tick()
    assert done == ["one", "two"] * 2


def test_what_is_far_away_rings_nobody(api: Api) -> None:
    with psycopg.connect(address(), autocommit=True) as ear:
        ear.execute(f"LISTEN {clock.CHANNEL}")
        waiting(
            api, awaiting_human_timeout_seconds=3600, deadline_seconds=3600, webhook_url="https://93.184.216.34/hook"
        )
        ear.execute(f"NOTIFY {clock.CHANNEL}, 'the end'")
        assert [heard.payload for heard in ear.notifies(timeout=SECONDS, stop_after=1)] == ["the end"]
