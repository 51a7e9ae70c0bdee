"""Keys as models spell them (xdotool, browsers, pyautogui, the vendors' own), brought to the names that our machines take.

One table for all wires. What is not in it is told to the model, never guessed.
"""

import re
from collections.abc import Sequence
from typing import Any

from machines.drivers import keys

MOST_REPEATS = 20

# Beside what machines.drivers.keys understands: X11 names, other words, and sides that our machines do not tell apart.
_KEYS = {
    "prior": "pageup", "page up": "pageup", "next": "pagedown", "page down": "pagedown", "pgdown": "pagedown",
    "back_space": "backspace", "bksp": "backspace", "linefeed": "enter", "numpadenter": "enter", "newline": "enter",
    "uparrow": "up", "downarrow": "down", "leftarrow": "left", "rightarrow": "right",
    "arrow_up": "up", "arrow_down": "down", "arrow_left": "left", "arrow_right": "right",
    "up_arrow": "up", "down_arrow": "down", "left_arrow": "left", "right_arrow": "right",
    "iso_left_tab": "tab", "kp_tab": "tab", "kp_space": " ", "kp_home": "home", "kp_end": "end", "kp_up": "up",
    "kp_down": "down", "kp_left": "left", "kp_right": "right", "kp_prior": "pageup", "kp_page_up": "pageup",
    "kp_next": "pagedown", "kp_page_down": "pagedown", "kp_insert": "insert", "kp_delete": "delete",
    "kp_add": "+", "kp_subtract": "-", "kp_multiply": "*", "kp_divide": "/", "kp_decimal": ".", "kp_equal": "=",
    "comma": ",", "period": ".", "dot": ".", "slash": "/", "backslash": "\\", "semicolon": ";", "colon": ":",
    "apostrophe": "'", "quoteright": "'", "quotedbl": '"', "grave": "`", "quoteleft": "`", "backquote": "`",
    "equal": "=", "equals": "=", "underscore": "_", "bracketleft": "[", "bracketright": "]", "braceleft": "{",
    "braceright": "}", "parenleft": "(", "parenright": ")", "less": "<", "greater": ">", "bar": "|",
    "asciitilde": "~", "tilde": "~", "exclam": "!", "at": "@", "numbersign": "#", "dollar": "$", "percent": "%",
    "asciicircum": "^", "ampersand": "&", "asterisk": "*", "question": "?",
    **{f"{prefix}{digit}": str(digit) for prefix in ("kp_", "num", "numpad", "digit") for digit in range(10)},
    **{f"key{letter}": letter for letter in "abcdefghijklmnopqrstuvwxyz"},
}  # fmt: skip
_MODIFIERS = {
    "ctl": "ctrl", "control_l": "ctrl", "control_r": "ctrl", "ctrl_l": "ctrl", "ctrl_r": "ctrl", "controlleft": "ctrl",
    "controlright": "ctrl", "ctrlleft": "ctrl", "ctrlright": "ctrl",
    "alt_l": "alt", "alt_r": "alt", "altleft": "alt", "altright": "alt", "opt": "alt",
    "shift_l": "shift", "shift_r": "shift", "shiftleft": "shift", "shiftright": "shift",
    "meta_l": "meta", "meta_r": "meta", "metaleft": "meta", "metaright": "meta", "super_l": "meta", "super_r": "meta",
    "windows": "meta", "winleft": "meta", "winright": "meta", "os": "meta",
}  # fmt: skip


class UnknownKeyError(ValueError):
    """No machine has this key, or not so combined; the words are for the model."""


def split(text: str) -> list[str]:
    """The names in a combination as it is written ("ctrl+shift+Tab", "ctrl++", "a"); none where there is no text."""
    if len(text) == 1:
        return [text]
    return [name if len(name) == 1 else name.strip() for name in re.split(r"(?<=.)\+(?=.)", text) if name.strip()]


def action(names: Sequence[str], *, capitals: bool = True) -> tuple[str, dict[str, Any]]:
    """The action of machines.actions.canonical that presses them, modifiers in any place. `capitals`: a lone capital letter is meant as
    such; where a vendor names all keys in capitals it is not. Raises UnknownKeyError."""
    if not names or not all(names):
        raise UnknownKeyError("Name the key to press.")
    modifiers = list(dict.fromkeys(filter(None, map(_modifier, names))))
    others = [name for name in names if not _modifier(name)]
    if len(others) != 1:
        problem = "has no key but modifiers" if not others else "has more than one key that is no modifier"
        raise UnknownKeyError(f"“{'+'.join(names)}” {problem}. Press one key, alone or with modifiers, at a time.")
    key = _key(others[0])
    if len(key) == 1 and (modifiers or not capitals):
        key = key.lower()
    if not modifiers:
        return "key_press", {"key": key}
    return "key_combo", {"keys": [*modifiers, key]}


def _modifier(name: str) -> str | None:
    plain = name.strip().lower()
    return keys.MODIFIERS.get(_MODIFIERS.get(plain, plain))


def _key(name: str) -> str:
    plain = name if len(name) == 1 else name.strip()
    key = keys.key_name(_KEYS.get(plain.lower(), plain))
    if key is None:
        raise UnknownKeyError(
            f"There is no key named “{name[:40]}” here. Known are single characters, Enter, Tab, Escape, Backspace, Delete, "
            "Insert, Home, End, PageUp, PageDown, the arrows and F1 to F12, with ctrl, alt, shift and meta."
        )
    return key
