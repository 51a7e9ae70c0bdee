"""Where the values of a JSON text stand, so that what is wrong with one is said beside its line. Pure.

Lines and columns count from 1, columns in characters. A path is as in a violation: ("steps", 2, "condition", "op").
"""

import functools
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from web.json_values import DEEPEST, Loc, deeper_than
from workflows.definition.documents import MAX_BYTES

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},:]|[^\s\[\]{},:"]+', re.DOTALL)


class Place(NamedTuple):
    """From the first character of a value or key up to, but not including, `end`; `end` is on the same line."""

    line: int
    column: int
    end: int


START = Place(1, 1, 1)


@dataclass(frozen=True)
class Text:
    """A JSON text as read. Without a `value` there is a `problem` at a place."""

    value: Any = None
    problem: str = ""
    at: Place = START
    source: str = ""

    @functools.cached_property
    def _places(self) -> "_Places":
        """Looked for only when something is wrong: a text of very many values takes a second."""
        return _Places(self.source)

    @property
    def values(self) -> dict[Loc, Place]:
        return self._places.values

    def place(self, path: Loc) -> Place:
        """Of the value; of what would hold it, when there is none, named by its key if it has one."""
        if path in self.values:
            return self.values[path]
        for length in range(len(path) - 1, -1, -1):
            holder = path[:length]
            if holder in self.values:
                return self._places.keys.get(holder) or self.values[holder]
        return START


def read(text: str) -> Text:
    """Read a text of at most 256 KiB strictly, as the API does. Never raises."""
    text = text.replace("\r\n", "\n")
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        return Text(problem=f"Longer than {MAX_BYTES // 1024} KiB.")
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except json.JSONDecodeError as error:
        return Text(problem=_words(error, text), at=Place(error.lineno, error.colno, error.colno + 1))
    except ValueError as error:  # a number that is none, or of thousands of digits
        return Text(problem=f"{str(error)[:200]}.")
    except RecursionError:
        return Text(problem=f"Nested deeper than {DEEPEST} levels.")
    if deeper_than(value, DEEPEST):
        return Text(problem=f"Nested deeper than {DEEPEST} levels.")
    return Text(value, source=text)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large")
    return value


def _words(error: json.JSONDecodeError, text: str) -> str:
    if not text.strip():
        return "There is no text."
    if error.pos >= len(text.rstrip()):
        return "The text ends too early: something is not closed."
    return {
        "Expecting value": "A value is expected here.",
        "Expecting property name enclosed in double quotes": "A name in double quotes is expected here.",
        "Expecting ',' delimiter": "A comma is missing here, or something is not closed.",
        "Expecting ':' delimiter": "A colon is missing here.",
        "Illegal trailing comma before end of object": "There is a comma too many.",
        "Illegal trailing comma before end of array": "There is a comma too many.",
        "Extra data": "The document ends before this.",
        "Unterminated string starting at": "The text in quotes that begins here does not end.",
        "Invalid control character at": "A line break or tab inside quotes must be written as \\n or \\t.",
        "Invalid \\escape": "An unknown sequence after \\; write \\\\ for a backslash.",
    }.get(error.msg, f"{error.msg}.")


class _Places:
    """Goes through the tokens of a text that is known to be JSON."""

    def __init__(self, text: str) -> None:
        self.keys: dict[Loc, Place] = {}
        self.values: dict[Loc, Place] = {}
        path: list[str | int] = []
        holders: list[str] = []  # "{" and "[" that are open
        key_next = False
        for piece, place in _tokens(text):
            if piece == ",":
                key_next = holders[-1] == "{"
                if not key_next:
                    path[-1] = int(path[-1]) + 1
            elif piece in ("}", "]"):
                holders.pop()
                path.pop()
                key_next = False
            elif key_next and piece != ":":
                path[-1] = json.loads(piece)
                self._note(self.keys, path, place)
                key_next = False
            elif piece != ":":
                self._note(self.values, path, place)
                if piece in ("{", "["):
                    holders.append(piece)
                    path.append("" if piece == "{" else 0)
                    key_next = piece == "{"

    @staticmethod
    def _note(where: dict[Loc, Place], path: list[str | int], place: Place) -> None:
        where[tuple(path)] = place


def _tokens(text: str) -> Iterator[tuple[str, Place]]:
    line, begins = 1, 0
    end = 0
    for match in _TOKEN.finditer(text):
        between = text.count("\n", end, match.start())
        if between:
            line += between
            begins = text.rindex("\n", 0, match.start()) + 1
        end = match.end()
        yield match[0], Place(line, match.start() - begins + 1, end - begins + 1)
