"""A terminal's screen in memory: avt draws; here is what avt leaves out, as tmux does it.

Programs ask where the cursor is and wait for the answer; they switch mouse reports on; signs that stand on others (accents,
vowels) take no column of their own.
"""

import codecs
import re
import unicodedata
from collections.abc import Callable
from typing import Any

import avt
from avt.util import TextUnwrapper

from machines.drivers.terminal.columns import is_wide, takes_no_column

SCROLLBACK = 2000  # lines: without a limit avt keeps all there ever was
_MOST_CLUSTERS = 4096  # kinds of base and marks, of all time; further marks are dropped
_MOST_MARKS = 8
_PRIVATE = 0xF0000  # where clusters stand for avt: characters of one column that nobody else uses
_SEQUENCE_ENDS = re.compile(r"(?:\x1b\[[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-Z\\^-~])\Z")
# What the screen itself must know: modes (h, l), questions (c, n, t, q), resets; and tmux's way of naming a window.
_WATCHED = re.compile(r"(?:\x1b\[|\x9b)([?>=]?)([0-9;]*)([!$ ]?)([hlcntqp])|\x1bc|\x1bk")
_UNFINISHED = re.compile(r"(?:\x1b(?:\[[0-?]{0,60}[ -/]{0,4})?|\x9b[0-?]{0,60}[ -/]{0,4})\Z")
_MOUSE, _MOUSE_MOVES, _MOUSE_SGR = {"1000", "1002", "1003"}, "1003", "1006"
_CELL = (10, 20)  # pixels, as screen.py draws


class Emulator:
    """`answer` is called with what the screen answers to the program's questions."""

    def __init__(self, columns: int, rows: int, answer: Callable[[str], None]) -> None:
        self.columns, self.rows = columns, rows
        self.answer = answer
        self.modes: set[str] = set()
        self.changes = 0  # how often something came: equal numbers, equal screens
        self._vt = avt.Vt(columns, rows, SCROLLBACK)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""  # the beginning of a sequence whose end has not come yet
        self._last = ""  # the character printed last, if nothing came after it
        self._clusters: dict[str, str] = {}
        self._meant: dict[int, str] = {}

    def feed(self, data: bytes) -> None:
        self.changes += 1
        text = self._held + self._decoder.decode(data)
        unfinished = _UNFINISHED.search(text)
        self._held = unfinished.group() if unfinished else ""
        text = text[: len(text) - len(self._held)]
        done = 0
        for match in _WATCHED.finditer(text):
            self._draw(text[done : match.start()])
            done = match.end()
            self._draw("\x1b]2;" if match.group() == "\x1bk" else match.group())  # a window's name is not text
            self._watch(match)
        self._draw(text[done:])

    def _draw(self, text: str) -> None:
        if not text:
            return
        if not text.isascii():
            text = self._joined(text)
        if text:
            self._last = text[-1] if text[-1].isprintable() and "\x1b" not in text[-64:] else ""
        try:
            self._vt.feed_str(text)
        except Exception:
            raise
        except BaseException as error:  # what a panic of Rust is in Python
            if type(error).__name__ != "PanicException":
                raise
            self._vt = avt.Vt(self.columns, self.rows, SCROLLBACK)

    def _joined(self, text: str) -> str:
        """The text with each cluster of base and marks as one character."""
        marks = "".join(char for char in set(text) if char > "\u02ff" and takes_no_column(char))
        if not marks:
            return text
        drawn: list[str] = []
        done = 0
        for run in re.finditer(f"[{re.escape(marks)}]+", text):
            here = run.start() > 0
            if here:
                base = (
                    "" if _SEQUENCE_ENDS.search(text[max(0, run.start() - 80) : run.start()]) else text[run.start() - 1]
                )
            else:
                base = self._last  # it stands on the screen already
            cluster = base
            if base.isprintable() and base and not is_wide(base):
                for mark in run.group():
                    cluster = self._cluster(cluster, mark)
            if cluster == base:
                drawn.append(text[done : run.start()])
            elif here:
                drawn += [text[done : run.start() - 1], cluster]
            else:
                drawn.append(f"\x1b[{self._vt.cursor.col}G{cluster}")  # in its place
            done = run.end()
        return "".join([*drawn, text[done:]])

    def _cluster(self, base: str, mark: str) -> str:
        sequence = self._meant.get(ord(base), base) + mark
        composed = unicodedata.normalize("NFC", sequence)
        if len(composed) == 1:
            return composed
        if composed not in self._clusters:
            if len(self._clusters) >= _MOST_CLUSTERS or len(composed) > _MOST_MARKS:
                return base
            number = _PRIVATE + len(self._clusters)
            self._clusters[composed] = chr(number)
            self._meant[number] = composed
        return self._clusters[composed]

    def _watch(self, match: re.Match[str]) -> None:
        prefix, numbers, between, final = match.groups()
        if final is None or (between, final) == ("!", "p"):  # reset
            if match.group() != "\x1bk":
                self.modes.clear()
        elif (prefix, between) == ("?", "") and final in "hl":
            change = self.modes.update if final == "h" else self.modes.difference_update
            change(numbers.split(";"))
            self.modes &= {*_MOUSE, _MOUSE_SGR}
        elif not between:
            reply = self._reply(prefix + final, numbers)
            if reply:
                self.answer(reply)

    def _reply(self, question: str, numbers: str) -> str | None:
        """As tmux answers."""
        if question in ("c", ">c") and numbers in ("", "0"):
            return "\x1b[?1;2c" if question == "c" else "\x1b[>84;0;0c"
        if question == "n" and numbers == "5":
            return "\x1b[0n"
        if question == "n" and numbers == "6":
            cursor = self._vt.cursor
            return f"\x1b[{cursor.row + 1};{min(cursor.col, self.columns - 1) + 1}R"
        if question == ">q" and numbers in ("", "0"):
            return "\x1bP>|countersign\x1b\\"
        if question == "t":
            width, height = _CELL
            sizes = {"14": (4, self.rows * height, self.columns * width), "16": (6, height, width)}
            sizes |= {"18": (8, self.rows, self.columns), "19": (9, self.rows, self.columns)}
            if numbers in sizes:
                return "\x1b[{};{};{}t".format(*sizes[numbers])
        return None

    def resize(self, columns: int, rows: int) -> None:
        self.changes += 1
        self.columns, self.rows = columns, rows
        self._vt.resize(columns, rows)

    @property
    def application_keys(self) -> bool:
        """Whether cursor keys are sent as SS3."""
        return self._vt.cursor_key_app_mode

    @property
    def mouse(self) -> bool:
        return bool(self.modes & _MOUSE) and _MOUSE_SGR in self.modes

    @property
    def moves(self) -> bool:
        return {_MOUSE_MOVES, _MOUSE_SGR} <= self.modes

    @property
    def cursor(self) -> tuple[int, int] | None:
        """Column and row; None while it is hidden."""
        cursor = self._vt.cursor
        return (min(cursor.col, self.columns - 1), cursor.row) if cursor.visible else None

    def lines(self) -> list[str]:
        """What the screen shows; rows that were wrapped are one line."""
        unwrapper = TextUnwrapper()
        lines = [unwrapper.push(line) for line in self._vt.view()]
        lines.append(unwrapper.flush())
        return [line.translate(self._meant).rstrip() for line in lines if line is not None]

    def rows_of_runs(self) -> list[list[list[Any]]]:
        """Each row as runs of one style: [foreground, background, flags, characters].

        Colours are None, a number of the palette, or [red, green, blue]; flags are a sum of 1 bold, 2 dim, 4 underline,
        8 reverse. Characters are one entry a column, the right half of a wide one is empty. Blanks at the end are left out.
        """
        return [_runs(line.cells, self._meant) for line in self._vt.view()]


def _runs(cells: list[avt.Cell], meant: dict[int, str]) -> list[list[Any]]:
    while cells and cells[-1].is_default():
        cells.pop()
    runs: list[list[Any]] = []
    last: avt.Pen | None = None
    for cell in cells:
        pen = cell.pen
        if last is None or pen != last:
            flags = pen.bold | pen.faint << 1 | pen.underline << 2 | pen.inverse << 3
            runs.append([_color(pen.foreground), _color(pen.background), flags, []])
            last = pen
        char = cell.char if cell.width else ""
        runs[-1][3].append(meant.get(ord(char), char) if char >= chr(_PRIVATE) else char)
    return runs


def _color(color: avt.Color | None) -> int | list[int] | None:
    if isinstance(color, avt.Color.Indexed):
        return color[0]
    return [color[0], color[1], color[2]] if isinstance(color, avt.Color.RGB) else None
