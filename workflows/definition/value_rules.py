"""Values that meet in conditions and templates: equality, order, truth and text (docs/api/workflows.md 4 and 5)."""

import json
import re
from typing import Any

MAX_WORK = 1_000_000  # characters and nodes one step of a workflow may look at
_NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
_LONGEST_NUMBER = 400  # characters; longer text is no number


class TooMuchWork(Exception):
    """A step looked at more than MAX_WORK characters and nodes."""


class Work:
    """Counts what a step looks at, so that no document makes it endless. Raises TooMuchWork."""

    def __init__(self, most: int = MAX_WORK) -> None:
        self.done = 0
        self.most = most

    def add(self, units: int = 1) -> None:
        self.done += units
        if self.done > self.most:
            raise TooMuchWork

    @property
    def left(self) -> int:
        return self.most - self.done


def as_text(value: Any) -> str:
    """A value in mixed text: text as it is, null empty, everything else as compact JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def as_number(value: Any) -> int | float | None:
    """A number or numeric text; None for everything else, booleans too."""
    if is_number(value):
        return value  # type: ignore[no-any-return]
    if not isinstance(value, str) or len(value) > _LONGEST_NUMBER or not _NUMBER.fullmatch(value):
        return None
    return float(value) if set(value) & set(".eE") else int(value)


def equal(left: Any, right: Any, work: Work) -> bool:
    """Numbers by value; a boolean is no number; lists and objects element by element."""
    work.add()
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(equal(a, b, work) for a, b in zip(left, right, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(value, right[key], work) for key, value in left.items())
    if is_number(left) and is_number(right):
        return bool(left == right)
    return type(left) is type(right) and bool(left == right)


def contains(left: Any, right: Any, work: Work) -> bool:
    """Text contains text, a list an equal element, an object a key; nothing contains null."""
    if right is None:
        return False
    if isinstance(left, list):
        return any(equal(item, right, work) for item in left)
    if not isinstance(left, str | dict):
        return False
    text = as_text(right)
    work.add((len(text) + (len(left) if isinstance(left, str) else 0)) // 16)
    return text in left


def truthy(value: Any) -> bool:
    """All but null, false, 0 and what is empty: "false" and "0" are true."""
    return bool(value)
