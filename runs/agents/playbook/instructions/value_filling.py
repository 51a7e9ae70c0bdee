"""Putting what people gave, and the names of secrets, into an instruction when its turn comes."""

from collections.abc import Mapping
from dataclasses import replace

from runs.agents.base import Piece
from runs.agents.playbook.language import word_values
from runs.agents.playbook.language.bound import resolved, secret_names
from runs.agents.playbook.language.plan import Instruction
from runs.agents.playbook.screen.grounding import short

# What may hold a secret: it goes into a field, or to where the cursor is, and nowhere else.
_TYPE = frozenset({"fill", "type_text"})


class UnknownValueError(Exception):
    """The instruction wants a value that is not there, or that cannot stand where it wants it. The message is for people."""


def with_values(instruction: Instruction, values: Mapping[str, list[str]]) -> Instruction:
    """The instruction with all its values; those of secrets stay named: whether there is one of this name is seen when it is
    put in. Raises UnknownValueError."""

    def answer(name: str) -> Piece:
        if name not in values:
            raise UnknownValueError(f'Nobody has given "{name}": {short(instruction.text, 500)}')
        kind, text = values[name]
        return kind, text

    params = resolved(instruction.params, instruction.values, answer)
    if params == instruction.params:
        return instruction
    if secret_names(params) and instruction.action not in _TYPE:
        raise UnknownValueError(f"A secret can only be typed: {short(instruction.text, 500)}")
    return replace(instruction, params=_checked(instruction, params))


def _checked(instruction: Instruction, params: dict[str, object]) -> dict[str, object]:
    """Addresses and names of files that a person gave are what they should be."""
    try:
        if instruction.action == "open_url":
            return params | {"url": word_values.address(str(params["url"]))}
        for key in ("name", "file"):
            if key in params:
                word_values.nonempty(str(params[key]))
    except word_values.UnreadableError:
        message = f"What was given does not fit in its place: {short(instruction.text, 500)}"
        raise UnknownValueError(message) from None
    return params
