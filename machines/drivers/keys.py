"""Names of keys as agents and people spell them, brought to one spelling that every driver understands, and the keys
that type a text."""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from machines.drivers.base import Action

_JOINER = "\u200d"
_ENTER = frozenset({"enter", "return", "kpenter", "numpadenter", "\n", "\r"})

MODIFIERS = {
    "ctrl": "ctrl",
    "control": "ctrl",
    "alt": "alt",
    "option": "alt",
    "shift": "shift",
    "meta": "meta",
    "cmd": "meta",
    "command": "meta",
    "super": "meta",
    "win": "meta",
}
_NAMED = {
    "return": "enter",
    "esc": "escape",
    "del": "delete",
    "ins": "insert",
    "arrowup": "up",
    "arrowdown": "down",
    "arrowleft": "left",
    "arrowright": "right",
    "page_up": "pageup",
    "pgup": "pageup",
    "page_down": "pagedown",
    "pgdn": "pagedown",
    "space": " ",
    "spacebar": " ",
    "plus": "+",
    "minus": "-",
    "kp_enter": "enter",
}
_KNOWN = frozenset(
    {
        *("enter", "tab", "escape", "backspace", "delete", "insert", "up", "down", "left", "right"),
        *("home", "end", "pageup", "pagedown"),
        *(f"f{number}" for number in range(1, 13)),
    }
)


def key_name(key: str) -> str | None:
    """A single character as it is, a known key's one name, or None."""
    if len(key) == 1:
        return key if key.isprintable() else {"\n": "enter", "\r": "enter", "\t": "tab", "\x1b": "escape"}.get(key)
    name = _NAMED.get(key.lower(), key.lower())
    return name if name in _KNOWN or len(name) == 1 else None


def combination(keys: list[str]) -> tuple[list[str], str] | None:
    """Modifiers and the one key they go with (always last); None when it is not such a combination."""
    modifiers = [MODIFIERS.get(key.lower()) for key in keys[:-1]]
    key = key_name(keys[-1])
    if key is None or None in modifiers:
        return None
    return [modifier for modifier in modifiers if modifier], key


# The US layout, by which pages read keys: character: (code, virtual key code). Shifted signs share the key of the plain.
_SIGNS = {
    " ": ("Space", 32), ",": ("Comma", 188), ".": ("Period", 190), "-": ("Minus", 189), "=": ("Equal", 187),
    "/": ("Slash", 191), ";": ("Semicolon", 186), "'": ("Quote", 222), "`": ("Backquote", 192),
    "[": ("BracketLeft", 219), "]": ("BracketRight", 221), "\\": ("Backslash", 220),
}  # fmt: skip
_SHIFTED = dict(zip('~!@#$%^&*()_+{}|:"<>?', "`1234567890-=[]\\;',./", strict=True))
_WITH_SHIFT = {plain: sign for sign, plain in _SHIFTED.items()}


@dataclass(frozen=True)
class Stroke:
    """The key of a character: `code` and `virtual` are of the US layout, `shifted` is whether Shift is held for it."""

    code: str
    virtual: int
    shifted: bool


def stroke(char: str) -> Stroke | None:
    """The key that types this character; None for what no key of the US layout has."""
    plain = _SHIFTED.get(char, char.lower())
    shifted = plain != char
    if plain in _SIGNS:
        return Stroke(*_SIGNS[plain], shifted)
    if len(char) != 1 or not char.isascii() or not plain.isalnum():
        return None
    upper = plain.upper()
    return Stroke(f"Digit{upper}" if plain.isdigit() else f"Key{upper}", ord(upper), shifted)


def with_shift(char: str) -> str:
    """What the character's key types while Shift is held."""
    return _WITH_SHIFT.get(char, char.upper())


def clusters(text: str) -> Iterator[str]:
    """What a reader takes for single characters: a letter with its accents, a family of emoji, a flag."""
    part = ""
    for char in text:
        if part and not _joins(part, char):
            yield part
            part = ""
        part += char
    if part:
        yield part


def _joins(part: str, char: str) -> bool:
    """Does the character belong to those before it? Marks, skin tones and tags do, and what a joiner joins."""
    if part.isspace() or part[-1] in "\r\n\t":
        return False
    if unicodedata.category(char) in ("Mn", "Me", "Mc") or char == _JOINER or _is_tone_or_tag(char):
        return True
    return part[-1] == _JOINER or (len(part) == 1 and _is_flag_letter(part) and _is_flag_letter(char))


def _is_tone_or_tag(char: str) -> bool:
    return "\U0001f3fb" <= char <= "\U0001f3ff" or "\U000e0020" <= char <= "\U000e007f"


def _is_flag_letter(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def presses_enter(action: Action, *, or_space: bool = True) -> bool:
    """Whether the action presses Enter or the space bar: what a form and a button take as go; a shell takes Enter."""
    params = action.params
    if action.name == "type_text":
        return not set("\r\n").isdisjoint(str(params.get("text", "")))
    keys = [params.get("key"), *params.get("keys", ())] if action.name in ("key_press", "key_combo") else []
    pressed = {str(key).lower() for key in keys}
    # As control characters these are line feed, return, and operate-and-get-next of the shell.
    line_end = bool({"ctrl", "control"} & pressed and {"j", "m", "o"} & pressed)
    go = _ENTER | {"space", " "} if or_space else _ENTER
    return line_end or bool(go & pressed)
