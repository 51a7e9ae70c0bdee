"""Values in a task: data that stands among the words of an instruction and is never read as one of them.

A task comes with the places of its values (base.Bound). Before anything is read, each value is taken out and a mark put in
its place, which the grammar takes for one quoted text. Marks are made of two noncharacters; those that a task or a value
holds itself are replaced first, so that nothing can look like a mark.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from runs.agents.base import Bound, Piece
from runs.secrets.handles import HANDLE, name_in

_OPEN, _CLOSE = "\ufdd0", "\ufdd1"
MARK = f"{_OPEN}\\d+{_CLOSE}"
MARKS = re.compile(f"{_OPEN}(\\d+){_CLOSE}")
_FORGED = str.maketrans({_OPEN: "\ufffd", _CLOSE: "\ufffd"})


@dataclass(frozen=True)
class Reference:
    """A value that is known only when its instruction is carried out: the answer of a person, or a secret."""

    kind: str  # answer or secret
    name: str

    @property
    def handle(self) -> str:
        return f"{{{{{self.kind}:{self.name}}}}}"


Value = str | Reference


class Handles(str):
    """A text with secrets in it: as text their names, and the pieces that it is made of."""

    __slots__ = ("pieces",)
    pieces: tuple[Piece, ...]

    @classmethod
    def of(cls, pieces: Sequence[Piece]) -> "Handles":
        match = cls("".join(text if kind == "text" else Reference(kind, text).handle for kind, text in pieces))
        match.pieces = tuple(pieces)
        return match


@dataclass
class Marked:
    """A task with marks in place of its values, and where each place of it stood in the task as it was sent."""

    text: str
    values: list[Value] = field(default_factory=list)
    _ends: list[int] = field(default_factory=list)  # of each mark, in `text`
    _shifts: list[int] = field(default_factory=lambda: [0])

    @classmethod
    def of(cls, task: str, bound: Sequence[Bound]) -> "Marked":
        """Handles of secrets are values, too, but for those that stand in a value."""
        marked, end = cls(""), 0
        handles = [Bound(match.start(), len(match[0]), name_in(match)) for match in HANDLE.finditer(task)]
        for place in sorted([*bound, *handles], key=lambda b: b.at):
            if place.at < end:
                continue  # places never overlap
            inside = task[place.at : place.at + place.length].translate(_FORGED)
            marked.text += task[end : place.at].translate(_FORGED)
            marked.text += marked.mark(Reference("secret", place.secret) if place.secret else inside)
            end = place.at + place.length
            marked._ends.append(len(marked.text))
            marked._shifts.append(end - len(marked.text))
        marked.text += task[end:].translate(_FORGED)
        return marked

    def mark(self, value: Value) -> str:
        """A new mark that stands for the value."""
        self.values.append(value)
        return f"{_OPEN}{len(self.values) - 1}{_CLOSE}"

    def column(self, column: int) -> int:
        """Where in the task the place with this column of `text` stood; both count from 1."""
        return column + self._shifts[bisect_right(self._ends, column - 1)]


def has_mark(text: str) -> bool:
    return MARKS.search(text) is not None


def is_mark(text: str) -> bool:
    """One mark and nothing else."""
    return MARKS.fullmatch(text) is not None


def replaced(text: str, of_value: Callable[[Value], str], values: Sequence[Value]) -> str:
    """The text with every mark replaced."""
    return MARKS.sub(lambda match: of_value(values[int(match[1])]), text)


def shown(text: str, values: Sequence[Value]) -> str:
    """For people: values as they are, answers and secrets by name."""
    return replaced(text, lambda value: value if isinstance(value, str) else value.handle, values)


def with_known(text: str, values: Sequence[Value]) -> str:
    """The values that are known are put in; the marks of answers and secrets stay, for resolved()."""
    return MARKS.sub(lambda match: value if isinstance(value := values[int(match[1])], str) else match[0], text)


def resolved(params: Any, values: Sequence[Value], answer: Callable[[str], Piece]) -> Any:
    """Parameters, at any depth, with what people answered. A text with a secret in it becomes Handles.

    `answer` gives the piece that a person's answer is: its text, or the name of a secret.
    """
    if isinstance(params, dict):
        return {key: resolved(value, values, answer) for key, value in params.items()}
    if isinstance(params, list):
        return [resolved(value, values, answer) for value in params]
    if not isinstance(params, str) or not has_mark(params):
        return params
    pieces: list[Piece] = []
    end = 0
    for match in MARKS.finditer(params):
        value = values[int(match[1])]
        pieces.append(("text", params[end : match.start()]))
        if isinstance(value, str):
            pieces.append(("text", value))
        else:
            pieces.append(("secret", value.name) if value.kind == "secret" else answer(value.name))
        end = match.end()
    pieces.append(("text", params[end:]))
    if any(kind == "secret" for kind, _ in pieces):
        return Handles.of([piece for piece in pieces if piece[1]])
    return "".join(text for _, text in pieces)


def secret_names(params: Any) -> list[str]:
    """Of the secrets in these parameters, at any depth."""
    if isinstance(params, dict):
        params = list(params.values())
    if isinstance(params, list):
        return [name for value in params for name in secret_names(value)]
    return [text for kind, text in params.pieces if kind == "secret"] if isinstance(params, Handles) else []
