"""deadline_seconds and its two clocks (docs/api/runs.md section 5). Time passes by moving rows into the past."""

from datetime import timedelta

import pytest
from django.utils import timezone

from approvals.models import Approval
from runs import clock
from runs.models import Run
from tests.cast import Api
from tests.runs.driving import (
    begin,
    data_of,
    drive_all,
    drive_and_die,
    kinds,
    shift,
    show,
    simulated,
    status_of,
    waiting,
)
from tests.runs.invariants import check_run

pytestmark = pytest.mark.django_db


def test_T_042_the_active_clock_stands_still_while_a_person_is_needed(test_key: Api) -> None:
    run = waiting(test_key, deadline_seconds=5)
    assert show(test_key, run["id"])["deadline_at"] is None
    shift(run["id"], 20)
    Run.objects.filter(id=run["id"]).update(created_at=Run.objects.get(id=run["id"]).awaiting_human_since)
    assert clock.deadlines() == 0
    resumed = test_key.post(f"/runs/{run['id']}/resume").json()
    assert resumed["deadline_at"] is not None
    assert clock.deadlines() == 0
    drive_all()
    assert status_of(run["id"]) == "succeeded"
    check_run(run["id"])


def test_what_was_used_before_the_wait_counts(test_key: Api) -> None:
    run = waiting(test_key, deadline_seconds=100)
    shift(run["id"], 1000)  # all of it spent waiting: the wait began as soon as the run did
    row = Run.objects.get(id=run["id"])
    Run.objects.filter(id=row.id).update(created_at=row.awaiting_human_since - timedelta(seconds=30))
    test_key.post(f"/runs/{run['id']}/resume")
    left = (Run.objects.get(id=row.id).deadline_at - timezone.now()).total_seconds()
    assert 68 < left <= 70.1
    shift(run["id"], 71)
    assert clock.deadlines() == 1
    assert status_of(run["id"]) == "timed_out"


def test_the_wall_clock_runs_on_and_cancels_what_is_open(test_key: Api) -> None:
    run = waiting(test_key, deadline_seconds=60, deadline_clock="wall")
    assert show(test_key, run["id"])["deadline_at"] is not None
    shift(run["id"], 59)
    assert clock.deadlines() == 0
    shift(run["id"], 2)
    assert clock.deadlines() == 1
    done = show(test_key, run["id"])
    assert (done["status"], done["error"]["code"], done["result"]) == ("timed_out", "DEADLINE_EXCEEDED", None)
    assert done["deadline_at"] is None
    assert Approval.objects.get(run_id=run["id"]).status == "cancelled"
    assert kinds(run["id"])[-4:] == ["approval", "error", "timed_out", "done"]
    assert test_key.post(f"/runs/{run['id']}/resume").json()["error"]["code"] == "RESUME_CONFLICT"
    check_run(run["id"])


def test_T_043_a_queued_run_times_out_without_having_started(live: Api) -> None:
    machine = simulated(live)
    waiting(live, machine_id=machine, agent="scripted")
    run = begin(live, machine_id=machine, agent="scripted", deadline_seconds=30)
    assert run["deadline_at"] is not None
    drive_all()
    shift(run["id"], 31)
    assert clock.deadlines() == 1
    assert clock.deadlines() == 0
    done = show(live, run["id"])
    assert (done["status"], done["started_at"], done["error"]["code"]) == ("timed_out", None, "DEADLINE_EXCEEDED")
    assert data_of(run["id"], "error")[0]["fatal"] is True
    check_run(run["id"])


def test_a_running_run_times_out(test_key: Api) -> None:
    run = begin(test_key, deadline_seconds=30)
    drive_and_die("write_outcome", 2)
    shift(run["id"], 31)
    assert clock.deadlines() == 1
    drive_all()
    done = show(test_key, run["id"])
    assert (done["status"], done["steps_completed"]) == ("timed_out", 1)
    check_run(run["id"])
