"""The keyboard of a page: keys and combinations, and whole texts, typed key by key as a person does it."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from machines.drivers import keys
from machines.drivers.browser.page.channel import Channel, PageProblem

LONGEST_TYPED = 2000  # characters; of a longer text the middle goes in at once
TYPED_ENDS = 20  # characters of such a text that are typed at its beginning and its end

_MODIFIER_BITS = {"alt": 1, "ctrl": 2, "meta": 4, "shift": 8}
_MODIFIER_KEYS = {"alt": ("Alt", 18), "ctrl": ("Control", 17), "meta": ("Meta", 91), "shift": ("Shift", 16)}
# name: (key, virtual key code, text)
_NAMED = {
    "enter": ("Enter", 13, "\r"), "tab": ("Tab", 9, ""), "escape": ("Escape", 27, ""),
    "backspace": ("Backspace", 8, ""), "delete": ("Delete", 46, ""), "insert": ("Insert", 45, ""),
    "up": ("ArrowUp", 38, ""), "down": ("ArrowDown", 40, ""),
    "left": ("ArrowLeft", 37, ""), "right": ("ArrowRight", 39, ""), "home": ("Home", 36, ""), "end": ("End", 35, ""),
    "pageup": ("PageUp", 33, ""), "pagedown": ("PageDown", 34, ""),
    **{f"f{number}": (f"F{number}", 111 + number, "") for number in range(1, 13)},
}  # fmt: skip
# Shortcuts are the browser's own work, which DevTools keys skip unless told.
_COMMANDS = {"a": "selectAll", "c": "copy", "v": "paste", "x": "cut", "z": "undo", "y": "redo"}


def modifier_bits(names: Iterable[str]) -> int:
    return sum(_MODIFIER_BITS[name] for name in set(names))


async def press(send: Channel, key: str, modifiers: list[str] | None = None) -> None:
    """Press one key, with modifiers held around it."""
    held = modifiers or []
    bits = modifier_bits(held)
    for name in held:
        modifier, code = _MODIFIER_KEYS[name]
        event = {"type": "rawKeyDown", "key": modifier, "windowsVirtualKeyCode": code, "modifiers": bits}
        await send("Input.dispatchKeyEvent", event)
    await _stroke(send, key, bits)
    for name in reversed(held):
        modifier, code = _MODIFIER_KEYS[name]
        await send("Input.dispatchKeyEvent", {"type": "keyUp", "key": modifier, "windowsVirtualKeyCode": code})


async def _stroke(send: Channel, key: str, bits: int) -> None:
    if key in _NAMED:
        name, code, typed = _NAMED[key]
        facts: dict[str, Any] = {"key": name, "code": name, "windowsVirtualKeyCode": code, "modifiers": bits}
    else:
        typed = keys.with_shift(key) if bits & 8 else key
        facts = _facts(typed, bits)
    types = bool(typed) and not bits & ~8
    commands = [_COMMANDS[key.lower()]] if bits & 6 and key.lower() in _COMMANDS else []
    down = {**facts, "type": "keyDown" if types else "rawKeyDown", "commands": commands}
    await send("Input.dispatchKeyEvent", {**down, "text": typed} if types else down)
    await send("Input.dispatchKeyEvent", {**facts, "type": "keyUp"})


def _facts(char: str, bits: int) -> dict[str, Any]:
    """What an event of this character's key says of itself."""
    key = keys.stroke(char) or keys.Stroke("", 0, False)
    held = bits | (_MODIFIER_BITS["shift"] if key.shifted and not bits else 0)
    return {"key": char, "code": key.code, "windowsVirtualKeyCode": key.virtual, "modifiers": held}


@dataclass
class Typing:
    """A text on its way into the page. `typed` counts its characters as they go, for who is told that it was cut off.

    Line ends are pressed as Enter, in a field (`keeps_lines`) with Shift, which makes a new line also where Enter alone
    would send. Tabs move on as they do for people, but stay part of a text that a field is filled with.
    """

    text: str
    keeps_lines: bool = False
    typed: int = 0

    def __post_init__(self) -> None:
        self.text = re.sub(r"\r\n?", "\n", self.text)

    @property
    def whole(self) -> bool:
        return self.typed >= len(self.text)

    @property
    def progress(self) -> str:
        return f"{self.typed} of {len(self.text)} characters were typed."

    @property
    def hasty(self) -> str | None:
        """What is to be said of a text that is too long to be typed key by key."""
        if len(self.text) <= LONGEST_TYPED:
            return None
        return f"Of {len(self.text)} characters only the first and the last {TYPED_ENDS} were typed key by key."

    def pieces(self) -> Iterator[str]:
        """What goes in at once: one character as people count them, or the long middle of a long text."""
        characters = list(keys.clusters(self.text))
        if not self.hasty:
            yield from characters
            return
        yield from characters[:TYPED_ENDS]
        yield from filter(None, re.split(r"([\n\t])", "".join(characters[TYPED_ENDS:-TYPED_ENDS])))
        yield from characters[-TYPED_ENDS:]


async def type_text(send: Channel, typing: Typing) -> None:
    """Type into what has the focus: what has a key by its key, everything else as a whole character.

    Each key is awaited, so that a page which stops in the middle has got no more than it took.
    """
    for piece in typing.pieces():
        typing.typed += len(piece)
        if piece == "\n":
            await press(send, "enter", ["shift"] if typing.keeps_lines else [])
        elif piece == "\t" and not typing.keeps_lines:
            await press(send, "tab")
        elif keys.stroke(piece):
            await _stroke(send, piece, 0)
        else:
            await send("Input.insertText", {"text": piece})


async def press_named(send: Channel, names: list[str]) -> None:
    """Press a key or a combination as people spell them. Raises PageProblem for one that does not exist."""
    combination = keys.combination(names)
    if combination is None:
        raise PageProblem(f"There is no key named {'+'.join(names)}.")
    await press(send, combination[1], combination[0])
