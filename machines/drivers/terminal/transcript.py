"""What a command wrote to its terminal, as text: for events, errors and people who want to select it.

The bytes come from a machine: untrusted. No escape sequence and no control character gets through.
"""

import re
import unicodedata

LIMIT = 4096  # bytes of UTF-8
CUT = "[...]"
_TOKENS = re.compile(
    r"\x1b\[(?P<args>[0-9;:?<=>!]*)[ -/]*(?P<final>[@-~])"  # CSI
    r"|\x1b\[[0-9;:?<=>!]*[ -/]*\Z"  # one whose end is missing
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # strings: titles, links, marks, pictures
    r"|\x1b[ -/]*[0-~]?"
    r"|(?P<control>[\x00-\x1f\x7f-\x9f])"
    r"|(?P<text>[^\x00-\x1f\x7f-\x9f]+)"
)
_ALTERNATE = frozenset({"?1049", "?1047", "?47"})
_FARTHEST = 500  # columns that a cursor is moved to beyond what a line holds: blanks are made of nothing


class _Page:
    """Lines without an end, and a cursor: as much of a terminal as plain output needs."""

    def __init__(self) -> None:
        self.lines: list[list[str]] = [[]]
        self.row = self.column = 0
        self.hidden = False  # a program has the whole screen; what it paints there is no output

    def write(self, text: str) -> None:
        if self.hidden:
            return
        line = self.lines[self.row]
        for char in text:
            if unicodedata.combining(char) and self.column and self.column <= len(line):
                line[self.column - 1] += char
                continue
            line += " " * (self.column - len(line))
            line[self.column : self.column + 1] = [char]
            self.column += 1

    def control(self, char: str) -> None:
        if self.hidden:
            return
        if char in "\n\x0b\x0c":
            self.row, self.column = self.row + 1, 0
            if self.row == len(self.lines):
                self.lines.append([])
        elif char == "\r":
            self.column = 0
        elif char == "\b":
            self.column = max(0, self.column - 1)
        elif char == "\t":
            self.write("\t")

    def sequence(self, args: str, final: str) -> None:
        if final in "hl" and args in _ALTERNATE:
            self.hidden = final == "h"
        if self.hidden:
            return
        first = args.split(";", maxsplit=1)[0]
        count = int(first) if first.isascii() and first.isdigit() and len(first) < 6 else 0
        if final == "K":
            self._erase(count)
        elif final == "J" and count in (2, 3):  # cleared: what stood there is gone from the screen, too
            self.__init__()  # type: ignore[misc]
        else:
            self._move(final, max(count, 1))

    def _move(self, final: str, count: int) -> None:
        rows = {"A": -count, "F": -count, "B": count, "E": count}.get(final, 0)
        columns = {"C": count, "D": -count, "G": count - 1 - self.column}.get(final, 0)
        self.row = min(max(0, self.row + rows), len(self.lines) - 1)
        self.column = min(max(0, self.column + columns), max(_FARTHEST, len(self.lines[self.row])))
        if final in "EF":
            self.column = 0

    def _erase(self, how: int) -> None:
        line = self.lines[self.row]
        if how == 0:
            del line[self.column :]
        elif how == 2:
            line.clear()
        else:
            line[: self.column] = [" "] * min(self.column, len(line))

    def text(self) -> str:
        return "\n".join("".join(line).rstrip() for line in self.lines).strip("\n")


def plain(data: bytes) -> str:
    """The text that these bytes leave behind: lines as they were written, never wrapped."""
    page = _Page()
    for token in _TOKENS.finditer(data.decode("utf-8", "replace")):
        if token["text"]:
            page.write(token["text"])
        elif token["control"]:
            page.control(token["control"])
        elif token["final"]:
            page.sequence(token["args"], token["final"])
    return page.text()


def shortened(text: str, limit: int = LIMIT, *, cut: bool = False) -> str:
    """At most `limit` bytes of UTF-8: the end of the text. `[...]` stands where something is missing; `cut`: it already is."""
    whole = text.encode(errors="replace")
    if len(whole) <= limit and not cut:
        return text
    kept = whole[-(limit - len(CUT) - 1) :].decode(errors="ignore")
    start = kept.find("\n") + 1 if len(kept.encode()) < len(whole) or cut else 0
    if len(kept) - start < len(kept) // 2:  # one long line: its end is worth more than a whole line
        start = 0
    return f"{CUT}\n{kept[start:]}"


def last_lines(text: str, lines: int = 5, limit: int = 500) -> str:
    """The end of an output, for a sentence that says why a command failed."""
    return shortened("\n".join(text.rstrip("\n").split("\n")[-lines:]), limit)
