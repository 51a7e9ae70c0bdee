"""What a home holds on disk: measured whatever is in it, and a machine that holds too much is stopped with the reason."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import AuditEntry
from config.own_processes import wait_until
from machines import services
from machines.drivers.home_folder import INODE_BYTES, Measurement, remove
from machines.models import Machine
from machines.processes import home_sizes
from tests.machines.conftest import Caller

Work = Callable[[], list[str]]
MEGABYTE = 1 << 20
# A tree as a program makes it that wants neither to be measured nor removed.
HOSTILE = """
import os
os.makedirs("kept")
for name in ("one", "two"):
    open(f"kept/{name}", "wb").write(b"x" * (2 << 20))
os.link("kept/one", "kept/again")
os.symlink("/usr", "usr")
os.symlink("/", "kept/all")
os.mkfifo("pipe")
for depth in range(1500):
    os.mkdir("d" * 60)
    os.chdir("d" * 60)
open("deep", "wb").write(b"x" * (3 << 20))
"""


def hostile(home: Path, *, closed: bool) -> None:
    home.mkdir(parents=True)
    subprocess.run(["/usr/bin/python3", "-c", HOSTILE], cwd=home, check=True)
    if closed:
        (home / "kept").chmod(0)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that is removed by ours: what tests are given by pytest, it removes by itself, and cannot if it is hostile."""
    folder = Path(tempfile.mkdtemp())
    yield folder
    remove(folder)


@pytest.fixture
def as_plain_user(place: Path) -> Any:
    """Run Python as somebody without rights, in a folder of his own."""

    def run(script: str) -> str:
        folder = place / "own"
        folder.mkdir()
        place.chmod(0o711)
        command = [
            "/usr/bin/env",
            f"PYTHONPATH={Path(__file__).parents[2]}",
            "/usr/bin/python3",
            "-B",
            "-c",
            script,
            str(folder),
        ]
        if os.geteuid() == 0:
            os.chown(folder, 64_321, 64_321)
            command = ["setpriv", "--reuid=64321", "--regid=64321", "--clear-groups", *command]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_a_home_is_measured_whatever_is_in_it(place: Path) -> None:
    hostile(place / "home", closed=True)
    size = Measurement(place / "home").result(30)
    assert size is not None
    assert 7 * MEGABYTE < size < 20 * MEGABYTE  # what is linked twice once, what links lead to not at all


def test_many_empty_files_count(tmp_path: Path) -> None:
    for number in range(700):
        (tmp_path / str(number)).touch()
    size = Measurement(tmp_path).result(30)
    assert size is not None
    assert size >= 700 * INODE_BYTES


def test_a_hole_in_a_file_does_not_count(tmp_path: Path) -> None:
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(1 << 40)
    size = Measurement(tmp_path).result(30)
    assert size is not None
    assert size < MEGABYTE


def test_a_hostile_home_is_removed(place: Path) -> None:
    hostile(place / "machine" / "home", closed=True)
    remove(place / "machine")
    assert not (place / "machine").exists()
    assert Path("/usr/bin/env").exists()
    remove(place / "machine")


def test_a_plain_user_measures_and_removes_what_was_closed_to_him(as_plain_user: Any) -> None:
    script = f"""
import os, sys
from pathlib import Path
from machines.drivers.home_folder import Measurement, remove
folder = Path(sys.argv[1])
home = folder / "home"
home.mkdir()
os.chdir(home)
{HOSTILE}
os.chdir("/")
os.chmod(home / "kept", 0)
print(Measurement(home).result(30))
remove(folder / "home")
print(home.exists())
"""
    size, exists = as_plain_user(script).split()
    assert 7 * MEGABYTE < int(size) < 20 * MEGABYTE
    assert exists == "False"


# --- the clock


@pytest.fixture(autouse=True)
def own_round() -> Iterator[None]:
    yield
    home_sizes._round.give_up()


def rounds() -> None:
    """The clock until it has been round once."""
    home_sizes._round.give_up()
    home_sizes.look()
    assert wait_until(lambda: (home_sizes.look(), home_sizes._round.measured is None)[1], 20)


def test_a_machine_with_too_much_is_stopped_and_says_why(
    live: Caller, terminal: Machine, work: Work, settings: Any
) -> None:
    other = Machine.objects.get(id=live.machine(kind="terminal")["id"])
    work()
    settings.MACHINE_HOME_GB = 20 / 1024
    live.post(f"/machines/{terminal.id}/terminal", {"command": "head -c 30M /dev/zero > full"})
    rounds()
    work()
    shown = live.get(f"/machines/{terminal.id}").json()
    assert shown["status"] == "stopped"
    assert shown["problem"].startswith("Its home holds 0.0 GB and may hold 0.0195312 GB, so it was stopped.")
    other.refresh_from_db()
    assert (other.status, other.full_at) == ("running", None)
    assert other.home_bytes is not None
    entry = AuditEntry.objects.get(verb="machine.stopping", subject=terminal.id)
    assert entry.data["problem"] == shown["problem"]


def test_who_starts_it_again_has_time_to_make_room(live: Caller, terminal: Machine, work: Work, settings: Any) -> None:
    settings.MACHINE_HOME_GB = 1.0
    full = home_sizes.GIGABYTE + 5
    assert home_sizes.judge(terminal.id, full)
    work()
    services.start(live.actor, terminal.id)
    work()
    assert not home_sizes.judge(terminal.id, full)
    assert home_sizes.judge(terminal.id, full + home_sizes.MORE + 1), "it goes on growing"
    work()
    services.start(live.actor, terminal.id)
    work()
    Machine.objects.filter(id=terminal.id).update(started_at=timezone.now() - timedelta(minutes=16))
    assert home_sizes.judge(terminal.id, full), "nobody made room"
    work()
    services.start(live.actor, terminal.id)
    work()
    assert not home_sizes.judge(terminal.id, 5)
    assert Machine.objects.get().full_at is None
    assert home_sizes.judge(terminal.id, -1), "what cannot be counted is too much"
    assert not home_sizes.judge(terminal.id, full), "it is stopping already"


def test_without_a_limit_nothing_is_measured(terminal: Machine, settings: Any) -> None:
    settings.MACHINE_HOME_GB = 0
    rounds()
    terminal.refresh_from_db()
    assert (terminal.status, terminal.home_bytes) == ("running", None)


def test_two_clocks_stop_it_once(terminal: Machine, settings: Any) -> None:
    settings.MACHINE_HOME_GB = 1.0
    assert [home_sizes.judge(terminal.id, 2 << 30) for _ in range(2)] == [True, False]
    assert AuditEntry.objects.filter(verb="machine.stopping", subject=terminal.id).count() == 1
