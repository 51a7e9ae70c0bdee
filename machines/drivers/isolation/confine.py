"""Puts one machine into its limits and becomes its sandbox. Runs outside of it, without the rest of the package.

    confine.py SPEC -- BWRAP [ARGUMENT …]

SPEC is JSON: `groups` (files that take the number of a process: control groups), `uid` (the machine's own user, null for
ours), `calls` (a system call filter, base64), `beside` (the folder that BWRAP needs with it, null for none).
Another user may not reach what a sandbox shows of the host: our folders are closed. So everything is first mounted where
anybody may look, in a mount namespace that only this machine has.
"""
# ruff: noqa: PTH102, PTH110, PTH112, PTH123, PTH208

import base64
import contextlib
import ctypes
import itertools
import json
import os
import stat
import sys
from typing import Any

CALLS = "{calls}"  # in the command: the number of the descriptor that holds the filter
_STAGES = ("/mnt", "/media", "/srv", "/tmp")  # noqa: S108  covered for this machine alone; any folder will do that all may enter
_OPEN_TO_ALL = ("/usr/", "/etc/", "/proc/", "/bin/", "/sbin/", "/lib/", "/lib32/", "/lib64/", "/libx32/")
_BINDS = frozenset({"--bind", "--ro-bind", "--ro-bind-try"})
_NEW_MOUNTS, _BIND, _RECURSIVE, _SLAVE = 0x20000, 1 << 12, 1 << 14, 1 << 19
_TERMINALS = range(136, 144)  # device numbers of the ends of terminals that programs have
_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    words = (word.encode() if word is not None else None for word in (source, target, kind))
    _checked(_libc.mount(*words, ctypes.c_ulong(flags), data.encode() if data else None), f"mount {target}")


def join(groups: list[str]) -> None:
    """Enter these control groups, with all that will come after."""
    for group in groups:
        with open(group, "w", encoding="ascii") as file:
            file.write("0")


def hold(content: bytes) -> int:
    """An open descriptor that reads as this, for the program that comes."""
    descriptor = os.memfd_create("calls", 0)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.set_inheritable(descriptor, True)
    return descriptor


def staged(command: list[str], beside: str | None) -> list[str]:
    """The command, with whatever it takes from closed folders taken from where anybody may reach it."""
    _checked(_libc.unshare(_NEW_MOUNTS), "unshare")
    _mount("none", "/", None, _RECURSIVE | _SLAVE)
    opened = {path: os.open(path, os.O_PATH) for path in _closed(command, beside)}
    stage = next(path for path in _STAGES if os.path.isdir(path))
    _mount("stage", stage, "tmpfs", 0, "mode=0711,size=1m")
    places = {path: _shown(descriptor, f"{stage}/{descriptor}") for path, descriptor in opened.items()}
    program, *words = command
    if beside in places:
        places[program] = places[beside] + program.removeprefix(beside)
    return [places.get(program, program), *_from(places, words)]


def _closed(command: list[str], beside: str | None) -> list[str]:
    """The program, and the sources of its mounts, as far as others may be kept from them."""
    sources = [source for option, source in itertools.pairwise(command) if option in _BINDS]
    paths = dict.fromkeys([beside or command[0], *sources])
    return [path for path in paths if not f"{path}/".startswith(_OPEN_TO_ALL) and os.path.exists(path)]


def _shown(descriptor: int, place: str) -> str:
    """Mount what the descriptor stands for at this place."""
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.mkdir(place)
    else:
        open(place, "x").close()
    _mount(f"/proc/self/fd/{descriptor}", place, None, _BIND | _RECURSIVE)
    os.close(descriptor)
    return place


def _from(places: dict[str, str], words: list[str]) -> list[str]:
    before = ["", *words]
    return [places.get(word, word) if last in _BINDS else word for last, word in zip(before, words, strict=False)]


def become(uid: int) -> None:
    """This user from now on, with no rights of any other. The terminals that are open become its own: it opens them anew."""
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):
            if os.major(os.fstat(descriptor).st_rdev) in _TERMINALS:
                os.fchown(descriptor, uid, -1)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def main(arguments: list[str]) -> None:
    split = arguments.index("--")
    spec: dict[str, Any] = json.loads(arguments[0])
    command = arguments[split + 1 :]
    join(spec["groups"])
    if CALLS in command:
        command[command.index(CALLS)] = str(hold(base64.b64decode(spec["calls"])))
    if spec["uid"] is not None:
        command = staged(command, spec["beside"])
        become(spec["uid"])
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
