"""Stops every process of a process namespace at one moment, but its first: python -I -S broadcast.py PID, one that is in it.

For what is born faster than anybody can look: the kernel lets no process be born in the middle of such a signal. Runs on its
own, since who enters a namespace does not come back.
"""
# ruff: noqa: PTH123

import ctypes
import fcntl
import os
import signal
import sys

_OWNER = 0xB701  # ioctl NS_GET_USERNS
_ANY = 0


def main(pid: str) -> None:
    """Raises OSError when this user may not."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/proc/{pid}/ns/pid", "rb") as namespace:
        if os.path.samestat(os.fstat(namespace.fileno()), os.stat("/proc/self/ns/pid")):  # noqa: PTH116
            raise OSError("It has no namespace of its own.")
        for descriptor in (fcntl.ioctl(namespace, _OWNER), namespace.fileno()):
            if libc.setns(descriptor, _ANY):
                raise OSError(ctypes.get_errno(), "setns")
    child = os.fork()  # only what is born from now on is in the namespace
    if child == 0:
        os.kill(-1, signal.SIGSTOP)
        os._exit(0)
    os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1])
