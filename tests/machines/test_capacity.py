"""What a computer does not have is not promised: one machine beyond it is refused, the sum is looked at when machines start."""

from collections.abc import Callable
from typing import Any

import pytest

from machines import services
from machines.models import Machine
from machines.processes import capacity, lifecycle
from tests.machines.conftest import Caller

Work = Callable[[], list[str]]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """A computer with 8 GB and 2 cores that promises no more than it has."""
    monkeypatch.setattr(capacity, "host", lambda: {"memory_gb": 8, "cpu_cores": 2})
    settings.MACHINE_OVERCOMMIT, settings.MACHINE_CAPACITY = 1.0, "refuse"


@pytest.mark.parametrize("beyond", [{"memory_gb": 9}, {"cpu_cores": 3}])
def test_a_machine_beyond_the_computer_is_refused(live: Caller, beyond: dict[str, int], settings: Any) -> None:
    body = {"display_name": "Large", "kind": "terminal", **beyond}
    for mode in ("refuse", "wait"):
        settings.MACHINE_CAPACITY = mode
        answer = live.post("/machines", body)
        assert (answer.status_code, answer.json()["error"]["details"][0]["loc"]) == (422, ["body", *beyond])
    settings.MACHINE_CAPACITY = "off"
    assert live.post("/machines", body).status_code == 200


def test_what_was_not_asked_for_is_what_there_is(live: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "host", lambda: {"memory_gb": 1, "cpu_cores": 1})
    made = live.machine(kind="terminal")
    assert (made["memory_gb"], made["cpu_cores"]) == (1, 1)


def test_simulated_machines_take_nothing(live: Caller, test_world: Caller) -> None:
    for caller in (live, test_world):
        assert caller.machine(kind="simulated", memory_gb=64, cpu_cores=16)["status"] == "running"
    made = live.machine(kind="terminal", memory_gb=8, cpu_cores=2)
    assert capacity.lack(Machine.objects.get(id=made["id"])) is None


def test_without_room_a_machine_is_in_error_and_says_why(live: Caller, terminal: Machine, work: Work) -> None:
    second = live.machine(kind="terminal", cpu_cores=1)
    work()
    shown = live.get(f"/machines/{second['id']}").json()
    assert shown["status"] == "error"
    assert shown["problem"] == "This computer has room for machines with 2 cores together; 2 are taken."
    terminal.refresh_from_db()
    assert terminal.status == "running"


def test_by_setting_it_waits_until_there_is_room(live: Caller, terminal: Machine, work: Work, settings: Any) -> None:
    settings.MACHINE_CAPACITY = "wait"
    second = Machine.objects.get(id=live.machine(kind="terminal", cpu_cores=1)["id"])
    work()
    second.refresh_from_db()
    assert (second.status, second.failed_starts) == ("starting", 0)
    assert second.problem.startswith("It waits for room. ")
    assert lifecycle.reconcile(stuck_after=0) == 1
    work()
    services.stop(live.actor, terminal.id)
    work()
    lifecycle.reconcile(stuck_after=0)
    work()
    second.refresh_from_db()
    assert (second.status, second.problem) == ("running", "")


def test_of_two_that_start_at_once_the_first_has_the_room(live: Caller) -> None:
    one, other = (Machine.objects.get(id=live.machine(kind="terminal")["id"]) for _ in range(2))
    Machine.objects.update(status="starting")
    one.refresh_from_db()
    assert capacity.lack(one) is None
    assert capacity.lack(other)
