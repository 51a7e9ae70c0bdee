"""Screens held by a process of our own (screen_keeper.py): nothing to install."""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from machines.drivers import detached, guest_link, process
from machines.drivers.base import MachineGone
from machines.drivers.terminal import screen_cells
from machines.drivers.terminal.screens.base import Grid, Look

MODULE = "machines.drivers.terminal.screens.screen_keeper"
START_TIMEOUT = 10.0  # seconds
PATIENCE = 10.0
LARGEST_ANSWER = 1 << 23  # bytes: a screen of the largest size, each sign in a colour of its own


async def ask(socket: Path, op: str, **params: Any) -> dict[str, Any]:
    """Ask the keeper; raises MachineGone without a good answer."""
    return await guest_link.ask(socket, op, PATIENCE, LARGEST_ANSWER, **params)


def _color(value: Any) -> screen_cells.Color | None:
    if isinstance(value, int):
        return screen_cells.palette(value)
    return (int(value[0]), int(value[1]), int(value[2])) if value else None


def paint(content: str) -> Grid:
    """The cells of what screen_keeper.py answers to a look."""
    return [_cells(row) for row in json.loads(content)]


def _cells(row: list[Any]) -> list[screen_cells.Cell]:
    cells: list[screen_cells.Cell] = []
    for foreground, background, flags, chars in row:
        style = screen_cells.Style(
            _color(foreground), _color(background), bool(flags & 1), bool(flags & 2), bool(flags & 4), bool(flags & 8)
        )
        for position, char in enumerate(chars):
            right_half = position + 1 < len(chars) and chars[position + 1] == ""
            cells.append(style.cell(char, 0 if char == "" else 2 if right_half else 1))
    return cells


class KeptScreen:
    def __init__(self, socket: Path) -> None:
        self.socket = socket

    async def look(self) -> Look:
        answer = await ask(self.socket, "look")
        cursor = screen_cells.Cursor(*answer["cursor"]) if answer.get("cursor") else None
        rows = json.dumps(answer.get("rows", []))
        return Look(rows, cursor, bool(answer.get("mouse")), bool(answer.get("moves")), paint)

    async def text(self) -> str:
        return "\n".join((await ask(self.socket, "text")).get("lines", [])).rstrip("\n")

    async def type(self, text: str) -> None:
        if text:
            await self._typed(op="type", text=text)

    async def press(self, key: str, modifiers: Sequence[str] = ()) -> None:
        await self._typed(op="press", key=key, modifiers=list(modifiers))

    async def _typed(self, op: str, **params: Any) -> None:
        if (await ask(self.socket, op, **params)).get("full"):
            raise MachineGone("The terminal's program does not read what is typed.")

    async def resize(self, columns: int, rows: int) -> None:
        await ask(self.socket, "resize", columns=columns, rows=rows)


class KeeperHolder:
    name = "keeper"

    def missing(self) -> str | None:
        if importlib.util.find_spec("avt"):
            return None
        return "There is no terminal emulator (pyavt) for this computer: install tmux (apt-get install tmux)."

    def socket(self, run: Path) -> Path:
        return run / "screen.sock"

    async def start(self, run: Path, command: Sequence[str], columns: int, rows: int) -> process.Identity:
        self.socket(run).unlink(missing_ok=True)
        spec = {"socket": str(self.socket(run)), "command": list(command), "columns": columns, "rows": rows}
        log_path = run / "screen.log"
        holder = process.recorded(await detached.start(MODULE, spec, log_path, START_TIMEOUT))
        if holder is None:
            raise MachineGone(f"The terminal did not start: {detached.last_words(log_path)}")
        return holder

    async def find(self, run: Path) -> process.Identity | None:
        if not self.socket(run).exists():
            return None
        try:
            return process.recorded(await ask(self.socket(run), "who"))
        except MachineGone:
            return None

    def attach(self, run: Path, columns: int, rows: int) -> KeptScreen:
        return KeptScreen(self.socket(run))
