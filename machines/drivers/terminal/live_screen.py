"""The live screen of a terminal: its text as escape sequences beside the picture, and hands that do not wait for what comes of them."""

import time
from collections.abc import Sequence
from functools import cached_property, lru_cache
from itertools import groupby

from machines.drivers.live_screen import Input, LookedScreen, Picture, as_action, as_jpeg
from machines.drivers.terminal import screen_cells
from machines.drivers.terminal.driver import TerminalSession
from machines.drivers.terminal.screen_cells import Cell, Color, Cursor
from machines.drivers.terminal.screens.base import Grid, Look


class TerminalPicture(Picture):
    """A screen of which a picture is drawn only for who wants one."""

    def __init__(self, grid: Grid, cursor: Cursor | None, size: tuple[int, int], at: float) -> None:
        super().__init__(b"", at)
        self.grid, self.cursor, self.size = grid, cursor, size

    @cached_property
    def as_seen(self) -> bytes:
        return as_jpeg(screen_cells.draw(self.grid, self.size, self.cursor))

    @cached_property
    def as_text(self) -> bytes:
        return escaped(self.grid, self.size[1] // screen_cells.CELL_HEIGHT, self.cursor).encode()


class TerminalScreen(LookedScreen):
    session: TerminalSession
    touched_every = 0.02

    def __init__(self, session: TerminalSession) -> None:
        super().__init__(session)
        self._look: tuple[Look, tuple[str, ...]] | None = None

    async def next(self, hidden: Sequence[str] = ()) -> Picture:
        spec = self.session.spec
        while True:
            at = time.monotonic()
            seen = await self.session.screen.look(), tuple(hidden)
            if seen != self._look:
                self._look, self._changed = seen, at
                columns = spec.width // screen_cells.CELL_WIDTH
                grid = screen_cells.masked(seen[0].grid, columns, seen[1]) if hidden else seen[0].grid
                return TerminalPicture(grid, seen[0].cursor, (spec.width, spec.height), at)
            await self._wait(at)

    async def pause(self) -> None:
        self._look = None

    async def give(self, events: Sequence[Input]) -> None:
        for kind, same in groupby(events, lambda event: event.kind):
            if kind == "text":  # at once: each visit to the screen costs more than what it types
                text = "".join(event.text for event in same)
                await self.session.screen.type(text.replace("\r\n", "\n").replace("\n", "\r"))
                continue
            for event in same:
                await self._give(event)
        self.touched()

    async def _give(self, event: Input) -> None:
        if event.kind != "key":
            action = as_action(event)
            if action is not None:
                await self.session.act(action)
        elif "meta" not in event.modifiers:
            await self.session.screen.press(*_pressed(event))


def _pressed(event: Input) -> tuple[str, list[str]]:
    """Key and modifiers as a terminal has them: a shifted letter is a capital, and Ctrl knows no capitals."""
    key, modifiers = event.key, list(event.modifiers)
    if len(key) == 1 and "shift" in modifiers:
        modifiers.remove("shift")
        key = key.upper()
    return (key.lower() if "ctrl" in modifiers else key), modifiers


def escaped(grid: Grid, rows: int, cursor: Cursor | None) -> str:
    """The whole screen as escape sequences: colours of the palette, bold, underlined, the cursor, and nothing else.

    Cells hold characters only: what a program wrote to do something to a terminal is not among them.
    """
    lines = [_line(grid[row] if row < len(grid) else []) for row in range(rows)]
    where = f"\x1b[{cursor.row + 1};{cursor.column + 1}H\x1b[?25h" if cursor else "\x1b[?25l"
    return "\x1b[H" + "\r\n".join(lines) + where


@lru_cache(4096)
def number_of(color: Color) -> int:
    """The colour of the palette that is nearest. xterm.js writes any other into style attributes, which our pages forbid."""

    def distance(number: int) -> int:
        return sum((a - b) ** 2 for a, b in zip(color, screen_cells.palette(number), strict=True))

    return min(range(256), key=distance)


def _line(row: Sequence[Cell]) -> str:
    parts = []
    for style, cells in groupby(row, lambda cell: (cell.fg, cell.bg, cell.bold, cell.underline)):
        fg, bg, bold, underline = style
        codes = ["0", *(["1"] if bold else []), *(["4"] if underline else [])]
        if (fg, bg) == (screen_cells.BACKGROUND, screen_cells.FOREGROUND):
            codes.append("7")
        else:
            codes += [f"38;5;{number_of(fg)}"] if fg != screen_cells.FOREGROUND else []
            codes += [f"48;5;{number_of(bg)}"] if bg != screen_cells.BACKGROUND else []
        text = "".join(cell.char for cell in cells)
        parts.append(f"\x1b[{';'.join(codes)}m{''.join(char for char in text if char.isprintable())}")
    return f"{''.join(parts)}\x1b[0m\x1b[K"
