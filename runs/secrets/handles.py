"""Handles: how a text names a secret, `{{secret:shop password}}`, wherever it is written, kept or shown."""

import re
from collections.abc import Collection, Iterator
from typing import Any

from runs.agents.base import Piece

# Blanks between its parts are accepted, as models write them.
HANDLE = re.compile(r"\{\{[ \t]*secret[ \t]*:[ \t]*(?P<name>[^\s{}](?:[^{}\n]{0,250}?[^\s{}])?)[ \t]*\}\}")


def name_in(match: re.Match[str]) -> str:
    return match["name"]


def handles_in(value: Any, *path: str | int) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Where secrets are named in text, or in JSON with text in it, at any depth: (path, name)."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from handles_in(item, *path, key)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from handles_in(item, *path, number)
    elif isinstance(value, str):
        yield from ((path, name_in(match)) for match in HANDLE.finditer(value))


def pieces_of(text: str, names: Collection[str] = ()) -> tuple[Piece, ...] | None:
    """The text as base.Act.secrets has it; None when it names no secret.

    `names`: those that may hold what a handle else cannot. A name that nobody knows is one, too: the action then fails and
    says so.
    """
    pieces: list[Piece] = []
    end = 0
    for start, stop, name in _handles(text, names):
        pieces += [("text", text[end:start]), ("secret", name)]
        end = stop
    pieces.append(("text", text[end:]))
    return tuple(piece for piece in pieces if piece[1]) if end else None


def _handles(text: str, names: Collection[str]) -> Iterator[tuple[int, int, str]]:
    odd = {f"{{{{secret:{name}}}}}": name for name in names if set(name) & set("{}")}
    at = 0
    while True:
        match = HANDLE.search(text, at)
        first = min(((text.find(handle, at), handle) for handle in odd if handle in text[at:]), default=None)
        if first and (not match or first[0] <= match.start()):
            at = first[0] + len(first[1])
            yield first[0], at, odd[first[1]]
        elif match:
            at = match.end()
            yield match.start(), at, name_in(match)
        else:
            return
