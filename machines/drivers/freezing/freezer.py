"""Processes held by the kernel's own freezer (cgroup v2), where this process may make groups: nothing inside can wake them.

Elsewhere SIGSTOP alone holds: who may send signals inside can wake what stands, until somebody looks again.
"""
# ruff: noqa: PTH123

from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from machines.drivers.process import Identity

_PREFIX = "countersign-frozen-"


def group_of(guest: int, name: str) -> str:
    """Where a machine's frozen processes go: below its guest's own group. Empty where there are no groups."""
    mount = _mount()
    try:
        with open(f"/proc/{guest}/cgroup", encoding="utf-8") as file:
            path = next((line[3:].strip() for line in file if line.startswith("0::")), None)
    except OSError:
        return ""
    if mount is None or path is None or path.startswith("/.."):  # it lies outside of what we see
        return ""
    own = mount / path.lstrip("/")
    return str((own.parent if own.name.startswith(_PREFIX) else own) / f"{_PREFIX}{name}")


def hold(group: str, rows: Iterable[Identity]) -> bool:
    """Put these into the frozen group; False where no group may be made. What is killed in it ends as ever."""
    folder = Path(group)
    try:
        folder.mkdir(exist_ok=True)
        (folder / "cgroup.freeze").write_text("1", encoding="ascii")
        inside = set((folder / "cgroup.procs").read_text(encoding="ascii").split())
        _move((one for one in rows if str(one.pid) not in inside), folder)
    except OSError:
        return False
    return True


def let_go(group: str, rows: Iterable[Identity]) -> None:
    """Move these back, and remove the group when it is empty."""
    with suppress(OSError):
        _move(rows, Path(group).parent)
    remove(group)


def remove(group: str) -> None:
    """Unless something is in it."""
    with suppress(OSError):
        Path(group).rmdir()


def _move(rows: Iterable[Identity], group: Path) -> None:
    for one in rows:
        with suppress(ProcessLookupError):
            (group / "cgroup.procs").write_text(str(one.pid), encoding="ascii")


@lru_cache(maxsize=1)
def _mount() -> Path | None:
    with suppress(OSError), open("/proc/self/mountinfo", encoding="utf-8") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            if after.split()[:1] == ["cgroup2"]:
                return Path(before.split()[4])
    return None
