"""The process that holds one terminal's screen where tmux does not: a pty, an emulator, a unix socket.

Started as `python -m machines.drivers.terminal.screens.screen_keeper SPEC`; it leaves its starter behind and prints one line: its identity.
SPEC is JSON: `socket`, `command`, `columns`, `rows`. A question is one line of JSON with `op`: look, text, type, press,
resize, who. It ends with the command; who kills it hangs the command's terminal up.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import signal
import struct
import termios
from collections import deque
from pathlib import Path
from typing import Any

from machines.drivers.detached import announce, identity, leave_starter
from machines.drivers.launch import listen
from machines.drivers.terminal.screens.emulator import Emulator
from machines.drivers.terminal.screens.keycodes import key_bytes

MOST_ANSWERED = 1 << 16  # bytes of answers that the program does not read; further ones are lost
MOST_TYPED = 1 << 22  # bytes that may wait for the program to read them
LONGEST_QUESTION = 1 << 20
_AT_ONCE = 1 << 16  # bytes drawn before anybody else gets a turn
_IUTF8 = 0o40000


class Keeper:
    def __init__(self, terminal: int, columns: int, rows: int) -> None:
        self.terminal = terminal
        self.emulator = Emulator(columns, rows, self._answer)
        self.waiting: deque[bytes] = deque()  # what is typed and not read yet
        self.waits = 0
        self.over = asyncio.Event()
        self._seen: tuple[int, bytes] | None = None
        os.set_blocking(terminal, False)
        self._resize(columns, rows)
        asyncio.get_running_loop().add_reader(terminal, self._read)

    def _resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read(self) -> None:
        try:
            data = os.read(self.terminal, _AT_ONCE)
        except BlockingIOError:
            return
        except OSError:  # nobody has the other side any more
            data = b""
        if data:
            self.emulator.feed(data)
        else:
            asyncio.get_running_loop().remove_reader(self.terminal)
            self.over.set()

    def _answer(self, reply: str) -> None:
        if self.waits < MOST_ANSWERED:
            self._type(reply.encode())

    def _type(self, data: bytes) -> None:
        self.waiting.append(data)
        self.waits += len(data)
        self._write()

    def _write(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_writer(self.terminal)
        try:
            while self.waiting:
                written = os.write(self.terminal, self.waiting[0])
                self.waits -= written
                if written == len(self.waiting[0]):
                    self.waiting.popleft()
                else:
                    self.waiting[0] = self.waiting[0][written:]
        except BlockingIOError:
            loop.add_writer(self.terminal, self._write)
        except OSError:
            self.waiting.clear()

    def _look(self) -> bytes:
        """The screen as one line of JSON; the same again while nothing has come."""
        emulator = self.emulator
        if self._seen is None or self._seen[0] != emulator.changes:
            facts = {
                "rows": emulator.rows_of_runs(),
                "cursor": emulator.cursor,
                "mouse": emulator.mouse,
                "moves": emulator.moves,
            }
            self._seen = emulator.changes, json.dumps(facts, separators=(",", ":")).encode()
        return self._seen[1]

    def reply(self, question: dict[str, Any]) -> bytes:
        match question["op"]:
            case "look":
                return self._look()
            case "text":
                return json.dumps({"lines": self.emulator.lines()}).encode()
            case "type" | "press":
                if self.waits > MOST_TYPED:
                    return b'{"full":true}'
                if question["op"] == "type":
                    text = str(question["text"])
                else:
                    application = self.emulator.application_keys
                    text = key_bytes(str(question["key"]), question["modifiers"], application=application)
                self._type(text.encode(errors="replace"))
            case "resize":
                columns, rows = int(question["columns"]), int(question["rows"])
                self._resize(columns, rows)
                self.emulator.resize(columns, rows)
            case "who":
                return json.dumps(identity()).encode()
        return b"{}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            writer.write(self.reply(json.loads(await reader.readline())) + b"\n")
            await writer.drain()
        writer.close()


_INHERITED = (signal.SIGHUP, signal.SIGPIPE, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP)


def _on_a_terminal(command: list[str]) -> tuple[int, int]:
    """Start the command on a new terminal; its pid, and our side of the terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            for number in _INHERITED:  # who starts in the background ignores Ctrl+C; the terminal's programs must not
                signal.signal(number, signal.SIG_DFL)
            mode = termios.tcgetattr(0)
            mode[0] |= _IUTF8
            termios.tcsetattr(0, termios.TCSANOW, mode)
            os.chdir("/")
            os.environ.pop("PYTHONPATH", None)  # our own: where the product lies is nothing that a machine may read
            os.execvp(command[0], command)  # noqa: S606
        finally:
            os._exit(127)
    os.set_inheritable(terminal, False)
    return pid, terminal


async def keep(spec: dict[str, Any]) -> None:
    """Start the command, say who we are, and answer until it has ended."""
    server = listen(spec["socket"])
    pid, terminal = _on_a_terminal(spec["command"])
    keeper = Keeper(terminal, spec["columns"], spec["rows"])
    await asyncio.start_unix_server(keeper.serve, sock=server, limit=LONGEST_QUESTION)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, keeper.over.set)
    announce({}, streams=(0, 1, 2))
    await asyncio.wait(
        {loop.create_task(keeper.over.wait()), loop.create_task(_ended(pid))}, return_when=asyncio.FIRST_COMPLETED
    )


async def _ended(pid: int) -> None:
    """Wait for the command itself: what it left behind may hold the terminal open."""
    over = asyncio.Event()
    pidfd = os.pidfd_open(pid)
    asyncio.get_running_loop().add_reader(pidfd, over.set)
    await over.wait()


def main() -> None:
    spec = leave_starter()
    try:
        asyncio.run(keep(spec))
    finally:
        Path(spec["socket"]).unlink(missing_ok=True)
    os._exit(0)  # at once: the terminal is hung up by the kernel


if __name__ == "__main__":
    main()
