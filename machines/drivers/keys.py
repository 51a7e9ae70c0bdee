"""Names of keys as agents and people spell them, brought to one spelling that every driver understands."""

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
