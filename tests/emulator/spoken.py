"""Canonical actions in the languages of open models, as these would say them."""

import json
from collections.abc import Sequence
from typing import Any

from tests.emulator.server import Emulator
from tests.emulator.story import Json

_POINTS = (("x", "y"), ("from_x", "from_y"), ("to_x", "to_y"))
GRID = 1000


def language_of(body: Json, system: str) -> str:
    """In which language the text of the answer has to be; "" where calls go their own way, or there are none."""
    if body.get("tools"):
        return ""
    name = ((body.get("response_format") or {}).get("json_schema") or {}).get("name")
    if name == "calls":
        return "json_schema"
    marks = {
        "<tool_call>": "tagged",
        "## Action Space": "uitars",
        "pyautogui.click": "pyautogui",
        "To click: {": "json_point",
    }
    return next((language for mark, language in marks.items() if mark in system), "")


def call(body: Json, system: str, name: str, params: Json, emulator: Emulator) -> tuple[str, Json]:
    """(function, arguments) with points as this request asks for them; computer_use where that is offered."""
    offered = json.dumps([body.get("tools"), body.get("response_format"), system])
    sides = _newest(body, emulator) if f"from 0 to {GRID}" in offered else None
    placed = _placed(name, params, sides)
    return _qwen(name, placed) if '"computer_use' in offered.replace("\\", "") else (name, placed)


def _newest(body: Json, emulator: Emulator) -> tuple[int, int]:
    parts = [
        part for message in body["messages"] if isinstance(message.get("content"), list) for part in message["content"]
    ]
    pictures = [emulator.picture(part["image_url"]["url"]) for part in parts if part["type"] == "image_url"]
    newest = pictures[-1] if pictures else None
    assert newest, "no picture to point at"
    return newest.width, newest.height


def _placed(name: str, params: Json, sides: tuple[int, int] | None) -> Json:
    placed = dict(params)
    if name == "zoom":
        placed = dict(zip(("x1", "y1", "x2", "y2"), placed["region"], strict=True))
    if sides is None:
        return placed
    for x, y in (*_POINTS, ("x1", "y1"), ("x2", "y2")):
        if x in placed:
            placed |= {x: round(placed[x] * GRID / sides[0]), y: round(placed[y] * GRID / sides[1])}
    return placed


def _qwen(name: str, params: Json) -> tuple[str, Json]:
    at = {"coordinate": [params["x"], params["y"]]} if "x" in params else {}
    if name == "click":
        counts = {2: "double_click", 3: "triple_click"}
        action = counts.get(params.get("count", 1)) or f"{params.get('button', 'left')}_click"
        return "computer_use", {"action": action, **at}
    if name == "drag":
        start, end = [params["from_x"], params["from_y"]], [params["to_x"], params["to_y"]]
        return "computer_use", {"action": "left_click_drag", "start_coordinate": start, "coordinate": end}
    if name == "scroll":
        kind = "scroll" if params["direction"] in {"up", "down"} else "hscroll"
        sign = 1 if params["direction"] in {"up", "right"} else -1
        return "computer_use", {"action": kind, "pixels": sign * 100 * params["amount"], **at}
    plain: dict[str, Json] = {
        "move": {"action": "mouse_move", **at},
        "type_text": {"action": "type", "text": params.get("text")},
        "key_press": {"action": "key", "keys": [params.get("key")]},
        "key_combo": {"action": "key", "keys": params.get("keys")},
        "wait": {"action": "wait", "time": params.get("ms", 0) / 1000},
        "screenshot": {"action": "screenshot"},
    }
    return ("computer_use", plain[name]) if name in plain else (name, params)


def as_text(language: str, calls: Sequence[tuple[str, Json]], thought: str) -> str:
    if language == "json_schema":
        return json.dumps({"thought": thought, "calls": [{"name": name, "arguments": args} for name, args in calls]})
    if language == "tagged":
        tags = (f"<tool_call>\n{json.dumps({'name': name, 'arguments': args})}\n</tool_call>" for name, args in calls)
        return "\n".join([thought, *tags])
    if language == "uitars":
        actions = "\n\n".join(_uitars(name, args) for name, args in calls)
        return f"Thought: {thought}\nAction: {actions}"
    if language == "pyautogui":
        lines = "\n".join(_pyautogui(name, args) for name, args in calls)
        return f"{thought}\n```python\n{lines}\n```"
    [(name, args)] = calls
    point = {"x": args.get("x"), "y": args.get("y")}
    return json.dumps(point if name == "click" and args == point else {"action": name, **args})


def _uitars(name: str, args: Json) -> str:
    box = f"start_box='<|box_start|>({args.get('x')},{args.get('y')})<|box_end|>'"
    if name == "click":
        kinds = {2: "left_double"}
        return f"{kinds.get(args.get('count', 1)) or ('right_single' if args.get('button') == 'right' else 'click')}({box})"
    said = {
        "drag": f"drag(start_box='({args.get('from_x')},{args.get('from_y')})', end_box='({args.get('to_x')},{args.get('to_y')})')",
        "move": f"hover({box})",
        "key_press": f"hotkey(key='{args.get('key')}')",
        "key_combo": f"hotkey(key='{' '.join(args.get('keys', ()))}')",
        "type_text": f"type(content={args.get('text')!r})",
        "scroll": f"scroll({box}, direction='{args.get('direction')}')",
        "wait": "wait()",
        "finish": f"finished(content={args.get('summary')!r})",
    }
    return said.get(name) or _plain(name, args)


def _pyautogui(name: str, args: Json) -> str:
    at = f"x={args.get('x')}, y={args.get('y')}"
    amount = args.get("amount", 0)
    if name == "click":
        kinds = {2: "doubleClick", 3: "tripleClick"}
        return f"pyautogui.{kinds.get(args.get('count', 1), 'click')}({at}, button={args.get('button', 'left')!r})"
    said: dict[str, Any] = {
        "drag": f"pyautogui.moveTo({args.get('from_x')}, {args.get('from_y')})\n"
        f"pyautogui.dragTo({args.get('to_x')}, {args.get('to_y')}, button='left')",
        "move": f"pyautogui.moveTo({at})",
        "key_press": f"pyautogui.press({args.get('key')!r})",
        "key_combo": f"pyautogui.hotkey({', '.join(map(repr, args.get('keys', ())))})",
        "type_text": f"pyautogui.write({args.get('text')!r})",
        "scroll": f"pyautogui.{'scroll' if args.get('direction') in {'up', 'down'} else 'hscroll'}"
        f"({amount if args.get('direction') in {'up', 'right'} else -amount}, {at})",
        "wait": f"time.sleep({args.get('ms', 0) / 1000})",
    }
    return str(said.get(name) or _plain(name, args))


def _plain(name: str, args: Json) -> str:
    return f"{name}({', '.join(f'{field}={value!r}' for field, value in args.items())})"
