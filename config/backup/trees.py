"""Folders that somebody else may be changing: read and written part by part, never through a link.

A machine's home belongs to whatever runs on it. A folder that becomes a link while a backup walks through it must not lead the
backup out of the home, and a link in a backup must not lead a restore out of the place.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from config.backup.archive import DEEPEST, LONGEST_NAME, PIECE, Content, Entry

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe in place of a file does not hold us up
MOST_HOLES = 2**30  # bytes of a file that are not there: they would be written out, and fill the disk of a restore


class Tree:
    """One folder to be read. `left_out`: how many things could not be: too deep, closed to us, or made of holes. Sockets,
    pipes and devices do not count."""

    def __init__(
        self, root: Path, place: str, prefix: tuple[str, ...] = (), only: tuple[str, ...] | None = None
    ) -> None:
        """`place` and `prefix` stand before each name; `only`: these of what lies in the root itself."""
        self.root, self.place, self.prefix, self.only, self.left_out = root, place, prefix, only, 0

    def walk(self) -> Iterator[tuple[Entry, IO[bytes] | None]]:
        """Everything below, a folder after what is in it. Each content is to be read before the next entry."""
        todo: list[tuple[tuple[str, ...], bool]] = [((), False)]
        while todo:
            parts, done = todo.pop()
            with self._opened(parts) as folder:
                if folder is None:
                    continue
                if done:
                    yield self._entry(parts, "folder", os.fstat(folder)), None
                    continue
                if parts:
                    todo.append((parts, True))
                todo += [((*parts, name), False) for name in self._subfolders(folder, parts)]
                yield from self._leaves(folder, parts)

    def _subfolders(self, folder: int, parts: tuple[str, ...]) -> list[str]:
        names = [e.name for e in self._names(folder, parts) if e.is_dir(follow_symlinks=False)]
        if names and len(self.prefix) + len(parts) + 2 > DEEPEST:
            self.left_out += len(names)
            return []
        short = [name for name in names if not self._is_too_long(parts, name)]
        self.left_out += len(names) - len(short)
        return sorted(short, reverse=True)

    def _is_too_long(self, parts: tuple[str, ...], name: str) -> bool:
        return len("/".join((self.place, *self.prefix, *parts, name)).encode(errors="replace")) > LONGEST_NAME

    def _leaves(self, folder: int, parts: tuple[str, ...]) -> Iterator[tuple[Entry, IO[bytes] | None]]:
        for item in self._names(folder, parts):
            if item.is_dir(follow_symlinks=False):
                continue
            if self._is_too_long(parts, item.name):
                self.left_out += 1
            elif item.is_symlink():
                with contextlib.suppress(OSError):
                    target = os.readlink(item.name, dir_fd=folder)
                    entry = self._entry((*parts, item.name), "link", os.lstat(item.name, dir_fd=folder), target)
                    yield entry, None
            else:
                yield from self._file(folder, parts, item.name)

    def _file(self, folder: int, parts: tuple[str, ...], name: str) -> Iterator[tuple[Entry, IO[bytes]]]:
        try:
            descriptor = os.open(name, _FILE, dir_fd=folder)
        except FileNotFoundError:  # it went in the meantime
            return
        except OSError:
            self.left_out += 1
            return
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and status.st_size - status.st_blocks * 512 > MOST_HOLES:
                self.left_out += 1
            elif stat.S_ISREG(status.st_mode):
                yield self._entry((*parts, name), "file", status), file

    def _entry(self, parts: tuple[str, ...], kind: str, status: os.stat_result, target: str = "") -> Entry:
        size = status.st_size if kind == "file" else 0
        mode = stat.S_IMODE(status.st_mode)
        return Entry(self.place, (*self.prefix, *parts), kind, size, mode, status.st_mtime, target)

    def _names(self, folder: int, parts: tuple[str, ...]) -> list["os.DirEntry[str]"]:
        with os.scandir(folder) as items:
            return [item for item in items if parts or self.only is None or item.name in self.only]

    @contextlib.contextmanager
    def _opened(self, parts: tuple[str, ...]) -> Iterator[int | None]:
        """The folder, reached without following a link; None when it is not there any more or closed to us."""
        held: list[int] = []
        try:
            held.append(os.open(self.root, _FOLDER))
            for part in parts:
                held.append(os.open(part, _FOLDER, dir_fd=held[-1]))
                os.close(held.pop(0))
        except OSError as error:
            self.left_out += not isinstance(error, FileNotFoundError)
            _close(held)
        try:
            yield held[0] if held else None
        finally:
            _close(held)


def _close(held: list[int]) -> None:
    while held:
        os.close(held.pop())


class Planting:
    """A new folder that entries of a backup are written into. Raises OSError when one stands in the way of another."""

    def __init__(self, root: Path) -> None:
        root.mkdir(mode=0o700)
        self._root = os.open(root, _FOLDER)

    def put(self, entry: Entry, content: Content) -> None:
        *above, name = (entry.place, *entry.parts)
        folder = self._folder(above)
        try:
            if entry.kind == "link":
                os.symlink(entry.target, name, dir_fd=folder)
            elif entry.kind == "folder":
                self._finish_folder(folder, name, entry)
            else:
                self._file(folder, name, entry, content)
        finally:
            os.close(folder)

    def close(self) -> None:
        os.close(self._root)

    def _folder(self, parts: list[str]) -> int:
        """Reached and made part by part; where a link stands in the way the kernel refuses."""
        descriptor = os.dup(self._root)
        for part in parts:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o700, dir_fd=descriptor)
            try:
                below = os.open(part, _FOLDER, dir_fd=descriptor)
            finally:
                os.close(descriptor)
            descriptor = below
        return descriptor

    @staticmethod
    def _finish_folder(folder: int, name: str, entry: Entry) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=folder)
        descriptor = os.open(name, _FOLDER, dir_fd=folder)
        try:
            os.fchmod(descriptor, entry.mode | 0o700)  # closed to its owner nobody could ever remove it
            if entry.changed:
                os.utime(descriptor, (entry.changed, entry.changed))
        finally:
            os.close(descriptor)

    @staticmethod
    def _file(folder: int, name: str, entry: Entry, content: Content) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, 0o600, dir_fd=folder)
        with os.fdopen(descriptor, "wb") as file:
            left = entry.size
            while left:
                data = content.read(min(left, PIECE))
                file.write(data)
                left -= len(data)
            file.flush()
            os.fchmod(descriptor, entry.mode)
            os.utime(descriptor, (entry.changed, entry.changed))
