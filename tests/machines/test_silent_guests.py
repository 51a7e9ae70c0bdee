"""A machine whose guest was stopped from inside neither ends nor answers: it is ended and started anew."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from machines.drivers import guest_link, process
from machines.drivers.base import MachineGone
from machines.drivers.browser.driver import BrowserSession
from machines.errors import MachineUnavailable
from machines.models import Machine
from machines.processes import lifecycle, sessions
from tests.machines.conftest import Caller, queued

Work = Callable[[], list[str]]
KINDS = ["terminal", pytest.param("browser", marks=pytest.mark.browser)]


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest_link, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(guest_link, "ATTACH_SECONDS", 1.0)
    monkeypatch.setattr(lifecycle, "SILENCES_APART", 0.0)


@pytest.fixture(params=KINDS)
def machine(request: pytest.FixtureRequest, real: None, live: Caller, work: Work) -> Machine:
    made = live.machine(kind=request.param, screen_width=800, screen_height=480)
    work()
    return Machine.objects.get(id=made["id"])


def guest_of(machine: Machine) -> int:
    """The process of the guest, as a program inside can find it."""
    holder = process.recorded(machine.handle)
    assert holder
    for one in process.descendants(holder):
        words = Path(f"/proc/{one.pid}/cmdline").read_bytes().split(b"\0")
        if b"/run/guest" in words and b"python" in words[0]:
            return one.pid
    raise AssertionError("no guest")


def ended_with(machine: Machine) -> list[process.Identity]:
    holder = process.recorded(machine.handle)
    assert holder
    return [holder, *process.descendants(holder)]


async def visit(machine_id: str) -> int:
    """Which start of the machine answers now."""
    connected = await sessions.open_session(machine_id)
    await connected.session.close()
    return connected.restarts


def test_a_stopped_guest_is_started_anew_by_whoever_needs_it(machine: Machine, live: Caller) -> None:
    of_before = ended_with(machine)
    os.kill(guest_of(machine), signal.SIGSTOP)
    assert asyncio.run(visit(machine.id)) == machine.restarts + 1
    assert [one for one in of_before if process.is_alive(one)] == []
    machine.refresh_from_db()
    assert machine.status == "running"
    assert live.get(f"/machines/{machine.id}/screenshot").status_code == 200


def test_a_stopped_guest_is_noticed_by_the_clock(machine: Machine, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "GLANCE_SECONDS", 0.2)
    os.kill(guest_of(machine), signal.SIGSTOP)
    assert [lifecycle.revive_dead() for _ in range(3)] == [0, 0, 1]
    assert queued() == [("machines.tasks.start", (machine.id,))]
    work()
    before, _ = machine.restarts, machine.refresh_from_db()
    assert (machine.status, machine.restarts) == ("running", before + 1)
    assert lifecycle.revive_dead() == 0


def test_a_guest_that_was_only_busy_stays(machine: Machine, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three glances without an answer are looked into with more patience; then it answers."""
    guest = guest_of(machine)
    with monkeypatch.context() as hurry:
        hurry.setattr(lifecycle, "GLANCE_SECONDS", 0.2)
        os.kill(guest, signal.SIGSTOP)
        while not lifecycle.revive_dead():
            pass
    os.kill(guest, signal.SIGCONT)
    work()
    before = machine.restarts
    machine.refresh_from_db()
    assert (machine.status, machine.restarts) == ("running", before)
    assert guest_of(machine) == guest


def test_a_machine_that_has_to_stand_still_is_not_taken_for_dead(terminal: Machine) -> None:
    Machine.objects.update(halted_at=timezone.now())
    os.kill(guest_of(terminal), signal.SIGSTOP)
    with pytest.raises(MachineUnavailable, match="stands still"):
        lifecycle.bring_up(terminal.id)
    assert [lifecycle.revive_dead() for _ in range(4)] == [0, 0, 0, 0]
    assert process.is_alive(process.recorded(terminal.handle))
    assert Machine.objects.get().restarts == terminal.restarts


def test_a_machine_that_is_stopped_while_it_is_asked_is_not_started_anew(
    terminal: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object) -> bool:
        Machine.objects.update(halted_at=timezone.now())
        return False

    monkeypatch.setattr(lifecycle, "_alive", silent)
    with pytest.raises(MachineUnavailable, match="stands still"):
        lifecycle.bring_up(terminal.id)
    assert process.is_alive(process.recorded(terminal.handle))
    assert (Machine.objects.get().status, Machine.objects.get().restarts) == ("running", terminal.restarts)


def test_a_machine_that_lives_is_asked_more_than_once(terminal: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The computer may be busy just then."""
    attach, faults = sessions.attach, [MachineGone("It is busy.")] * 3

    async def hardly(now: lifecycle.Facts) -> sessions.Connected:
        if faults:
            raise faults.pop()
        return await attach(now)

    monkeypatch.setattr(sessions, "attach", hardly)
    assert asyncio.run(visit(terminal.id)) == terminal.restarts


@pytest.mark.browser
def test_a_browser_that_cannot_be_made_ready_for_a_run_is_started_anew(
    real: None, live: Caller, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = live.machine(kind="browser")
    work()
    machine = Machine.objects.get(id=made["id"])

    async def stuck(self: BrowserSession) -> None:
        raise MachineGone("The browser does not give its tabs up.")

    async def begin(run_id: str) -> int:
        connected = await sessions.open_for_run(machine.id, run_id, sync_to_async(lambda work, *args: work(*args)))
        await connected.session.close()
        return connected.restarts

    monkeypatch.setattr(BrowserSession, "begin", stuck)
    assert asyncio.run(begin("run_1")) == machine.restarts + 1
    assert asyncio.run(begin("run_1")) == machine.restarts + 1, "once for each run"
    assert asyncio.run(begin("run_2")) == machine.restarts + 2
