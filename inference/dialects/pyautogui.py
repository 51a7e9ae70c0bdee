"""Programs for pyautogui, as OpenCUA and others answer: read line by line, never run."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from inference.dialects import call_syntax
from inference.dialects.call_syntax import Called
from inference.dialects.tool_calls import Call, Json, Point, Reading, as_one, bad, fenced, is_number, pair
from inference.wires import key_spellings
from inference.wires.base import Tool

# What /v1/parse assumes of the screen: it is sent none (docs/api/machines-and-inference.md 4).
WIDTH, HEIGHT = 1920, 1080
FARTHEST = 100_000  # a coordinate that no screen has
MOST_KEYS = 100  # of one press() or typewrite()
LONGEST_WAIT = 60.0
WORD_WAIT_MS = 1000  # of the bare word WAIT

_BUTTONS = ("left", "right", "middle")
_IMPORT = re.compile(r"(?:import|from)\s+(?:pyautogui|time)\b[\w\s.,]*")
_WORDS = {"DONE": "done", "FAIL": "fail", "WAIT": "wait"}
_PLAIN_WORD = re.compile(r"(DONE|FAIL|WAIT)(?:\s*\(\s*\))?")
_FENCE = re.compile(r"^[ \t]*```[^\n]*$", re.MULTILINE)

FORM = """Answer with one or two sentences of thought and then Python code between fences:
```python
pyautogui.click(x=..., y=...)
```
Only these functions, with literal arguments, each call on a line of its own: {functions}.
{where}"""
_OFFERS = {
    "click": "click(x, y, button='left'), doubleClick(x, y), tripleClick(x, y), rightClick(x, y), middleClick(x, y)",
    "move": "moveTo(x, y)",
    "drag": "dragTo(x, y, button='left') after moveTo",
    "scroll": "scroll(notches, x=..., y=...) (positive is up), hscroll(notches, x=..., y=...) (positive is right)",
    "type_text": "write('...')",
    "key_press": "press('...')",
    "key_combo": "hotkey('...', '...')",
    "wait": "time.sleep(seconds)",
}
COVERED = frozenset(_OFFERS)


class Pointer:
    """Where the mouse is while a program is read."""

    def __init__(self, at: Point | None, middle: Point) -> None:
        self.at, self.middle = at, middle


Acts = list[tuple[str, Json]]


class _WrongError(ValueError):
    """What a function needs, in words for the model."""


def parse(code: str) -> list[Json]:
    """The actions of a program in canonical form, [{action_type, params, description}]: docs/api/machines-and-inference.md 4.

    What is not plainly one of the known calls comes back as action_type raw with params {code}, and is never to be executed; so
    do calls whose meaning depends on where the mouse was before the program, but for scroll(): it scrolls the middle of a
    screen of 1920 x 1080. Imports and fences are left out.
    """
    actions: list[Json] = []
    for line, acts in _program(_FENCE.sub("", code), {}, Pointer(None, (WIDTH // 2, HEIGHT // 2))):
        shown = line.comment or line.text[:200]
        canonical = [] if isinstance(acts, str) else [_canonical(name, params) for name, params in acts]
        if not canonical or None in canonical:
            canonical = [("raw", {"code": line.text})]
        actions += [{"action_type": one[0], "params": one[1], "description": shown} for one in canonical if one]
    return actions


def prompt(actions: Sequence[str], tools: Sequence[Tool], where: str) -> str:
    offers = [_OFFERS[name] for name in _OFFERS if name in actions]
    offers += [f"{tool.name}({', '.join(tool.schema.get('properties', {}))}): {tool.description}" for tool in tools]
    return FORM.format(functions="; ".join(offers), where=where)


def read(text: str, functions: Sequence[Tool], pointer: Point | None, middle: Point) -> Reading:
    """The calls of an answer: its fenced code, or all of it where nothing else stands in it. `functions`: what may be called beside
    those of pyautogui."""
    own = {tool.name: list(tool.schema.get("properties", {})) for tool in functions}
    blocks = fenced(text)
    code = "\n".join(blocks) if blocks else text
    calls: list[Call] = []
    for line, acts in _program(code, own, Pointer(pointer, middle)):
        if isinstance(acts, str):
            calls.append(bad(f"Not executed: “{line.text[:200]}” {acts}"))
            continue
        if calls and acts[0][0] == "drag" and calls[-1].name == "move":
            calls.pop()  # it only says where the drag begins
        calls += as_one([_named(name, params, own) for name, params in acts])
    if not blocks and any(call.problem for call in calls):
        return Reading((), text)
    return Reading(tuple(calls), _FENCE.sub("", text.partition("```")[0]).strip() if blocks else "")


def _named(name: str, params: Json, own: Mapping[str, Any]) -> Call:
    """The words DONE and FAIL are ends; the model's way to end is a function, if it has one."""
    if name in {"done", "fail"} and "finish" in own:
        return Call("finish", {"passed": name == "done", "summary": f"The model ended the task: {name}."})
    return Call(name, params)


def _program(
    code: str, own: Mapping[str, Sequence[str]], pointer: Pointer
) -> list[tuple[call_syntax.Line, Acts | str]]:
    """Each statement with its actions, or with what is wrong with it. Only what stands outside of all blocks is done whatever
    happens; the rest may depend on a condition."""
    statements = call_syntax.lines(code)
    called = call_syntax.calls(statements, {*_KNOWN, *own})
    base = statements[0].indent if statements else 0
    program: list[tuple[call_syntax.Line, Acts | str]] = []
    for line, call in zip(statements, called, strict=True):
        word = _PLAIN_WORD.fullmatch(line.text)
        if line.indent != base:
            acts: Acts | str = "stands in a block."
        elif word:
            acts = [(_WORDS[word[1]], {"ms": WORD_WAIT_MS} if word[1] == "WAIT" else {})]
        elif call is None:
            if _IMPORT.fullmatch(line.text):
                continue
            acts = "is no call of a known function with literal arguments."
        else:
            acts = _acts(call, own, pointer)
        program.append((line, acts))
    return program


def _acts(call: Called, own: Mapping[str, Sequence[str]], pointer: Pointer) -> Acts | str:
    if call.name in own:
        return [(call.name, dict(zip(own[call.name], call.args, strict=False)) | call.named)]
    try:
        return _READERS[call.name.rpartition(".")[2]](_Arguments(call), pointer)
    except _WrongError as error:
        return str(error)


class _Arguments:
    def __init__(self, call: Called) -> None:
        self.args, self.named = call.args, call.named

    def get(self, place: int, *names: str) -> Any:
        """The argument of that name, else that at the place, else None."""
        for name in names:
            if name in self.named:
                return self.named[name]
        return self.args[place] if 0 <= place < len(self.args) else None

    def figure(self, place: int, *names: str, default: float | None = None) -> float:
        value = self.get(place, *names)
        value = default if value is None else value
        if not is_number(value) or not abs(value) <= FARTHEST:
            raise _WrongError(f"needs a number as {names[0]}.")
        return value

    def point(self, place: int = 0) -> Point | None:
        """x and y, by name, by place, or as one list; None where neither is there."""
        x, y = self.get(place, "x"), self.get(place + 1, "y")
        point = pair(x) if isinstance(x, list) else pair([x, y])
        if x is not None and point is None:
            raise _WrongError("needs numbers as x and y.")
        return point

    def text(self, place: int, *names: str) -> str:
        value = self.get(place, *names)
        if not isinstance(value, str):
            raise _WrongError(f"needs a text as {names[0]}.")
        return value

    def button(self, place: int) -> str:
        button = self.get(place, "button")
        if button not in (None, *_BUTTONS):
            raise _WrongError("needs left, right or middle as button.")
        return button or "left"


def _at(args: _Arguments, pointer: Pointer, place: int = 0) -> Json:
    """Where it is done; the mouse stands there afterwards."""
    point = args.point(place) or pointer.at
    if point is None:
        raise _WrongError("needs x and y.")
    pointer.at = point
    return {"x": point[0], "y": point[1]}


def _clicking(count: int, button: str) -> "_Reader":
    def click(args: _Arguments, pointer: Pointer) -> Acts:
        times = args.figure(2, "clicks", default=count) if count == 1 else count
        side = args.button(4) if count == 1 and button == "left" else button
        if times not in {1, 2, 3}:
            raise _WrongError("needs 1, 2 or 3 as clicks.")
        return [("click", {**_at(args, pointer), "button": side, "count": int(times)})]

    return click


def _move_to(args: _Arguments, pointer: Pointer) -> Acts:
    return [("move", _at(args, pointer))]


def _drag_to(args: _Arguments, pointer: Pointer) -> Acts:
    start = pointer.at
    if start is None or args.point() is None or args.button(4 if len(args.args) > 4 else 99) != "left":
        raise _WrongError("needs moveTo() before it, x and y, and the left button.")
    end = _at(args, pointer)
    return [("drag", {"from_x": start[0], "from_y": start[1], "to_x": end["x"], "to_y": end["y"]})]


def _scrolling(more: str, less: str) -> "_Reader":
    def scroll(args: _Arguments, pointer: Pointer) -> Acts:
        notches = round(args.figure(0, "clicks", "notches"))
        if not notches:
            raise _WrongError("needs a number that is not 0.")
        point = args.point(1) or pointer.at or pointer.middle
        return [
            (
                "scroll",
                {
                    "x": point[0],
                    "y": point[1],
                    "direction": more if notches > 0 else less,
                    "amount": min(100, abs(notches)),
                },
            )
        ]

    return scroll


def _write(args: _Arguments, pointer: Pointer) -> Acts:
    value = args.get(0, "message", "text")
    if isinstance(value, list):
        return [("key_press", {"key": one}) for one in _names(value)]
    return [("type_text", {"text": args.text(0, "message", "text")})]


def _press(args: _Arguments, pointer: Pointer) -> Acts:
    value = args.get(0, "keys", "key")
    times = args.figure(1, "presses", default=1)
    names = _names(value if isinstance(value, list) else [value])
    if times not in range(1, MOST_KEYS + 1) or times * len(names) > MOST_KEYS:
        raise _WrongError(f"presses no key, or more than {MOST_KEYS} keys.")
    return [("key_press", {"key": one}) for one in names * int(times)]


def _hotkey(args: _Arguments, pointer: Pointer) -> Acts:
    value = args.args[0] if len(args.args) == 1 and isinstance(args.args[0], list) else args.args
    names = _names(value)
    return [("key_press", {"key": names[0]})] if len(names) == 1 else [("key_combo", {"keys": names})]


def _names(value: Sequence[Any]) -> list[str]:
    if not value or len(value) > MOST_KEYS or not all(isinstance(one, str) and one for one in value):
        raise _WrongError("needs names of keys.")
    return list(value)


def _sleep(args: _Arguments, pointer: Pointer) -> Acts:
    seconds = args.figure(0, "secs", "seconds")
    if not 0 <= seconds <= LONGEST_WAIT:
        raise _WrongError(f"needs 0 to {LONGEST_WAIT:g} seconds.")
    return [("wait", {"ms": round(seconds * 1000)})]


_Reader = Callable[[_Arguments, Pointer], Acts]
_READERS: dict[str, _Reader] = {
    "click": _clicking(1, "left"),
    "leftClick": _clicking(1, "left"),
    "rightClick": _clicking(1, "right"),
    "middleClick": _clicking(1, "middle"),
    "doubleClick": _clicking(2, "left"),
    "tripleClick": _clicking(3, "left"),
    "triple_click": _clicking(3, "left"),
    "moveTo": _move_to,
    "dragTo": _drag_to,
    "scroll": _scrolling("up", "down"),
    "vscroll": _scrolling("up", "down"),
    "hscroll": _scrolling("right", "left"),
    "write": _write,
    "typewrite": _write,
    "press": _press,
    "hotkey": _hotkey,
    "sleep": _sleep,
}
# With these before them they are what we think; driver.click() and model.press() are something else.
_KNOWN = {f"{module}{name}" for name in _READERS for module in ("", "pyautogui.", "pg.", "pag.", "computer.")} | {
    "time.sleep"
}


def _canonical(name: str, params: Json) -> tuple[str, Json] | None:
    """Points as whole pixels, keys by our names; None where it cannot be."""
    if name in {"key_press", "key_combo"}:
        try:
            return key_spellings.action([params["key"]] if "key" in params else params["keys"])
        except key_spellings.UnknownKeyError:
            return None
    if name == "fail":
        return name, {"reason": ""}
    rounded = {key: round(value) if isinstance(value, float) else value for key, value in params.items()}
    if any(value < 0 for value in rounded.values() if isinstance(value, int)):
        return None
    return name, rounded
