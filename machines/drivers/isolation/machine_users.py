"""A user of its own for each machine, where the server is root: what a user may have, a machine may have then.

To the kernel, what a sandbox started by root runs is root's, and root has no limit of processes. The users are numbers
without a name; a machine keeps its number in a file beside its home.
"""

import contextlib
import fcntl
import hashlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

FIRST = 20_000
MANY = 20_000
HAND_OVER_SECONDS = 25


def first() -> int:
    """The first number that machines may have; as many as MANY follow it."""
    return int(os.environ.get("MACHINE_FIRST_UID") or FIRST)


def user_of(folder: Path) -> int:
    """The number of the machine with this folder, the same at each start; no other machine beside it has it."""
    with _alone(folder.parent):
        own = _recorded(folder)
        if own is None:
            uids = {_recorded(other) for other in folder.parent.iterdir()}
            own = next(uid for uid in _candidates(folder) if uid not in uids and not _has_a_name(uid))
            (folder / "user").write_text(str(own), encoding="ascii")
    return own


@contextlib.contextmanager
def _alone(machines: Path) -> Iterator[None]:
    descriptor = os.open(machines / ".users", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _recorded(folder: Path) -> int | None:
    try:
        uid = int((folder / "user").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return uid if first() <= uid < first() + MANY else None


def _candidates(folder: Path) -> Iterator[int]:
    """Every number once; where it begins depends on the folder, so that two installations rarely share one."""
    start = int(hashlib.sha256(os.fsencode(folder)).hexdigest()[:8], 16)
    return (first() + (start + step) % MANY for step in range(MANY))


def _has_a_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def hand_over(home: Path, uid: int) -> None:
    """Make this user the owner of a home and all in it: what a machine of before, or of another user, left is root's.

    Only while no process of the machine lives. Links are not followed. The folder itself comes last, so what was broken off
    is done again. Raises OSError, subprocess.SubprocessError.
    """
    if home.lstat().st_uid == uid:
        return
    chown = shutil.which("chown", path="/usr/bin:/bin:/usr/sbin:/sbin") or "chown"
    command = [chown, "-R", "-P", "-h", f"{uid}:{uid}", "--", str(home)]
    subprocess.run(command, check=True, capture_output=True, timeout=HAND_OVER_SECONDS)
