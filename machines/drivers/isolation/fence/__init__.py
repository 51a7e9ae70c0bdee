"""The fence: what isolates terminals where user namespaces are refused. Landlock, a system call filter, no privileges.

Inside, a program reads and writes the machine's home, reads /usr and little else, has no network of any kind, and signals
only its like. It still sees that other processes run and what they were started with, and that a file exists whose path it
knows; before kernel 6.12 it may signal this user's other processes. A fence is for terminals only.
"""
# ruff: noqa: PTH101

import contextlib
import json
import os
import platform
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from machines.drivers import process
from machines.drivers.isolation.bubblewrap import ETC_FROM_HOST, GUEST, TOP_LEVEL, environment, interpreter
from machines.drivers.isolation.fence import filter, landlock  # noqa: A004
from machines.drivers.places import Places

LOWEST_ABI = 4  # the first that knows TCP: Linux 6.7
MODULE = "machines.drivers.isolation.fence.run"
_FORMER = "machines.drivers.fence.run"  # a machine of the release before may still run
PROBE_SECONDS = 30  # a busy computer is slow, not without
_PACKAGE_ROOT = Path(__file__).parents[4]
_ETC = (
    *ETC_FROM_HOST, "passwd", "group", "nsswitch.conf", "hosts", "services", "protocols", "inputrc", "vim", "nanorc",
    "os-release", "debian_version", "locale.alias",
)  # fmt: skip
_READABLE = ("/usr", "/proc", "/sys/devices/system/cpu", "/dev/random", "/dev/urandom")
_WRITABLE = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty")


def command_line(places: Places) -> list[str]:
    """The fence of one machine, up to and with `--`; the program inside follows. Empties the machine's scratch folder."""
    with contextlib.suppress(FileNotFoundError):
        places.scratch.rename(places.folder / f"scratch-{secrets.token_hex(8)}")
    (places.scratch / "tmp").mkdir(mode=0o700, parents=True)
    for left in places.folder.glob("scratch-*"):
        _remove(left)
    return _command_line(places.home, places.scratch)


def _remove(folder: Path) -> None:
    """Remove what a machine left, as far as it lets us: it may have closed folders or made a million of them."""
    folders = [str(folder)]
    with contextlib.suppress(OSError, RecursionError):
        while folders:
            at = folders.pop()
            os.chmod(at, 0o700)
            with os.scandir(at) as entries:
                folders += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        shutil.rmtree(folder, ignore_errors=True)


def _command_line(home: Path, scratch: Path) -> list[str]:
    python, outside = interpreter()
    spec = {
        "own": [str(home), str(scratch)],
        "writable": _WRITABLE,
        "readable": [
            *_READABLE,
            *(f"/{name}" for name in TOP_LEVEL),
            *(f"/etc/{name}" for name in _ETC),
            *outside,
            str(GUEST),
        ],
        "environment": {**environment(str(home)), "TMPDIR": str(scratch / "tmp"), "GIT_CONFIG_NOSYSTEM": "1"},
    }
    # No site packages: nothing of them is needed, and the start takes half the time.
    settings = [f"PYTHONPATH={_PACKAGE_ROOT}", "LANG=C.UTF-8"]
    return ["/usr/bin/env", "-i", *settings, python, "-P", "-s", "-S", "-m", MODULE, json.dumps(spec), "--"]


@lru_cache(maxsize=1)
def problem() -> str | None:
    """Why there is no fence on this computer, as a sentence; None when it holds. Tried once per process."""
    abi = landlock.abi()
    if abi < LOWEST_ABI:
        has = f"version {abi}" if abi else "none"
        return f"Terminals could be fenced by Landlock, of version {LOWEST_ABI} or newer (Linux 6.7); this kernel has {has}."
    if filter.numbers() is None:
        return f"The fence for terminals does not know the system calls of {platform.machine()}."
    complaint = _complaint()
    return f"The fence for terminals does not hold here: {complaint}." if complaint else None


def _complaint() -> str | None:
    """Try it: inside, home can be written, and a file beside it cannot be read."""
    with tempfile.TemporaryDirectory() as folder:
        home, scratch, secret = (Path(folder) / name for name in ("home", "scratch", "secret"))
        home.mkdir()
        (scratch / "tmp").mkdir(parents=True)
        secret.write_text("secret", encoding="ascii")
        script = f"echo in > '{home}/x' && chmod 700 '{home}/x' && ! cat '{secret}' 2>&1"
        command = [*_command_line(home, scratch), "/bin/sh", "-c", script]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
    return (done.stderr or done.stdout).strip()[-300:] or f"exit code {done.returncode}" if done.returncode else None


def around(tree: Iterable[process.Identity]) -> process.Identity | None:
    """The process around a fenced machine, of this tree with the nearest first; asked to end (SIGTERM), it takes all inside
    with it, also what has left its parents.
    """
    return next((one for one in tree if is_fence(_command(one.pid))), None)


def is_fence(command: Sequence[str]) -> bool:
    return MODULE in command or _FORMER in command


def _command(pid: int) -> list[str]:
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")[:8]
    except OSError:
        return []


def scopes_signals() -> bool:
    """Whether the fence keeps signals in, on this kernel."""
    return landlock.abi() >= landlock.ABI_OF_SCOPES
