"""Machines stand still for as long as a stop stands, and not a moment longer, whoever comes in between."""

from collections.abc import Callable
from typing import Any

import pytest

from machines.errors import MachineStandsStill
from machines.models import Machine, Stop
from runs.driving import driven_machine, leases
from runs.models import Run
from runs.stops import clock, enforcing
from tests.cast import Api
from tests.runs.driving import begin, drive_all, show, simulated
from tests.stops.stopping import lift, stop

pytestmark = pytest.mark.django_db


@pytest.fixture
def machine(live: Api) -> str:
    """One with processes, as its row says."""
    machine_id = simulated(live)
    Machine.objects.filter(id=machine_id).update(kind="terminal")
    return machine_id


def halted(machine_id: str) -> bool:
    return Machine.objects.get(id=machine_id).halted_at is not None


def test_a_machine_stands_until_the_lift(live: Api, machine: str) -> None:
    stopped = stop(live)
    assert halted(machine)
    clock.uphold()
    assert halted(machine)
    lift(live, stopped)
    assert not halted(machine)


def test_who_freezes_while_the_stop_is_lifted_freezes_nothing(
    live: Api, machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock freezes again and again while a stop stands: its machines may have been thawed since it read the stop."""
    stopped = stop(live)
    note = enforcing._note

    def noted_and_lifted(*args: Any) -> None:
        note(*args)
        monkeypatch.setattr(enforcing, "_note", note)
        lift(live, stopped)

    monkeypatch.setattr(enforcing, "_note", noted_and_lifted)
    clock.uphold()
    assert Stop.objects.get().thawed_at is not None
    assert not halted(machine)


def test_a_machine_that_another_stop_holds_stands_on(live: Api, machine: str) -> None:
    first, second = stop(live), stop(live, "machine", machine)
    lift(live, first)
    assert halted(machine)
    lift(live, second)
    assert not halted(machine)


def test_the_machine_of_a_cancelled_run_of_a_stopped_workflow_is_let_go(live: Api, machine: str) -> None:
    """What comes next on it is in no stop's scope."""
    steps = [{"id": "t", "type": "task", "task": "x [steps:1]"}]
    workflow = live.post("/workflows", {"name": "w", "steps": steps}).json()["id"]
    run = begin(live, machine_id=machine, agent="scripted")
    Run.objects.filter(id=run["id"]).update(workflow_id=workflow, status="running")
    Machine.objects.filter(id=machine).update(current_run_id=run["id"])
    stopped = stop(live, "workflow", workflow)
    assert halted(machine)
    assert live.post(f"/runs/{run['id']}/cancel").status_code == 200
    assert Machine.objects.get(id=machine).current_run_id is None
    follows = begin(live, machine_id=machine, agent="scripted")
    assert leases.claim("w", 1) == []  # it would find nothing but a machine that does not answer
    clock.uphold()
    assert not halted(machine)
    Machine.objects.filter(id=machine).update(kind="simulated")
    drive_all()
    assert show(live, follows["id"])["status"] == "succeeded"
    lift(live, stopped)


def test_a_run_never_fails_for_a_machine_that_was_stopped(test_key: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = simulated(test_key)
    run = begin(test_key, machine_id=machine)
    connect = driven_machine.open_for_run

    async def stands(machine_id: str, run_id: str, ask: Callable[..., Any]) -> Any:
        await ask(lambda: Machine.objects.filter(id=machine_id).update(halted_at=run["created_at"]))
        raise MachineStandsStill

    monkeypatch.setattr(driven_machine, "open_for_run", stands)
    drive_all()
    row = Run.objects.get(id=run["id"])
    assert (row.status, row.lease_owner, row.takeovers) == ("running", None, 0)
    assert leases.claim("w", 1) == []
    monkeypatch.setattr(driven_machine, "open_for_run", connect)
    clock.uphold()
    drive_all()
    assert show(test_key, run["id"])["status"] == "succeeded"
