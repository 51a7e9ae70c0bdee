"""Becomes another program for which the kernel makes no user namespaces, as where a profile or a setting forbids them.

    refuse.py COMMAND [ARGUMENT …]

A seccomp filter answers EPERM to unshare() and clone() that ask for one, and ENOSYS to clone3(), whose flags it cannot read, so that
clone() is used. x86-64 only. Stands alone: it runs outside the virtual environment.
"""

import ctypes
import errno
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2
CLONE_NEWUSER = 0x10000000
CLONE, UNSHARE, CLONE3 = 56, 272, 435  # numbers of the calls
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
NUMBER, FIRST_ARGUMENT = 0, 16  # offsets in what the filter sees


def _step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("HBBI", code, yes, no, value)


FILTER = [
    _step(LOAD, NUMBER),
    _step(EQUAL, CLONE3, 5, 0),
    _step(EQUAL, CLONE, 1, 0),
    _step(EQUAL, UNSHARE, 0, 4),
    _step(LOAD, FIRST_ARGUMENT),
    _step(ANY_BIT, CLONE_NEWUSER, 0, 2),
    _step(RETURN, ERRNO | errno.EPERM),
    _step(RETURN, ERRNO | errno.ENOSYS),
    _step(RETURN, ALLOW),
]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


def refuse_user_namespaces() -> None:
    """For this process and all that come of it."""
    libc = ctypes.CDLL(None, use_errno=True)
    program = _Program(len(FILTER), b"".join(FILTER))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        PR_SET_SECCOMP, MODE_FILTER, ctypes.byref(program), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "the filter was not taken")


if __name__ == "__main__":
    refuse_user_namespaces()
    os.execvp(sys.argv[1], sys.argv[1:])
