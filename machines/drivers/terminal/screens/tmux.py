"""Screens held by tmux: one server per machine, outside the sandbox; the shell cannot reach its socket."""

import asyncio
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from machines.drivers import process
from machines.drivers.base import MachineGone
from machines.drivers.terminal import screen_cells
from machines.drivers.terminal.screens.base import Look
from machines.drivers.terminal.screens.keycodes import CURSOR, key_bytes

_PANE = "machine"
MOST_COLUMNS = 1 << 20  # of a line that was wrapped
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/", "SHELL": "/bin/sh"}
_FACTS = "#{pane_dead} #{cursor_flag} #{cursor_x} #{cursor_y} #{mouse_any_flag} #{mouse_sgr_flag} #{mouse_all_flag}"
_OPTIONS = {
    "status": "off", "remain-on-exit": "on", "prefix": "None", "prefix2": "None", "escape-time": "0",
    "history-limit": "20000", "default-terminal": "tmux-256color", "set-clipboard": "off", "mouse": "off",
}  # fmt: skip


async def tmux(socket: Path, *arguments: str, stdin: bytes | None = None) -> str:
    """Run one tmux command; raises MachineGone when the server refuses or is not there."""
    program = shutil.which("tmux")
    if program is None:
        raise MachineGone("The terminal is gone: tmux is not installed any more.")
    process_ = await asyncio.create_subprocess_exec(
        program,
        "-u",
        "-S",
        str(socket),
        "-f",
        "/dev/null",
        *arguments,
        cwd="/",
        env=_ENVIRONMENT,
        stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, complaint = await process_.communicate(stdin)
    if process_.returncode:
        raise MachineGone(f"The terminal is gone: {complaint.decode(errors='replace').strip()[:300]}")
    return output.decode(errors="replace")


class TmuxScreen:
    def __init__(self, socket: Path, columns: int, rows: int) -> None:
        self.socket = socket
        self.columns = columns
        self.rows = rows

    async def _capture(self, *options: str) -> tuple[str, list[int]]:
        """What the pane shows, and its facts at the same moment."""
        show = ["display-message", "-p", "-t", _PANE, _FACTS]
        output = await tmux(self.socket, "capture-pane", "-p", *options, "-t", _PANE, ";", *show)
        text, _, line = output.rstrip("\n").rpartition("\n")
        dead, *facts = (int(fact or 0) for fact in line.split(" "))
        if dead:
            raise MachineGone("The terminal's program has ended.")
        return text, facts

    async def look(self) -> Look:
        text, (shown, x, y, mouse, sgr, moves) = await self._capture("-e", "-N")
        cursor = screen_cells.Cursor(x, y) if shown else None
        paint = partial(screen_cells.parse, columns=self.columns, rows=self.rows)
        return Look(text, cursor, bool(mouse and sgr), bool(moves and sgr), paint)

    async def text(self) -> str:
        text, _ = await self._capture("-e", "-J")  # with escapes: without, line drawing reads as letters
        return "\n".join(screen_cells.plain(row) for row in screen_cells.parse(text, MOST_COLUMNS, self.rows)).rstrip(
            "\n"
        )

    async def type(self, text: str) -> None:
        if text:
            paste = ["load-buffer", "-", ";", "paste-buffer", "-d", "-r", "-t", _PANE]
            await tmux(self.socket, *paste, stdin=text.encode(errors="replace"))

    async def press(self, key: str, modifiers: Sequence[str] = ()) -> None:
        application = False
        if key in CURSOR:
            flag = await tmux(self.socket, "display-message", "-p", "-t", _PANE, "#{keypad_cursor_flag}")
            application = flag.strip() == "1"
        # send-keys types the name of a combination that it does not know, letter by letter.
        await self.type(key_bytes(key, modifiers, application=application))

    async def resize(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        await tmux(self.socket, "resize-window", "-t", _PANE, "-x", str(columns), "-y", str(rows))


class TmuxHolder:
    name = "tmux"

    def missing(self) -> str | None:
        return None if shutil.which("tmux") else "tmux is not installed: apt-get install tmux."

    def socket(self, run: Path) -> Path:
        return run / "tmux.sock"

    async def start(self, run: Path, command: Sequence[str], columns: int, rows: int) -> process.Identity:
        self.socket(run).unlink(missing_ok=True)
        await tmux(self.socket(run), *_new_session(command, columns, rows))
        server = await self.find(run)
        if server is None:
            raise MachineGone("The terminal ended at once.")
        return server

    async def find(self, run: Path) -> process.Identity | None:
        if not self.socket(run).exists():
            return None
        try:
            return process.identify(int(await tmux(self.socket(run), "display-message", "-p", "#{pid}")))
        except (MachineGone, ValueError):
            return None

    def attach(self, run: Path, columns: int, rows: int) -> TmuxScreen:
        return TmuxScreen(self.socket(run), columns, rows)


def _new_session(command: Sequence[str], columns: int, rows: int) -> list[str]:
    """The tmux command that sets the server up and starts the command in its only pane."""
    settings = [word for name, value in _OPTIONS.items() for word in ("set-option", "-g", name, value, ";")]
    create = ["new-session", "-d", "-s", _PANE, "-x", str(columns), "-y", str(rows), "--", *command]
    # tmux 3.3 crashes when window-size is manual before the first window exists.
    return ["start-server", ";", *settings, *create, ";", "set-option", "-g", "window-size", "manual"]
