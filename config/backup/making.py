"""Making a backup while everything goes on: one moment of the database first, then the files that this moment names.

Pictures are files that are never changed, written before the row that names them, and none is removed while a backup is made; so
what the rows of that moment name is there when its turn comes. A machine's home is read as it is: a file that the machine writes
just then may be caught in the middle, as after a loss of power.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.utils import timezone
from django_q.signing import BadSignature, SignedPackage

from config.backup.archive import FORMAT, MANIFEST, Manifest, Writer, pieces
from config.backup.errors import BackupError
from config.backup.place import reached
from config.backup.progress import Progress, megabytes
from config.backup.sealed import SealedWriter
from config.backup.tables import Snapshot
from config.backup.trees import Tree
from database.listening import own_connection
from runs.retention import KEEP_FILES
from web.version import VERSION

Say = Callable[[str], None]
OF_MACHINES = ("home", "last_url")  # the rest of a machine's folder is made anew at its start
TASK = re.compile(
    r"(accounts|approvals|config|runs|workflows)\.[a-z_.]{1,80}"
)  # machines' own come again by their status
_MACHINES = "SELECT id FROM machines_machine WHERE status <> 'terminated' AND NOT test ORDER BY id"


def make(target: Path, words: str, say: Say) -> None:
    """A backup of this installation in a new file. Raises BackupError; whatever happens there is no half a file."""
    data_dir: Path = settings.DATA_DIR
    if not os.environ.get("DATABASE_URL") and not os.path.lexists(data_dir / "postgres"):
        raise BackupError(f"There is no installation in {data_dir}: set DATA_DIR, or DATABASE_URL.")
    with reached(data_dir, alone_there=False), own_connection(bounded=False) as own, new_file(target) as file:
        own.execute("SELECT pg_advisory_lock_shared(%s)", [KEEP_FILES])
        snapshot = Snapshot(own)
        if "accounts_team" not in snapshot.tables:
            raise BackupError("The database has no tables of Countersign: there is nothing to back up.")
        manifest = Manifest(timezone.now(), settings.SECRET_KEY, snapshot.tables, snapshot.sequences)
        public = {"format": FORMAT, "version": VERSION, "made": manifest.created_at.isoformat()}
        sealed = SealedWriter(file, words, public | {"migrations": snapshot.migrations})
        writer = Writer(sealed)
        writer.put(MANIFEST, manifest.dump())
        _write_database(writer, snapshot, say)
        machines = snapshot.column(_MACHINES)
        own.execute("COMMIT")  # files last: they take longest, and nobody needs the old rows any more
        _write_files(writer, data_dir, machines, say)
        writer.close()
        size = file.tell()
    say(f"{target}: {megabytes(size)}. Only the passphrase opens it.")


def _write_database(writer: Writer, snapshot: Snapshot, say: Say) -> None:
    progress = Progress(say, "Database (parts of tables)")
    for table in snapshot.tables:
        for number, piece in enumerate(pieces(snapshot.rows(table))):
            writer.put(f"database/{table}/{number:06}", piece)
            progress.add(1, len(piece))
    lines = (json.dumps(task).encode() + b"\n" for task in _tasks(snapshot))
    for number, piece in enumerate(pieces(lines)):
        writer.put(f"queue/{number:06}", piece)
    progress.done()


def _tasks(snapshot: Snapshot) -> Iterator[list[Any]]:
    """Queued work as name and arguments: what is queued is pickled, and nothing that is pickled goes into a backup."""
    for payload in snapshot.queue():
        with suppress(BadSignature):
            task = SignedPackage.loads(payload)
            if TASK.fullmatch(str(task["func"])) and not task["kwargs"]:
                yield [task["func"], list(task["args"])]


def _write_files(writer: Writer, data_dir: Path, machines: list[str], say: Say) -> None:
    """Pictures and homes, whatever of them is there."""
    _write_trees(writer, [Tree(data_dir / "artifacts", "artifacts")], Progress(say, "Pictures"), folders=False)
    homes = [Tree(settings.MACHINES_DIR / name, "machines", (name,), only=OF_MACHINES) for name in machines]
    _write_trees(writer, homes, Progress(say, "Files of machines"), folders=True)


def _write_trees(writer: Writer, trees: list[Tree], progress: Progress, *, folders: bool) -> None:
    for tree in trees:
        for entry, content in tree.walk():
            if folders or entry.kind == "file":
                writer.put_entry(entry, content)
                progress.add(entry.kind == "file", entry.size)
    left_out = sum(tree.left_out for tree in trees)
    progress.done(f"; {left_out:,} left out, which cannot be read or nest too deep" if left_out else "")


@contextmanager
def new_file(target: Path) -> Iterator[IO[bytes]]:
    """A file that has no name until it is whole; readable by its owner only. Raises BackupError where one stands already."""
    if os.path.lexists(target):
        raise BackupError(f"{target} exists already; a backup is never written over anything.")
    try:
        descriptor, aside = _nameless(target)
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if aside is None:
                _name(file.fileno(), target)
            else:
                os.link(aside, target)
                aside.unlink()
        _sync_folder(target.parent)
    except OSError as error:
        raise BackupError(f"{target} cannot be written: {error.strerror or error}.") from error


def _nameless(target: Path) -> tuple[int, Path | None]:
    try:
        return os.open(target.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600), None
    except OSError:  # a file system without them: a name that says what it is
        aside = target.with_name(f".{target.name}.unfinished")
        aside.unlink(missing_ok=True)
        return os.open(aside, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600), aside


def _name(descriptor: int, target: Path) -> None:
    above = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:  # only with a folder's descriptor does Python ask the kernel to follow the link of /proc
        os.link(f"/proc/self/fd/{descriptor}", target, src_dir_fd=above, follow_symlinks=True)
    finally:
        os.close(above)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
