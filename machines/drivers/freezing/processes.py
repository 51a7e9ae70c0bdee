"""Processes inside a machine, as this host's /proc shows them: which there are, which a person works with, and how they
are made to stand still (SIGSTOP) and to go on.

Nothing inside is asked, and nothing inside can tell itself away: what counts is who is whose child, not names.
"""
# ruff: noqa: PTH116, PTH123, PTH208

import contextlib
import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from machines.drivers import process
from machines.drivers.isolation import fence
from machines.drivers.process import Identity

_BROADCAST = Path(__file__).with_name("broadcast.py")
_BROADCAST_SECONDS = 10
_FLUSHES = 100
_ASLEEP = frozenset("TtZX")  # stopped, traced, or over
# Where a shell sleeps that waits for its own children, and not for somebody to type.
_WAITS_FOR_CHILDREN = ("do_wait", "pipe_read", "anon_pipe_read")


class Proc(NamedTuple):
    """One line of /proc. `front`: the foreground process group of its terminal `tty` (0: it has none)."""

    pid: int
    starttime: int
    state: str
    parent: int
    group: int
    session: int
    tty: int
    front: int

    @property
    def identity(self) -> Identity:
        return Identity(self.pid, self.starttime)

    @property
    def stands(self) -> bool:
        return self.state in _ASLEEP

    @property
    def leads(self) -> bool:
        """A terminal of its own hangs on it."""
        return self.session == self.pid and self.tty != 0


def _processes() -> dict[int, Proc]:
    """Every process of this host that this user may see."""
    rows = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
            except (OSError, IndexError):
                continue
            state, parent, group, session, tty, front = fields[:6]
            pid = int(entry)
            rows[pid] = Proc(pid, int(fields[19]), state, *map(int, (parent, group, session, tty, front)))
    return rows


@dataclass(frozen=True)
class Inside:
    """One look into a machine. `rows`: what runs in it, nearest to its first program `guest` first; not what holds it."""

    guest: Proc
    rows: tuple[Proc, ...]

    def children(self, parent: Proc) -> list[Proc]:
        return [row for row in self.rows if row.parent == parent.pid]


def look(holder: Identity | None, isolated_by: str) -> Inside | None:
    """Look into the machine that `holder` holds (its handle's process); None when there is nothing left of it."""
    if holder is None or not process.is_alive(holder):
        return None
    rows = _processes()
    if holder.pid not in rows:
        return None
    anchor = _anchor(rows, holder.pid, isolated_by)
    inside = _below(rows, anchor) if anchor else []
    first = [row for row in inside if row.parent == anchor and row.state not in "ZX"]
    if not first:
        return None
    # What is orphaned inside becomes a child of the anchor, too; the guest was there before.
    return Inside(min(first, key=lambda row: (row.starttime, row.pid)), tuple(inside))


def _below(rows: dict[int, Proc], root: int) -> list[Proc]:
    children: dict[int, list[Proc]] = {}
    for row in rows.values():
        children.setdefault(row.parent, []).append(row)
    below: list[Proc] = []
    queue = [root]
    while queue:
        more = children.get(queue.pop(0), [])
        below += more
        queue += [row.pid for row in more]
    return below


def _anchor(rows: dict[int, Proc], holder: int, isolated_by: str) -> int | None:
    """The process that stands around everything inside, and adopts what is orphaned there."""
    below = _below(rows, holder)
    if isolated_by == "bubblewrap":
        return next((row.pid for row in below if _depth(row.pid) > _depth(holder)), None)
    if isolated_by == "fence":
        around = fence.around(row.identity for row in below)
        return around.pid if around else None
    return holder


def _depth(pid: int) -> int:
    """In how many process namespaces it has a number."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            return next((len(line.split()) for line in file if line.startswith("NSpid:")), 0)
    except OSError:
        return 0


# --- what a person works with


def in_use(inside: Inside) -> set[Identity]:
    """What a person at a terminal works with: the guest, the visible shell, and the program in the foreground."""
    kept = [inside.guest]
    shell = _shell(inside)
    if shell:
        kept += [shell, *_front(inside, shell)]
    return {row.identity for row in kept}


def core(inside: Inside) -> set[Identity]:
    """The guest and the visible shell: they belong to the machine, whatever was typed there."""
    shell = _shell(inside)
    return {row.identity for row in (inside.guest, shell) if row}


def _shell(inside: Inside) -> Proc | None:
    """The bash on the machine's own terminal, a child of the guest; other commands of the guest have no terminal."""
    terminal = _terminal_of(inside.guest.pid)
    leaders = [row for row in inside.children(inside.guest) if row.leads and terminal in (row.tty, None)]
    return min(leaders, key=lambda row: (row.starttime, row.pid), default=None)


def _terminal_of(guest: int) -> int | None:
    """The device of the shell's pty. None: nobody may look."""
    try:
        return os.stat(_path_of_terminal(guest)).st_rdev
    except (OSError, ValueError):
        return None


def _path_of_terminal(guest: int) -> str:
    """The descriptor of the shell's pty is the last word of the guest's command line."""
    with open(f"/proc/{guest}/cmdline", "rb") as file:
        descriptor = int(file.read().rstrip(b"\0").rpartition(b"\0")[2])
    return f"/proc/{guest}/fd/{descriptor}"


def _front(inside: Inside, leader: Proc) -> list[Proc]:
    """The foreground program of the leader's terminal. A background process cannot get in by joining its group: it has to
    descend from the leader through that group alone, and not to be older than it.
    """
    if leader.front == leader.group and not _waits_for_children(leader):
        return []  # it reads; what shares its group runs behind it (set +m)
    since = next((row.starttime for row in inside.rows if row.pid == leader.front and row.pid != leader.pid), 0)
    members = [row for row in inside.children(leader) if row.group == leader.front and row.starttime >= since]
    kept: list[Proc] = []
    while members:
        row = members.pop(0)
        kept.append(row)
        for child in inside.children(row):
            if child.group == leader.front:
                members.append(child)
            elif child.leads and child.tty != leader.tty:  # `script` and its like: a terminal inside the terminal
                kept += [child, *_front(inside, child)]
    return kept


def _waits_for_children(shell: Proc) -> bool:
    try:
        with open(f"/proc/{shell.pid}/wchan", encoding="ascii") as file:
            return file.read().strip() in _WAITS_FOR_CHILDREN
    except OSError:
        return False


def drop_unread(inside: Inside) -> None:
    """Throw away what was typed and no program has read: it would be read as if the next one who types had typed it."""
    with contextlib.suppress(OSError, ValueError, termios.error):
        ways = [
            os.open(path, os.O_RDWR | os.O_NOCTTY)
            for path in (f"/proc/{inside.guest.pid}/fd/0", _path_of_terminal(inside.guest.pid))
        ]
        try:
            for _ in range(_FLUSHES):  # what was held back behind a full queue comes after it
                waiting = [_pending(way) for way in ways]
                for way in ways:
                    termios.tcflush(way, termios.TCIFLUSH)
                if not any(waiting):
                    break
                time.sleep(0.01)
        finally:
            for way in ways:
                os.close(way)


def _pending(terminal: int) -> int:
    return int(struct.unpack("i", fcntl.ioctl(terminal, termios.FIONREAD, b"\0\0\0\0"))[0])


# --- standing still


def stop(rows: Iterable[Identity]) -> None:
    _signal(rows, signal.SIGSTOP)


def stop_at_once(inside: Inside) -> bool:
    """Stop all that is in the machine's process namespace, also what no look catches; False where that cannot be done."""
    command = [sys.executable, "-I", "-S", str(_BROADCAST), str(inside.guest.pid)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_BROADCAST_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def go_on(rows: Iterable[Identity]) -> None:
    """The farthest first: a shell that went on before its job would take note that this stands."""
    _signal(reversed(list(rows)), signal.SIGCONT)


def _signal(rows: Iterable[Identity], number: signal.Signals) -> None:
    for one in rows:
        pidfd = process.send(one, number)
        if pidfd is not None:
            os.close(pidfd)
