"""Reservations, ends by time, and what other apps are told."""

import functools
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from machines import services
from machines.models import MACHINE_MOVES, Machine, MachineStatus
from machines.processes import lifecycle
from tests.at_once import at_once
from tests.machines.conftest import Caller, queued
from web.errors import InvalidState


def expire(machine_id: str) -> None:
    Machine.objects.filter(id=machine_id).update(auto_destroy_at=timezone.now() - timedelta(seconds=1))


def status(machine_id: str) -> str:
    return Machine.objects.get(id=machine_id).status


def test_of_many_runs_one_gets_the_machine(transactional_db: None, test_world: Caller) -> None:
    machine_id = test_world.machine()["id"]
    won = at_once(*(functools.partial(services.reserve, machine_id, f"run_{i}") for i in range(8)))
    assert sorted(won) == [False] * 7 + [True]
    assert Machine.objects.get().current_run_id == f"run_{won.index(True)}"


def test_a_run_keeps_its_machine_until_it_lets_go(test_world: Caller, heard: Any) -> None:
    machine_id = test_world.machine()["id"]
    assert services.reserve(machine_id, "run_1")
    assert services.reserve(machine_id, "run_1")
    assert not services.reserve(machine_id, "run_2")
    services.release(machine_id, "run_2")
    assert Machine.objects.get().current_run_id == "run_1"
    before = len(heard())
    services.release(machine_id, "run_1")
    services.release(machine_id, "run_1")
    assert heard()[before:] == [("machine.ready", (machine_id,))]
    assert services.reserve(machine_id, "run_2")


def test_a_machine_that_does_not_run_is_not_reserved(test_world: Caller) -> None:
    machine_id = test_world.machine()["id"]
    services.stop(test_world.actor, machine_id)
    assert not services.reserve(machine_id, "run_1")
    assert not services.reserve("mch_none", "run_1")


def test_a_machine_whose_time_is_up_ends(test_world: Caller) -> None:
    kept, ended = test_world.machine(ttl_minutes=5)["id"], test_world.machine(ttl_minutes=5)["id"]
    expire(ended)
    assert lifecycle.reap() == 1
    assert (status(kept), status(ended)) == ("running", "terminated")
    assert lifecycle.reap() == 0


def test_a_machine_whose_time_is_up_ends_after_its_run(test_world: Caller) -> None:
    machine_id = test_world.machine(ttl_minutes=5)["id"]
    services.reserve(machine_id, "run_1")
    expire(machine_id)
    assert lifecycle.reap() == 0
    services.release(machine_id, "run_1")
    assert status(machine_id) == "terminated"


def test_a_suspended_machine_is_started_by_a_person(test_world: Caller) -> None:
    machine_id = test_world.machine()["id"]
    assert services.suspend(machine_id)
    assert not services.suspend(machine_id)
    assert test_world.post(f"/machines/{machine_id}/start").json()["status"] == "running"


def test_stop_and_terminate_at_once_end_in_terminated(transactional_db: None, test_world: Caller) -> None:
    machine_id = test_world.machine()["id"]
    actor = test_world.actor
    at_once(lambda: services.stop(actor, machine_id), lambda: services.terminate(actor, machine_id))
    assert status(machine_id) == "terminated"


@pytest.mark.parametrize("before", list(MachineStatus))
def test_move_keeps_to_the_table(test_world: Caller, before: str) -> None:
    machine_id = test_world.machine()["id"]
    for to in MachineStatus:
        Machine.objects.filter(id=machine_id).update(
            status=before, terminated_at=timezone.now() if before == "terminated" else None
        )
        with transaction.atomic():
            machine = services.locked(machine_id)
            if to in MACHINE_MOVES[before]:
                services.move(machine, to)
                assert status(machine_id) == to
            else:
                with pytest.raises(InvalidState):
                    services.move(machine, to)


def test_messages_are_queued_with_the_change_or_not_at_all(test_world: Caller, heard: Any) -> None:
    machine_id = test_world.machine()["id"]
    before = queued()
    with transaction.atomic():
        services.terminate(test_world.actor, machine_id)
        transaction.set_rollback(True)
    assert queued() == before
    services.terminate(test_world.actor, machine_id)
    assert heard()[-1] == ("machine.gone", (machine_id, ""))
