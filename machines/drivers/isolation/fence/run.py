"""The process around one fenced machine: starts it inside, does for it what only the outside may, ends all of it.

    run.py SPEC -- COMMAND [ARGUMENT …]

SPEC is JSON: `own` folders, `writable` and `readable` paths, `environment`. Whatever the command leaves behind becomes our
child when its parent ends, so that nothing outlives us but by SIGKILL. Standard library only.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import struct
import sys
import traceback
from typing import Any

from machines.drivers import process
from machines.drivers.isolation.fence import filter, landlock, modes  # noqa: A004

_SET_DEATH_SIGNAL, _DROP_BOUND, _NO_NEW_PRIVILEGES, _ADOPT_ORPHANS = 1, 24, 38, 36  # of prctl
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITIES_3 = 0x20080522
_FROM_KEYBOARD = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> bool:
    return bool(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) == 0)


def _drop_privileges() -> None:
    """No capability now and none by any program: root inside is an ordinary user who happens to own files."""
    capability = 0
    while _prctl(_DROP_BOUND, capability):
        capability += 1
    header, nothing = struct.pack("Ii", _CAPABILITIES_3, 0), bytes(24)
    if _libc.syscall(ctypes.c_long(_CAPSET[os.uname().machine]), header, nothing):
        raise OSError(ctypes.get_errno(), "capset")
    if not _prctl(_NO_NEW_PRIVILEGES, 1):
        raise OSError(ctypes.get_errno(), "no_new_privs")


def _terminal(command: list[str]) -> list[str]:
    """The shell's own terminal by its name, which programs open: no other one may be opened. Its number is among the open
    descriptors at the end of the command (launch.py).
    """
    names = []
    for word in command[-2:]:
        if word.isdigit():
            with contextlib.suppress(OSError):
                names.append(os.ttyname(int(word)))
    return [name for name in names if name.startswith("/dev/pts/")]  # not that of the other end, which makes new ones


def _inside(spec: dict[str, Any], command: list[str], link: socket.socket) -> None:
    """Become the machine's first program."""
    _prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    for number in (*_FROM_KEYBOARD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    os.chdir(spec["own"][0])
    _drop_privileges()
    landlock.restrict(spec["own"], [*spec["writable"], *_terminal(command)], spec["readable"])
    listener = filter.install(filter.program())
    socket.send_fds(link, [b"!"], [listener])
    os.close(listener)
    link.close()
    os.execve(command[0] if "/" in command[0] else f"/usr/bin/{command[0]}", command, spec["environment"])  # noqa: S606


class Outside:
    """The half that stays out."""

    def __init__(self, own: list[str]) -> None:
        self.own = [os.path.realpath(folder) for folder in own]
        self.leaving = False
        self.status: int | None = None
        self.source, sink = os.pipe()
        for end in (self.source, sink):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(sink, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._leave)
        for number in _FROM_KEYBOARD:  # they are for the programs inside
            signal.signal(number, signal.SIG_IGN)

    def _leave(self, *_: object) -> None:
        self.leaving = True

    def reap(self, first: int) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == first:
                    self.status = os.waitstatus_to_exitcode(status)

    def serve(self, first: int, listener: int) -> None:
        """Do what the inside asks for until its first program has ended, or we are told to end."""
        poll = select.poll()
        poll.register(self.source, select.POLLIN)
        poll.register(listener, select.POLLIN)
        while not self.leaving and self.status is None:
            for descriptor, events in poll.poll():
                if descriptor == listener and events & select.POLLIN:
                    modes.supervise(listener, self.own)
                elif descriptor == listener:
                    poll.unregister(listener)
                else:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self.source, 4096)
                    self.reap(first)

    def end_all(self) -> None:
        """End every process inside. What is orphaned meanwhile comes to us, so at the end there is no child left."""
        me = process.identify(os.getpid())
        while me is not None:
            for one in process.descendants(me):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(one.pid, signal.SIGKILL)
            try:
                os.waitpid(-1, 0)
                while os.waitpid(-1, os.WNOHANG) != (0, 0):
                    pass
            except ChildProcessError:
                return


def main(arguments: list[str]) -> int:
    split = arguments.index("--")
    spec, command = json.loads(arguments[0]), arguments[split + 1 :]
    outside = Outside(spec["own"])
    _prctl(_ADOPT_ORPHANS, 1)
    ours, theirs = socket.socketpair()
    first = os.fork()
    if first == 0:
        ours.close()
        try:
            _inside(spec, command, theirs)
        except BaseException:  # noqa: BLE001  whatever it is, this half must not go on as the outside
            traceback.print_exc()
        finally:
            os._exit(126)
    _prctl(_SET_DEATH_SIGNAL, signal.SIGTERM)
    theirs.close()
    _, listeners, _, _ = socket.recv_fds(ours, 1, 1)
    ours.close()
    try:
        if listeners:
            outside.serve(first, listeners[0])
        outside.reap(first)
    finally:
        outside.end_all()
    return outside.status if outside.status is not None and outside.status >= 0 else 126


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
