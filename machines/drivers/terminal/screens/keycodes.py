"""What a keyboard sends. Where a terminal has nothing of its own for a combination, as xterm does, the key without it."""

from collections.abc import Sequence

_PLAIN = {"enter": "\r", "tab": "\t", "escape": "\x1b", "backspace": "\x7f"}
CURSOR = {"up": "A", "down": "B", "right": "C", "left": "D"}
_NUMBERED = {
    "home": "1", "insert": "2", "delete": "3", "end": "4", "pageup": "5", "pagedown": "6", "f5": "15", "f6": "17",
    "f7": "18", "f8": "19", "f9": "20", "f10": "21", "f11": "23", "f12": "24",
}  # fmt: skip
_LETTERED = {**CURSOR, "f1": "P", "f2": "Q", "f3": "R", "f4": "S", "home": "H", "end": "F"}  # with modifiers
_CONTROL = {
    " ": "\0",
    "2": "\0",
    "3": "\x1b",
    "4": "\x1c",
    "5": "\x1d",
    "6": "\x1e",
    "7": "\x1f",
    "8": "\x7f",
    "?": "\x7f",
    "/": "\x1f",
    "-": "\x1f",
}


def key_bytes(key: str, modifiers: Sequence[str], *, application: bool) -> str:
    """The characters of one key (a name of keys.py, or one character). `application`: cursor keys in their other mode."""
    held = set(modifiers)
    if key in CURSOR or key in _NUMBERED or key in _LETTERED:
        return _function_key(key, held, application=application)
    alt = "\x1b" if "alt" in held else ""
    if key == "tab" and "shift" in held:
        return f"{alt}\x1b[Z"
    char = _PLAIN.get(key, key)
    if "ctrl" in held and len(char) == 1 and key not in _PLAIN:
        char = _CONTROL.get(char) or (chr(ord(char.upper()) & 0x1F) if "@" <= char.upper() <= "_" else char)
    return alt + char


def _function_key(key: str, held: set[str], *, application: bool) -> str:
    if held:
        number = 1 + ("shift" in held) + 2 * ("alt" in held) + 4 * ("ctrl" in held)
        return f"\x1b[1;{number}{_LETTERED[key]}" if key in _LETTERED else f"\x1b[{_NUMBERED[key]};{number}~"
    if key in CURSOR:
        return f"\x1b{'O' if application else '['}{CURSOR[key]}"
    return f"\x1b[{_NUMBERED[key]}~" if key in _NUMBERED else f"\x1bO{_LETTERED[key]}"
