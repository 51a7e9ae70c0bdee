"""The sandbox around every machine: a bubblewrap command line.

Inside there is /usr (read only), a four-file /etc, an empty /tmp and /run, the machine's home, and a network of its own
with nothing but loopback. Nothing else of the host: not the server, not the database, not another machine.
"""
# ruff: noqa: PTH112, PTH114, PTH115, PTH120, PTH208

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from machines.drivers.base import DriverUnavailable
from machines.drivers.places import Places

HOME = "/home/agent"
GUEST = Path(__file__).with_name("guest.py")
FIX = (
    "Install bubblewrap (apt-get install bubblewrap) and allow unprivileged user namespaces; in Docker, run the "
    "container with a seccomp profile that permits them. "
    "MACHINE_ALLOW_UNSANDBOXED=1 starts machines without any isolation."
)
# /etc/ssl/private and the like stay out: to the kernel, a sandbox started by root reads as root.
_ETC_FROM_HOST = (
    "alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ssl/certs", "ssl/openssl.cnf", "ca-certificates.conf",
    "terminfo", "fonts", "localtime", "mime.types", "bash.bashrc",
)  # fmt: skip
_TOP = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_SCRATCH_BYTES = 1 << 30  # of each folder that lives in memory


@lru_cache(maxsize=1)
def sandbox_problem() -> str | None:
    """Why machines cannot be isolated on this computer, with the fix; None when they can. Asked once per process."""
    if not shutil.which("bwrap"):
        return f"bubblewrap is not installed. {FIX}"
    command = ["bwrap", "--unshare-all", "--unshare-user", "--uid", "1000", "--ro-bind", "/", "/"]
    command += ["--proc", "/proc", "true"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not run: {error}. {FIX}"
    if done.returncode:
        return f"bubblewrap does not work here: {done.stderr.strip()[:300]}. {FIX}"
    return None


def sandboxed() -> bool:
    """Whether machines started now are isolated; raises DriverUnavailable unless that, or the lack of it, is wanted."""
    problem = sandbox_problem()
    if problem is None:
        return True
    if os.environ.get("MACHINE_ALLOW_UNSANDBOXED") == "1":
        return False
    raise DriverUnavailable(problem)


def interpreter() -> tuple[str, list[str]]:
    """The Python that runs inside, and what of the host it needs besides /usr."""
    prefix = os.path.realpath(sys.base_prefix)
    executable = os.path.realpath(sys.executable)
    outside = {path for path in (prefix, os.path.dirname(executable)) if not _below(path, "/usr")}
    return executable, sorted(path for path in outside if not any(_below(path, other) for other in outside - {path}))


def _below(path: str, parent: str) -> bool:
    return path == parent or path.startswith(parent.rstrip("/") + "/")


def guest_command(places: Places, config: Mapping[str, Any], isolated: bool, extra: Sequence[str] = ()) -> list[str]:
    """The command that runs guest.py in the machine: in its sandbox, or plainly when `isolated` is false.

    The caller appends the numbers of the inherited listening sockets. `extra` are further bwrap options.
    """
    python, _ = interpreter()
    if not isolated:
        scratch = places.folder / "scratch"
        scratch.mkdir(mode=0o700, exist_ok=True)
        inside = {**config, "home": str(places.home), "scratch": str(scratch), "contained": True}
        environment = [f"{name}={value}" for name, value in _environment(str(places.home)).items()]
        return ["env", "-i", *environment, python, "-I", "-S", str(GUEST), json.dumps(inside)]
    inside = {**config, "home": HOME, "scratch": "/run", "contained": False}
    return [*_bubblewrap(places), *extra, "--", python, "-I", "-S", "/run/guest.py", json.dumps(inside)]


def _bubblewrap(places: Places) -> list[str]:
    command = ["bwrap", "--unshare-all", "--unshare-user", "--die-with-parent", "--clearenv"]
    command += ["--uid", "1000", "--gid", "1000", "--cap-drop", "ALL", "--hostname", "machine"]
    for name, value in _environment(HOME).items():
        command += ["--setenv", name, value]
    command += ["--ro-bind", "/usr", "/usr", *_top_level(), *_etc(places)]
    for path in interpreter()[1]:
        command += ["--ro-bind", path, path]
    command += ["--proc", "/proc", *_switches_of_the_kernel(), "--dev", "/dev"]
    for folder in ("/dev/shm", "/tmp", "/run", "/var/tmp"):  # noqa: S108
        command += ["--size", str(_SCRATCH_BYTES), "--tmpfs", folder]
    command += ["--ro-bind", str(GUEST), "/run/guest.py"]
    return [*command, "--bind", str(places.home), HOME, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", HOME]


def _environment(home: str) -> dict[str, str]:
    path = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin"]
    path += [folder for folder in (os.path.dirname(interpreter()[0]),) if folder not in path]
    return {
        "HOME": home,
        "USER": "agent",
        "LOGNAME": "agent",
        "SHELL": "/bin/bash",
        "PATH": ":".join(path),
        "LANG": "C.UTF-8",
        "TERM": "tmux-256color",
    }


def _switches_of_the_kernel() -> list[str]:
    """What of /proc is no process, read only: to the kernel, a sandbox started by root reads as root, and the switches in
    /proc/sys ask for nothing more. `core_pattern` there names a program that the host runs.
    """
    options: list[str] = []
    for name in sorted(os.listdir("/proc")):
        path = f"/proc/{name}"
        found = os.lstat(path) if not name.isdigit() else None
        if found and (stat.S_ISDIR(found.st_mode) or found.st_mode & 0o222) and not stat.S_ISLNK(found.st_mode):
            options += ["--ro-bind-try", path, path]
    return options


def _top_level() -> list[str]:
    """/bin, /lib and so on as the host has them: links into /usr, or folders of their own."""
    options: list[str] = []
    for name in _TOP:
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
    for name in _ETC_FROM_HOST:
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return options
