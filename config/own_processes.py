"""What the kernel does for our processes: a child dies with its parent, a pid tells its command."""

import ctypes
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(signum: int = signal.SIGKILL) -> None:
    """Ask the kernel to send us `signum` when the thread that started us ends.

    Forgotten at a change of user, kept at an exec: call it last before the program starts.
    """
    libc.prctl(PR_SET_PDEATHSIG, signum)


def child_start(signum: int = signal.SIGKILL) -> Callable[[], None]:
    """A `preexec_fn`: the child dies with us and hears all signals, also those that we hold back."""
    parent = os.getpid()

    def start() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        die_with_parent(signum)
        if os.getppid() != parent:  # we died before the kernel knew
            os._exit(1)

    return start


def wait_until(true: Callable[[], bool], timeout: float, pause: float = 0.02) -> bool:
    """Look every `pause` seconds whether `true()`; say at the end of `timeout` seconds whether it came true."""
    deadline = time.monotonic() + timeout
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def command_of(pid: int) -> list[str]:
    """The words of a living process's command line; none for a zombie or nobody."""
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []
