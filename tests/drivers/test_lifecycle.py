"""Machines outlive who started them, end without a trace and say so when they are gone."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from machines.drivers import process
from machines.drivers.base import Action, MachineGone
from tests.drivers.conftest import Machine, spec_of

STARTER = """
import asyncio, json, sys
from pathlib import Path
from machines.drivers.base import Action, MachineSpec
from machines.drivers.registry import driver_for

async def main():
    kind, folder = sys.argv[1:]
    spec = MachineSpec("mch_test", kind, Path(folder), 1280, 720)
    driver = driver_for(kind)
    handle = await driver.start(spec, None)
    session = await driver.attach(spec, handle)
    if kind == "terminal":
        await session.act(Action("type_text", {"text": "echo half"}))
    print(json.dumps(handle), flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture(
    params=[
        pytest.param("terminal-tmux", marks=pytest.mark.tmux),
        "terminal-keeper",
        pytest.param("browser", marks=pytest.mark.browser),
    ]
)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each kind of machine, and terminals with each holder of their screen."""
    kind, _, screens = str(request.param).partition("-")
    monkeypatch.setenv("MACHINE_SCREEN", screens)
    return kind


async def test_a_machine_survives_the_sudden_end_of_the_process_that_started_it(kind: str, tmp_path: Path) -> None:
    machine = Machine(spec_of(kind, tmp_path / "machine"))
    command = [sys.executable, "-c", STARTER, kind, str(machine.spec.folder)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as starter:  # noqa: ASYNC220
        assert starter.stdout is not None
        machine.handle = json.loads(starter.stdout.readline())
        starter.kill()
    try:
        assert await machine.alive()
        machine.session = await machine.driver.attach(machine.spec, machine.handle)
        assert (await machine.session.screenshot()).width == 1280
        if kind == "terminal":
            assert "echo half" in await machine.session.text()
    finally:
        await machine.stop()


async def test_stop_leaves_no_process(kind: str, tmp_path: Path) -> None:
    machine = Machine(spec_of(kind, tmp_path / "machine"))
    await machine.start()
    if kind == "terminal":
        await machine.do("type_text", text="setsid nohup sleep 600 > /dev/null 2>&1 &\n")
    all_of_it = machine.processes()
    assert len(all_of_it) > 3
    await machine.stop()
    assert [one for one in all_of_it if process.is_alive(one)] == []
    assert not await machine.alive()
    await machine.driver.stop(machine.spec, machine.handle)


async def test_a_killed_machine_is_gone_and_says_so(kind: str, tmp_path: Path) -> None:
    machine = Machine(spec_of(kind, tmp_path / "machine"))
    await machine.start()
    root, *below = machine.processes()
    try:
        pidfds = [os.pidfd_open(one.pid) for one in below]
        pidfd = process.send(root, signal.SIGKILL)
        assert pidfd is not None
        assert await process.ended(pidfd, 5)
        assert all([await process.ended(one, 5) for one in pidfds]), "the sandbox dies with its keeper"
        assert not await machine.alive()
        for call in (
            machine.session.screenshot(),
            machine.session.text(),
            machine.session.elements(),
            machine.session.state(),
            machine.session.read_file("x"),
            machine.session.act(Action("key_press", {"key": "a"})),
            machine.driver.attach(machine.spec, machine.handle),
        ):
            with pytest.raises(MachineGone):
                await call
    finally:
        await machine.stop()


async def test_a_machine_whose_handle_was_lost_is_replaced(kind: str, tmp_path: Path) -> None:
    machine = Machine(spec_of(kind, tmp_path / "machine"))
    await machine.start()
    await machine.session.close()
    lost = machine.processes()
    machine.handle = {}
    await machine.start()
    try:
        assert [one for one in lost if process.is_alive(one)] == []
        assert await machine.alive()
    finally:
        await machine.stop()


async def test_a_machine_whose_handle_was_lost_is_stopped(kind: str, tmp_path: Path) -> None:
    machine = Machine(spec_of(kind, tmp_path / "machine"))
    await machine.driver.stop(machine.spec, {})  # never begun
    await machine.start()
    await machine.session.close()
    lost = machine.processes()
    await machine.driver.stop(machine.spec, {})
    assert [one for one in lost if process.is_alive(one)] == []


async def test_a_restarted_terminal_keeps_its_home(tmp_path: Path) -> None:
    machine = Machine(spec_of("terminal", tmp_path / "machine"))
    await machine.start()
    try:
        await machine.do("type_text", text="echo kept > kept.txt\n")
        first = machine.handle
        assert await machine.driver.start(machine.spec, first) == first, "a running machine is not started twice"
        await machine.stop()
        await machine.start()
        assert machine.handle != first
        assert await machine.session.read_file("kept.txt") == b"kept\n"
    finally:
        await machine.stop()


async def test_a_reused_pid_is_not_taken_for_the_machine(tmp_path: Path) -> None:
    machine = Machine(spec_of("terminal", tmp_path / "machine"))
    me = process.identify(os.getpid())
    assert me is not None
    machine.handle = {"pid": me.pid, "starttime": me.starttime - 1, "run": str(tmp_path)}
    assert not await machine.alive()
    await machine.stop()
    assert process.is_alive(me)
