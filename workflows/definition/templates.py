"""Templates: `{{ path }}` in the texts of a document (docs/api/workflows.md 5).

What a template yields is data: it is never looked at for templates again.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from workflows.definition.value_rules import TooMuchWork, Work, as_text

Scope = dict[str, Any]  # the roots: inputs, vars, step ids, save_as
PATH = r"[^\W][\w.-]*"
_TEMPLATE = re.compile(r"\{\{[ \t]*(" + PATH + r")[ \t]*\}\}")
SHORT = 200  # characters of a text that is worth remembering
_INDEX = re.compile(r"[0-9]{1,9}")


def path_of(text: str) -> str | None:
    """The path, when the text is one template and nothing else."""
    alone = _TEMPLATE.fullmatch(text.strip())
    return alone[1] if alone else None


def _parts_of(text: str) -> tuple[str, ...] | None:
    """The parts of the path, when the text is one template and nothing else."""
    return _parts_of_short(text) if len(text) <= SHORT else _split(path_of(text))


@functools.lru_cache(maxsize=4096)
def _parts_of_short(text: str) -> tuple[str, ...] | None:
    """Remembered, since a loop comes to the same texts again and again."""
    return _split(path_of(text))


def _split(path: str | None) -> tuple[str, ...] | None:
    return None if path is None else tuple(path.split("."))


def lookup(path: str, scope: Scope) -> Any:
    """The value at a dotted path; None where there is nothing."""
    return _find(tuple(path.split(".")), scope)


def _find(parts: tuple[str, ...], scope: Scope) -> Any:
    value: Any = scope
    for part in parts:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and _INDEX.fullmatch(part) and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def expand(value: Any, scope: Scope, work: Work) -> Any:
    """The value with its templates filled in, at any depth, never in keys. Raises TooMuchWork."""
    work.add()
    if isinstance(value, dict):
        return {key: expand(item, scope, work) for key, item in value.items()}
    if isinstance(value, list):
        return [expand(item, scope, work) for item in value]
    return _expand_text(value, scope, work) if isinstance(value, str) else value


def _expand_text(text: str, scope: Scope, work: Work) -> Any:
    """A text that is one template keeps the type of its value."""
    parts = _parts_of(text)
    if parts is not None:
        work.add(len(parts) - 1)
        return _find(parts, scope)
    filled = fill(text, scope, work.left + 1)
    work.add(len(filled))
    return filled


def fill(text: str, scope: Scope, most: int) -> str:
    """The text with its templates filled in as text, cut after `most` characters."""
    return "".join(before + value for before, _path, value in _pieces(text, scope, most))[:most]


def _pieces(text: str, scope: Scope, most: int) -> Iterator[tuple[str, str, str]]:
    """(text, path, value) for each template and the text before it, then the rest; none beyond `most` characters."""
    length = end = 0
    for match in _TEMPLATE.finditer(text):
        before, value = text[end : match.start()], as_text(lookup(match[1], scope))[:most]
        yield before, match[1], value
        length, end = length + len(before) + len(value), match.end()
        if length > most:
            return
    yield text[end:], "", ""


@dataclass(frozen=True)
class Place:
    """Where the value of a template stands in a text. That of a secret does not stand there: `secret` is the name under
    which the run keeps it, `path` the template's."""

    at: int
    length: int
    path: str
    secret: str | None = None


def expand_bound(
    text: str, scope: Scope, secrets: Mapping[str, Any], most: int, work: Work
) -> tuple[str, tuple[Place, ...]]:
    """As expand_text(), with the places of its values: what reads the text must not read these as words of it.

    A text that is nothing but one input of the run is that input, as if it had been written there. `secrets`: of bound
    names {ref, paths}.
    """
    alone = _TEMPLATE.fullmatch(text.strip())
    if alone and alone[1].split(".")[0] == "inputs":
        return expand_text(text, scope, most, work), ()
    filled, places = "", []
    for before, path, value in _pieces(text, scope, most):
        filled += before
        if path:
            places.append(Place(len(filled), len(value), path, _secret(path, secrets)))
        filled += value
    work.add(len(filled[:most]))
    return filled[:most], tuple(places)


def _secret(path: str, secrets: Mapping[str, Any]) -> str | None:
    """Under which name the run keeps the value at this path, when it is a secret."""
    name, _, rest = path.partition(".")
    of_name, inner = secrets.get(name), rest.removeprefix("values.")
    return f"{of_name['ref']}:{inner}" if of_name and inner != rest and inner in of_name["paths"] else None


def expand_text(text: str, scope: Scope, most: int, work: Work) -> str:
    """The text with its templates filled in, as text even if it is one template; cut after `most` characters."""
    alone = _TEMPLATE.fullmatch(text.strip())
    filled = as_text(lookup(alone[1], scope))[:most] if alone else fill(text, scope, most)
    work.add(len(filled))
    return filled


def too_large(value: Any, most: int) -> bool:
    """Is the expanded value larger than `most` characters as JSON? It may share parts that are large only together."""
    work = Work(most)
    try:
        _measure(value, work)
    except TooMuchWork:
        return True
    return False


def _measure(value: Any, work: Work) -> None:
    work.add(2)
    if isinstance(value, dict):
        for key, item in value.items():
            work.add(len(key) + 2)
            _measure(item, work)
    elif isinstance(value, list):
        for item in value:
            _measure(item, work)
    else:
        work.add(len(as_text(value)))
