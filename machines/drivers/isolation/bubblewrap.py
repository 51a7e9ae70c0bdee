"""The sandbox of a machine where user namespaces work: a bubblewrap command line.

Inside there is /usr (read only), a four-file /etc, an empty /tmp and /run, the machine's home, and a network of its own
with nothing but loopback. Nothing else of the host: not the server, not the database, not another machine.
"""
# ruff: noqa: PTH110, PTH112, PTH114, PTH115, PTH120, PTH208

import os
import stat
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from machines.drivers.places import Places

HOME = "/home/agent"
GUEST = Path(__file__).parents[1] / "guest"
GUEST_INSIDE = "/run/guest"
# /etc/ssl/private and the like stay out: to the kernel, a sandbox started by root reads as root.
ETC_FROM_HOST = (
    "alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ssl/certs", "ssl/openssl.cnf", "ca-certificates.conf",
    "terminfo", "fonts", "localtime", "mime.types", "bash.bashrc",
)  # fmt: skip
TOP_LEVEL = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_SCRATCH_BYTES = 1 << 30  # of all folders that live in memory together
_SCRATCH_SHARES = {"/tmp": 12, "/dev/shm": 3, "/run": 1}  # noqa: S108  sixteenths: a sandbox cannot divide one file system


def interpreter() -> tuple[str, list[str]]:
    """The Python that runs inside, and what of the host it needs besides /usr."""
    prefix = os.path.realpath(sys.base_prefix)
    executable = os.path.realpath(sys.executable)
    outside = {path for path in (prefix, os.path.dirname(executable)) if not _below(path, "/usr")}
    return executable, sorted(path for path in outside if not any(_below(path, other) for other in outside - {path}))


def _below(path: str, parent: str) -> bool:
    return path == parent or path.startswith(parent.rstrip("/") + "/")


def command_line(bwrap: Path, places: Places, extra: Sequence[str] = ()) -> list[str]:
    """The sandbox of one machine, up to and with `--`; the program inside follows. `extra` are further bwrap options."""
    command = [str(bwrap), "--unshare-all", "--unshare-user", "--die-with-parent", "--clearenv"]
    command += ["--uid", "1000", "--gid", "1000", "--cap-drop", "ALL", "--hostname", "machine"]
    for name, value in environment(HOME).items():
        command += ["--setenv", name, value]
    command += ["--ro-bind", "/usr", "/usr", *_top_level(), *_etc(places)]
    for path in interpreter()[1]:
        command += ["--ro-bind", path, path]
    command += ["--proc", "/proc", *_switches_of_the_kernel(), "--dev", "/dev"]
    for folder, share in _SCRATCH_SHARES.items():
        command += ["--size", str(_SCRATCH_BYTES // 16 * share), "--tmpfs", folder]
    command += ["--symlink", "/tmp", "/var/tmp"]  # noqa: S108  one folder, one budget
    command += ["--ro-bind", str(GUEST), GUEST_INSIDE, "--bind", str(places.home), HOME]
    return [*command, *extra, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", HOME, "--"]


def environment(home: str) -> dict[str, str]:
    path = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin"]
    path += [folder for folder in (os.path.dirname(interpreter()[0]),) if folder not in path]
    return {
        "HOME": home,
        "USER": "agent",
        "LOGNAME": "agent",
        "SHELL": "/bin/bash",
        "PATH": ":".join(path),
        "LANG": "C.UTF-8",
        "TERM": _terminal_type(),
    }


@lru_cache(maxsize=1)
def _terminal_type() -> str:
    """What programs are told of the screen: the nearest to what it can do that this computer describes."""
    folders = ("/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo")
    types = ("tmux-256color", "screen-256color", "xterm-256color")
    described = (name for name in types if any(os.path.exists(f"{folder}/{name[0]}/{name}") for folder in folders))
    return next(described, "xterm")


def _switches_of_the_kernel() -> list[str]:
    """What of /proc is no process, read only: to the kernel, a sandbox started by root reads as root, and the switches in
    /proc/sys ask for nothing more. `core_pattern` there names a program that the host runs.
    """
    options: list[str] = []
    for name in sorted(os.listdir("/proc")):
        path = f"/proc/{name}"
        status = os.lstat(path) if not name.isdigit() else None
        if status and (stat.S_ISDIR(status.st_mode) or status.st_mode & 0o222) and not stat.S_ISLNK(status.st_mode):
            options += ["--ro-bind-try", path, path]
    return options


def _top_level() -> list[str]:
    """/bin, /lib and so on as the host has them: links into /usr, or folders of their own."""
    options: list[str] = []
    for name in TOP_LEVEL:
        path = f"/{name}"
        if os.path.islink(path):
            options += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            options += ["--ro-bind", path, path]
    return options


def _etc(places: Places) -> list[str]:
    options: list[str] = []
    for file in sorted(places.etc.iterdir()):
        options += ["--ro-bind", str(file), f"/etc/{file.name}"]
    for name in ETC_FROM_HOST:
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return options
