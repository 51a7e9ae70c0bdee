"""Reading what a model called for: points, texts, numbers and the functions beside the vendors' computer tools.

What cannot be used is an Unusable with words for the model. Nothing is repaired silently.
"""

import json
from collections.abc import Mapping
from typing import Any

from inference.wires import key_spellings, scaling
from inference.wires.base import Json, Request, Tool, View, Wanted

LONGEST_WAIT = 60_000  # ms
MOST_NOTCHES = 100

_POINT: Json = {
    "x": {"type": "integer", "description": "Pixels from the left."},
    "y": {"type": "integer", "description": "Pixels from the top."},
}


def _tool(name: str, description: str, **properties: Json) -> Tool:
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return Tool(name, description, schema)


def _text(description: str) -> Json:
    return {"type": "string", "description": description}


# What machines can do that no vendor's computer tool has a word for, in the order in which it is offered.
FUNCTIONS = (
    _tool("open_url", "Open a web address in the browser.", url=_text("The whole address, with http:// or https://.")),
    _tool("go_back", "Go back to the page before."),
    _tool("reload", "Load the page again."),
    _tool("fill", "Replace what stands in a field of the page by a text.", **_POINT, text=_text("The new text.")),
    _tool("select_option", "Choose an option of a list on the page.", **_POINT, option=_text("The words of the option.")),
    _tool("upload", "Put a file of the machine into a file field of the page.", **_POINT, file=_text("The path of the file.")),
    _tool("run_line", "Type a command line at the prompt of the terminal, press Enter and wait for it.", command=_text("The line.")),
)  # fmt: skip
_BY_NAME = {tool.name: tool for tool in FUNCTIONS}


class UnusableError(ValueError):
    """What the model called for cannot be done so; the words are for the model."""


def functions(request: Request) -> list[Tool]:
    """All functions of a request, in fixed order: those of the machine, then the agent's. A name stands once; the agent's
    counts."""
    own = {tool.name for tool in request.tools}
    offered = [tool for tool in FUNCTIONS if request.computer and tool.name in request.actions and tool.name not in own]
    return [*offered, *request.tools]


def function_call(call: str, name: str, params: Any, request: Request, extra: Json) -> Wanted:
    """A call of one of functions(); `params` may be anything."""
    if not isinstance(params, Mapping):
        return Wanted(call, "bad", name, problem=f"The parameters of {name} have to be a JSON object.", extra=extra)
    if name in {tool.name for tool in request.tools}:
        return Wanted(call, "tool", name, dict(params), extra=extra)
    if name not in _BY_NAME or name not in {tool.name for tool in functions(request)}:
        return Wanted(call, "bad", name, problem=f"There is no tool named “{name[:60]}”.", extra=extra)
    values = dict(params)
    try:
        if "x" in _BY_NAME[name].schema["properties"]:
            values["x"], values["y"] = point(request.view, [values.get("x"), values.get("y")])
    except UnusableError as problem:
        return Wanted(call, "bad", name, problem=str(problem), extra=extra)
    return Wanted(call, "act", name, values, extra=extra)


def arguments(text: Any) -> Any:
    """The JSON in a function call. Raises UnusableError."""
    try:
        return json.loads(text) if text else {}
    except (ValueError, TypeError, RecursionError):
        raise UnusableError("The arguments are not valid JSON.") from None


def point(view: View, value: Any) -> tuple[int, int]:
    """[x, y] in pixels of the picture that was sent, as a pixel of the screen. Raises UnusableError."""
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(map(_is_number, value)):
        raise UnusableError("Give the point as two numbers, x and y.")
    on_screen = scaling.to_screen(view, value[0], value[1])
    if on_screen is None:
        raise UnusableError(
            f"The point ({value[0]:.6g}, {value[1]:.6g}) lies outside of the screenshot, which is {view.sent_width} x "
            f"{view.sent_height} pixels."
        )
    return on_screen


def region(view: View, value: Any) -> list[int]:
    """[x1, y1, x2, y2], as pixels of the screen. Raises UnusableError."""
    if not isinstance(value, list | tuple) or len(value) != 4 or not all(map(_is_number, value)):
        raise UnusableError("Give the region as four numbers: x1, y1, x2, y2.")
    on_screen = scaling.region_on_screen(view, value)
    if on_screen is None:
        raise UnusableError("The region is empty or lies outside of the screenshot.")
    return on_screen


def text(value: Any, what: str = "text") -> str:
    if not isinstance(value, str) or not value:
        raise UnusableError(f"Give the {what}.")
    return value


def number(value: Any) -> float:
    if not _is_number(value):
        raise UnusableError("Give numbers as numbers.")
    return float(value)


def notches(value: Any) -> int:
    """How far to scroll; a vendor's number may be anything. Raises UnusableError."""
    if not _is_number(value) or value <= 0:
        raise UnusableError("Give how far to scroll as a number above 0.")
    return min(MOST_NOTCHES, max(1, round(float(value))))


def milliseconds(seconds: Any) -> int:
    if not _is_number(seconds) or not 0 <= seconds * 1000 <= LONGEST_WAIT:
        raise UnusableError(f"Wait between 0 and {LONGEST_WAIT // 1000} seconds.")
    return round(float(seconds) * 1000)


def no_held_keys(held: Any) -> None:
    if held:
        raise UnusableError("Keys cannot be held down during another action here. Do it without.")


def pressed(names: list[str], *, capitals: bool = True) -> tuple[str, Json]:
    try:
        return key_spellings.action(names, capitals=capitals)
    except key_spellings.UnknownKeyError as problem:
        raise UnusableError(str(problem)) from None


def _is_number(value: Any) -> bool:
    # JSON has integers that no float can hold; NaN is not between anything.
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e15 < value < 1e15
