"""Bringing a backup back: checked from beginning to end before anything is touched, then put in place as a whole or not at all."""

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django_q.conf import Conf
from django_q.tasks import async_task

from config.backup import tables
from config.backup.aftercare import put_right
from config.backup.archive import FORMAT, MOST_MANIFEST, PIECE, Content, Entry, Manifest, entries
from config.backup.errors import BackupError, Damaged
from config.backup.making import TASK
from config.backup.place import reached
from config.backup.progress import Progress, megabytes
from config.backup.sealed import SealedReader, public_part
from config.backup.swap import Swap, settle
from config.backup.trees import Planting
from config.postgres.migrating import only_one_migrates
from database import disk
from web.version import VERSION

Say = Callable[[str], None]
DATABASE_ROOM = 3  # times the bytes of its rows: indexes, and what PostgreSQL logs of them
LONGEST_TASK = 64 * 1024
MOST_QUEUE = 16  # entries of PIECE bytes


@dataclass
class Checked:
    """What a backup that was read to its end holds."""

    manifest: Manifest
    migrations: tables.Names
    rows: int = 0  # bytes
    files: int = 0
    file_bytes: int = 0


def restore(source: Path, words: str, say: Say, *, replace: bool) -> None:
    """Make this place what the backup was. Raises BackupError, and then nothing has changed.

    `replace`: what is here goes, else only an empty place is taken.
    """
    data_dir: Path = settings.DATA_DIR
    checked = check(source, words, say)
    _same_key(checked.manifest)
    with reached(data_dir, alone_there=True):
        broken_off = settle(data_dir)
        if broken_off:
            say("A restore that was broken off was " + ("finished." if broken_off == "committed" else "taken back."))
        _require_place(data_dir, replace=replace)
        _require_room(data_dir, checked)
        swap = Swap.begin(data_dir)
        try:
            stage(swap.stage, source, words, say)
            _stage_key(swap.stage, checked.manifest.secret_key)
            with only_one_migrates():
                _fill(swap, source, words, checked, say, replace=replace)
        except BaseException:
            connection.close()
            settle(data_dir)
            raise
        swap.finish()
    say("Restored. Start it with `manage.py up`, or its web, worker and clock; who was signed in signs in again.")


@contextmanager
def _opened(source: Path, words: str) -> Iterator[Iterator[tuple[Entry, Content]]]:
    try:
        file = source.open("rb")
    except OSError as error:
        raise BackupError(f"{source} cannot be read: {error.strerror}.") from error
    with file:
        yield entries(SealedReader(file, words))


def check(source: Path, words: str, say: Say) -> Checked:
    """Read all of it, change nothing. Raises BackupError for a newer, damaged or hostile file and a wrong passphrase."""
    migrations = require_not_newer(source)
    progress = Progress(say, "Checked")
    with _opened(source, words) as found:
        checked = Checked(_manifest(found), migrations)
        for entry, _ in found:
            progress.add(1, entry.size)
            if entry.place == "manifest":
                raise Damaged("The backup is damaged: it has two manifests.")
            if entry.place in {"artifacts", "machines"}:
                checked.files, checked.file_bytes = checked.files + 1, checked.file_bytes + entry.size
            else:
                checked.rows += entry.size
    progress.done(f", of {checked.manifest.created_at:%Y-%m-%d %H:%M:%S} UTC")
    return checked


def _manifest(found: Iterator[tuple[Entry, Content]]) -> Manifest:
    first = next(found, None)
    if first is None or first[0].place != "manifest":
        raise Damaged("The backup is damaged: it does not begin with its manifest.")
    return Manifest.load(first[1].read(MOST_MANIFEST))


def require_not_newer(source: Path) -> tables.Names:
    """The migrations that the backup names. Raises BackupError when this version lacks one of them."""
    public = read_public(source)
    try:
        names = {(str(app), str(name)) for app, name in public["migrations"]}
        made_by, number = str(public["version"])[:40], int(public["format"])
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged("The backup is damaged: its first lines cannot be read.") from error
    if number > FORMAT or tables.unknown_migrations(names):
        raise BackupError(
            f"This backup was made by a newer version ({made_by}; this one is {VERSION}): take that version or a newer one."
        )
    return names


def read_public(source: Path) -> dict[str, Any]:
    try:
        with source.open("rb") as file:
            return public_part(file)[0]
    except OSError as error:
        raise BackupError(f"{source} cannot be read: {error.strerror}.") from error


def _same_key(manifest: Manifest) -> None:
    if os.environ.get("SECRET_KEY") and manifest.secret_key != settings.SECRET_KEY:
        raise BackupError(
            "SECRET_KEY is set and is not that of the backup, whose secrets it could not open: unset it, or set that one."
        )


def _require_place(data_dir: Path, *, replace: bool) -> None:
    """Raises BackupError where somebody is at work, and where something is that nobody allowed to go."""
    if others := tables.others_connected():
        raise BackupError(f"{others} other connections to the database: stop web, workers and clock first.")
    _require_empty(
        [name for name in ("artifacts", "machines") if _holds(data_dir / name)] + tables.filled(), replace=replace
    )


def _require_empty(full: list[str], *, replace: bool) -> None:
    if full and not replace:
        raise BackupError(
            f"This place is not empty ({', '.join(full[:3])}): restore into an empty one, or say --replace to lose what is here."
        )


def _holds(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _require_room(data_dir: Path, checked: Checked) -> None:
    own = 0 if os.environ.get("DATABASE_URL") and not (data_dir / "postgres").exists() else checked.rows * DATABASE_ROOM
    needed, free = checked.file_bytes + own + settings.DISK_RESERVE_MB * disk.MB, disk.free(data_dir)
    if needed > free:
        raise BackupError(f"{data_dir} has {megabytes(free)} free; the backup needs {megabytes(needed)}.")


def stage(root: Path, source: Path, words: str, say: Say) -> None:
    """The files in a folder of their own. Two of one name, or one behind a link of another, are refused by the kernel."""
    progress = Progress(say, "Files")
    planting = Planting(root)
    try:
        for name in ("artifacts", "machines"):
            planting.put(Entry(name, (), "folder", mode=0o700), _NOTHING)
        with _opened(source, words) as found:
            for entry, content in found:
                if entry.place in {"artifacts", "machines"}:
                    planting.put(entry, content)
                    progress.add(1, entry.size)
    except FileExistsError as error:
        raise Damaged("The backup holds two things of one name.") from error
    except OSError as error:
        if error.errno in {errno.ENOTDIR, errno.ELOOP}:
            raise Damaged("The backup holds something behind a link.") from error
        raise BackupError(f"A file of the backup cannot be written: {error.strerror}.") from error
    finally:
        planting.close()
    progress.done()


def _stage_key(root: Path, secret_key: str) -> None:
    key = root / "secret-key"
    key.touch(mode=0o600)
    key.write_text(secret_key)


class _Nothing:
    def read(self, size: int, /) -> bytes:
        return b""


_NOTHING = _Nothing()


def _fill(swap: Swap, source: Path, words: str, checked: Checked, say: Say, *, replace: bool) -> None:
    """The database, in one transaction; the files take their place right before its commit."""
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL statement_timeout = 0")
                cursor.execute("SET LOCAL lock_timeout = '60s'")
                cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            _require_empty(tables.filled(), replace=replace)  # again, now that nobody else makes tables
            tables.drop_all()
            tables.migrate_to(checked.migrations)
            queued = _load(source, words, checked, say)
            tables.migrate_on()
            put_right(checked.manifest)
            _queue_again(queued, checked.manifest.secret_key)
            swap.put_in_place()
    except (psycopg.IntegrityError, DatabaseError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BackupError(f"The database did not take the backup: {reason}") from error


def _load(source: Path, words: str, checked: Checked, say: Say) -> list[bytes]:
    """All rows; the queued tasks are returned, as they are a table of this version."""
    progress = Progress(say, "Database (parts of tables)")
    loading = tables.Loading(checked.manifest.tables, checked.manifest.sequences)
    queued: list[bytes] = []
    with _opened(source, words) as found:
        parts = _Parts(found)
        while (entry := parts.current) is not None:
            if entry.place == "database":
                loading.fill(entry.parts[0], parts.of_table(entry.parts[0], progress))
            else:
                if entry.place == "queue":
                    queued.append(parts.content.read(PIECE))
                    if len(queued) > MOST_QUEUE:
                        raise Damaged("The backup queues more work than a backup may.")
                parts.advance()
    loading.finish()
    progress.done()
    return queued


class _Parts:
    """Entries with the one at hand: the parts of a table follow one another, and the next entry ends them."""

    def __init__(self, found: Iterator[tuple[Entry, Content]]) -> None:
        self._found = found
        self.current: Entry | None = None
        self.content: Content = _NOTHING
        self.advance()

    def advance(self) -> None:
        self.current, self.content = next(self._found, (None, _NOTHING))

    def of_table(self, table: str, progress: Progress) -> Iterator[bytes]:
        while self.current is not None and (self.current.place, self.current.parts) == ("database", (table,)):
            yield self.content.read(PIECE)
            progress.add(1, self.current.size)
            self.advance()


def _queue_again(queued: list[bytes], secret_key: str) -> None:
    """Work that waited waits again, signed with the restored key. Raises Damaged for what no backup queues."""
    settings.SECRET_KEY = Conf.SECRET_KEY = secret_key
    for line in b"".join(queued).splitlines():
        try:
            name, args = json.loads(line) if len(line) <= LONGEST_TASK else (None, None)
        except (ValueError, TypeError, RecursionError) as error:
            raise Damaged("The backup is damaged: its queue cannot be read.") from error
        if (
            not isinstance(args, list)
            or not all(isinstance(a, str | int | float | None) for a in args)
            or not TASK.fullmatch(str(name))
        ):
            raise Damaged(f"The backup queues something that no backup queues: {str(name)[:80]!r}.")
        async_task(name, *args)
