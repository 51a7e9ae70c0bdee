"""Modes, times and owners of files: Landlock does not judge them, so a process outside the fence does, and does them itself.

The kernel hands each such call over (seccomp user notification) and the caller waits. What it names is opened first and
judged by where the opened file is, so that nothing can be put in its place meanwhile. Standard library only.
"""
# ruff: noqa: PTH101, PTH115, PTH116

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Sequence

from machines.drivers.isolation.fence import filter  # noqa: A004

_RECEIVE, _SEND, _STILL_THERE = 0xC0502100, 0xC0182101, 0x40082102  # SECCOMP_IOCTL_NOTIF_*
_NOTICE = struct.Struct("=QIIiIQ6Q")  # id, thread, flags; then the call: number, architecture, instruction, arguments
_AT_FDCWD = -100
_NO_FOLLOW, _EMPTY_PATH = 0x100, 0x1000
_LONGEST_PATH = 4096
_PAGE = 4096
_NOW = struct.pack("qqqq", 0, (1 << 30) - 1, 0, (1 << 30) - 1)  # UTIME_NOW, twice
_libc = ctypes.CDLL(None, use_errno=True)


def _signed(value: int) -> int:
    """A file descriptor as the kernel reads it: the lower half, with its sign."""
    return int(ctypes.c_int32(value & 0xFFFFFFFF).value)


class Notice:
    """One call that somebody waits for."""

    def __init__(self, listener: int) -> None:
        buffer = bytearray(_NOTICE.size)
        fcntl.ioctl(listener, _RECEIVE, buffer)
        self.id, self.thread, _, self.number, _, _, *self.arguments = _NOTICE.unpack(buffer)
        self.listener = listener

    def still_waits(self) -> None:
        """Raise OSError unless the caller still waits: only then is its thread's number surely its own."""
        fcntl.ioctl(self.listener, _STILL_THERE, struct.pack("=Q", self.id))

    def answer(self, code: int) -> None:
        try:
            fcntl.ioctl(self.listener, _SEND, struct.pack("=QqiI", self.id, 0, -code, 0))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINPROGRESS):  # it was ended meanwhile
                raise

    def memory(self, address: int, length: int) -> bytes:
        """Bytes of the caller, fewer where its memory ends."""
        descriptor = os.open(f"/proc/{self.thread}/mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.still_waits()
            return os.pread(descriptor, length, address)
        finally:
            os.close(descriptor)

    def path(self, address: int) -> str:
        text = b""
        while b"\0" not in text and len(text) < _LONGEST_PATH:
            at = address + len(text)
            piece = self.memory(at, _PAGE - at % _PAGE)  # never across a page: the next one may not be there
            if not piece:
                raise OSError(errno.EFAULT, "no such memory")
            text += piece
        end = text.find(b"\0")
        if end < 0:
            raise OSError(errno.ENAMETOOLONG, "too long")
        return os.fsdecode(text[:end])

    def opened(self, folder: int, path: str | None, flags: int = 0) -> int:
        """An O_PATH descriptor of what the call names: an open file of the caller, or a path from there."""
        base = f"/proc/{self.thread}/" + ("cwd" if folder == _AT_FDCWD else f"fd/{folder}")
        follow = os.O_NOFOLLOW if flags & _NO_FOLLOW else 0
        if path is None or (not path and flags & _EMPTY_PATH):
            full, follow = base, 0  # a link of /proc that leads to the open file itself
        elif not path:
            raise OSError(errno.ENOENT, "no path")
        else:
            full = self._as_seen_here(path) if path.startswith("/") else f"{base}/{path}"
        descriptor = os.open(full, os.O_PATH | os.O_CLOEXEC | follow)
        try:
            self.still_waits()
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _as_seen_here(self, path: str) -> str:
        for own in ("/proc/self/", "/proc/thread-self/"):
            if path.startswith(own):
                return f"/proc/{self.thread}/{path.removeprefix(own)}"
        return path


def _named(notice: Notice, name: str) -> tuple[int, list[int]]:
    """What the call is about, opened, and the arguments that follow it."""
    first, second, third, fourth, fifth, _ = notice.arguments
    if name in ("chmod", "utime", "utimes", "chown", "lchown"):
        flags = _NO_FOLLOW if name == "lchown" else 0
        return notice.opened(_AT_FDCWD, notice.path(first), flags), [second, third]
    if name in ("fchmod", "fchown"):
        return notice.opened(_signed(first), None), [second, third]
    path = notice.path(second) if second else None  # without: about the open file itself
    flags = {"fchmodat2": fourth, "utimensat": fourth, "fchownat": fifth}.get(name, 0)
    if path is None and name != "utimensat":
        raise OSError(errno.EFAULT, "no path")
    return notice.opened(_signed(first), path, flags), [third, fourth]


def _times(notice: Notice, name: str, address: int) -> bytes:
    """The two times as utimensat takes them: seconds and nanoseconds, of access and of change."""
    if not address:
        return _NOW
    if name == "utime":
        accessed, changed = struct.unpack("qq", notice.memory(address, 16))
        return struct.pack("qqqq", accessed, 0, changed, 0)
    raw = notice.memory(address, 32)
    if name == "utimensat":
        return raw
    accessed, micro, changed, other = struct.unpack("qqqq", raw)
    return struct.pack("qqqq", accessed, micro * 1000, changed, other * 1000)


def _do(notice: Notice, name: str, own: Sequence[str]) -> None:
    """Do the call for the caller, within its own folders; raises OSError with what the caller is told."""
    descriptor, (argument, other) = _named(notice, name)
    link = f"/proc/self/fd/{descriptor}"
    try:
        place = os.readlink(link)
        if not any(place == folder or place.startswith(f"{folder}/") for folder in own):
            raise OSError(errno.EACCES, "outside")
        if "chmod" in name:
            os.chmod(link, argument & 0o7777)
        elif "chown" in name:
            _keep_owner(os.stat(link), _signed(argument), _signed(other))
        elif _libc.utimensat(_AT_FDCWD, link.encode(), _times(notice, name, argument), 0):
            raise OSError(ctypes.get_errno(), "utimensat")
    finally:
        os.close(descriptor)


def _keep_owner(status: os.stat_result, user: int, group: int) -> None:
    """Nobody inside gives a file away; tar and cp only say once more whose it is."""
    if user not in (-1, status.st_uid) or group not in (-1, status.st_gid):
        raise OSError(errno.EPERM, "owner")


def supervise(listener: int, own: Sequence[str]) -> None:
    """Take one call and answer it. `own` are the real paths of the folders that the machine may change."""
    try:
        notice = Notice(listener)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINTR):  # its caller was ended before we looked
            return
        raise
    names = {number: name for name, number in (filter.numbers() or {}).items()}
    try:
        _do(notice, names[notice.number], own)
        code = 0
    except OSError as error:
        code = error.errno or errno.EACCES
    except (KeyError, ValueError, struct.error):  # a path that is none, memory that ends
        code = errno.EINVAL
    notice.answer(code)
