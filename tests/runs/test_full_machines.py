"""A machine that was stopped because its home is full: the run that drives it asks people, and goes on when they made room."""

from typing import Any

import pytest
from django.utils import timezone

from machines.models import Machine
from runs import services
from runs.models import Run
from tests.cast import Api
from tests.runs.driving import begin, drive_all, request_of, show, simulated, waiting
from tests.runs.invariants import check_run

pytestmark = pytest.mark.django_db
WORDS = "Its home holds 5.2 GB and may hold 5 GB, so it was stopped."


def stop_full(machine_id: str, status: str = "stopped") -> None:
    Machine.objects.filter(id=machine_id).update(status=status, full_at=timezone.now(), problem=WORDS)


def started_again(machine_id: str) -> None:
    Machine.objects.filter(id=machine_id).update(status="running", problem="")


@pytest.fixture
def run(live: Api) -> dict[str, Any]:
    """A run that has waited while its machine was stopped, and goes on."""
    made = waiting(live, machine_id=simulated(live), agent="scripted")
    stop_full(made["machine_id"], "stopping")
    live.post(f"/runs/{made['id']}/resume")
    drive_all()
    return show(live, made["id"])


def test_it_asks_people_and_goes_on_when_they_made_room(live: Api, run: dict[str, Any]) -> None:
    assert run["status"] == "awaiting_human"
    asked = request_of(live, run)
    assert (asked["kind"], asked["title"]) == ("approval", "The machine was stopped: its home is full")
    assert WORDS in asked["message"]
    assert Machine.objects.get().current_run_id == run["id"], "nobody else gets it meanwhile"
    started_again(run["machine_id"])
    assert live.post(f"/runs/{run['id']}/resume").status_code == 200
    drive_all()
    assert show(live, run["id"])["status"] == "succeeded"
    check_run(run["id"])


def test_it_asks_again_while_the_machine_stays_stopped(live: Api, run: dict[str, Any]) -> None:
    first = request_of(live, run)["id"]
    stop_full(run["machine_id"])
    assert live.post(f"/runs/{run['id']}/resume").status_code == 200
    drive_all()
    assert request_of(live, show(live, run["id"]))["id"] != first
    check_run(run["id"])


def test_a_rejection_ends_it(live: Api, run: dict[str, Any]) -> None:
    assert live.post(f"/runs/{run['id']}/resume", {"approved": False}).status_code == 200
    drive_all()
    assert (show(live, run["id"])["status"], show(live, run["id"])["error"]["code"]) == ("failed", "REJECTED")
    check_run(run["id"])


def test_where_nobody_may_be_asked_it_fails_with_the_reason(live: Api) -> None:
    machine = simulated(live)
    made = begin(live, machine_id=machine, agent="scripted", human_in_the_loop=False)
    run = Run.objects.get(id=made["id"])
    Run.objects.filter(id=run.id).update(lease_epoch=1)
    assert services.start(run.id, 1)
    Run.objects.filter(id=run.id).update(lease_owner=None, lease_until=None)
    stop_full(machine)
    drive_all()
    ended = show(live, run.id)
    assert (ended["status"], ended["error"]["code"]) == ("failed", "MACHINE_UNAVAILABLE")
    assert WORDS in ended["error"]["message"]


def test_one_that_was_stopped_by_hand_fails_its_run_as_before(live: Api) -> None:
    made = waiting(live, machine_id=simulated(live), agent="scripted")
    Machine.objects.update(status="stopped")
    live.post(f"/runs/{made['id']}/resume")
    drive_all()
    assert show(live, made["id"])["error"]["code"] == "MACHINE_UNAVAILABLE"
