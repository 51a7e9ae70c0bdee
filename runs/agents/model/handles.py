"""Handles of secrets, {{secret:name}}: the agent passes them on and never sees what they stand for."""

import re

from runs.agents.base import Piece

_HANDLE = re.compile(r"\{\{secret:([^{}]{1,200})\}\}")


def handle(name: str) -> str:
    return f"{{{{secret:{name}}}}}"


def pieces_of(text: str) -> list[Piece]:
    """The text as pieces (base.Act.secrets); empty when it has no handle. A name that nobody knows is kept: the action then
    fails at the machine, instead of typing the handle there."""
    pieces: list[Piece] = []
    at = 0
    for found in _HANDLE.finditer(text):
        if found.start() > at:
            pieces.append(("text", text[at : found.start()]))
        pieces.append(("secret", found[1]))
        at = found.end()
    if not pieces:
        return []
    return [*pieces, ("text", text[at:])] if at < len(text) else pieces
