"""What a terminal's screen offers, whichever program holds it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from machines.drivers import process
from machines.drivers.terminal.screen_cells import Cell, Cursor

Grid = list[list[Cell]]


@dataclass(frozen=True)
class Look:
    """What the screen shows at one moment. Two looks are equal when nobody could tell them apart.

    `content` is the screen as its holder writes it down, `paint` makes cells of that.
    """

    content: str
    cursor: Cursor | None  # None while the program hides it
    takes_mouse: bool  # clicks, as SGR reports
    takes_moves: bool
    paint: Callable[[str], Grid] = field(compare=False, repr=False)

    @cached_property
    def grid(self) -> Grid:
        """The cells, row by row from the top; a row ends where its text does."""
        return self.paint(self.content)


class Screen(Protocol):
    """One terminal's screen. Every method raises MachineGone when its program has ended or nobody holds it."""

    async def look(self) -> Look: ...

    async def text(self) -> str:
        """What the screen shows, as lines: rows that the terminal wrapped are one. No blanks at the ends of lines."""
        ...

    async def type(self, text: str) -> None:
        """Put these characters in, one by one, exactly as a keyboard would: nothing is bracketed, nothing translated."""
        ...

    async def press(self, key: str, modifiers: Sequence[str] = ()) -> None:
        """Press one key (a name of keys.py or one character) with `ctrl`, `alt`, `shift`; in the program's key mode."""
        ...

    async def resize(self, columns: int, rows: int) -> None: ...


class Holder(Protocol):
    """One way of keeping screens: starts the process that holds one, and finds it again."""

    name: str  # as the machine's handle records it

    def missing(self) -> str | None:
        """Why this way is closed on this computer, as a sentence with the fix."""
        ...

    def socket(self, run: Path) -> Path:
        """Where the holder of a machine with this run folder listens."""
        ...

    async def start(self, run: Path, command: Sequence[str], columns: int, rows: int) -> process.Identity:
        """Run the command on a new screen. The process returned holds it, outlives this one, and ends with the command's
        last words still on the screen.
        """
        ...

    async def find(self, run: Path) -> process.Identity | None:
        """The process that holds the screen of this run folder; None when there is none."""
        ...

    def attach(self, run: Path, columns: int, rows: int) -> Screen: ...
