"""What lies in a backup, as a tar: `manifest.json`, `database/TABLE/NNNNNN`, `queue/NNNNNN`, `artifacts/…`, `machines/ID/…`.

Read by somebody who does not trust it: every name and kind is checked, whoever wrote it.
"""

import io
import json
import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from config.backup.errors import Damaged
from config.backup.sealed import SealedReader, SealedWriter

FORMAT = 1
MANIFEST = "manifest.json"
PIECE = 4 * 1024 * 1024  # bytes of a table in one entry
MOST_MANIFEST = 4 * 1024 * 1024
DEEPEST = 64  # folders in one another
LONGEST_NAME = 4096
_TABLE = re.compile(r"database/([a-z_0-9]{1,63})/\d{6,}")
_QUEUE = re.compile(r"queue/\d{6,}")
_TREES = ("artifacts", "machines")
_MACHINE = re.compile(r"mch_[A-Za-z0-9]{1,36}")


@dataclass(frozen=True)
class Entry:
    """One thing of a backup. `kind`: file, folder or link; `parts`: its name below `place`, part by part."""

    place: str  # manifest, database, queue, artifacts, machines
    parts: tuple[str, ...]
    kind: str
    size: int = 0
    mode: int = 0o600
    changed: float = 0.0
    target: str = ""  # of a link, as it is written; nobody follows it


class Content(Protocol):
    """What can be read of an entry."""

    def read(self, size: int, /) -> bytes: ...


class Writer:
    """Entries, one after the other, into a sealed file."""

    def __init__(self, sealed: SealedWriter) -> None:
        self._sealed = sealed
        self._tar = tarfile.open(fileobj=sealed, mode="w:", format=tarfile.PAX_FORMAT)  # type: ignore[call-overload]  # noqa: SIM115

    def put(self, name: str, data: bytes) -> None:
        """A small one whose content is at hand."""
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(data), 0o600
        self._add(info, io.BytesIO(data))

    def put_entry(self, entry: Entry, content: Content | None = None) -> None:
        """A file, folder or link of a tree. A file that became shorter while it is read is filled up with zeros."""
        info = tarfile.TarInfo("/".join((entry.place, *entry.parts)))
        info.mode, info.mtime, info.size = entry.mode & 0o777, int(entry.changed), entry.size
        info.type = {"file": tarfile.REGTYPE, "folder": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}[entry.kind]
        info.linkname = entry.target
        self._add(info, _Whole(content, entry.size) if content else None)

    def close(self) -> None:
        self._tar.close()
        self._sealed.close()

    def _add(self, info: tarfile.TarInfo, content: Any) -> None:
        self._tar.addfile(info, content)
        self._tar.members = []  # else tarfile remembers every entry


class _Whole:
    """Exactly `size` bytes of a file that somebody may be writing to."""

    def __init__(self, file: Content, size: int) -> None:
        self._file, self._left = file, size

    def read(self, size: int) -> bytes:
        size = min(size, self._left)
        data = b""
        while len(data) < size and (more := self._file.read(size - len(data))):
            data += more
        self._left -= size
        return data.ljust(size, b"\0")


def entries(reader: SealedReader) -> Iterator[tuple[Entry, Content]]:
    """All entries in order, each with its content, which is to be read before the next one. Raises Damaged."""
    try:
        with tarfile.open(fileobj=reader, mode="r:") as tar:  # type: ignore[call-overload]
            while info := tar.next():
                tar.members = []  # else tarfile remembers every entry
                entry = _checked(info)
                content = _Content(reader, entry.size)
                yield entry, content
                content.skip()
        reader.finish()
    except (tarfile.TarError, UnicodeError, ValueError, EOFError) as error:
        raise Damaged(f"The backup is damaged: {error}.") from error


class _Content:
    """The bytes of one entry."""

    def __init__(self, reader: SealedReader, size: int) -> None:
        self._reader, self._left = reader, size

    def read(self, size: int) -> bytes:
        data = self._reader.read(min(size, self._left))
        if not data and self._left:
            raise Damaged("The backup is damaged: it ends in the middle of a part.")
        self._left -= len(data)
        return data

    def skip(self) -> None:
        while self._left:
            self.read(min(self._left, PIECE))


def _checked(info: tarfile.TarInfo) -> Entry:
    """The entry, if it is one that a backup writes. Raises Damaged for any other name and kind."""
    name = info.name
    is_file = info.type in {tarfile.REGTYPE, tarfile.AREGTYPE} and not info.issparse() and info.size >= 0
    if name == MANIFEST and is_file and info.size <= MOST_MANIFEST:
        return Entry("manifest", (), "file", info.size)
    for place, pattern in (("database", _TABLE), ("queue", _QUEUE)):
        if is_file and info.size <= PIECE and (match := pattern.fullmatch(name)):
            return Entry(place, match.groups(), "file", info.size)
    place, *parts = name.split("/")
    kind = "file" if is_file else "folder" if info.isdir() else "link" if info.issym() else ""
    allowed = kind == "file" or (kind and place == "machines")
    plain = parts and all(part not in {"", ".", ".."} and "\0" not in part for part in parts)
    if place not in _TREES or not allowed or not plain or len(parts) > DEEPEST or len(name) > LONGEST_NAME:
        raise Damaged(f"The backup holds something that no backup holds: {name[:200]!r}.")
    if place == "machines" and not _MACHINE.fullmatch(parts[0]):
        raise Damaged(f"The backup holds a machine of no known form: {parts[0][:200]!r}.")
    if place == "machines" and (parts[1:2] != ["home"] or (len(parts) == 2 and kind != "folder")):
        raise Damaged(f"The backup holds something of a machine that is not in its home: {name[:200]!r}.")
    mode, changed = info.mode & 0o777, float(info.mtime)
    return Entry(place, tuple(parts), kind, info.size if kind == "file" else 0, mode, changed, info.linkname)


def pieces(data: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of PIECE, the last one shorter."""
    held = bytearray()
    for some in data:
        held += some
        while len(held) >= PIECE:
            yield bytes(held[:PIECE])
            del held[:PIECE]
    if held:
        yield bytes(held)


@dataclass(frozen=True)
class Manifest:
    """What a restore must know before the rest."""

    created_at: datetime
    secret_key: str
    tables: dict[str, list[str]]  # the columns of each
    sequences: dict[str, dict[str, int]]  # the last value of each numbered column of a table

    def dump(self) -> bytes:
        return json.dumps(vars(self) | {"created_at": self.created_at.isoformat()}).encode()

    @classmethod
    def load(cls, data: bytes) -> "Manifest":
        try:
            read = json.loads(data)
            tables = {str(table): [str(column) for column in columns] for table, columns in read["tables"].items()}
            sequences = {str(t): {str(c): int(n) for c, n in of.items()} for t, of in read["sequences"].items()}
            at = datetime.fromisoformat(read["created_at"])
            if at.tzinfo is None or not str(read["secret_key"]):
                raise ValueError
            return cls(at, str(read["secret_key"]), tables, sequences)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Damaged("The backup is damaged: its manifest cannot be read.") from error
