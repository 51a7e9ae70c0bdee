"""What a page says that a person does at the screen, read without believing any of it.

Arrays of JSON: ["key", name, [modifiers]], ["text", text], ["move", x, y, [modifiers]], ["down" or "up", x, y, button, count,
[modifiers]], ["wheel", x, y, right, down]. Coordinates are pixels of the machine's screen.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from machines.drivers.keys import key_name
from machines.drivers.live_screen import Input

MOST_EVENTS = 64  # in one message
LONGEST_TEXT = 4096  # characters
FARTHEST = 10_000  # pixels that one turn of the wheel goes
BUTTONS = frozenset({"left", "middle", "right"})
MODIFIERS = frozenset({"alt", "ctrl", "meta", "shift"})


class NoInput(ValueError):
    """It is nothing that a page of ours would say."""


def read(message: Any, width: int, height: int) -> list[Input]:
    """Raises NoInput: then nothing of it is done."""
    if not isinstance(message, list) or not 1 <= len(message) <= MOST_EVENTS:
        raise NoInput
    return [_event(one, width, height) for one in message]


def _event(one: Any, width: int, height: int) -> Input:
    match one:
        case ["key", str(name), list(modifiers)] if key := key_name(name[:32]):
            return Input("key", key=key, modifiers=_modifiers(modifiers))
        case ["text", str(text)] if 0 < len(text) <= LONGEST_TEXT and _is_text(text):
            return Input("text", text=text)
        case ["move", x, y, list(modifiers)]:
            x, y = _point(x, y, width, height)
            return Input("move", x=x, y=y, modifiers=_modifiers(modifiers))
        case ["down" | "up" as kind, x, y, str(button), count, list(modifiers)] if button in BUTTONS:
            x, y = _point(x, y, width, height)
            count = _number(count, 1, 3)
            return Input(kind, x=x, y=y, button=button, count=count, modifiers=_modifiers(modifiers))
        case ["wheel", x, y, across, down]:
            by = _number(across, -FARTHEST, FARTHEST), _number(down, -FARTHEST, FARTHEST)
            x, y = _point(x, y, width, height)
            return Input("wheel", x=x, y=y, by=by)
    raise NoInput


def _point(x: Any, y: Any, width: int, height: int) -> tuple[int, int]:
    return _number(x, 0, width - 1), _number(y, 0, height - 1)


def _number(value: Any, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise NoInput
    return value


def _modifiers(names: list[Any]) -> tuple[str, ...]:
    if len(names) > len(MODIFIERS) or not all(isinstance(name, str) and name in MODIFIERS for name in names):
        raise NoInput
    return tuple(dict.fromkeys(names))


def _is_text(text: str) -> bool:
    """Line ends and tabs are text; other control characters are keys, and half a surrogate pair is nothing."""
    return all(char in "\n\t" or (char >= " " and char != "\x7f" and not "\ud800" <= char <= "\udfff") for char in text)


def counts(events: Sequence[Input]) -> Counter[str]:
    """How much was done, for the audit."""
    names = {"key": "keys", "down": "clicks", "wheel": "scrolls"}
    counted = Counter(names[event.kind] for event in events if event.kind in names)
    characters = sum(len(event.text) for event in events)
    return counted + Counter(characters=characters)
