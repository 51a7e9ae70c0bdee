"""The shell's own pty, and the way between it and the screen that shows it.

Everything that the shell writes passes here on its way to the screen, so that what a command wrote can be told from its
prompt, and a key can be pressed without the screen's help.
"""

import asyncio
import contextlib
import fcntl
import os
import re
import signal
import struct
import sys
import termios
import tty

KEPT = 32 * 1024  # bytes of a command's output, the last ones
CHUNK = 1 << 16
MOST_WAITING = 1 << 18  # bytes that the screen has not taken yet; then the shell waits


class Recording:
    """What the last command wrote, between the marks around it: its last KEPT bytes.

    `begun` and `ended`: the marks were seen. Before `begun` everything is kept: what the shell says of a line that it
    does not run. `prompted`: the prompt was painted after it.
    """

    def __init__(self, nonce: str) -> None:
        self._mark = re.compile(rb"\x1b\]133;([ACD]);" + nonce.encode() + rb"\x07")
        self._sample = b"\x1b]133;A;" + nonce.encode() + b"\x07"
        self._rest = b""
        self.start()

    def start(self) -> None:
        self.kept = bytearray()
        self.cut = self.begun = self.ended = self.prompted = False
        self._on = True

    def feed(self, data: bytes) -> None:
        data = self._rest + data
        at = 0
        for mark in self._mark.finditer(data):
            self._keep(data[at : mark.start()])
            self._passed(mark.group(1))
            at = mark.end()
        held = len(data) - self._begun_mark(data[at:])
        self._keep(data[at:held])
        self._rest = data[held:]

    def _begun_mark(self, tail: bytes) -> int:
        """How many bytes at the end may be the beginning of a mark that the next read completes."""
        start = tail.rfind(b"\x1b", max(0, len(tail) - len(self._sample) + 1))
        piece = tail[start:] if start >= 0 else b""
        alike = piece[:6] == self._sample[: len(piece[:6])] and piece[7:] == self._sample[7 : len(piece)]
        return len(piece) if alike else 0

    def _passed(self, kind: bytes) -> None:
        if kind == b"C":
            if not self.begun:
                self.kept.clear()
                self.cut = False
            self.begun = self._on = True
            self.ended = self.prompted = False
        elif kind == b"D":
            self.ended, self._on = True, False
        else:  # the line editor paints its prompt again when a line is placed
            self.prompted, self._on = True, self._on and not self.begun

    def _keep(self, data: bytes) -> None:
        if self._on:
            self.kept += data
            if len(self.kept) > KEPT:
                self.cut = True
                del self.kept[:-KEPT]


class Relay:
    def __init__(self, master: int, slave: int, nonce: str) -> None:
        self.master, self.slave = master, slave
        self.recording = Recording(nonce)
        self.written = 0  # bytes that the shell and its programs wrote so far
        self._to_screen = bytearray()
        self._to_shell = bytearray()

    def start(self) -> None:
        """Begin to carry bytes; the screen's side passes everything on as it is."""
        tty.setraw(0)
        for descriptor in (0, 1, self.master):
            os.set_blocking(descriptor, False)
        self._resized()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGWINCH, self._resized)
        loop.add_reader(0, self._from_screen)
        loop.add_reader(self.master, self._from_shell)

    def _resized(self) -> None:
        with contextlib.suppress(OSError):
            size = fcntl.ioctl(0, termios.TIOCGWINSZ, b"\0" * 8)
            fcntl.ioctl(self.slave, termios.TIOCSWINSZ, size)

    def _from_screen(self) -> None:
        try:
            data = os.read(0, CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:  # nobody holds the screen any more
            sys.exit(0)
        self.type(data)

    def type(self, data: bytes) -> None:
        """Put these bytes in as a keyboard would."""
        self._to_shell += data
        self._feed_shell()

    def _feed_shell(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(BlockingIOError):
            while self._to_shell:
                del self._to_shell[: os.write(self.master, self._to_shell[:4096])]
        if self._to_shell:
            loop.add_writer(self.master, self._feed_shell)
            loop.remove_reader(0)
        else:
            loop.remove_writer(self.master)
            loop.add_reader(0, self._from_screen)

    def _from_shell(self) -> None:
        try:
            data = os.read(self.master, CHUNK)
        except OSError:
            return
        self.written += len(data)
        self.recording.feed(data)
        self._to_screen += data
        self._feed_screen()

    def _feed_screen(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._to_screen:
                del self._to_screen[: os.write(1, self._to_screen[:CHUNK])]
        except BlockingIOError:
            loop.add_writer(1, self._feed_screen)
        else:
            loop.remove_writer(1)
        if len(self._to_screen) > MOST_WAITING:
            loop.remove_reader(self.master)
        else:
            loop.add_reader(self.master, self._from_shell)

    def pending(self) -> int:
        """Bytes typed that no program has read yet."""
        return len(self._to_shell) + _waiting(0) + _waiting(self.slave)

    def lagging(self) -> bool:
        """Whether the shell wrote something that has not passed here, or that the screen has not taken."""
        return bool(self._to_screen) or _waiting(self.master) > 0

    def local_modes(self) -> int:
        """The terminal's local modes as the shell has them now (termios ICANON, ECHO, …)."""
        return int(termios.tcgetattr(self.slave)[3])


def _waiting(descriptor: int) -> int:
    try:
        return int(struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0\0\0\0"))[0])
    except OSError:
        return 0
