"""Putting restored files in the place of what is there, so that it is done as a whole or not at all.

Renames go before the commit of the database, and a journal says what they were and in which transaction: after a crash the
transaction's fate decides (PostgreSQL knows it), and settle() finishes or takes back what was begun.
"""

import json
import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from django.db import DatabaseError, connection

from config.backup.errors import BackupError
from config.own_processes import wait_until

JOURNAL = "restore.json"
NAMES = ("artifacts", "machines", "secret-key")
FATE_SECONDS = 30  # for a transaction whose client was killed a moment ago
Fate = Literal["committed", "aborted", "in progress"]


@dataclass
class Swap:
    """One restore over one data folder: `stage` holds what comes in, `aside` what was there."""

    data_dir: Path
    mark: str
    xid: str | None = None
    replaced: tuple[str, ...] = ()  # of NAMES: what was there before

    @property
    def stage(self) -> Path:
        return self.data_dir / f"restore-{self.mark}"

    @property
    def aside(self) -> Path:
        return self.data_dir / f"replaced-{self.mark}"

    @classmethod
    def begin(cls, data_dir: Path) -> "Swap":
        """Written down before anything else: what a crash leaves behind is found again."""
        swap = cls(data_dir, secrets.token_hex(6))
        swap._write()
        return swap

    def put_in_place(self) -> None:
        """Inside the transaction that fills the database."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id()::text")
            self.xid = cursor.fetchone()[0]
        self.replaced = tuple(name for name in NAMES if os.path.lexists(self.data_dir / name))
        self._write()
        self.aside.mkdir(mode=0o700)
        for name in NAMES:
            if name in self.replaced:
                (self.data_dir / name).rename(self.aside / name)
            (self.stage / name).rename(self.data_dir / name)
        _sync(self.data_dir)

    def finish(self) -> None:
        """The database was committed: what was there before goes."""
        self._clear()

    def take_back(self) -> None:
        """The database is as it was: so are the files."""
        for name in NAMES:
            now, before = self.data_dir / name, self.aside / name
            came_in = self.xid is not None and not os.path.lexists(self.stage / name)
            if os.path.lexists(before):
                _remove(now)
                before.rename(now)
            elif came_in and name not in self.replaced:
                _remove(now)
        self._clear()

    def _clear(self) -> None:
        for folder in (self.stage, self.aside):
            _remove(folder)
        for name in (f"{JOURNAL}.new", JOURNAL):
            (self.data_dir / name).unlink(missing_ok=True)
        _sync(self.data_dir)

    def _write(self) -> None:
        new = self.data_dir / f"{JOURNAL}.new"
        new.write_text(json.dumps({"mark": self.mark, "xid": self.xid, "replaced": self.replaced}))
        with new.open("rb") as file:
            os.fsync(file.fileno())
        new.replace(self.data_dir / JOURNAL)
        _sync(self.data_dir)


def settle(data_dir: Path) -> Fate | None:
    """Finish or take back a restore that was broken off; None when there was none. The database must answer.

    Raises BackupError when nobody can tell any more what became of it.
    """
    journal = data_dir / JOURNAL
    if not journal.exists():
        return None
    values = json.loads(journal.read_text())
    swap = Swap(data_dir, values["mark"], values["xid"], tuple(values["replaced"]))
    if swap.xid is None or fate_of(swap.xid) == "aborted":
        swap.take_back()
        return "aborted"
    swap.finish()
    return "committed"


def fate_of(xid: str, ask: Callable[[str], str | None] | None = None) -> str | None:
    """What became of a transaction. Waits while it still seems to be at work: its client is gone, as we hold the folder."""
    fate: list[str | None] = [None]

    def decided() -> bool:
        fate[0] = (ask or _ask)(xid)
        return fate[0] != "in progress"

    if not wait_until(decided, FATE_SECONDS, 0.1) or fate[0] is None:
        raise BackupError(
            "A restore was broken off, and this database does not know what became of it: it is not the one that was being "
            "restored, or that was too long ago. Restore again into an empty place."
        )
    return fate[0]


def _ask(xid: str) -> str | None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_xact_status(%s::xid8)", [xid])
            status: str | None = cursor.fetchone()[0]
            return status
    except DatabaseError:  # of the future: another database
        return None


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
