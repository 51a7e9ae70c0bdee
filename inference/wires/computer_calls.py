"""The actions in a computer_call of OpenAI, in our words."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from inference.wires import arguments, key_spellings
from inference.wires.arguments import UnusableError
from inference.wires.base import Json, Request, Wanted

NOTCH = 100  # pixels of scrolling
STRAIGHT = 5.0  # pixels by which a drag may leave the line between its ends
WAIT_MS = 1000  # its wait has no length

_BUTTONS: dict[str, Json] = {"left": {}, "right": {"button": "right"}, "wheel": {"button": "middle"}}


def actions(item: Json, request: Request) -> Iterator[Wanted]:
    """One or more for each action; what cannot be done so is bad, and the others stay what they are."""
    sent = item.get("actions") or ([item["action"]] if item.get("action") else [])
    if not sent:
        yield Wanted(item["call_id"], "bad", problem="The call holds no action.")
    for action in sent:
        name = str(action.get("type"))[:60]
        try:
            for ours, params in _read(action, request):
                if ours != "screenshot" and ours not in request.actions:
                    raise UnusableError(f"“{name}” cannot be done on this machine.")
                yield Wanted(item["call_id"], "look" if ours == "screenshot" else "act", ours, params)
        except UnusableError as problem:
            yield Wanted(item["call_id"], "bad", name, problem=str(problem))


def _read(action: Mapping[str, Any], request: Request) -> list[tuple[str, Json]]:
    """(name, params) in our words. Raises UnusableError."""
    kind = action.get("type")
    if kind != "keypress":
        arguments.no_held_keys(action.get("keys"))
    if kind not in _READERS:
        raise UnusableError(f"There is no action named “{str(kind)[:60]}”.")
    return _READERS[str(kind)](action, request)


def _click(action: Mapping[str, Any], request: Request) -> list[tuple[str, Json]]:
    button = action.get("button", "left")
    if button == "back":
        return [("go_back", {})]
    if button not in _BUTTONS:
        raise UnusableError(f"The mouse here has no button named “{str(button)[:20]}”.")
    return [("click", {**_at(action, request), **_BUTTONS[button]})]


def _at(action: Mapping[str, Any], request: Request) -> Json:
    x, y = arguments.point(request.view, [action.get("x"), action.get("y")])
    return {"x": x, "y": y}


def _drag(action: Mapping[str, Any], request: Request) -> list[tuple[str, Json]]:
    path = action.get("path")
    if not isinstance(path, list) or len(path) < 2 or not all(isinstance(one, dict) for one in path):
        raise UnusableError("Give the path of the drag as two points.")
    points = [arguments.point(request.view, [one.get("x"), one.get("y")]) for one in path]
    if not _is_straight(points):
        raise UnusableError(
            "A drag goes straight from its first point to its last one here. Give these two points only."
        )
    (from_x, from_y), (to_x, to_y) = points[0], points[-1]
    return [("drag", {"from_x": from_x, "from_y": from_y, "to_x": to_x, "to_y": to_y})]


def _is_straight(points: Sequence[tuple[int, int]]) -> bool:
    """Does the path go from its first to its last point without leaving the line or turning back?"""
    (x1, y1), (x2, y2) = points[0], points[-1]
    length = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5
    if length == 0:
        return all(point == points[0] for point in points)
    aside = [abs((x2 - x1) * (y - y1) - (x - x1) * (y2 - y1)) / length for x, y in points]
    along = [((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / length for x, y in points]
    return max(aside) <= STRAIGHT and all(after >= before - STRAIGHT for before, after in pairwise(along))


def _scroll(action: Mapping[str, Any], request: Request) -> list[tuple[str, Json]]:
    """By pixels of the picture, either way or both."""
    at, view = _at(action, request), request.view
    scrolls: list[tuple[str, Json]] = []
    for name, scale, directions in (
        ("scroll_y", view.height / view.sent_height, ("up", "down")),
        ("scroll_x", view.width / view.sent_width, ("left", "right")),
    ):
        distance = action.get(name) or 0
        if distance:
            direction = directions[arguments.number(distance) > 0]
            scrolls.append(
                ("scroll", {**at, "direction": direction, "amount": arguments.notches(abs(distance) * scale / NOTCH)})
            )
    if not scrolls:
        raise UnusableError("Give how far to scroll: scroll_x and scroll_y are 0.")
    return scrolls


def _keypress(action: Mapping[str, Any]) -> list[tuple[str, Json]]:
    names = action.get("keys")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UnusableError("Give the keys as a list of names.")
    return [arguments.pressed([one for name in names for one in key_spellings.split(name)], capitals=False)]


_READERS: dict[str, Callable[[Mapping[str, Any], Request], list[tuple[str, Json]]]] = {
    "click": _click,
    "double_click": lambda action, request: [("click", {**_at(action, request), "count": 2})],
    "drag": _drag,
    "keypress": lambda action, request: _keypress(action),
    "move": lambda action, request: [("move", _at(action, request))],
    "screenshot": lambda action, request: [("screenshot", {})],
    "scroll": _scroll,
    "type": lambda action, request: [("type_text", {"text": arguments.text(action.get("text"))})],
    "wait": lambda action, request: [("wait", {"ms": WAIT_MS})],
}
