"""The first program of every machine, inside its sandbox: this folder, with nothing but the standard library.

    python -I -S guest CONFIG FD...

CONFIG is JSON: `kind` terminal or browser, `home`, `scratch` (a private folder), `contained` (true when there is no
sandbox: files outside home are then refused), `limits`, and for browsers `command`, `profile` and `egress`.
The first FD is a listening unix socket that answers questions (a line of JSON each). A browser's second is one that leads to
its DevTools; a terminal has the two ends of the shell's pty, which cannot be opened everywhere inside.

Everything here runs as the machine's user, who may change or end it: whoever asks must not trust the answers.
"""
# ruff: noqa: ASYNC230, ASYNC240, PTH103, PTH108, PTH112, PTH116, PTH118, PTH123

import asyncio
import base64
import contextlib
import json
import os
import re
import resource
import signal
import socket
import stat
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from machines.drivers.guest.memory import first_to_end
    from machines.drivers.guest.shell import QUIET, Shell
else:
    from memory import first_to_end
    from shell import QUIET, Shell

Question = dict[str, Any]
Answer = dict[str, Any]

KEPT = 4  # bytes kept per character of output that is wanted


def listening_ports() -> list[int]:
    """TCP ports that something in this network namespace listens on (state 0A in /proc/net/tcp)."""
    ports: set[int] = set()
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError), open(f"/proc/net/{name}", encoding="ascii") as table:
            for line in table.readlines()[1:]:
                fields = line.split()
                if fields[3] == "0A":
                    ports.add(int(fields[1].rsplit(":", 1)[1], 16))
    return sorted(ports)


class Files:
    def __init__(self, home: str, contained: bool) -> None:
        self.home = home
        self.contained = contained

    def resolve(self, path: str, folder: str | None = None) -> str:
        """A relative path counts from `folder`, without one from home."""
        base = self.home if folder is None or path.startswith("~/") else folder
        return os.path.join(base, re.sub(r"^~/", "", path))

    def find(self, path: str) -> str | None:
        """The real path of a regular file below home, also where links lead; None when there is none."""
        try:
            full = os.path.realpath(self.resolve(path))
            regular = stat.S_ISREG(os.stat(full).st_mode)
        except (OSError, ValueError):
            return None
        return full if regular and full.startswith(os.path.realpath(self.home) + "/") else None

    def read(self, path: str, limit: int, folder: str | None) -> bytes | None:
        """The first bytes of a regular file; never waits on a pipe or a device."""
        full = self.resolve(path, folder)
        if self.contained and not os.path.realpath(full).startswith(os.path.realpath(self.home) + "/"):
            return None
        try:
            descriptor = os.open(full, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError):
            return None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            return None
        with open(descriptor, "rb") as file:
            return file.read(limit)


class Capture:
    """Reads a command's output, keeps its beginning and goes on emptying the pipe for what still runs behind it."""

    def __init__(self, keep: int) -> None:
        self.kept = bytearray()
        self.more = False
        self.ended = asyncio.Event()
        self.keep = keep
        self.source, self.sink = os.pipe()
        os.set_blocking(self.source, False)
        asyncio.get_running_loop().add_reader(self.source, self.drain)

    def drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.source, 65536):
                room = self.keep - len(self.kept)
                self.kept += data[: max(room, 0)]
                self.more = self.more or len(data) > room
            asyncio.get_running_loop().remove_reader(self.source)
            os.close(self.source)
            self.source = -1
            self.ended.set()

    def finish(self) -> None:
        if self.source >= 0:
            self.drain()

    def text(self, limit: int) -> tuple[str, bool]:
        text = self.kept.decode("utf-8", "replace")
        return text[:limit], self.more or len(text) > limit


async def run_command(question: Question, files: Files) -> Answer:
    """Run one command beside the visible shell; its process group is killed at the timeout."""
    limit = int(question.get("limit", 5000))
    folder = files.resolve(question.get("cwd") or "")
    if not os.path.isdir(folder):
        return {"output": f"No such folder: {folder}\n", "exit_code": 1, "truncated": False}
    capture = Capture(limit * KEPT)
    process = await asyncio.create_subprocess_exec(
        "/bin/bash",
        "-c",
        question["command"],
        stdin=asyncio.subprocess.DEVNULL,
        stdout=capture.sink,
        stderr=capture.sink,
        cwd=folder,
        start_new_session=True,
        preexec_fn=first_to_end,
        env={**os.environ, **QUIET},
    )
    os.close(capture.sink)
    exit_code: int | None = None
    try:
        async with asyncio.timeout(float(question["seconds"])):
            exit_code = await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    capture.finish()
    output, truncated = capture.text(limit)
    return {"output": output, "exit_code": exit_code, "truncated": truncated}


class Browser:
    """Chromium as a child; the way to its DevTools and, for it, the way out to the egress proxy."""

    def __init__(self, command: list[str], egress: str, profile: str) -> None:
        self.command = command
        self.egress = egress
        self.profile = profile
        self.proxy_port = 0
        self.devtools: tuple[int, str] | None = None
        self._forget_former_life()

    async def run(self) -> None:
        """Start the proxy bridge and the browser; returns when the browser ends."""
        bridge = await asyncio.start_server(self._to_egress, "127.0.0.1", 0)
        self.proxy_port = bridge.sockets[0].getsockname()[1]
        command = [*self.command, f"--proxy-server=127.0.0.1:{self.proxy_port}", "about:blank"]
        log = Capture(8000)
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=log.sink, stderr=log.sink
        )
        os.close(log.sink)
        async with bridge:
            await process.wait()
            with contextlib.suppress(TimeoutError):  # its helpers still write cookies; the last to end closes the log
                async with asyncio.timeout(2):
                    await log.ended.wait()
        if self.devtools is None:
            sys.stderr.write(log.text(8000)[0])

    def _forget_former_life(self) -> None:
        os.makedirs(self.profile, exist_ok=True)
        for name in ("DevToolsActivePort", "SingletonLock", "SingletonSocket", "SingletonCookie"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.profile, name))

    async def ready(self, timeout: float) -> Answer:
        """Wait until the browser has opened its DevTools."""
        end = time.monotonic() + timeout
        while time.monotonic() < end and self.devtools is None:
            with contextlib.suppress(OSError, ValueError):
                with open(os.path.join(self.profile, "DevToolsActivePort"), encoding="ascii") as file:
                    port, path = file.read().split()
                self.devtools = int(port), path
            await asyncio.sleep(0.01)
        return {"devtools": self.devtools[1] if self.devtools else None}

    def ports(self) -> list[int]:
        own = {self.proxy_port, self.devtools[0] if self.devtools else 0}
        return [port for port in listening_ports() if port not in own]

    async def to_devtools(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.ready(20)
        async with closing(writer):
            if self.devtools:
                await join(reader, writer, await asyncio.open_connection("127.0.0.1", self.devtools[0]))

    async def _to_egress(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with closing(writer):
            await join(reader, writer, await asyncio.open_unix_connection(self.egress))


@contextlib.asynccontextmanager
async def closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    try:
        yield
    except OSError:
        pass
    finally:
        writer.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 18):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


async def join(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, other: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> None:
    """Carry bytes both ways until both directions have ended."""
    async with closing(other[1]):
        await asyncio.gather(pump(reader, other[1]), pump(other[0], writer))


class Guest:
    """Answers questions about the machine."""

    def __init__(self, config: Question, descriptors: list[int]) -> None:
        self.descriptors = descriptors
        self.files = Files(config["home"], bool(config["contained"]))
        self.shell: Shell | None = None
        if config["kind"] == "terminal":
            self.shell = Shell(config["home"], config["scratch"], *descriptors[1:3])
        self.browser: Browser | None = None
        if config["kind"] == "browser":
            self.browser = Browser(config["command"], config["egress"], config["profile"])
        self.answers: dict[str, Callable[[Question], Awaitable[Answer]]] = {
            "state": self.state,
            "read_file": self.read_file,
            "find_file": self.find_file,
            "exec": lambda question: run_command(question, self.files),
            "prompt": self.prompt,
            "contents": self.contents,
            "run_line": self.run_line,
            "begin": self.begin,
            "ended": self.ended,
            "ready": self.ready,
        }

    async def state(self, question: Question) -> Answer:
        if self.shell:
            return {**self.shell.state(), "ports": listening_ports()}
        return {"ports": self.browser.ports() if self.browser else []}

    async def read_file(self, question: Question) -> Answer:
        folder = self.shell.folder() if self.shell else None
        content = self.files.read(str(question["path"]), int(question["limit"]), folder)
        return {"content": None if content is None else base64.b64encode(content).decode()}

    async def find_file(self, question: Question) -> Answer:
        return {"path": self.files.find(str(question["path"]))}

    async def prompt(self, question: Question) -> Answer:
        return await self.shell.line() if self.shell else {}

    async def run_line(self, question: Question) -> Answer:
        if self.shell is None:
            return {}
        kept = question.get("kept")
        if kept is not None:
            kept["question"]["contained"] = self.files.contained
        seconds = float(question["seconds"])
        return await self.shell.run_line(question["command"], question.get("expected"), seconds, kept)

    async def contents(self, question: Question) -> Answer:
        if self.shell is None:
            return {}
        return await self.shell.contents({**question, "contained": self.files.contained})

    async def begin(self, question: Question) -> Answer:
        return {"start": self.shell.begin()} if self.shell else {}

    async def ended(self, question: Question) -> Answer:
        return await self.shell.ended(int(question["start"]), float(question["seconds"])) if self.shell else {}

    async def ready(self, question: Question) -> Answer:
        return await self.browser.ready(float(question["seconds"])) if self.browser else {}

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with closing(writer):
            try:
                question = json.loads(await reader.readline())
                answer = await self.answers[question["op"]](question)
            except (OSError, ValueError, KeyError, TypeError) as error:
                answer = {"error": repr(error)}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()

    async def run(self) -> None:
        await asyncio.start_unix_server(self.answer, sock=socket.socket(fileno=self.descriptors[0]), limit=1 << 20)
        if self.shell:
            await self.shell.keep()
        if self.browser:
            devtools = socket.socket(fileno=self.descriptors[1])
            await asyncio.start_unix_server(self.browser.to_devtools, sock=devtools)
            await self.browser.run()
            sys.exit(0)


def limit_resources(limits: dict[str, int]) -> None:
    """Lower this process's limits for good: names as in the resource module, without RLIMIT_."""
    for name, value in limits.items():
        number = getattr(resource, f"RLIMIT_{name}")
        _, hard = resource.getrlimit(number)
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (allowed, allowed))


def main() -> None:
    config = json.loads(sys.argv[1])
    descriptors = [int(number) for number in sys.argv[2:]]
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    limit_resources(config.get("limits", {}))
    asyncio.run(Guest(config, descriptors).run())


if __name__ == "__main__":
    main()
