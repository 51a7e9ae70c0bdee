"""What a single value of a document must be. A check says what is wrong with a value, or None."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from web.json_values import Detail, Loc

Problem = tuple[str, str]  # (type, msg)
Check = Callable[[Any], Problem | None]
MOST_VIOLATIONS = 1000  # of one document: the rest is not looked for
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
RESERVED = frozenset({"inputs", "vars"})


@dataclass(frozen=True)
class Field:
    check: Check
    required: bool = False


class Violations:
    """Collects what is wrong. Whoever adds looks at `full` and stops: an invalid document may have no end of them."""

    def __init__(self) -> None:
        self.details: list[Detail] = []

    @property
    def full(self) -> bool:
        return len(self.details) >= MOST_VIOLATIONS

    def add(self, at: Loc, message: str, kind: str = "value_error") -> None:
        if not self.full:
            self.details.append((at, message, kind))

    def missing(self, at: Loc) -> None:
        self.add(at, "Field required.", "missing")

    def check_fields(self, given: dict[str, Any], fields: dict[str, Field], at: Loc) -> None:
        """Null counts as not given."""
        for name, field in fields.items():
            value = given.get(name)
            if value is None:
                if field.required:
                    self.missing((*at, name))
            elif problem := field.check(value):
                self.add((*at, name), problem[1], problem[0])


def text(least: int = 0, most: int | None = None) -> Check:
    def check(value: Any) -> Problem | None:
        if not isinstance(value, str):
            return "type_error", "Must be text."
        if len(value) < least or (most is not None and len(value) > most):
            return "value_error", f"Must have {least} to {most} characters, not {len(value)}."
        return None

    return check


def whole(least: int, most: int) -> Check:
    def check(value: Any) -> Problem | None:
        if not is_whole(value):
            return "type_error", "Must be a whole number."
        return None if least <= value <= most else ("value_error", f"Must be {least} to {most}.")

    return check


def is_whole(value: Any) -> bool:
    """2.0 is whole; true is no number."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())


def one_of(*words: str) -> Check:
    def check(value: Any) -> Problem | None:
        if not isinstance(value, str):
            return "type_error", "Must be text."
        return None if value in words else ("value_error", f"Must be one of {', '.join(words)}.")

    return check


def flag(value: Any) -> Problem | None:
    return None if isinstance(value, bool) else ("type_error", "Must be true or false.")


def mapping(value: Any) -> Problem | None:
    return None if isinstance(value, dict) else ("type_error", "Must be an object.")


def name(value: Any) -> Problem | None:
    """The rule of step ids and of save_as."""
    if not isinstance(value, str):
        return "type_error", "Must be text."
    if not _ID.fullmatch(value):
        return "value_error", "Must have 1 to 64 letters, digits, _ or -."
    return ("value_error", f"'{value}' is the name of a root of templates.") if value in RESERVED else None
