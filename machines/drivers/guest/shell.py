"""The visible bash: whether it waits at its prompt, a line put there instead of what stands there, and how a command ends."""
# ruff: noqa: PTH100, PTH108, PTH115, PTH118, PTH120, PTH123

import asyncio
import base64
import contextlib
import fcntl
import hashlib
import os
import secrets
import signal
import termios
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from machines.drivers.guest.contents import Contents
    from machines.drivers.guest.marks import Marks
    from machines.drivers.guest.memory import first_to_end
    from machines.drivers.guest.relay import Relay
    from machines.drivers.guest.waits import Wait, who_waits
else:  # run as a folder of files: these lie beside it
    from contents import Contents
    from marks import Marks
    from memory import first_to_end
    from relay import Relay
    from waits import Wait, who_waits

Answer = dict[str, Any]

POLL = 0.01  # seconds between two looks
SOON = 0.5  # what bash has to do at once: note that a line was placed, begin a command
PLACE, LOOK = b"\x1b[99~", b"\x1b[98~"  # the private keys of startup.bash
LOOK_AFTER = 0.2
LOOKS_APART = 1.0  # who waits for input is believed when two looks this far apart see the same
QUIET = {  # programs that would wait for somebody who is not there
    "PAGER": "cat", "GIT_PAGER": "cat", "MANPAGER": "cat", "SYSTEMD_PAGER": "cat", "AWS_PAGER": "",
    "GIT_TERMINAL_PROMPT": "0", "DEBIAN_FRONTEND": "noninteractive",
}  # fmt: skip


class Watch:
    """Who waits for input, believed when two looks LOOKS_APART see the same and nothing was written in between."""

    def __init__(self) -> None:
        self._last: tuple[Wait | None, int] = (None, 0)
        self._since = 0.0

    def look(self, wait: Wait | None, written: int) -> Wait | None:
        if (wait, written) != self._last:
            self._last, self._since = (wait, written), time.monotonic()
        return wait if time.monotonic() - self._since >= LOOKS_APART else None


class Shell:
    def __init__(self, home: str, scratch: str, master: int, slave: int) -> None:
        self.home = home
        self.scratch = scratch
        self.pid = 0
        nonce = secrets.token_hex(8)
        self.marks = Marks(self._file("marks"))
        self.relay = Relay(master, slave, nonce)
        self.device = os.fstat(self.relay.slave).st_rdev
        self.exits: list[tuple[int, int]] = []  # where the marks stood when a bash ended, and its exit code
        self.watch = Watch()
        self._waits: tuple[float, Wait | None] = (0.0, None)
        self.turn = asyncio.Lock()  # one line at a time
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "startup.bash"), encoding="utf-8") as file:
            startup = file.read().replace("SCRATCH", scratch).replace("NONCE", nonce)
        self._write("bashrc", startup.encode())

    def _file(self, name: str) -> str:
        return os.path.join(self.scratch, name)

    def _write(self, name: str, content: bytes) -> None:
        with open(self._file(name), "wb") as file:
            file.write(content)

    def _read(self, name: str) -> str:
        with contextlib.suppress(OSError), open(self._file(name), "rb") as file:
            return file.read(1 << 20).decode("utf-8", "replace")
        return ""

    async def keep(self) -> None:
        """Start bash, and again whenever it exits."""
        self.relay.start()
        while True:
            born = time.monotonic()
            process = await asyncio.create_subprocess_exec(
                "/bin/bash",
                "--rcfile",
                self._file("bashrc"),
                "-i",
                cwd=self.home,
                env={**os.environ, **QUIET},
                stdin=self.relay.slave,
                stdout=self.relay.slave,
                stderr=self.relay.slave,
                start_new_session=True,
                preexec_fn=_on_its_terminal,
            )
            self.pid = process.pid
            code = await process.wait()
            self.exits.append((len(self.marks.read().letters), code if code >= 0 else 128 - code))
            if time.monotonic() - born < 1:  # a bash that cannot live must not spin
                await asyncio.sleep(0.3)

    # --- where it is

    def folder(self) -> str | None:
        """The shell's current folder."""
        with contextlib.suppress(OSError):
            return os.readlink(f"/proc/{self.pid}/cwd")
        return None

    def _stat(self) -> list[str]:
        """The fields of /proc/PID/stat after the name: 0 is the state, 2 the group, 5 the terminal's foreground group."""
        with open(f"/proc/{self.pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()

    def idle(self) -> bool:
        """Bash sleeps in its line editor: in the foreground, terminal in raw mode, nothing left to read."""
        try:
            fields = self._stat()
            raw = not self.relay.local_modes() & termios.ICANON
            return raw and fields[0] == "S" and fields[2] == fields[5] and self.relay.pending() == 0
        except (OSError, IndexError, termios.error):
            return False

    def waits(self) -> Wait | None:
        """Who waits for input; all of /proc is read for that, so not more often than every LOOK_AFTER seconds."""
        looked, wait = self._waits
        if time.monotonic() - looked >= LOOK_AFTER:
            try:
                wait = who_waits(int(self._stat()[5]), self.device, self.relay.local_modes())
            except (OSError, ValueError, IndexError, termios.error):
                wait = None
            self._waits = time.monotonic(), wait
        return self.watch.look(wait, self.relay.written)

    def state(self) -> Answer:
        marks, idle = self.marks.read(), self.idle()
        wait = None if idle else self.waits()
        return {
            "idle": idle,
            "pending": self.relay.pending(),
            "marks": len(marks.letters),
            "exit_code": marks.exit_code,
            "waits": wait and wait._asdict(),
        }

    async def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() >= end:
                return False
            await asyncio.sleep(POLL)
        return True

    # --- a line at the prompt

    async def _ready(self) -> str:
        """Leave a half command or a `read -e`, so that the line editor is at its first prompt.

        Answers ready, left (half a command) or busy (bash does not edit).
        """
        ready = "left" if self.marks.read().letters.endswith("C") else "ready"
        for _ in range(2):
            if not await self._until(self.idle, SOON):
                return "busy"
            if self.marks.read().letters.endswith("P"):
                return ready
            await self._interrupt()
        return ready if await self._until(self.idle, SOON) else "busy"

    async def _interrupt(self) -> None:
        """As Ctrl+C would, also where that key was given away or is quoted: a new first prompt."""
        before = self.marks.read().prompts
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGINT)
        await self._until(lambda: self.marks.read().prompts > before and self.idle(), 0.4)

    async def _placed(self) -> tuple[str, str]:
        """Press the private key that places a line, until it is heard; searches and quoting are left first, and mended hooks
        need a new prompt. Returns placed, changed or unplaced, and what stood there at first.
        """
        marks, stood = self.marks.read(), ""
        for attempt in range(3):
            if attempt:
                await self._interrupt()
            answers, declined, placed = marks.answers, marks.declined, marks.placed
            self.relay.type(PLACE)
            if await self._until(lambda: self.marks.read().answers > answers, SOON):  # noqa: B023 - awaited here
                stood = stood or self._read("was")
                if marks.placed > placed:
                    return "placed", stood
                if marks.declined > declined:
                    return "changed", stood
        return "unplaced", stood

    async def line(self) -> Answer:
        """What stands at the prompt, unchanged. `at`: prompt, continuation, program (bash does not edit) or unknown."""
        async with self.turn:
            if not await self._until(self.idle, SOON):
                return {"at": "program", "line": ""}
            place = "continuation" if self.marks.read().letters.endswith("C") else "prompt"
            done = self.marks.placed
            for _ in range(2):  # the first may end a search, or be quoted
                self.relay.type(LOOK)
                if await self._until(lambda: self.marks.read().placed > done, SOON):
                    await self._until(self.idle, SOON)
                    return {"at": place, "line": self._read("was")}
            return {"at": "unknown", "line": ""}

    async def contents(self, question: Answer) -> Answer:
        """What there is of what a line names (contents.py). Where the shell does not edit a line its settings stay unknown."""
        looked = (await self.line())["at"] in ("prompt", "continuation")
        return await asyncio.to_thread(self._contents, question, looked=looked)

    def _contents(self, question: Answer, *, looked: bool = True) -> Answer:
        folder = self.folder() or self.home
        path = self._read("path") if looked else os.environ.get("PATH", "")
        within = self.home if question.get("contained") else None
        contents = Contents(self.home, folder, path, within).look(question)
        own = [{"kind": "shell", "name": "folder of the shell", "value": folder, "says": folder}]
        if looked:
            settings = hashlib.sha256(self._read("settings").encode()).hexdigest()
            own.append(
                {
                    "kind": "shell",
                    "name": "settings of the shell",
                    "value": settings,
                    "says": "aliases, functions, variables",
                }
            )
        return {**contents, "items": [*own, *contents["items"]]}

    async def _others(self, kept: Answer) -> list[str]:
        """The names of what is another now than it was when people were asked, or gone."""
        now = await asyncio.to_thread(self._contents, kept["question"])
        values = {(item["kind"], item["name"]): item["value"] for item in now["items"]}
        return [item["name"] for item in kept["items"] if values.get((item["kind"], item["name"])) != item["value"]]

    async def run_line(self, command: str, expected: str | None, seconds: float, kept: Answer | None = None) -> Answer:
        """Put the command there instead of what stands there, press Enter and wait for its end.

        `kept`: what there was of what the command names, with the question. `problem`: busy, unplaced (the key does not
        work), changed (another line stood there than the one expected), contents (other `contents` than those kept): then
        nothing was run. Else as ended(); a command that lacks its end is left again.
        """
        async with self.turn:
            ready = await self._ready()
            if ready == "busy":
                wait = self.waits()
                return {"problem": "busy", "waits": wait and wait._asdict()}
            self._write("next", command.encode() + b"\0")
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._file("expected"))
            if expected is not None:
                self._write("expected", expected.encode() + b"\0")
            placed, cleared = await self._placed()
            if placed != "placed":
                if placed == "unplaced":
                    await self._interrupt()
                return {"problem": placed, "cleared": cleared}
            if kept and (names := await self._others(kept)):
                await self._interrupt()
                return {"problem": "contents", "names": names[:20]}
            start = self.begin()
            self.relay.type(b"\r")
        answer = await self.ended(start, seconds)
        if answer["how"] in ("incomplete", "refused"):
            async with self.turn:
                await self._ready()
        return {**answer, "cleared": cleared, "left": ready == "left"}

    # --- the end of a command

    def begin(self) -> int:
        """Whatever is written from now on is the next command's; returns where the marks stand."""
        self.relay.recording.start()
        return len(self.marks.read().letters)

    async def ended(self, start: int, seconds: float) -> Answer:
        """Wait for the end of the command whose Enter comes after the mark `start`.

        `how`: ended, incomplete (its rest is awaited), refused (bash did not run it), unseen (it ended, nobody knows with
        which code), waits (for input) or running (`seconds` are over).
        """
        end = time.monotonic() + seconds
        still = Still()
        while True:
            marks, idle = self.marks.read(), self.idle()
            wait = None if idle else self.waits()
            quiet = still.seconds((marks.letters, self.relay.written)) if idle else 0.0
            how = "waits" if wait else self._how(marks.since(start), quiet) if idle else ""
            if how or time.monotonic() >= end:
                return self._answer(how or "running", marks, start, wait)
            await asyncio.sleep(POLL)

    def _how(self, letters: str, quiet: float) -> str:
        """What it means that bash edits a line after these marks, for `quiet` seconds; "" = too early to say."""
        recording = self.relay.recording
        if letters.endswith("P"):
            return "ended" if (recording.ended and not self.relay.lagging()) or quiet > SOON else ""
        if letters.endswith("C"):
            return "incomplete" if quiet > 2 * POLL else ""
        if quiet <= SOON:
            return ""
        if not letters:
            return "refused"
        return "unseen" if recording.prompted else "waits"  # at a prompt without our hooks, or `read -e`

    def _answer(self, how: str, marks: Marks, start: int, wait: Wait | None) -> Answer:
        recording, letters = self.relay.recording, marks.since(start)
        if how == "ended" and "B" not in letters:
            how = "refused"
        exits = [code for at, code in self.exits if at >= start]  # of a command that ended the shell itself
        code = exits[-1] if exits else marks.exit_code if letters.endswith("P") else None
        if how == "waits":
            wait = wait or Wait("line", "bash", self.pid)
        return {
            "how": how,
            "ran": "B" in letters,
            "exit_code": code,
            "output": base64.b64encode(recording.kept).decode(),
            "cut": recording.cut,
            "waits": wait._asdict() if wait else None,
            "line": self._read("ran") if "B" in letters else "",
        }


def _on_its_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    first_to_end()


class Still:
    """For how long something has not changed."""

    def __init__(self) -> None:
        self._value: object = None
        self._since = time.monotonic()

    def seconds(self, value: object) -> float:
        if value != self._value:
            self._value, self._since = value, time.monotonic()
        return time.monotonic() - self._since
