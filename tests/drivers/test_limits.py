"""What a machine may use of the computer that it runs on: processes, memory, the kernel's rarer doors. As root and as a plain user."""
# ruff: noqa: ASYNC110, ASYNC240, PTH115

import asyncio
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from machines.drivers import process
from machines.drivers.isolation import bubblewrap, cgroups, machine_users, refused_calls, resource_limits
from machines.drivers.isolation.fence.filter import ARCHITECTURES
from tests.drivers.conftest import Machine, spec_of
from tests.drivers.limited import FORKS, GREED, attack, inside

PLAIN = 64_321  # a user without a name
ROOT = Path(__file__).parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives machines users of their own")
needs_groups = pytest.mark.skipif(not cgroups.bounds(), reason="no control groups to be divided on this computer")
KINDS = ["terminal", pytest.param("browser", marks=pytest.mark.browser)]


@pytest.fixture
def as_plain_user(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """Attack as a user without rights; what came of it."""

    def run(kind: str, program: str) -> dict[str, Any]:
        folder = Path(tempfile.mkdtemp())  # that of tests is open to nobody else
        if os.geteuid():
            return asyncio.run(attack(kind, str(folder / "machine"), program))
        os.chown(folder, PLAIN, PLAIN)
        command = ["setpriv", f"--reuid={PLAIN}", f"--regid={PLAIN}", "--clear-groups", sys.executable, "-m"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        command += ["tests.drivers.limited", kind, str(folder / "machine"), program]
        done = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
        )
        subprocess.run(["rm", "-rf", str(folder)], check=True)
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    return run


def forked(output: str) -> int:
    counted = re.search(r"forked (\d+)", output)
    assert counted, output
    return int(counted.group(1))


# --- processes


@needs_root
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("groups", ["", "never"])
async def test_a_machine_of_root_does_not_fork_past_its_limit(
    kind: str, groups: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With control groups and without: 1,500 processes once stood in a machine that may have 1,024."""
    monkeypatch.setenv("MACHINE_CGROUPS", groups)
    monkeypatch.setenv("MACHINE_SCREEN", "keeper")
    monkeypatch.setattr(resource_limits, "PROCESSES", resource_limits.PROCESSES)
    monkeypatch.setattr(resource_limits, "SHARED", resource_limits.SHARED)
    outcome = await attack(kind, str(tmp_path / "machine"), FORKS)
    assert 10 < forked(outcome["output"]) < 150
    assert outcome["alive"]
    assert bool(outcome["group"]) == (groups == "" and bool(cgroups.bounds()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_machine_of_a_plain_user_does_not_fork_past_its_limit(
    kind: str, as_plain_user: Callable[..., dict[str, Any]]
) -> None:
    outcome = as_plain_user(kind, FORKS)
    assert 10 < forked(outcome["output"]) < 150
    assert outcome["alive"]
    assert outcome["uid"] is None


@needs_root
async def test_two_machines_do_not_take_each_others_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MACHINE_CGROUPS", "never")
    monkeypatch.setenv("MACHINE_SCREEN", "keeper")
    monkeypatch.setattr(resource_limits, "PROCESSES", {"terminal": 64})
    one, other = (Machine(spec_of("terminal", tmp_path / name)) for name in ("one", "other"))
    await asyncio.gather(one.start(), other.start())
    try:
        assert one.handle["uid"] != other.handle["uid"]
        full = FORKS.replace(
            'print("forked"', 'open("full", "w").close(); signal.alarm(9); signal.pause(); print("forked"'
        )
        stand = asyncio.create_task(inside(one, full))
        while await one.session.read_file("full") is None:
            await asyncio.sleep(0.02)
        assert forked(await inside(other, FORKS)) > 10
        stand.cancel()
    finally:
        await one.stop()
        await other.stop()


# --- users


def users_inside(machine: Machine) -> set[int]:
    """To whom the processes in the sandbox belong, as the computer sees it."""
    pids = [
        one.pid
        for one in machine.processes()
        if os.readlink(f"/proc/{one.pid}/ns/pid") != os.readlink("/proc/self/ns/pid")
    ]
    return {Path(f"/proc/{pid}").stat().st_uid for pid in pids}


@needs_root
@pytest.mark.parametrize("kind", KINDS)
async def test_each_machine_has_a_user_of_its_own_and_the_sockets_stay_ours(kind: str, tmp_path: Path) -> None:
    machine = Machine(spec_of(kind, tmp_path / "machine"))
    await machine.start()
    try:
        uid = machine.handle["uid"]
        assert machine_users.FIRST <= uid < machine_users.FIRST + machine_users.MANY
        assert users_inside(machine) == {uid}
        assert (machine.spec.folder / "home").stat().st_uid == uid
        assert stat.S_IMODE((machine.spec.folder / "home").stat().st_mode) == 0o700
        sockets = [path for path in Path(machine.handle["run"]).iterdir() if path.is_socket()]
        assert {path.stat().st_uid for path in sockets if path.name != "egress.sock"} == {0}
        assert {stat.S_IMODE(path.stat().st_mode) for path in sockets if path.name != "tmux.sock"} == {0o600}
    finally:
        await machine.stop()
    await machine.start()  # the same one again
    try:
        assert machine.handle["uid"] == uid
    finally:
        await machine.stop()


@needs_root
@pytest.mark.parametrize("kind", KINDS)
async def test_what_a_machine_of_before_left_is_its_users_now(kind: str, tmp_path: Path) -> None:
    """Its files were root's. Links lead to where they led, and what they lead to stays whose it was."""
    home, secret = tmp_path / "machine" / "home", tmp_path / "secret"
    (home / "deep").mkdir(parents=True)
    secret.write_text("host's")
    (home / "note.txt").write_text("kept")
    (home / "out").symlink_to(secret)
    (home / "loop").symlink_to(home)
    lowest = home / "deep"
    (home / "note.txt").chmod(0o4755)
    for _ in range(30):
        lowest = lowest / ("d" * 100)
    lowest.mkdir(parents=True)
    machine = Machine(spec_of(kind, tmp_path / "machine"))
    await machine.start()
    try:
        assert await machine.session.read_file("note.txt") == b"kept"
        did = await inside(machine, "open('note.txt', 'a').write('!'); print(open('note.txt').read())")
        assert did == "kept!\n"
        assert (home / "note.txt").stat().st_uid == machine.handle["uid"]
        assert not (home / "note.txt").stat().st_mode & 0o6000
        assert secret.stat().st_uid == 0
    finally:
        await machine.stop()


@needs_root
async def test_a_home_whose_handing_over_was_broken_off_is_handed_over_again(tmp_path: Path) -> None:
    machine = Machine(spec_of("terminal", tmp_path / "machine"))
    home = tmp_path / "machine" / "home"
    home.mkdir(parents=True)
    (home / "left").write_text("root's")
    uid = machine_users.user_of(tmp_path / "machine")
    (home / "done").write_text("the machine's")
    os.chown(home / "done", uid, uid)
    await machine.start()
    try:
        assert machine.handle["uid"] == uid
        assert {path.stat().st_uid for path in (home, *home.iterdir())} == {uid}
    finally:
        await machine.stop()


@needs_root
def test_users_are_not_given_twice_and_not_to_whom_they_belong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_users, "MANY", 8)
    monkeypatch.setattr(machine_users, "_has_a_name", lambda uid: uid == machine_users.FIRST + 3)
    folders = [tmp_path / str(number) for number in range(7)]
    for folder in folders:
        folder.mkdir()
    users = [machine_users.user_of(folder) for folder in folders]
    assert sorted(users) == [machine_users.FIRST + number for number in range(8) if number != 3]
    assert [machine_users.user_of(folder) for folder in folders] == users
    (folders[0] / "user").write_text("0")
    assert machine_users.user_of(folders[0]) == users[0]


@needs_root
async def test_where_users_cannot_be_had_a_machine_runs_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(spec_of("terminal", tmp_path / "machine"))
    await machine.start()
    await machine.do("type_text", text="echo mine > kept\n")
    await machine.stop()
    monkeypatch.setattr(resource_limits, "has_own_users", lambda bwrap: False)
    await machine.start()
    try:
        assert machine.handle["uid"] is None
        assert users_inside(machine) == {0}
        assert await machine.session.read_file("kept") == b"mine\n"
        assert (await machine.do("type_text", text="echo more > more\n")).data["exit_code"] == 0
    finally:
        await machine.stop()


@needs_root
async def test_a_machine_starts_where_nobody_else_may_look(tmp_path: Path) -> None:
    """The folders above its home are root's alone."""
    (tmp_path / "closed").mkdir(mode=0o700)
    machine = Machine(spec_of("terminal", tmp_path / "closed" / "machine"))
    await machine.start()
    try:
        for way in (
            "echo x > /dev/stderr",
            "echo x > /dev/tty",
            "echo x > /dev/stdout",
            "ls -la ~",
            "cd /tmp && mktemp",
        ):
            assert (await machine.do("type_text", text=f"{way}\n")).data["exit_code"] == 0, way
        assert not [mount for mount in mounts() if mount.startswith("stage ")]
    finally:
        await machine.stop()


def mounts() -> list[str]:
    return Path("/proc/mounts").read_text(encoding="utf-8").splitlines()


# --- memory, and the group that bounds it


@needs_groups
@pytest.mark.parametrize("kind", KINDS)
async def test_processes_of_a_machine_share_its_memory(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit for each single process lets twelve of them have twelve times as much."""
    monkeypatch.setattr(resource_limits, "GIGABYTE", 400 << 20 if kind == "browser" else 200 << 20)
    machine = Machine(replace(spec_of(kind, tmp_path / "machine"), memory_gb=1))
    await machine.start()
    try:
        said = await inside(machine, GREED)
        kept = re.search(r"kept (\d+)", said)
        assert kept is None or int(kept.group(1)) < 10  # the one that asks may be ended, too
        assert await machine.alive()
        assert await inside(machine, "print('well')") == "well\n"
        group = cgroups.of_handle(machine.handle["group"])
        assert group
        if "memory" in group.folders:
            most = int((group.folders["memory"] / "memory.max_usage_in_bytes").read_text())
            assert most <= resource_limits.GIGABYTE
    finally:
        await machine.stop()


@pytest.mark.browser
@needs_groups
async def test_a_page_does_not_hold_more_memory_than_its_machine_has(
    site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MACHINE_ALLOWED_HOSTS", site.host)
    monkeypatch.setattr(resource_limits, "GIGABYTE", 500 << 20)
    machine = Machine(replace(spec_of("browser", tmp_path / "machine"), memory_gb=1))
    await machine.start()
    try:
        greed = "<script>window.all = []; for (let n = 0; n < 30; n++) all.push(new Uint8Array(4e7).fill(n))</script>"
        await machine.do("open_url", url=site.page(greed, "/greed"), timeout_ms=30_000)
        group = cgroups.of_handle(machine.handle["group"])
        assert group
        if "memory" in group.folders:
            assert int((group.folders["memory"] / "memory.max_usage_in_bytes").read_text()) <= resource_limits.GIGABYTE
    finally:
        await machine.stop()


@needs_groups
@pytest.mark.parametrize("kind", KINDS)
async def test_a_stopped_machine_leaves_neither_process_nor_group(kind: str, tmp_path: Path) -> None:
    machine = Machine(spec_of(kind, tmp_path / "machine"))
    await machine.start()
    group = cgroups.of_handle(machine.handle["group"])
    assert group
    pids = group.pids()
    assert len(pids) >= 2
    assert process.recorded(machine.handle).pid not in pids  # type: ignore[union-attr]  # who holds the screen stays out
    await machine.session.close()
    machine.handle = {}  # as for who was killed before it could record it
    await machine.stop()
    assert not any(folder.exists() for folder in group.folders.values())
    assert [pid for pid in pids if process.identify(pid)] == []


@needs_groups
def test_a_group_stands_still_runs_on_and_is_ended(tmp_path: Path) -> None:
    group = cgroups.make("test-of-groups", 100 << 20, 1, 50)
    assert group
    enter = " ".join(f"echo $$ > {entrance};" for entrance in group.entrances)
    with subprocess.Popen(["/bin/sh", "-c", f"{enter} echo in; while read x; do echo $x; done"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:  # fmt: skip
        assert shell.stdout
        assert shell.stdin
        assert shell.stdout.readline() == "in\n"
        assert group.pids() == [shell.pid]
        assert group.freeze(still=True)
        assert group.freeze(still=True)
        shell.stdin.write("on\n")
        shell.stdin.flush()
        assert process.identify(shell.pid)
        assert group.freeze(still=False)
        assert shell.stdout.readline() == "on\n"
        group.freeze(still=True)
        assert group.end(), "one that stands still is ended, too"
        shell.wait(10)
    assert group.pids() == []
    assert group.end()
    assert not group.freeze(still=True)


@needs_groups
def test_a_group_that_nobody_ended_is_removed_by_the_next() -> None:
    left = cgroups.make("test-left", 100 << 20, 1, 50)
    assert left
    cgroups.make("test-next", 100 << 20, 1, 50)
    assert all(folder.exists() for folder in left.folders.values()), "it may be about to be entered"
    for folder in left.folders.values():
        os.utime(folder, (1, 1))
    following = cgroups.make("test-next", 100 << 20, 1, 50)
    assert following
    assert not any(folder.exists() for folder in left.folders.values())
    assert following.end()


# --- what lives in memory


async def test_folders_in_memory_share_one_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MACHINE_SCREEN", "keeper")
    monkeypatch.setattr(bubblewrap, "_SCRATCH_BYTES", 32 << 20)
    machine = Machine(spec_of("terminal", tmp_path / "machine"))
    await machine.start()
    try:
        fill = "for f in /tmp /var/tmp /dev/shm /run; do dd if=/dev/zero of=$f/full bs=1M count=40 2>/dev/null; done"
        await machine.session.terminal(fill, 30_000)
        total = await machine.session.terminal("du -scm /tmp/full /dev/shm/full /run/full | tail -n 1", 5000)
        assert 24 <= int(total.output.split()[0]) <= 32
        assert await machine.alive()
    finally:
        await machine.stop()


# --- calls into the kernel

ASK = """
import ctypes, errno, sys
libc = ctypes.CDLL(None, use_errno=True)
for number in {numbers}:
    ctypes.set_errno(0)
    libc.syscall(ctypes.c_long(number), *[ctypes.c_long(argument) for argument in (0, 0, 0, 0, 0, 0)])
    print(number, errno.errorcode.get(ctypes.get_errno(), "none"))
"""


@pytest.mark.parametrize("kind", KINDS)
async def test_doors_that_nobody_needs_are_closed(kind: str, tmp_path: Path) -> None:
    machine = Machine(spec_of(kind, tmp_path / "machine"))
    column = ARCHITECTURES[os.uname().machine][0]
    names = {
        refused_calls.NUMBERS[name][column]: name for refused in refused_calls.REFUSED.values() for name in refused
    }
    names.pop(None, None)
    await machine.start()
    try:
        said = dict(line.split() for line in (await inside(machine, ASK.format(numbers=sorted(names)))).splitlines())
        refused = {names[int(number)]: word for number, word in said.items()}
        for code, of_code in refused_calls.REFUSED.items():
            expected = {name for name in of_code if name in refused}
            word = {38: "ENOSYS", 1: "EPERM"}[code]
            assert {name for name, answer in refused.items() if answer == word} >= expected
        for name in ("io_uring_setup", "userfaultfd", "keyctl", "add_key", "bpf", "perf_event_open"):
            assert name in refused
        if os.uname().machine == "x86_64":  # the same calls by other numbers
            assert "ENOSYS" in await inside(
                machine, ASK.format(numbers=[refused_calls.NUMBERS["keyctl"][0] | 0x40000000])
            )  # type: ignore[operator]
    finally:
        await machine.stop()


def test_the_filter_is_there_for_both_processors_and_for_no_other() -> None:
    both = [refused_calls.program(machine) for machine in ("x86_64", "aarch64")]
    assert all(code and len(code) % 8 == 0 and len(code) // 8 < 256 for code in both)
    assert refused_calls.program("riscv64") is None
