"""Real terminal machines: started by workers, revived when they die, ended for good."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connections as database
from django.db import transaction
from django.utils import timezone

from machines import services, tasks
from machines.drivers import process
from machines.drivers.registry import driver_for
from machines.drivers.terminal.driver import TerminalDriver
from machines.errors import MachineUnavailable
from machines.models import Machine
from machines.processes import lifecycle, sessions
from tests.machines.conftest import Caller, queued
from tests.machines.test_services import at_once, status

Work = Callable[[], list[str]]


def now(machine: Machine) -> Machine:
    machine.refresh_from_db()
    return machine


def kill(machine: Machine) -> None:
    """Until its screen and its first process are gone: while one of them is ending, commands may still reach it."""
    handle = now(machine).handle
    os.kill(handle["pid"], signal.SIGKILL)
    while alive(machine) or process.is_alive(process.recorded(handle)):
        time.sleep(0.01)


def alive(machine: Machine) -> bool:
    row = now(machine)
    return asyncio.run(driver_for("terminal").alive(row.spec, row.handle))


def shell(live: Caller, machine: Machine, command: str) -> Any:
    answer = live.post(f"/machines/{machine.id}/terminal", {"command": command})
    assert answer.status_code == 200, answer.json()
    return answer.json()


def test_a_worker_starts_it_and_it_does_what_it_is_told(live: Caller, terminal: Machine, heard: Any) -> None:
    assert (terminal.status, terminal.restarts, alive(terminal)) == ("running", 1, True)
    done = shell(live, terminal, "echo hello; exit 3")
    assert (done["output"], done["exit_code"], done["success"]) == ("hello\n", 3, False)
    act = live.post(f"/machines/{terminal.id}/actions", {"command": "type_text", "params": {"text": "touch made\n"}})
    assert act.json()["success"], act.json()
    assert "made" in shell(live, terminal, "ls")["output"]
    assert live.get(f"/machines/{terminal.id}/screenshot").json()["width"] == 800


def test_T_170_the_answer_is_200_when_the_action_fails_on_the_machine(live: Caller, terminal: Machine) -> None:
    body = {"command": "click", "params": {"x": 1, "y": 1}}
    act = live.post(f"/machines/{terminal.id}/actions", body)
    assert (act.status_code, act.json()["success"]) == (200, False)
    assert act.json()["error"]
    path, steps = f"/machines/{terminal.id}/actions/batch", [body, {"command": "done"}]
    stopped = live.post(path, {"steps": steps}).json()
    assert (len(stopped["results"]), stopped["failed_count"], stopped["aborted"]) == (1, 1, True)
    through = live.post(path, {"steps": steps, "stop_on_error": False}).json()
    assert (through["completed_count"], through["failed_count"], through["aborted"]) == (1, 1, False)


def test_a_killed_machine_is_started_again_with_its_files(
    live: Caller, terminal: Machine, work: Work, heard: Any
) -> None:
    shell(live, terminal, "echo kept > file")
    assert lifecycle.reconcile() == 0
    kill(terminal)
    assert lifecycle.reconcile() == 1
    assert lifecycle.reconcile() == 0
    assert now(terminal).status == "starting"
    lifecycle_tasks = [task for task in queued() if task[0] == "machines.tasks.start"]
    assert len(lifecycle_tasks) == 1
    tasks.start(terminal.id)
    tasks.start(terminal.id)
    assert (now(terminal).status, terminal.restarts) == ("running", 2)
    assert heard()[-1] == ("machine.ready", (terminal.id,))
    assert shell(live, terminal, "cat file")["output"] == "kept\n"


def test_many_at_once_start_it_once(terminal: Machine) -> None:
    kill(terminal)
    up = at_once(*[lambda: asyncio.run(_open(terminal.id))] * 4)
    assert [getattr(connected, "restarts", connected) for connected in up] == [2] * 4
    assert now(terminal).restarts == 2


def test_a_session_with_a_killed_machine_starts_it_again(live: Caller, terminal: Machine) -> None:
    async def ask() -> tuple[int, str]:
        connected = await sessions.open_session(terminal.id)
        done = await connected.session.terminal("echo hi", 5000)
        await connected.session.close()
        return connected.restarts, done.output

    assert asyncio.run(ask()) == (1, "hi\n")
    kill(terminal)
    assert asyncio.run(ask()) == (2, "hi\n")
    kill(terminal)
    assert shell(live, terminal, "echo again")["output"] == "again\n"
    assert now(terminal).restarts == 3


def test_a_direct_action_inside_an_idempotent_call_revives_too(live: Caller, terminal: Machine) -> None:
    kill(terminal)
    body = {"command": "echo hi"}
    done = live.post(f"/machines/{terminal.id}/terminal", body, **{"Idempotency-Key": "one"})
    assert done.json()["output"] == "hi\n"


def test_a_machine_whose_start_nobody_recorded_ends_too(live: Caller, real: None, work: Work) -> None:
    """Its worker was killed between the start and the handle: the row knows of no process."""
    made = Machine.objects.get(id=live.machine(kind="terminal")["id"])
    handle = asyncio.run(driver_for("terminal").start(made.spec, None))
    assert live.delete(f"/machines/{made.id}").json()["status"] == "terminating"
    work()
    assert status(made.id) == "terminated"
    assert not process.is_alive(process.recorded(handle))


def test_stop_keeps_the_files_and_terminate_removes_them(
    live: Caller, terminal: Machine, work: Work, settings: Any
) -> None:
    shell(live, terminal, "echo kept > file")
    assert live.post(f"/machines/{terminal.id}/stop").json()["status"] == "stopping"
    work()
    assert (status(terminal.id), alive(terminal)) == ("stopped", False)
    assert live.post(f"/machines/{terminal.id}/start").json()["status"] == "starting"
    work()
    assert shell(live, terminal, "cat file")["output"] == "kept\n"
    assert live.delete(f"/machines/{terminal.id}").json()["status"] == "terminating"
    assert live.delete(f"/machines/{terminal.id}").status_code == 409
    work()
    assert (status(terminal.id), alive(terminal)) == ("terminated", False)
    assert not (Path(settings.MACHINES_DIR) / terminal.id).exists()


def test_a_machine_terminated_while_it_starts_leaves_no_process(live: Caller, real: None, work: Work) -> None:
    machine_id = live.machine(kind="terminal")["id"]
    services.terminate(live.actor, machine_id)
    work()
    assert status(machine_id) == "terminated"
    assert not alive(Machine.objects.get())


def test_an_end_asked_for_during_the_start_comes_after_it(
    live: Caller, real: None, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_id = live.machine(kind="terminal")["id"]
    start = TerminalDriver.start

    async def slow(self: TerminalDriver, *args: Any) -> Any:
        handle = await start(self, *args)
        await asyncio.to_thread(services.terminate, live.actor, machine_id)
        await asyncio.to_thread(database.close_all)
        return handle

    monkeypatch.setattr(TerminalDriver, "start", slow)
    work()
    assert status(machine_id) == "terminated"
    assert not alive(Machine.objects.get())


def test_what_this_computer_lacks_is_told(
    live: Caller, real: None, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_id = live.machine(kind="terminal")["id"]
    monkeypatch.setattr(TerminalDriver, "missing", lambda self: ["tmux is not installed: apt-get install tmux."])
    refused = live.post("/machines", {"display_name": "Desk", "kind": "terminal"}).json()["error"]
    assert (refused["reason_code"], "apt-get install tmux" in refused["message"]) == ("no_machine", True)
    assert work() == ["machines.tasks.start"]
    shown = live.get(f"/machines/{machine_id}").json()
    assert (shown["status"], shown["problem"]) == ("error", "tmux is not installed: apt-get install tmux.")
    assert shown["cents_per_hour"] == 0
    assert lifecycle.start_all() == 0


def test_a_machine_that_lacked_something_is_tried_again_at_the_next_start(
    live: Caller, real: None, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_id = live.machine(kind="terminal")["id"]
    with monkeypatch.context() as bare:
        bare.setattr(TerminalDriver, "missing", lambda self: ["tmux is not installed: apt-get install tmux."])
        work()
    assert live.get(f"/machines/{machine_id}").json()["status"] == "error"
    assert lifecycle.start_all() == 1
    work()
    shown = live.get(f"/machines/{machine_id}").json()
    assert (shown["status"], shown["problem"]) == ("running", None)


def test_three_failed_starts_are_an_error_and_its_run_is_told(
    live: Caller, terminal: Machine, heard: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: TerminalDriver, *args: Any) -> Any:
        raise OSError("no more processes")

    assert services.reserve(terminal.id, "run_1")
    kill(terminal)
    monkeypatch.setattr(TerminalDriver, "start", broken)
    with pytest.raises(MachineUnavailable, match="no more processes"):
        asyncio.run(_open(terminal.id))
    assert now(terminal).status == "error"
    assert "no more processes" in terminal.problem
    assert heard()[-1] == ("machine.gone", (terminal.id, "run_1"))
    answer = live.get(f"/machines/{terminal.id}/screenshot")
    assert (answer.status_code, answer.json()["error"]["current_state"]) == (409, "error")


async def _open(machine_id: str) -> sessions.Connected:
    return await sessions.open_session(machine_id)


def test_what_got_stuck_is_tried_again_once_a_minute(live: Caller, real: None) -> None:
    machine_id = live.machine(kind="terminal")["id"]
    before = len(queued())
    assert lifecycle.reconcile() == 0
    Machine.objects.update(status_at=timezone.now() - timedelta(seconds=61))
    assert sum(at_once(*[lifecycle.reconcile] * 4)) == 1
    assert queued()[before:] == [("machines.tasks.start", (machine_id,))]
    assert lifecycle.reconcile() == 0


def test_the_installation_stops_and_starts_with_its_machines(terminal: Machine, work: Work) -> None:
    start = time.monotonic()
    assert lifecycle.stop_all_processes() == 1
    assert time.monotonic() - start < 3
    assert (now(terminal).status, alive(terminal)) == ("running", False)
    assert lifecycle.start_all() == 1
    work()
    assert (now(terminal).status, alive(terminal)) == ("running", True)


def test_a_stopped_machine_is_not_revived(live: Caller, terminal: Machine, work: Work) -> None:
    services.stop(live.actor, terminal.id)
    work()
    assert lifecycle.start_all() == 0
    tasks.start(terminal.id)
    assert (now(terminal).status, alive(terminal)) == ("stopped", False)
    with pytest.raises(MachineUnavailable, match="stopped"):
        asyncio.run(_open(terminal.id))


def test_tasks_may_run_twice(live: Caller, terminal: Machine, work: Work) -> None:
    tasks.stop(terminal.id)
    tasks.terminate(terminal.id)
    assert now(terminal).status == "running"
    services.suspend(terminal.id)
    work()
    assert (now(terminal).status, alive(terminal)) == ("suspended", False)
    tasks.stop(terminal.id)
    tasks.start("mch_none")
    assert now(terminal).status == "suspended"


@pytest.mark.browser
def test_a_killed_browser_is_started_again(live: Caller, real: None, work: Work) -> None:
    path = f"/machines/{live.machine(kind='browser')['id']}"
    work()
    machine = Machine.objects.get()
    assert live.get(f"{path}/screenshot").json()["width"] == 1280
    os.kill(machine.handle["pid"], signal.SIGKILL)
    act = live.post(f"{path}/actions", {"command": "click", "params": {"x": 1, "y": 1}})
    assert act.json()["success"], act.json()
    assert now(machine).restarts == 2


def test_simulated_sessions_need_no_machine(test_world: Caller, real: None) -> None:
    machine_id = test_world.machine(kind="browser")["id"]
    connected = asyncio.run(sessions.open_session(machine_id))
    assert (connected.restarts, connected.spec.width) == (1, 1280)
    frame = asyncio.run(sessions.simulated_machine(640, 480).session.screenshot())
    assert (frame.width, frame.height) == (640, 480)


def test_a_process_lock_is_held_by_one(real: None, live: Caller) -> None:
    def second() -> None:
        with lifecycle.process_lock("mch_1"):
            pass

    with lifecycle.process_lock("mch_1"):
        assert isinstance(at_once(second)[0], lifecycle.Occupied)
    assert at_once(second) == [None]
    with transaction.atomic(), lifecycle.process_lock("mch_1"):
        pass
