"""Does the program in the foreground wait for somebody to type? Answered from /proc alone, so only for programs that this
user may look at, and only on processors whose system calls are listed.
"""
# ruff: noqa: PTH116, PTH123, PTH208

import contextlib
import os
import platform
import termios
from typing import NamedTuple

READS: dict[str, frozenset[int]] = {"x86_64": frozenset({0, 19}), "aarch64": frozenset({63, 65})}  # read, readv
POLLS: dict[str, frozenset[int]] = {  # poll, select, pselect6, ppoll, epoll_wait, epoll_pwait, epoll_pwait2
    "x86_64": frozenset({7, 23, 270, 271, 232, 281, 441}),
    "aarch64": frozenset({72, 73, 22, 441}),
}
CONTROLLING_TERMINAL = os.makedev(5, 0)


class Wait(NamedTuple):
    """`wants`: line, secret (nothing is echoed) or keys (a pager, an editor, a menu); `program` is the process's name."""

    wants: str
    program: str
    pid: int


def foreground(group: int) -> list[tuple[int, str]]:
    """The processes of the terminal's foreground group: (pid, name)."""
    members = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                    name, fields = file.read().split("(", 1)[1].rsplit(")", 1)
                if int(fields.split()[2]) == group:
                    members.append((int(entry), name))
    return members


def system_call(pid: int) -> tuple[int, int] | None:
    """Number and first argument of the call in which the process's first thread sleeps; None when it runs or hides."""
    try:
        with open(f"/proc/{pid}/syscall", encoding="ascii") as file:
            words = file.read().split()
        return int(words[0]), int(words[1], 16)
    except (OSError, ValueError, IndexError):
        return None


def is_terminal(pid: int, descriptor: int, device: int) -> bool:
    try:
        return os.stat(f"/proc/{pid}/fd/{descriptor}").st_rdev in (device, CONTROLLING_TERMINAL)
    except OSError:
        return False


def who_waits(group: int, device: int, modes: int, machine: str = platform.machine()) -> Wait | None:
    """Who of the foreground group reads from the terminal `device`; `modes` are its local modes. None: nobody, or unknown."""
    raw = not modes & termios.ICANON
    wants = "keys" if raw else "line" if modes & termios.ECHO else "secret"
    polling: Wait | None = None
    for pid, name in foreground(group):
        call = system_call(pid)
        if call is None:
            continue
        if call[0] in READS.get(machine, ()) and is_terminal(pid, call[1], device):
            return Wait(wants, name, pid)
        if raw and call[0] in POLLS.get(machine, ()):
            polling = polling or Wait(wants, name, pid)
    return polling
