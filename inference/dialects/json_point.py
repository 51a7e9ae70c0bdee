"""Answers of models that were trained to point: a point or a box in one of their forms means a click; other actions are JSON."""

import json
import re
from collections.abc import Sequence
from typing import Any

from inference.dialects import call_syntax
from inference.dialects.own_tools import NAMES
from inference.dialects.tool_calls import Call, Json, Point, Reading, bad, fenced, numbers, pair
from inference.wires.base import Tool

_NUMBER = r"(-?\d{1,9}(?:\.\d{1,9})?)"
_TAG = re.compile(rf"<(?:point|click)>\s*[(\[]?\s*{_NUMBER}\s*[,\s]\s*{_NUMBER}\s*[)\]]?\s*</(?:point|click)>")
_PAIR = re.compile(rf"[(\[]\s*{_NUMBER}\s*,\s*{_NUMBER}(?:\s*,\s*{_NUMBER}\s*,\s*{_NUMBER})?\s*[)\]]")
_POINTS = ("point", "point_2d", "bbox_2d", "bbox", "coordinate", "coordinates", "position", "click_point")

FORM = """Answer with one JSON object and nothing else.
To click: {{"x": ..., "y": ...}}. {where}
Any other action: {{"action": <name>, ...its parameters}}, where the actions are:
{functions}"""


def prompt(actions: Sequence[str], tools: Sequence[Tool], where: str) -> str:
    """`tools`: those of the screen, too."""
    lines = (json.dumps({"action": one.name, "parameters": one.schema.get("properties", {})}) for one in tools)
    return FORM.format(where=where, functions="\n".join(lines))


def read(text: str, functions: Sequence[Tool], pointer: Point | None, middle: Point) -> Reading:
    values = [value for candidate in (text, *fenced(text)) if (value := _json(candidate)) is not None]
    for value in values:
        one = value[0] if isinstance(value, list) and len(value) == 1 else value
        if isinstance(one, dict):
            return Reading((_read_object(one),), "")
        point = pair(one)
        if point:
            return Reading((_click(point),), "")
    called = call_syntax.call(text.strip(), {"click"})
    if called:
        point = pair(called.args) or pair([called.named.get("x"), called.named.get("y")])
        return Reading((_click(point) if point else bad("Not executed: click needs x and y."),), "")
    return _searched(text)


def _searched(text: str) -> Reading:
    """One point that stands in words. Of several none is taken: they may be the wrong ones."""
    points = _TAG.findall(text) or [tuple(filter(None, match)) for match in _PAIR.findall(text)]
    if len(points) > 1:
        return Reading((bad("Not executed: your answer has more than one point. Answer with one JSON object."),), text)
    point = pair(points[0]) if points else None
    return Reading((_click(point),) if point else (), text)


def _read_object(value: Json) -> Call:
    name = value.get("action", value.get("name", value.get("action_type")))
    arguments = value.get("arguments", value.get("parameters"))
    params = dict(arguments) if isinstance(arguments, dict) else _rest(value)
    for key in _POINTS:
        point = pair(params.get(key))
        if point and name in (None, "click", *NAMES):
            del params[key]
            params |= {"x": point[0], "y": point[1]}
            break
    if name is None:
        if pair([params.get("x"), params.get("y")]) is None:
            return bad(
                'Not executed: your answer names no action and has no point. To click answer {"x": ..., "y": ...}.'
            )
        return Call("click", numbers({"x": params["x"], "y": params["y"]}))
    if not isinstance(name, str) or not name:
        return bad("Not executed: the name of the action is not a text.")
    return Call(name, numbers(params) if name in NAMES else params)


def _rest(value: Json) -> Json:
    return {key: one for key, one in value.items() if key not in {"action", "name", "action_type", "thought", "label"}}


def _click(point: Point) -> Call:
    return Call("click", {"x": point[0], "y": point[1]})


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
