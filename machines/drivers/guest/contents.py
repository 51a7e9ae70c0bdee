"""What there is of the files, folders and programs that a command names, in a form that can be compared later.

Links are followed, as the program that opens them will, and where they led is part of what is compared. Nothing waits on a
pipe or a device, and of what is large not everything is read.
"""
# ruff: noqa: PTH113, PTH116, PTH117, PTH118, PTH123, PTH207

import contextlib
import glob
import hashlib
import os
import re
import stat
from typing import Any

Item = dict[str, str]

WHOLE = 16 << 20  # bytes of a file that are read
TOGETHER = 64 << 20  # bytes of all files of one command
MOST_ENTRIES = 2000  # of a folder with all below it
MOST_MATCHES = 64  # of a pattern
MOST_FOLDERS = 6
MOST_ITEMS = 400
_CHUNK = 1 << 20
_PATTERN = re.compile(r"[*?\[]")


class Contents:
    """One look. `folder` is where the shell stands, `path` its PATH; `within`: outside of it nothing is opened."""

    def __init__(self, home: str, folder: str, path: str, within: str | None) -> None:
        self.home = home
        self.folder = folder
        self.path = path
        self.within = os.path.realpath(within) if within else None
        self.left = TOGETHER
        self.items: dict[tuple[str, str], Item] = {}
        self.uncovered: list[str] = []

    def look(self, question: dict[str, Any]) -> dict[str, Any]:
        appended = {str(word) for word in question["appended"]}
        bases = [self.folder, *(self._join(self.folder, str(name)) for name in question["folders"][:MOST_FOLDERS])]
        for word in map(str, question["words"]):
            self._word(word, bases, names_only=False)
        for word in appended:
            self._word(word, bases, names_only=True)
        for name in map(str, question["programs"]):
            self._program(name)
        return {"items": list(self.items.values())[:MOST_ITEMS], "uncovered": self.uncovered[:20]}

    def _join(self, base: str, name: str) -> str:
        if name == "~" or name.startswith("~/"):
            return self.home + name[1:]
        return os.path.join(base, name)

    def _word(self, word: str, bases: list[str], *, names_only: bool) -> None:
        if "\0" in word:
            return
        for number, base in enumerate(bases):
            full = self._join(base, word)
            name = word if number == 0 or os.path.isabs(word) or word.startswith("~") else self._called(full)
            if _PATTERN.search(word) and not os.path.lexists(full):
                self._matches(name, full, names_only=names_only)
            else:
                self._thing(name, full, names_only=names_only)

    def _called(self, full: str) -> str:
        """A name for what lies in another folder than the shell's."""
        return os.path.relpath(full, self.folder)

    def _matches(self, name: str, pattern: str, *, names_only: bool) -> None:
        matches = []
        for match in glob.iglob(pattern):
            matches.append(match)
            if len(matches) > MOST_MATCHES:
                self.uncovered.append(f"{name}: it matches more than {MOST_MATCHES} names")
                break
        matches = sorted(matches[:MOST_MATCHES])
        self._put("pattern", name, _digest("\0".join(matches)), f"matches {len(matches)} names" if matches else "")
        for match in matches:
            self._thing(self._called(match) if not os.path.isabs(name) else match, match, names_only=names_only)

    def _thing(self, name: str, full: str, *, names_only: bool) -> None:
        real = os.path.realpath(full)
        try:
            status = os.stat(real)
        except OSError:
            self._put("file", name, f"missing {real}", "")
            return
        if self.within and not (real + "/").startswith(self.within + "/"):
            self._put("file", name, f"outside {real}", "lies outside of the home")
            self.uncovered.append(f"{name}: it lies outside of the home")
            return
        if stat.S_ISREG(status.st_mode):
            value, says = (f"{status.st_ino}", "is appended to") if names_only else self._file(name, real)
            self._put("file", name, f"file {real} {value}", says)
        elif stat.S_ISDIR(status.st_mode):
            if os.path.normpath(name) in (".", "..", "/", "~") or real == os.path.realpath(self.home):
                self._put("folder", name, f"folder {real}", "a folder, whose files are not compared")
            else:
                value, says = self._folder(name, real)
                self._put("folder", name, f"folder {real} {value}", says)
        else:
            self._put(
                "file", name, f"other {real} {stat.S_IFMT(status.st_mode)} {status.st_rdev}", "no file but a device"
            )

    def _file(self, name: str, real: str) -> tuple[str, str]:
        """A digest of the content, for as much as may be read; of the rest, size and time of the last change."""
        try:
            descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            self.uncovered.append(f"{name}: it cannot be read")
            status = os.stat(real)
            return (
                f"unread {status.st_size} {status.st_ctime_ns} {status.st_ino}",
                f"{status.st_size} bytes that cannot be read",
            )
        with open(descriptor, "rb", buffering=0) as file:
            status = os.fstat(descriptor)
            most = min(WHOLE, self.left)
            digest, size = _read(file, most)
        self.left -= size
        if size < most or status.st_size == size:
            return f"sha256 {digest}", f"{size} bytes, sha256 {digest[:16]}"
        self.uncovered.append(
            f"{name}: of {status.st_size} bytes only the first {size} are read, besides the time of its change"
        )
        value = f"sha256 {digest} {status.st_size} {status.st_ctime_ns} {status.st_ino}"
        return value, f"{status.st_size} bytes, the first {size} with sha256 {digest[:16]}"

    def _folder(self, name: str, real: str) -> tuple[str, str]:
        """A digest of names, sizes and times of change of all that is below; no file in it is read."""
        listed: list[str] = []
        waiting = [real]
        while waiting and len(listed) <= MOST_ENTRIES:
            with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    is_folder = stat.S_ISDIR(status.st_mode)
                    facts = "" if is_folder else f"{status.st_size} {status.st_ctime_ns} {status.st_ino}"
                    listed.append(f"{entry.path}\0{status.st_mode} {facts}")
                    waiting += [entry.path] if is_folder else []
                    if len(listed) > MOST_ENTRIES:
                        break
        if len(listed) > MOST_ENTRIES:
            self.uncovered.append(f"{name}: a folder of more than {MOST_ENTRIES} files")
            return "large", f"a folder of more than {MOST_ENTRIES} files, which are not compared"
        return _digest("\n".join(sorted(listed))), f"a folder with {len(listed)} entries"

    def _program(self, name: str) -> None:
        """Where the shell finds it, and that file. What is no file is the shell's own, or nothing."""
        for folder in self.path.split(":"):
            full = os.path.join(self._join(self.folder, folder or "."), name)
            if os.path.isfile(full) and os.access(full, os.X_OK):
                real = os.path.realpath(full)
                if self.within and not (real + "/").startswith(self.within + "/"):
                    self._put("program", name, f"program {full} {real}", full)
                else:
                    value, says = self._file(name, real)
                    self._put("program", name, f"program {full} {real} {value}", f"{full}, {says}")
                return
        self._put("program", name, "none", "")

    def _put(self, kind: str, name: str, value: str, says: str) -> None:
        self.items.setdefault((kind, name), {"kind": kind, "name": name, "value": _digest(value), "says": says})


def _read(file: Any, most: int) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while size < most:
        chunk = file.read(min(_CHUNK, most - size))
        if not chunk:
            break
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
