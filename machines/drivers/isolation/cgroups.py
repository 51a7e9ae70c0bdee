"""Control groups: one for each machine where our own group may be divided; both generations, chosen by trying.

A group bounds what its processes use together (memory, processes, cores) and holds all of them, whatever they became: it is
how a machine is ended, and how it can be made to stand still.
"""

import contextlib
import errno
import os
import select
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

WANTED = ("memory", "pids", "cpu", "freezer")
UNIFIED = "unified"  # the second generation: one folder for every controller
SERVER = "countersign-server"  # where our own processes go when our group is divided: it may not have any itself then
PERIOD = 100_000  # microseconds
PATIENCE = 5.0  # seconds
FORGOTTEN = 600.0


@dataclass(frozen=True)
class Group:
    """The folders of one machine's group, by controller; of the second generation by `unified` alone."""

    folders: Mapping[str, Path]

    @property
    def entrances(self) -> list[str]:
        """Files that take the number of a process, which from then on belongs to the group with all that comes of it."""
        return sorted({str(folder / "cgroup.procs") for folder in self.folders.values()})

    def pids(self) -> list[int]:
        """Every process in the group; empty when there is none, and when there is no group any more."""
        for folder in self.folders.values():
            with contextlib.suppress(OSError):
                return [int(line) for line in (folder / "cgroup.procs").read_text(encoding="ascii").split()]
        return []

    def freeze(self, *, still: bool) -> bool:
        """All of it stands still, or runs on; whether the group can do that. Returns when it is so, after PATIENCE at the latest."""
        if UNIFIED in self.folders:
            return self._freeze("cgroup.freeze", "1" if still else "0", "cgroup.events", f"frozen {int(still)}")
        if "freezer" in self.folders:
            state = "FROZEN" if still else "THAWED"
            return self._freeze("freezer.state", state, "freezer.state", state)
        return False

    def _freeze(self, switch: str, value: str, shown: str, words: str) -> bool:
        folder = self.folders.get(UNIFIED) or self.folders["freezer"]
        try:
            until = time.monotonic() + PATIENCE
            _write(folder / switch, value)
            while words not in (folder / shown).read_text(encoding="ascii").splitlines():
                if time.monotonic() > until:
                    return False
                time.sleep(0.005)
                if switch == shown:  # of the first generation: what was forked meanwhile is caught by asking again
                    _write(folder / switch, value)
        except OSError:
            return False
        return True

    def end(self) -> bool:
        """Kill every process in it and remove it; whether it is gone."""
        until = time.monotonic() + PATIENCE
        while pids := self._killed():
            if time.monotonic() > until:
                return False
            _wait_for(pids)
        folders = [*self._below(), *self.folders.values()]
        return all([_removed(folder, until) for folder in folders])  # noqa: C419  each is tried

    def _below(self) -> list[Path]:
        """What freezer.py made in it."""
        folder = self.folders.get(UNIFIED)
        return [entry for entry in folder.iterdir() if entry.is_dir()] if folder and folder.is_dir() else []

    def _killed(self) -> list[int]:
        """Send all of it the end; whom."""
        pids = self.pids()
        with contextlib.suppress(OSError):
            if UNIFIED in self.folders:
                _write(self.folders[UNIFIED] / "cgroup.kill", "1")
                return pids
        if pids:
            self.freeze(still=True)  # else it could fork faster than we count
            pids = self.pids()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.freeze(still=False)
        return pids

    def kept(self) -> dict[str, str]:
        """As a machine's handle keeps it."""
        return {name: str(folder) for name, folder in self.folders.items()}


def of_handle(kept: object) -> Group | None:
    """The group that a machine's handle names."""
    if not isinstance(kept, dict) or not kept:
        return None
    return Group({str(name): Path(str(folder)) for name, folder in kept.items()})


def make(name: str, memory: int, cores: int, processes: int) -> Group | None:
    """A new, empty group below our own, with limits (memory in bytes); None where none can be made. One of that name is ended."""
    _sweep()
    group = Group({controller: folder / f"countersign-{name}" for controller, folder in parents().items()})
    if not group.folders or not group.end():
        return None
    try:
        for folder in dict.fromkeys(group.folders.values()):
            folder.mkdir()
        for folder, file, value in _limits(group, memory, cores, processes):
            _write(folder / file, value)
    except OSError:
        group.end()
        return None
    return group


def _sweep() -> None:
    """Remove groups that nobody ended, because their machine was killed: long there, and without a process."""
    for parent in dict.fromkeys(parents().values()):
        for left in parent.glob("countersign-*"):
            with contextlib.suppress(OSError):  # one with a process stays: it is busy
                if left.name != SERVER and time.time() - left.stat().st_mtime > FORGOTTEN:
                    left.rmdir()


def _limits(group: Group, memory: int, cores: int, processes: int) -> Iterator[tuple[Path, str, str]]:
    """What is written where."""
    if folder := group.folders.get(UNIFIED):
        yield folder, "memory.max", str(memory)
        yield folder, "pids.max", str(processes)
        yield folder, "cpu.max", f"{cores * PERIOD} {PERIOD}"
        if (folder / "memory.swap.max").exists():
            yield folder, "memory.swap.max", "0"
        return
    if folder := group.folders.get("memory"):
        yield folder, "memory.limit_in_bytes", str(memory)
        if (folder / "memory.memsw.limit_in_bytes").exists():  # memory and swap together
            yield folder, "memory.memsw.limit_in_bytes", str(memory)
    if folder := group.folders.get("pids"):
        yield folder, "pids.max", str(processes)
    if folder := group.folders.get("cpu"):
        yield folder, "cpu.cfs_period_us", str(PERIOD)
        yield folder, "cpu.cfs_quota_us", str(cores * PERIOD)


def bounds() -> frozenset[str]:
    """What groups bound on this computer: of memory, pids, cpu, freezer those that can be had."""
    folders = parents()
    return frozenset(WANTED if UNIFIED in folders else folders)


@lru_cache(maxsize=1)
def _parents_of(pid: int) -> Mapping[str, Path]:
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    own = Path("/proc/self/cgroup").read_text(encoding="utf-8", errors="replace")
    first, second = ours(mounts, own)
    folders = {name: folder for name, folder in first.items() if name in WANTED and _divisible(folder)}
    if not folders and second is not None and _divided(second):
        return {UNIFIED: _above_server(second)}
    return folders


def parents() -> Mapping[str, Path]:
    """Where groups of machines can be made, by controller; empty where nowhere. Tried once per process."""
    if os.environ.get("MACHINE_CGROUPS") == "never":
        return {}
    try:
        return _parents_of(os.getpid())
    except OSError:
        return {}


def ours(mounts: str, own: str) -> tuple[dict[str, Path], Path | None]:
    """The folders of our own group, from /proc/self/mountinfo and /proc/self/cgroup: of the first generation, and the second's."""
    paths: dict[str, str] = {}
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        paths |= dict.fromkeys(controllers.split(","), path)
    first: dict[str, Path] = {}
    second = None
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        root, place = before.split()[3:5]
        kind, _, options = after.split()[:3]
        if kind == "cgroup2" and "" in paths:
            second = _below(place, root, paths[""])
        elif kind == "cgroup":
            first |= {n: _below(place, root, paths[n]) for n in options.split(",") if n in paths}
    return first, second


def _below(place: str, root: str, path: str) -> Path:
    """Where a group lies, seen through a mount that shows the hierarchy from `root` on."""
    inside = path.removeprefix(root.rstrip("/")) if f"{path}/".startswith(f"{root.rstrip('/')}/") else ""
    return Path(place + "/" + inside.strip("/")) if inside.strip("/") else Path(place)


def _divisible(folder: Path) -> bool:
    try:
        Path(mkdtemp(prefix="countersign-trial-", dir=folder)).rmdir()
    except OSError:
        return False
    return True


def _above_server(folder: Path) -> Path:
    return folder.parent if folder.name == SERVER else folder


def _divided(folder: Path) -> bool:
    """See that groups below ours have limits: our own processes then have to stand in one of these."""
    top = _above_server(folder)
    needs = {"memory", "pids", "cpu"}
    try:
        if not needs <= set((top / "cgroup.controllers").read_text(encoding="ascii").split()):
            return False
        if not needs <= set((top / "cgroup.subtree_control").read_text(encoding="ascii").split()):
            _give_way(top)
            _write(top / "cgroup.subtree_control", " ".join(f"+{name}" for name in sorted(needs)))
    except OSError:
        return False
    return _divisible(top)


def _give_way(top: Path) -> None:
    """Move the processes of a group that is ours alone into one below it: of a container, or delegated by systemd."""
    pids = (top / "cgroup.procs").read_text(encoding="ascii").split()
    if not pids:
        return
    if (top / "cgroup.type").exists() and not _is_delegated(top) and not _is_a_containers():
        raise PermissionError(errno.EPERM, "not ours alone", str(top))
    server = top / SERVER
    server.mkdir(exist_ok=True)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            _write(server / "cgroup.procs", pid)


def _is_a_containers() -> bool:
    """What we see as the root of all groups is that of a container."""
    return Path("/proc/self/cgroup").read_text(encoding="utf-8", errors="replace").strip() == "0::/"


def _is_delegated(folder: Path) -> bool:
    for name in ("user.delegate", "trusted.delegate"):
        with contextlib.suppress(OSError):
            if os.getxattr(folder, name) == b"1":
                return True
    return False


def _write(file: Path, value: str) -> None:
    with file.open("w", encoding="ascii") as opened:
        opened.write(value)


def _wait_for(pids: list[int]) -> None:
    """Until these have ended, at most PATIENCE seconds for each."""
    for pid in pids:
        with contextlib.suppress(OSError):
            pidfd = os.pidfd_open(pid)
            try:
                with contextlib.suppress(OSError):
                    _poll(pidfd)
            finally:
                os.close(pidfd)


def _poll(pidfd: int) -> None:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.poll(PATIENCE * 1000)


def _removed(folder: Path, until: float) -> bool:
    """Remove the folder of a group; it may be in use for a moment after its last process has ended."""
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > until:
                return False
            time.sleep(0.005)
        else:
            return True
