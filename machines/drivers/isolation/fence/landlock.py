"""Landlock by its three system calls: this process and all that come after it open only what is listed.

Rights and structures: include/uapi/linux/landlock.h. Standard library only.
"""
# ruff: noqa: PTH112

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterable

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on every architecture
ABI_OF_SCOPES = 6
_VERSION = 1  # a flag of landlock_create_ruleset
_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_BLOCK, _TRUNCATE, _IOCTL = 1 << 6, 1 << 11, 1 << 14, 1 << 15
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
_TCP = 0b11  # bind and connect
_SCOPES = 0b11  # abstract unix sockets and signals
_libc = ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def abi() -> int:
    """The version of Landlock in this kernel; 0 without."""
    try:
        return _call(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    except OSError:
        return 0


def _handled(version: int) -> int:
    return (1 << (15 if version < 5 else 16)) - 1


def restrict(own: Iterable[str], writable: Iterable[str], readable: Iterable[str]) -> None:
    """Close everything but these paths, for good. `own` folders are fully usable, but for making devices; `writable` are
    single files; `readable` may be read and executed. A path that does not exist is passed over. Needs no_new_privs.
    """
    version = abi()
    handled = _handled(version)
    attributes = struct.pack("QQQ", handled, _TCP, _SCOPES)[: 24 if version >= ABI_OF_SCOPES else 16]
    ruleset = _call(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    rights = dict.fromkeys(own, handled & ~(_MAKE_CHAR | _MAKE_BLOCK))
    rights |= dict.fromkeys(writable, handled & (_OF_FILES & ~_EXECUTE))
    rights |= dict.fromkeys(readable, _READ)
    for path, allowed in rights.items():
        with contextlib.suppress(FileNotFoundError):
            _allow(ruleset, path, allowed)
    _call(RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    os.close(ruleset)


def _allow(ruleset: int, path: str, allowed: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not os.path.isdir(path):
            allowed &= _OF_FILES
        rule = struct.pack("=Qi", allowed, descriptor)
        _call(ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint32(0))
    finally:
        os.close(descriptor)
