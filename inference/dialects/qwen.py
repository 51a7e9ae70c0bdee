"""Qwen's computer_use function: one function whose argument `action` says what to do (Qwen2.5-VL, Qwen3-VL)."""

from collections.abc import Callable, Iterable
from typing import Any

from inference.dialects.own_tools import closed
from inference.dialects.tool_calls import Call, Json, Point, as_one, bad, is_number, numbers, pair
from inference.wires.base import Tool

NAME = "computer_use"
PIXELS = 100  # that a notch of the wheel scrolls

# Our action: theirs.
_ACTIONS = {
    "key_press": ("key",),
    "key_combo": ("key",),
    "type_text": ("type",),
    "click": ("left_click", "right_click", "middle_click", "double_click", "triple_click"),
    "move": ("mouse_move",),
    "drag": ("left_click_drag",),
    "scroll": ("scroll", "hscroll"),
    "wait": ("wait",),
}
COVERED = frozenset(_ACTIONS)
_CLICKS: dict[str, Json] = {
    "left_click": {},
    "right_click": {"button": "right"},
    "middle_click": {"button": "middle"},
    "double_click": {"count": 2},
    "triple_click": {"count": 3},
}


def tool(actions: Iterable[str], where: str, finish: bool) -> Tool:
    """The function as these models were trained on it, with the actions that the machine has."""
    names = [name for ours in sorted(_ACTIONS.keys() & set(actions)) for name in _ACTIONS[ours]]
    names = [*dict.fromkeys(names), "screenshot", *(["terminate"] if finish else [])]
    point = {"type": "array", "items": {"type": "number"}}
    properties: dict[str, Json] = {
        "action": {"type": "string", "enum": names},
        "keys": {"type": "array", "items": {"type": "string"}, "description": "Only for action=key."},
        "text": {"type": "string", "description": "Only for action=type."},
        "coordinate": {**point, "description": f"(x, y). {where}"},
        "start_coordinate": {**point, "description": "Where action=left_click_drag begins."},
        "pixels": {
            "type": "number",
            "description": "Only for scroll (positive is up) and hscroll (positive is right).",
        },
        "time": {"type": "number", "description": "Seconds, only for action=wait."},
        "status": {"type": "string", "enum": ["success", "failure"], "description": "Only for action=terminate."},
    }
    return Tool(NAME, "Use a mouse and keyboard on the screen.", closed(properties, ["action"]))


def translated(call: Call, pointer: Point | None, middle: Point) -> list[Call]:
    """A call of computer_use as ours; any other call as it is. `pointer` is where the mouse is, if it is known; points are as
    the model counts them."""
    if call.name != NAME:
        return [call]
    action = call.params.get("action")
    if not isinstance(action, str) or not (reader := _READERS.get(action)):
        return [bad(f"Not executed: computer_use has no action {str(action)[:64]!r}.", call.id)]
    read = reader(action, call.params, (pointer, middle))
    if isinstance(read, str):
        return [bad(f"Not executed: {read}", call.id)]
    return as_one([Call(name, params, id=call.id) for name, params in read])


Read = list[tuple[str, Json]] | str
Mouse = tuple[Point | None, Point]


def _click(action: str, args: Json, mouse: Mouse) -> Read:
    point = pair(args.get("coordinate"))
    return [("click", {**_at(point), **_CLICKS[action]})] if point else f"{action} needs coordinate [x, y]."


def _move(action: str, args: Json, mouse: Mouse) -> Read:
    point = pair(args.get("coordinate"))
    return [("move", _at(point))] if point else f"{action} needs coordinate [x, y]."


def _drag(action: str, args: Json, mouse: Mouse) -> Read:
    start = pair(args["start_coordinate"]) if args.get("start_coordinate") is not None else mouse[0]
    end = pair(args.get("coordinate"))
    if not start or not end:
        return f"{action} needs start_coordinate and coordinate, each [x, y]."
    return [("drag", {"from_x": start[0], "from_y": start[1], "to_x": end[0], "to_y": end[1]})]


def _key(action: str, args: Json, mouse: Mouse) -> Read:
    keys = args.get("keys")
    if isinstance(keys, str):
        keys = keys.split("+") if len(keys) > 1 else [keys]
    if not isinstance(keys, list) or not keys or not all(isinstance(one, str) and one for one in keys):
        return "key needs keys, a list of names."
    return [("key_press", {"key": keys[0]})] if len(keys) == 1 else [("key_combo", {"keys": keys})]


def _type(action: str, args: Json, mouse: Mouse) -> Read:
    text = args.get("text")
    return [("type_text", {"text": text})] if isinstance(text, str) else "type needs text."


def _scroll(action: str, args: Json, mouse: Mouse) -> Read:
    pixels = _figure(args.get("pixels"))
    point = pair(args["coordinate"]) if args.get("coordinate") is not None else mouse[0] or mouse[1]
    if not pixels or not point:
        return f"{action} needs pixels, a number that is not 0, and coordinate [x, y]."
    ways = ("up", "down") if action == "scroll" else ("right", "left")
    amount = min(100, max(1, round(abs(pixels) / PIXELS)))
    return [("scroll", {**_at(point), "direction": ways[pixels < 0], "amount": amount})]


def _wait(action: str, args: Json, mouse: Mouse) -> Read:
    seconds = _figure(args.get("time", 1))
    return (
        [("wait", {"ms": round(seconds * 1000)})]
        if seconds is not None and 0 <= seconds <= 60
        else "time must be 0 to 60."
    )


def _terminate(action: str, args: Json, mouse: Mouse) -> Read:
    if args.get("status") not in ("success", "failure"):
        return "terminate needs status, success or failure."
    words = args.get("text") or f"The model ended the task with {args['status']}."
    return [("finish", {"passed": args["status"] == "success", "summary": str(words)})]


def _answer(action: str, args: Json, mouse: Mouse) -> Read:
    text = args.get("text")
    return [("finish", {"passed": True, "summary": text})] if isinstance(text, str) else "answer needs text."


_READERS: dict[str, Callable[[str, Json, Mouse], Read]] = {
    **dict.fromkeys(_CLICKS, _click),
    "mouse_move": _move,
    "left_click_drag": _drag,
    "key": _key,
    "type": _type,
    "scroll": _scroll,
    "hscroll": _scroll,
    "wait": _wait,
    "terminate": _terminate,
    "answer": _answer,
    "screenshot": lambda action, args, mouse: [("screenshot", {})],
}


def _figure(value: Any) -> float | None:
    read = numbers({"x": value})["x"]
    return float(read) if is_number(read) and abs(read) < 1e9 else None


def _at(point: tuple[float, float]) -> Json:
    return {"x": point[0], "y": point[1]}
