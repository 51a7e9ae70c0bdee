"""Machines that no row knows are ended with the installation, however they are isolated and whatever holds their screen."""

from pathlib import Path

import pytest

from config.own_processes import wait_until
from config.up.machine_processes import _kill_strays
from machines.drivers import process
from machines.drivers.isolation import fence, sandbox
from tests.drivers.conftest import Machine, spec_of

WAYS = [(way, screens) for way in ("bubblewrap", "fence") for screens in ("tmux", "keeper")]


@pytest.mark.parametrize(("way", "screens"), WAYS)
async def test_a_machine_whose_start_nobody_recorded_is_ended(
    way: str, screens: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "fence" and fence.problem():
        pytest.skip(str(fence.problem()))
    monkeypatch.setenv("MACHINE_ISOLATION", way)
    monkeypatch.setenv("MACHINE_SCREEN", screens)
    assert sandbox.choose("terminal") == way
    other = Machine(spec_of("terminal", tmp_path / "elsewhere" / "machines" / "two"))
    machine = Machine(spec_of("terminal", tmp_path / "data" / "machines" / "one"))
    await other.start()
    try:
        await machine.start()
        flee = "(setsid sleep 600 < /dev/null > /dev/null 2>&1 &)"
        await machine.do("type_text", text=f"{flee}; sleep 600 &\n")
        everything = machine.processes()
        assert wait_until(lambda: not _kill_strays(tmp_path / "data"), 10)
        assert wait_until(lambda: not any(map(process.is_alive, everything)), 10)
        assert await other.alive()
    finally:
        await machine.stop()
        await other.stop()
