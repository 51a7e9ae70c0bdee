"""While a person controls a terminal nothing that was left running in it types, listens or works; then it goes on."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from django_q.models import OrmQ

from machines.drivers import process
from machines.drivers.freezing import processes
from machines.errors import MachineElsewhere
from machines.models import Machine, TakeoverLease
from machines.processes import freezing, lifecycle, nodes
from machines.processes.nodes import node_key
from machines.takeover.services import lapses
from tests.freezing.conftest import Desk, work
from tests.runs.driving import until
from tests.takeover.control import pass_time

LOOP = "while :; do echo x >> ticks; sleep 0.02; done"
TYPIST = """
import fcntl, termios, time
tty = open("/dev/tty")
while True:
    for char in b"EVIL":
        fcntl.ioctl(tty, termios.TIOCSTI, bytes([char]))
    time.sleep(0.05)
"""
LISTENER = "while :; do cat /dev/tty >> heard 2> /dev/null; sleep 0.01; done"
JOINER = """
import os, time
os.fork() and os._exit(0)
while True:
    front = os.tcgetpgrp(os.open("/dev/tty", os.O_RDWR))
    front == os.getpgrp() or os.setpgid(0, front)
    open("ticks", "a").write("x")
    time.sleep(0.02)
"""
COMET = """
import os
ticks = os.open("ticks", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
while True:
    if os.fork():
        os._exit(0)
    os.write(ticks, b"x")
"""
FORKER = """
import os
for _ in range(60):
    if not os.fork():
        break
while True:
    os.fork() or os._exit(0)
    os.wait()
    open("ticks", "a").write("x")
"""
DAEMON = f"(setsid bash -c '{LOOP}' > /dev/null 2>&1 &)\n"
# What an agent may leave behind: each writes to a file of its own as long as it runs.
PLANTS = {
    "nohup": "nohup bash -c '{}' > /dev/null 2>&1 &\n",
    "job": "bash -c '{}' &\n",
    "shells_own_group": "set +m; bash -c '{}' & set -m\n",
    "daemon": "(setsid bash -c '{}' > /dev/null 2>&1 &)\n",
    "disowned": "bash -c '{}' & disown\n",
    "coprocess": "coproc bash -c '{}'\n",
    "subshell": "( {} ) &\n",
    "writes_to_the_terminal": 'T=$(tty); (setsid bash -c "{}; echo evil > $T" &)\n',
    "holds_a_lock_file": "flock lock bash -c '{}' &\n",
}  # fmt: skip


def planted(name: str) -> str:
    return PLANTS[name].format(LOOP.replace("ticks", name))


def test_what_an_agent_left_running_stands_still(desk: Desk) -> None:
    for name in PLANTS:
        desk.type(planted(name))
        desk.grows(name)
    lease = desk.take(private=True)
    before = {name: desk.size(name) for name in PLANTS}
    desk.meanwhile()
    assert {name: desk.size(name) for name in PLANTS} == before
    desk.release(lease)
    for name in PLANTS:
        desk.grows(name)


def test_it_stands_still_behind_a_fence_too(desk_behind_a_fence: Desk) -> None:
    desk = desk_behind_a_fence
    desk.type(DAEMON)
    desk.grows("ticks")
    lease = desk.take()
    before = desk.size("ticks")
    desk.meanwhile()
    assert desk.size("ticks") == before
    desk.release(lease)
    desk.grows("ticks")


def test_what_the_guest_runs_beside_the_screen_stands_still(desk: Desk) -> None:
    desk.exec(f"setsid bash -c '{LOOP}' > /dev/null 2>&1 &")
    desk.grows("ticks")
    desk.take()
    before = desk.size("ticks")
    desk.meanwhile()
    assert desk.size("ticks") == before


def test_a_planted_typist_presses_no_key(desk: Desk) -> None:
    (desk.home / "typist.py").write_text(TYPIST, encoding="ascii")
    desk.type("set +m; python3 typist.py 2> refused & set -m\n")
    until(lambda: "EVIL" in desk.text() or desk.size("refused"))
    if desk.size("refused"):
        pytest.fail("this kernel lets nobody type for others: the test shows nothing")
    desk.take()
    desk.act("key_combo", keys=["ctrl", "c"])
    desk.type("clear\n")
    desk.meanwhile()
    assert "EVIL" not in desk.text()
    desk.type("echo mine > typed\n")
    assert (desk.home / "typed").read_text() == "mine\n"


def test_a_planted_listener_hears_nothing(desk: Desk) -> None:
    desk.type(f"set +m; bash -c '{LISTENER}' & set -m\n")
    until(lambda: desk.running("cat /dev/tty"))
    desk.take(private=True)
    for number in range(5):
        desk.type(f"echo secret{number} >> typed\n")
    until(lambda: desk.size("typed") == len("secret0\n") * 5)
    assert desk.size("heard") == 0


@pytest.mark.parametrize("lines", [1, 2000])
def test_what_the_agent_typed_ahead_is_not_read_under_the_persons_hands(desk: Desk, lines: int) -> None:
    desk.type("until [ -e gate ]; do sleep 0.05; done; echo over > over\n", timeout_ms=1000)
    desk.type("echo ahead >> ahead\n" * lines, timeout_ms=1000)
    desk.take()
    (desk.home / "gate").touch()
    until(lambda: desk.size("over"))
    desk.type("echo mine > mine\n")
    assert desk.size("mine")
    assert desk.size("ahead") == 0


def test_the_program_in_the_foreground_is_the_persons(desk: Desk) -> None:
    desk.type("cat | cat > front\n", timeout_ms=1000)
    until(lambda: len(desk.running("cat")) == 2)
    desk.take()
    desk.type("by hand\n")
    until(lambda: desk.size("front"))
    desk.act("key_combo", keys=["ctrl", "c"])
    desk.type("echo shell > front\n")
    assert (desk.home / "front").read_text() == "shell\n"


def test_a_terminal_inside_the_terminal_is_the_persons(desk: Desk) -> None:
    desk.type("script -q log\n", timeout_ms=1000)
    until(lambda: len(desk.running("script")) >= 1)
    desk.take()
    desk.type("echo inner > typed\n")
    until(lambda: desk.size("typed"))


def test_nobody_gets_in_front_by_joining_the_foreground_group(desk: Desk) -> None:
    (desk.home / "joins.py").write_text(JOINER, encoding="ascii")
    desk.type("python3 joins.py &\n")
    desk.grows("ticks")
    desk.take()
    before = desk.size("ticks")
    desk.meanwhile()
    assert desk.size("ticks") == before


def test_processes_born_while_it_is_frozen_are_caught(desk: Desk) -> None:
    (desk.home / "forks.py").write_text(FORKER, encoding="ascii")
    desk.type("python3 forks.py &\n")
    desk.grows("ticks")
    desk.take()
    before = desk.size("ticks")
    assert desk.stands("forks.py")
    desk.meanwhile()
    assert (desk.size("ticks"), desk.stands("forks.py")) == (before, True)


def test_what_forks_and_ends_faster_than_anybody_looks_is_caught(desk: Desk) -> None:
    (desk.home / "comet.py").write_text(COMET, encoding="ascii")
    desk.type("setsid python3 comet.py\n")
    desk.grows("ticks")
    lease = desk.take()
    before = desk.size("ticks")
    desk.meanwhile()
    assert desk.size("ticks") == before
    desk.type("echo hands > typed\n")
    assert desk.size("typed")
    desk.release(lease)
    desk.grows("ticks")
    lease = desk.take()
    desk.release(lease)
    freezing.freeze_machine(desk.id, "stop")
    before = desk.size("ticks")
    assert all(row.stands for row in desk.inside())
    assert desk.size("ticks") == before
    freezing.thaw_machine(desk.id, "stop")
    desk.grows("ticks")


def test_what_the_person_starts_runs_on(desk: Desk) -> None:
    desk.take()
    desk.type(f"bash -c '{LOOP}' &\n")
    desk.grows("ticks")
    freezing.settle_all()
    desk.grows("ticks")


def test_a_job_that_stood_already_stands_afterwards(desk: Desk) -> None:
    desk.type(f"bash -c '{LOOP}' &\n")
    desk.grows("ticks")
    desk.type("kill -STOP %1\n")
    until(lambda: desk.stands("ticks"))
    lease = desk.take()
    desk.release(lease)
    desk.meanwhile()
    assert desk.stands("ticks")


@pytest.mark.parametrize("wake", ["signal", "end of the shell"])
def test_what_is_woken_from_inside_is_made_to_stand_again(desk: Desk, wake: str) -> None:
    desk.type(f"nohup bash -c '{LOOP}' > /dev/null 2>&1 &\n")
    desk.grows("ticks")
    desk.take()
    if wake == "signal":
        desk.exec("pkill -CONT -f ticks")
    else:
        desk.type("exit\n")
        desk.type("exit\n")
    freezing.settle_all()
    before = desk.size("ticks")
    desk.meanwhile()
    assert desk.size("ticks") == before


def test_a_shell_that_wakes_others_at_each_prompt_wakes_nobody(desk: Desk) -> None:
    """Where the kernel's freezer can be had; elsewhere not longer than until the next look."""
    desk.type(f"nohup bash -c '{LOOP}' > /dev/null 2>&1 & PROMPT_COMMAND+='; kill -CONT %1'\n")
    desk.grows("ticks")
    lease = desk.take()
    desk.type("true\n")
    if not freezer_holds(desk):
        freezing.settle_all()
    before = desk.size("ticks")
    desk.type("true\n" if freezer_holds(desk) else "\x0c")
    desk.meanwhile()
    assert desk.size("ticks") == before
    desk.release(lease)
    desk.grows("ticks")


def freezer_holds(desk: Desk) -> bool:
    return any("countersign-frozen" in Path(f"/proc/{row.pid}/cgroup").read_text() for row in desk.running("ticks"))


def test_it_goes_on_when_the_lease_lapses(desk: Desk) -> None:
    desk.type(DAEMON)
    desk.grows("ticks")
    lease = desk.take()
    pass_time(lease, silent=30)
    assert lapses() == 1
    desk.grows("ticks")
    assert desk.row.frozen is None


def _before_the_signal(monkeypatch: pytest.MonkeyPatch, name: str) -> Any:
    """Whoever does this is killed right before."""
    patch = pytest.MonkeyPatch()

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    patch.setattr(processes, name, die)
    return patch


def test_the_clock_freezes_for_whoever_was_killed_before(desk: Desk) -> None:
    desk.type(DAEMON)
    desk.grows("ticks")
    dead = _before_the_signal(pytest.MonkeyPatch(), "stop")
    with pytest.raises(KeyboardInterrupt):
        desk.take()
    dead.undo()
    assert TakeoverLease.objects.filter(ended_at=None).exists()
    freezing.settle_all()
    before = desk.size("ticks")
    desk.meanwhile()
    assert desk.size("ticks") == before


def test_the_clock_lets_go_on_for_whoever_was_killed_before(desk: Desk) -> None:
    desk.type(DAEMON)
    desk.grows("ticks")
    lease = desk.take()
    dead = _before_the_signal(pytest.MonkeyPatch(), "go_on")
    with pytest.raises(KeyboardInterrupt):
        desk.release(lease)
    dead.undo()
    assert desk.stands("ticks")
    freezing.settle_all()
    desk.grows("ticks")
    assert desk.row.frozen is None


@pytest.mark.parametrize("why", ["takeover", "stop"])
def test_a_machine_that_stands_still_can_be_stopped_and_started(desk: Desk, why: str) -> None:
    desk.type(DAEMON)
    desk.grows("ticks")
    if why == "stop":
        freezing.freeze_machine(desk.id, "stop")
    else:
        desk.take()
    rows = desk.inside()
    assert desk.api.post(f"/machines/{desk.id}/stop").status_code == 200
    work()
    assert desk.row.status == "stopped"
    assert not any(process.is_alive(row.identity) for row in rows)


def test_a_machine_that_died_during_a_takeover_comes_back_for_the_person(desk: Desk) -> None:
    desk.type(DAEMON)
    desk.grows("ticks")
    lease = desk.take()
    os.kill(desk.row.handle["pid"], signal.SIGKILL)
    until(lambda: not desk.inside())
    until(lifecycle.revive_dead)
    work()
    desk.type("echo back > typed\n")
    assert (desk.home / "typed").read_text() == "back\n"
    desk.type(f"bash -c '{LOOP}' &\n")
    freezing.settle_all()
    desk.grows("ticks")
    desk.release(lease)
    assert desk.row.frozen is None


def test_stop_makes_all_of_it_stand_until_it_is_lifted(desk: Desk) -> None:
    desk.type(DAEMON)
    desk.grows("ticks")
    freezing.freeze_machine(desk.id, "stop")
    freezing.freeze_machine(desk.id, "stop")
    assert all(row.stands for row in desk.inside())
    freezing.thaw_machine(desk.id, "stop")
    desk.grows("ticks")
    assert desk.exec("echo lives") == "lives\n"
    assert (desk.row.frozen, desk.row.halted_at) == (None, None)


def test_each_reason_holds_what_it_holds(desk: Desk) -> None:
    desk.type(DAEMON)
    desk.grows("ticks")
    lease = desk.take()
    freezing.freeze_machine(desk.id, "stop")
    assert all(row.stands for row in desk.inside())
    freezing.thaw_machine(desk.id, "stop")
    assert desk.exec("echo lives") == "lives\n"
    assert desk.stands("ticks")
    freezing.freeze_machine(desk.id, "stop")
    desk.release(lease)
    assert all(row.stands for row in desk.inside())
    freezing.thaw_machine(desk.id, "stop")
    desk.grows("ticks")


def test_a_halted_machine_that_is_started_again_stands(desk: Desk) -> None:
    freezing.freeze_machine(desk.id, "stop")
    os.kill(desk.row.handle["pid"], signal.SIGKILL)
    until(lambda: not desk.inside())
    until(lifecycle.revive_dead)
    work()
    assert all(row.stands for row in desk.inside())
    freezing.thaw_machine(desk.id, "stop")
    assert desk.exec("echo lives") == "lives\n"


def test_machines_of_nobody_are_left_alone(desk: Desk) -> None:
    assert freezing.settle_all() == 0
    freezing.thaw_machine(desk.id, "takeover")
    assert Machine.objects.get(id=desk.id).frozen is None


def test_a_machine_of_another_node_is_looked_at_there(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.type(DAEMON)
    desk.grows("ticks")
    Machine.objects.filter(id=desk.id).update(node="elsewhere:1")
    with pytest.raises(MachineElsewhere):
        freezing.freeze_machine(desk.id, "stop")
    assert freezing.settle_all() == 0
    desk.grows("ticks")
    assert [row.key for row in OrmQ.objects.all() if row.func() == "machines.tasks.settle"] == [node_key("elsewhere:1")]
    with monkeypatch.context() as there:
        there.setattr(nodes, "this_node", lambda: "elsewhere:1")
        work()
        assert desk.stands("ticks")
    freezing.freeze_machine(desk.id, "stop")
    with pytest.raises(MachineElsewhere):
        freezing.thaw_machine(desk.id, "stop")
    Machine.objects.filter(id=desk.id).update(node=nodes.this_node())
    assert freezing.settle_all() == 1
    desk.grows("ticks")
