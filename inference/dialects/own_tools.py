"""Our own actions as functions, one for each, and answers that call them: by the vendor's tool calls, as JSON that fits a
schema, or as `<tool_call>` in the text."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from inference.dialects.tool_calls import Call, Json, Reading, bad, fenced, json_object, numbers
from inference.wires.base import Tool

_INTEGER: Json = {"type": "integer"}
_TEXT: Json = {"type": "string"}
_DIRECTION: Json = {"type": "string", "enum": ["up", "down", "left", "right"]}
_KEYS: Json = {"type": "array", "items": _TEXT, "minItems": 2, "maxItems": 5}

# name: (what it does, its parameters, those that may be left out). Points are as the profile's model sees the picture.
_SCREEN: dict[str, tuple[str, dict[str, Json], tuple[str, ...]]] = {
    "screenshot": ("Look at the screen again.", {}, ()),
    "zoom": ("Look closer at a part of the screen.", {"x1": _INTEGER, "y1": _INTEGER, "x2": _INTEGER, "y2": _INTEGER}, ()),
    "click": (
        "Click. count 2 is a double click, 3 selects a line.",
        {"x": _INTEGER, "y": _INTEGER, "button": {"type": "string", "enum": ["left", "right", "middle"]}, "count": _INTEGER},
        ("button", "count"),
    ),
    "type_text": ("Type text where the focus is.", {"text": _TEXT}, ()),
    "key_press": ("Press one key, for example enter, tab, escape, pagedown.", {"key": _TEXT}, ()),
    "key_combo": ('Press keys together, for example ["ctrl", "s"].', {"keys": _KEYS}, ()),
    "scroll": (
        "Scroll at a point by notches of the wheel.",
        {"x": _INTEGER, "y": _INTEGER, "direction": _DIRECTION, "amount": _INTEGER},
        ("amount",),
    ),
    "drag": (
        "Drag with the left button.", {"from_x": _INTEGER, "from_y": _INTEGER, "to_x": _INTEGER, "to_y": _INTEGER}, (),
    ),
    "move": ("Move the pointer.", {"x": _INTEGER, "y": _INTEGER}, ()),
    "wait": ("Wait, at most 60000 ms.", {"ms": _INTEGER}, ()),
    "open_url": ("Open an address in the browser.", {"url": _TEXT}, ()),
    "go_back": ("Go back one page.", {}, ()),
    "reload": ("Load the page again.", {}, ()),
    "fill": ("Replace the text of the field at a point.", {"x": _INTEGER, "y": _INTEGER, "text": _TEXT}, ()),
    "select_option": ("Choose an option of the list at a point.", {"x": _INTEGER, "y": _INTEGER, "option": _TEXT}, ()),
    "upload": ("Give a file of the machine to the file field at a point.", {"x": _INTEGER, "y": _INTEGER, "file": _TEXT}, ()),
    "run_line": ("Run a line at the prompt of the terminal.", {"command": _TEXT}, ()),
    "done": ("The task is done.", {}, ()),
    "fail": ("The task cannot be done.", {"reason": _TEXT}, ()),
}  # fmt: skip
LOOKS = ("screenshot", "zoom")
NAMES = frozenset(_SCREEN)

_TAGGED = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|\Z)", re.DOTALL)

FORM = """# Tools

You may call these functions, one or several:
<tools>
{tools}
</tools>

For each call answer with JSON between tags, and nothing after the last one:
<tool_call>
{{"name": <name of the function>, "arguments": <its arguments as an object>}}
</tool_call>"""


def screen_tools(actions: Iterable[str], where: str) -> list[Tool]:
    """The functions of a screen, in fixed order. `where` says in words what points are counted in."""
    allowed = {*actions, *LOOKS}
    return [_tool(name, where) for name in _SCREEN if name in allowed]


def _tool(name: str, where: str) -> Tool:
    description, properties, optional = _SCREEN[name]
    if any(one in properties for one in ("x", "from_x", "x1")):
        description = f"{description} {where}"
    return Tool(name, description, closed(properties, [one for one in properties if one not in optional]))


def closed(properties: dict[str, Json], required: Sequence[str]) -> Json:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def prompt(tools: Sequence[Tool]) -> str:
    """How the calls are to be written in the text, for servers without tool calling."""
    lines = (json.dumps({"name": one.name, "description": one.description, "parameters": one.schema}) for one in tools)
    return FORM.format(tools="\n".join(lines))


def answer_schema(tools: Sequence[Tool]) -> Json:
    """Of an answer that can be nothing but calls, for servers that bind answers to a schema."""
    kinds = [
        closed({"name": {"type": "string", "const": one.name}, "arguments": one.schema}, ("name", "arguments"))
        for one in tools
    ]
    calls = {"type": "array", "items": {"anyOf": kinds}, "minItems": 1, "maxItems": 10}
    return closed({"thought": _TEXT, "calls": calls}, ("thought", "calls"))


def read_native(name: Any, arguments: Any, call_id: str) -> Call:
    """One tool call of an answer. `arguments`: JSON text, or an object where a server sends one."""
    if not isinstance(name, str) or not name:
        return bad("The call names no function.", call_id)
    try:
        params = arguments if isinstance(arguments, dict) else json_object(arguments or "{}")
    except (ValueError, TypeError) as error:
        return bad(
            f"Not executed: the arguments of {name[:64]} {_words(error)}. Call it again with a complete JSON object.",
            call_id,
        )
    return Call(name, numbers(params) if name in NAMES else params, id=call_id)


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, ValueError) else "are not a JSON object"


def read_tagged(text: str) -> Reading:
    """Calls between tags in the text."""
    return Reading(tuple(_read_json(part) for part in _TAGGED.findall(text)), _TAGGED.sub("", text).strip())


def read_schema(text: str) -> Reading:
    """An answer that had to fit answer_schema(); not every server binds it."""
    for candidate in (text, *fenced(text)):
        try:
            answer = json_object(candidate)
        except ValueError as error:
            problem = bad(f"Not executed: your answer {error}. Answer with one JSON object with thought and calls.")
            continue
        calls = answer.get("calls", [answer] if "name" in answer else None)
        thought = answer.get("thought")
        if isinstance(calls, list) and calls:
            return Reading(tuple(_read_object(one) for one in calls), thought if isinstance(thought, str) else "")
        problem = bad("Not executed: your answer has no calls.")
    return Reading((problem,), text)


def _read_json(text: str) -> Call:
    try:
        return _read_object(json_object(text))
    except ValueError as error:
        return bad(f"Not executed: a call {error}. Write it again as one JSON object with name and arguments.")


def _read_object(value: Any) -> Call:
    if not isinstance(value, dict):
        return bad("Not executed: a call is not a JSON object with name and arguments.")
    return read_native(value.get("name"), value.get("arguments", {}), "")


def looks_like_call(text: str) -> bool:
    """Did the model write a call where it should have made one?"""
    if "<tool_call>" in text or "<function=" in text:
        return True
    for candidate in (text, *fenced(text)):
        try:
            value = json.loads(candidate)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and "name" in value and ({"arguments", "parameters"} & value.keys()):
            return True
    return False
