"""Predicted actions as lines for pyautogui, for clients that show them so. /v1/parse reads them back.

Texts and keys are literals of ASCII characters: no line breaks, and nothing that reads differently than it is.
"""

from collections.abc import Callable
from typing import Any

Json = dict[str, Any]


def with_code(actions: list[Json]) -> Json:
    """The keys `actions` and `raw_code` of an answer."""
    lines = [code_of(action["action_type"], action["params"]) for action in actions]
    return {
        "actions": [action | {"raw_code": line} for action, line in zip(actions, lines, strict=True)],
        "raw_code": lines,
    }


def code_of(name: str, params: Json) -> str:
    """One action in canonical form as one line of code; a drag is two calls. It is never executed here."""
    return _LINES[name](params)


def _click(params: Json) -> str:
    return f"pyautogui.click({params['x']}, {params['y']}, clicks={params['count']}, button={params['button']!a})"


def _drag(params: Json) -> str:
    start = f"pyautogui.moveTo({params['from_x']}, {params['from_y']})"
    return f"{start}; pyautogui.dragTo({params['to_x']}, {params['to_y']}, button='left')"


def _scroll(params: Json) -> str:
    call = "scroll" if params["direction"] in ("up", "down") else "hscroll"
    notches = params["amount"] if params["direction"] in ("up", "right") else -params["amount"]
    return f"pyautogui.{call}({notches}, {params['x']}, {params['y']})"


_LINES: dict[str, Callable[[Json], str]] = {
    "click": _click,
    "move": lambda params: f"pyautogui.moveTo({params['x']}, {params['y']})",
    "drag": _drag,
    "scroll": _scroll,
    "type_text": lambda params: f"pyautogui.write({params['text']!a})",
    "key_press": lambda params: f"pyautogui.press({params['key']!a})",
    "key_combo": lambda params: f"pyautogui.hotkey({', '.join(map(ascii, params['keys']))})",
    "wait": lambda params: f"time.sleep({params['ms'] / 1000:g})",
    "done": lambda params: "DONE",
    "fail": lambda params: "FAIL",
}
