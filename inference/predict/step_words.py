"""Actions in words: for people, and for models that are told what was done before."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Json = dict[str, Any]


def action_words(name: str, params: Mapping[str, Any]) -> str:
    """One canonical action; words for an unknown one too."""
    try:
        return _WORDS[name](params)
    except (KeyError, TypeError, ValueError):
        listed = ", ".join(f"{key} {value}" for key, value in params.items())
        return f"{name} ({listed})" if listed else name


def _click(p: Mapping[str, Any]) -> str:
    times = {1: "Click", 2: "Double-click", 3: "Triple-click"}[p.get("count", 1)]
    button = p.get("button", "left")
    return f"{times}{'' if button == 'left' else f' with the {button} button'} at ({p['x']}, {p['y']})"


_WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "click": _click,
    "type_text": lambda p: f"Type “{p['text']}”",
    "key_press": lambda p: f"Press {p['key']}",
    "key_combo": lambda p: f"Press {' + '.join(p['keys'])}",
    "scroll": lambda p: f"Scroll {p['direction']} by {p['amount']} at ({p['x']}, {p['y']})",
    "drag": lambda p: f"Drag from ({p['from_x']}, {p['from_y']}) to ({p['to_x']}, {p['to_y']})",
    "move": lambda p: f"Move to ({p['x']}, {p['y']})",
    "wait": lambda p: f"Wait {p['ms'] / 1000:g} s",
    "done": lambda p: "The task is done",
    "fail": lambda p: f"Give up: {p['reason']}" if p.get("reason") else "Give up",
}


def step_words(number: int, actions: Sequence[tuple[str, Mapping[str, Any]]], reasoning: str | None) -> str:
    """What was done in a step, one line an action."""
    lines = [f"Step {number}."]
    if reasoning:
        lines.append(f"You thought: {reasoning}")
    lines += [f"You did: {action_words(name, params)}" for name, params in actions] or ["You did nothing."]
    return "\n".join(lines)
