"""The functions of Gemini's computer use, and what they are in our words.

Points count from 0 to 999 across the picture. Gemini 3.5 and later have one set of names, 2.5 and 3 another (option `computer`:
older); both are read. A function may be several actions: typing with Enter after it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from inference.dialects.tool_calls import is_number
from inference.wires import arguments, key_spellings, scaling
from inference.wires.arguments import UnusableError
from inference.wires.base import Check, Json, Request, Wanted

GRID = scaling.THOUSAND
NOTCH = 100  # pixels of scrolling
DOCUMENT = 700  # of the grid: what scroll_document scrolls
AGREED = frozenset({"regular", "allowed", "allow", "safe"})  # decisions that ask nobody
UNAGREED = "No person agreed to the safety check of this call; nothing of it was done."

Actions = list[tuple[str, Json]]

# By the names of the set that is in force: what of machines.actions.canonical each needs; "" = nothing, it only looks.
NEWER: dict[str, str] = {
    "click": "click", "double_click": "click", "triple_click": "click", "middle_click": "click", "right_click": "click",
    "mouse_down": "never", "mouse_up": "never", "move": "move", "type": "type_text", "drag_and_drop": "drag", "wait": "wait",
    "press_key": "key_press", "key_down": "never", "key_up": "never", "hotkey": "key_combo", "take_screenshot": "",
    "scroll": "scroll",
}  # fmt: skip
BROWSING: dict[str, str] = {"navigate": "open_url", "go_back": "go_back", "go_forward": "key_combo"}
OLDER: dict[str, str] = {
    "open_web_browser": "", "wait_5_seconds": "wait", "search": "never", "click_at": "click", "hover_at": "move",
    "type_text_at": "type_text", "scroll_document": "scroll", "scroll_at": "scroll", "key_combination": "key_combo",
    "drag_and_drop": "drag", **BROWSING,
}  # fmt: skip


def predefined(request: Request, *, older: bool) -> dict[str, str]:
    if older:
        return OLDER
    return {**NEWER, **BROWSING} if request.machine_kind == "browser" else NEWER


def excluded(request: Request, *, older: bool) -> list[str]:
    """What is not to be offered: what the machine lacks, and names that the agent gives to functions of its own."""
    own = {tool.name for tool in request.tools}
    functions = predefined(request, older=older).items()
    return [name for name, action in functions if name in own or (action and action not in request.actions)]


def wanted(call: Mapping[str, Any], call_id: str, request: Request, extra: Json) -> list[Wanted]:
    """What one functionCall asks for. `call_id` is the vendor's, or ours where it gives none."""
    name, args = str(call.get("name") or ""), call.get("args") or {}
    values = {key: value for key, value in args.items() if key not in {"safety_decision", "intent"}}
    text = args["intent"] if isinstance(args.get("intent"), str) else ""
    checks = _checks(args.get("safety_decision"), call_id)
    actions = _actions(name, values, call_id, request)
    # Asked of people once, with the first action. What is no action asks nobody, so it is not done.
    first = next((place for place, one in enumerate(actions) if one.kind == "act"), None)
    if checks and first is None:
        actions, first = [Wanted(call_id, "bad", name, problem=UNAGREED)], 0
    return [
        Wanted(
            call_id,
            one.kind,
            one.name,
            one.params,
            place == len(actions) - 1,
            one.problem,
            text,
            checks if place == first else (),
            extra,
        )
        for place, one in enumerate(actions)
    ]


def _actions(name: str, values: Json, call_id: str, request: Request) -> list[Wanted]:
    if name not in READERS or name in {tool.name for tool in request.tools} or not request.computer:
        return [arguments.function_call(call_id, name, values, request, {})]
    try:
        actions = READERS[name](values, request)
        lacking = [ours for ours, _ in actions if ours != "screenshot" and ours not in request.actions]
        if lacking:
            raise UnusableError(f"“{name}” cannot be done on this machine: it has no {lacking[0]}.")
    except UnusableError as problem:
        return [Wanted(call_id, "bad", name, problem=str(problem))]
    return [Wanted(call_id, "look" if ours == "screenshot" else "act", ours, params) for ours, params in actions]


def _checks(decision: Any, call_id: str) -> tuple[Check, ...]:
    """Whatever is not plainly allowed is for a person to decide."""
    if decision is None:
        return ()
    words = decision if isinstance(decision, Mapping) else {"decision": decision}
    code = str(words.get("decision") or "require_confirmation")[:64]
    if code.lower() in AGREED:
        return ()
    return (Check(call_id, code, str(words.get("explanation") or "")[:2000]),)


def _point(values: Json, request: Request, x: str = "x", y: str = "y") -> tuple[int, int]:
    across, down = values.get(x), values.get(y)
    if not is_number(across) or not is_number(down):
        raise UnusableError(f"Give {x} and {y} as numbers from 0 to 999.")
    point = scaling.to_screen(request.view, across, down, GRID)
    if point is None:
        raise UnusableError(
            f"The point ({_shown(across)}, {_shown(down)}) lies outside of the screen; {x} and {y} count from 0 to 999."
        )
    return point


def _shown(figure: float) -> str:
    return f"{figure:.6g}" if abs(figure) < 1e15 else "…"


def _at(values: Json, request: Request) -> Json:
    x, y = _point(values, request)
    return {"x": x, "y": y}


def _clicking(extra: Json) -> Callable[[Json, Request], Actions]:
    return lambda values, request: [("click", {**_at(values, request), **extra})]


def _type(values: Json, request: Request) -> Actions:
    actions: Actions = [("click", _at(values, request))] if "x" in values else []
    clear = values.get("clear_before_typing") is True
    return [*actions, *_typing(values, clear=clear, enter=values.get("press_enter") is True)]


def _type_at(values: Json, request: Request) -> Actions:
    """Clears the field and presses Enter unless it is told not to."""
    clear, enter = values.get("clear_before_typing") is not False, values.get("press_enter") is not False
    return [("click", _at(values, request)), *_typing(values, clear=clear, enter=enter)]


def _typing(values: Json, *, clear: bool, enter: bool) -> Actions:
    text = values.get("text")
    if not isinstance(text, str):
        raise UnusableError("Give the text.")
    select: Actions = [("key_combo", {"keys": ["ctrl", "a"]})] if clear else []
    typed: Actions = [("type_text", {"text": text})] if text else [("key_press", {"key": "delete"})] if clear else []
    actions = [*select, *typed, *([("key_press", {"key": "enter"})] if enter else [])]
    if not actions:
        raise UnusableError("Give the text.")
    return actions


def _drag(values: Json, request: Request) -> Actions:
    names = (
        ("start_x", "start_y", "end_x", "end_y")
        if "start_x" in values
        else ("x", "y", "destination_x", "destination_y")
    )
    start, end = _point(values, request, *names[:2]), _point(values, request, *names[2:])
    return [("drag", {"from_x": start[0], "from_y": start[1], "to_x": end[0], "to_y": end[1]})]


def _wait(values: Json, request: Request) -> Actions:
    return [("wait", {"ms": arguments.milliseconds(values.get("seconds", 1))})]


def _press(values: Json, request: Request) -> Actions:
    """`key` or `keys`: a name, names, or a combination in one text."""
    names = values.get("keys", values.get("key"))
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise UnusableError("Name the key, or the keys as a list.")
    return [arguments.pressed([one for name in names for one in key_spellings.split(name)])]


def _scroll(values: Json, request: Request) -> Actions:
    """By pixels, by notches (desktops), or, in the older set, by parts of the picture."""
    at = _at(values, request) if "x" in values or "y" in values else _middle(request)
    if "magnitude_in_wheel_clicks" in values:
        notches = arguments.number(values["magnitude_in_wheel_clicks"])
    elif "magnitude" in values:
        notches = _parts(values["magnitude"], values, request)
    else:
        notches = arguments.number(values.get("magnitude_in_pixels", 300)) / NOTCH
    return [_scrolled(at, values, notches)]


def _scroll_at(values: Json, request: Request) -> Actions:
    return [_scrolled(_at(values, request), values, _parts(values.get("magnitude", 800), values, request))]


def _scroll_document(values: Json, request: Request) -> Actions:
    return [_scrolled(_middle(request), values, _parts(DOCUMENT, values, request))]


def _parts(magnitude: Any, values: Json, request: Request) -> float:
    side = request.view.width if values.get("direction") in ("left", "right") else request.view.height
    return arguments.number(magnitude) / GRID * side / NOTCH


def _middle(request: Request) -> Json:
    return {"x": request.view.width // 2, "y": request.view.height // 2}


def _scrolled(at: Json, values: Json, notches: float) -> tuple[str, Json]:
    direction = values.get("direction")
    if direction not in ("up", "down", "left", "right"):
        raise UnusableError("Give the direction: up, down, left or right.")
    return "scroll", {**at, "direction": direction, "amount": arguments.notches(notches)}


def _held(values: Json, request: Request) -> Actions:
    raise UnusableError("Nothing can be held down here. Drag with drag_and_drop, press keys together with hotkey.")


def _search(values: Json, request: Request) -> Actions:
    raise UnusableError("There is no home page of a search engine here. Use navigate.")


READERS: dict[str, Callable[[Json, Request], Actions]] = {
    "click": _clicking({}),
    "click_at": _clicking({}),
    "double_click": _clicking({"count": 2}),
    "triple_click": _clicking({"count": 3}),
    "right_click": _clicking({"button": "right"}),
    "middle_click": _clicking({"button": "middle"}),
    "move": lambda values, request: [("move", _at(values, request))],
    "hover_at": lambda values, request: [("move", _at(values, request))],
    "type": _type,
    "type_text_at": _type_at,
    "drag_and_drop": _drag,
    "wait": _wait,
    "wait_5_seconds": lambda values, request: [("wait", {"ms": 5000})],
    "press_key": _press,
    "hotkey": _press,
    "key_combination": _press,
    "scroll": _scroll,
    "scroll_at": _scroll_at,
    "scroll_document": _scroll_document,
    "take_screenshot": lambda values, request: [("screenshot", {})],
    "open_web_browser": lambda values, request: [("screenshot", {})],
    "navigate": lambda values, request: [("open_url", {"url": arguments.text(values.get("url"), "url")})],
    "go_back": lambda values, request: [("go_back", {})],
    "go_forward": lambda values, request: [("key_combo", {"keys": ["alt", "right"]})],
    **dict.fromkeys(("mouse_down", "mouse_up", "key_down", "key_up"), _held),
    "search": _search,
}
