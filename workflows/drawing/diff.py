"""Two versions of a workflow beside each other: the lines of their JSON, and the change in one sentence. Pure."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal, Protocol

from workflows.definition.documents import Definition
from workflows.definition.step_types import Step, lists_of, walk
from workflows.drawing.sentences import count

AROUND = 3  # unchanged lines shown beside a change
SHORTEST_FOLD = 4
MOST_LINES = 5000  # of what differs, on either side: longer ones are shown as wholly replaced
SHOWN = ("name", "declared_version", "description", "metadata", "inputs_schema", "definition")
Kind = Literal["same", "removed", "added", "folded"]


class Version(Protocol):
    """What is compared of a version."""

    name: str
    definition: Any


@dataclass(frozen=True)
class Row:
    """A line with its number before and after; a folded row stands for `hidden` ones."""

    kind: Kind
    text: str = ""
    before: int | None = None
    after: int | None = None
    hidden: tuple["Row", ...] = ()


def rows(old: Version, new: Version) -> list[Row]:
    """Every line of both, in order; long stretches without a change are folded."""
    return list(_folded(_compared(as_lines(old), as_lines(new))))


def as_lines(version: Version) -> list[str]:
    """The document as an author would write it, the keys in their order."""
    values = {name: value for name in SHOWN if (value := getattr(version, name, None)) is not None}
    return json.dumps(values, indent=2, ensure_ascii=False).split("\n")


def _compared(old: list[str], new: list[str]) -> list[Row]:
    compared: list[Row] = []
    for tag, a, a_end, b, b_end in _changes(old, new):
        if tag == "equal":
            compared += [Row("same", old[a + n], a + n + 1, b + n + 1) for n in range(a_end - a)]
        else:
            compared += [Row("removed", old[n], before=n + 1) for n in range(a, a_end)]
            compared += [Row("added", new[n], after=n + 1) for n in range(b, b_end)]
    return compared


def _changes(old: list[str], new: list[str]) -> list[tuple[str, int, int, int, int]]:
    """As difflib says them. The time it takes grows with the square of what differs, so that is bounded."""
    head = _alike(zip(old, new, strict=False))
    room = min(len(old), len(new)) - head
    tail = min(room, _alike(zip(reversed(old), reversed(new), strict=False)))
    a, b = len(old) - tail, len(new) - tail
    if max(a, b) - head > MOST_LINES:
        return [("equal", 0, head, 0, head), ("replace", head, a, head, b), ("equal", a, len(old), b, len(new))]
    return list(SequenceMatcher(None, old, new).get_opcodes())


def _alike(pairs: Iterator[tuple[str, str]]) -> int:
    length = 0
    for left, right in pairs:
        if left != right:
            break
        length += 1
    return length


def _folded(rows: list[Row]) -> Iterator[Row]:
    changed = [n for n, row in enumerate(rows) if row.kind != "same"]
    near = {n + by for n in changed for by in range(-AROUND, AROUND + 1)}
    hidden: list[Row] = []
    for n, row in enumerate(rows):
        if n in near:
            yield from _fold(hidden)
            hidden = []
            yield row
        else:
            hidden.append(row)
    yield from _fold(hidden)


def _fold(hidden: list[Row]) -> list[Row]:
    return hidden if len(hidden) < SHORTEST_FOLD else [Row("folded", hidden=tuple(hidden))]


# --- in one sentence


def summary(old: Version, new: Version) -> str:
    """`1 step added (check), 2 changed (go, gate). The inputs changed.`"""
    sentences = [*_step_changes(old.definition, new.definition), *_other_changes(old, new)]
    return " ".join(sentences) or "Nothing was changed."


def _step_changes(old: Definition, new: Definition) -> list[str]:
    before, after = _steps(old), _steps(new)
    both = [key for key in after if key in before]
    parts = [
        ("added", [key for key in after if key not in before]),
        ("removed", [key for key in before if key not in after]),
        ("changed", [key for key in both if after[key][1] != before[key][1]]),
        ("moved", _moved(before, after, both)),
    ]
    phrases = [f"{count(len(keys), 'step', 'steps')} {word} ({_names(keys)})" for word, keys in parts if keys]
    return [f"{', '.join(phrases)}."] if phrases else []


def _names(keys: list[str]) -> str:
    return ", ".join(keys[:5]) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")


Placed = dict[str, tuple[tuple[Any, ...], Step]]  # id -> (id and list of what holds it, the step without its lists)


def _steps(definition: Definition) -> Placed:
    ids = {at: step["id"] for at, step in walk(definition["steps"])}
    return {step["id"]: (_holder(at, ids), _alone(step)) for at, step in walk(definition["steps"])}


def _holder(at: tuple[Any, ...], ids: dict[tuple[Any, ...], str]) -> tuple[Any, ...]:
    above = next((n for n in range(len(at) - 2, 0, -1) if at[:n] in ids), 0)
    return (ids.get(at[:above]), *at[above:-1])


def _alone(step: Step) -> Step:
    nested = {place[0] for place, _inner in lists_of(step)}
    return {key: value for key, value in step.items() if key not in nested}


def _moved(before: Placed, after: Placed, both: list[str]) -> list[str]:
    """Into another list, or past another step of its list that stayed."""
    elsewhere = {key for key in both if before[key][0] != after[key][0]}
    stayed = [key for key in before if key in after and key not in elsewhere]
    turned = [key for key in both if key not in elsewhere]
    blocks = SequenceMatcher(None, stayed, turned).get_matching_blocks()
    in_order = {key for block in blocks for key in stayed[block.a : block.a + block.size]}
    return [key for key in both if key in elsewhere or key not in in_order]


def _other_changes(old: Version, new: Version) -> list[str]:
    words = {
        "name": "The name changed.",
        "declared_version": "The version label changed.",
        "description": "The description changed.",
        "metadata": "The metadata changed.",
        "inputs_schema": "The inputs changed.",
    }
    sentences = [words[name] for name in words if getattr(old, name, None) != getattr(new, name, None)]
    beside = [{k: v for k, v in each.definition.items() if k != "steps"} for each in (old, new)]
    return sentences if beside[0] == beside[1] else [*sentences, "The output or the limits of the run changed."]
