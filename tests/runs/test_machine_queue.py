"""One run per machine, and what a run that does not move says about it (docs/api/runs.md sections 4 and 6)."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from machines.models import Machine
from runs.models import Run, Worker
from tests.cast import Api
from tests.runs.driving import (
    begin,
    drive_all,
    drive_and_die,
    expire_lease,
    show,
    simulated,
    status_of,
    waiting,
    worker_is_there,
)
from tests.runs.invariants import check_run

pytestmark = pytest.mark.django_db


def _why(api: Api, run_id: str) -> tuple[str, str | None] | None:
    reason = show(api, run_id)["waiting_on"]
    if reason is None:
        return None
    assert reason["message"]
    return reason["code"], reason["ref"]


def test_T_044_the_second_run_waits_for_the_machine(live: Api) -> None:
    worker_is_there()
    machine = simulated(live)
    first = waiting(live, machine_id=machine, agent="scripted")
    second = begin(live, machine_id=machine, agent="scripted")
    drive_all()
    assert status_of(second["id"]) == "queued"
    assert _why(live, second["id"]) == ("machine_busy", first["id"])
    live.post(f"/runs/{first['id']}/resume")
    assert _why(live, second["id"]) == ("machine_busy", first["id"])
    drive_all()
    assert status_of(first["id"]) == status_of(second["id"]) == "succeeded"
    one, two = Run.objects.get(id=first["id"]), Run.objects.get(id=second["id"])
    assert one.finished_at is not None
    assert two.started_at is not None
    assert one.finished_at <= two.started_at
    check_run(first["id"])
    check_run(second["id"])


def test_priority_then_age(live: Api) -> None:
    machine = simulated(live)
    holder = waiting(live, machine_id=machine, agent="scripted")
    made = [begin(live, machine_id=machine, agent="scripted", priority=p)["id"] for p in (5, 9, 0, 9, 5)]
    live.post(f"/runs/{holder['id']}/cancel")
    drive_all()
    started = Run.objects.filter(id__in=made, status="succeeded").order_by("started_at").values_list("id", flat=True)
    assert list(started) == [made[i] for i in (1, 3, 0, 4, 2)]


def test_test_runs_on_a_test_machine_queue_too(test_key: Api) -> None:
    machine = simulated(test_key)
    waiting(test_key, machine_id=machine)
    second = begin(test_key, machine_id=machine)
    drive_all()
    assert _why(test_key, second["id"]) is not None
    assert status_of(second["id"]) == "queued"


def test_runs_on_machines_of_their_own_do_not_queue(test_key: Api) -> None:
    waiting(test_key, machine_id="mch_same")
    second = begin(test_key, machine_id="mch_same")
    drive_all()
    assert status_of(second["id"]) == "succeeded"


def test_no_worker(test_key: Api) -> None:
    run = begin(test_key)
    assert _why(test_key, run["id"]) == ("no_worker", None)
    worker_is_there()
    assert _why(test_key, run["id"]) is None
    Worker.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=60))
    assert _why(test_key, run["id"]) == ("no_worker", None)


def test_every_worker_is_full(test_key: Api, settings: Any) -> None:
    run, settings.RUN_LOOP_CAPACITY = begin(test_key), 2
    worker_is_there()
    Worker.objects.update(driving=2)
    assert _why(test_key, run["id"]) == ("concurrency_limit", None)
    Worker.objects.create(name="free", started_at=timezone.now(), heartbeat_at=timezone.now(), driving=1)
    assert _why(test_key, run["id"]) is None


def test_no_worker_after_a_resume(test_key: Api) -> None:
    run = waiting(test_key)
    resumed = test_key.post(f"/runs/{run['id']}/resume").json()
    assert (resumed["status"], resumed["waiting_on"]["code"]) == ("running", "no_worker")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("starting", "machine_starting"),
        ("creating", "machine_starting"),
        ("stopped", "machine_stopped"),
        ("suspended", "machine_stopped"),
    ],
)
def test_a_machine_that_does_not_run(live: Api, status: str, code: str) -> None:
    worker_is_there()
    machine = simulated(live)
    Machine.objects.filter(id=machine).update(status=status)
    run = begin(live, machine_id=machine, agent="scripted")
    drive_all()
    assert _why(live, run["id"]) == (code, machine)
    Machine.objects.filter(id=machine).update(status="running")
    drive_all()
    assert status_of(run["id"]) == "succeeded"


def test_stuck(test_key: Api) -> None:
    worker_is_there()
    run = begin(test_key)
    drive_and_die("write_outcome")
    expire_lease(run["id"], 30)
    assert _why(test_key, run["id"]) is None  # silent, but not for a minute yet
    expire_lease(run["id"], 61)
    assert _why(test_key, run["id"]) == ("stuck", "doomed-worker")
    drive_all()
    assert _why(test_key, run["id"]) is None
    assert status_of(run["id"]) == "succeeded"
