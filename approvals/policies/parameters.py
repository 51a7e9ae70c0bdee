"""The parameters of an action that a condition can name, one by one, and what a person pins of them. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from approvals.policies.conditions import at, problems

MOST = 60  # parameters of an action that are looked at
DEEPEST = 5  # levels
LONGEST = 200  # characters of a text that may be named
PLACES = frozenset({"x", "y", "from_x", "from_y", "to_x", "to_y"})  # on a picture: the same number means nothing


def leaves(params: Any) -> list[tuple[str, Any]]:
    """Path and value of each that is text and not long, a number, true or false."""
    nameable = []
    for path, value in list(_leaves(params, ()))[:MOST]:
        if at(params, path) is value and not list(problems([pin(path, value)], ())):
            nameable.append((path, value))
    return nameable


def pin(path: str, value: Any) -> dict[str, Any]:
    return {"path": path, "op": "eq", "value": value}


def pinned(params: Any, paths: Iterable[str]) -> list[dict[str, Any]]:
    """Conditions that hold as long as these parameters stay as they are. A path that leads nowhere has no value: no condition."""
    values = dict(leaves(params))
    return [pin(path, values[path]) if path in values else {"path": path, "op": "eq"} for path in paths]


def _leaves(value: Any, names: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping | list) and len(names) < DEEPEST:
        for name, each in value.items() if isinstance(value, Mapping) else enumerate(value[:MOST]):
            yield from _leaves(each, (*names, str(name)))
    elif names and names[-1] not in PLACES and _is_short(value):
        yield ".".join(names), value


def _is_short(value: Any) -> bool:
    return 0 < len(value) <= LONGEST if isinstance(value, str) else isinstance(value, int | float)
