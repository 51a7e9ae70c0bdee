"""The language of UI-TARS: `Thought: …` and `Action: click(start_box='(x,y)')`."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from inference.dialects import call_syntax
from inference.dialects.tool_calls import Call, Json, Point, Reading, as_one, bad, pair
from inference.wires.base import Tool

PAUSE_MS = 5000

# Our action: how it is offered.
_OFFERS = {
    "click": "click(start_box='(x,y)')\nleft_double(start_box='(x,y)')\nright_single(start_box='(x,y)')",
    "drag": "drag(start_box='(x,y)', end_box='(x,y)')",
    "move": "hover(start_box='(x,y)')",
    "key_combo": "hotkey(key='ctrl c') # Keys with spaces between them; one key alone is pressed.",
    "type_text": "type(content='xxx') # Use escapes: \\', \\\" and \\n. A \\n at the end submits the input.",
    "scroll": "scroll(start_box='(x,y)', direction='down or up or right or left')",
    "wait": "wait() # Sleep for 5 s and take a screenshot to check for any changes.",
}
COVERED = frozenset({*_OFFERS, "key_press"})
_FORM = """## Output Format
```
Thought: ...
Action: ...
```

## Action Space
{actions}

## Note
- {where}
- Write a small plan and finally summarize your next action (with its target element) in one sentence in the `Thought` part.
- One action in each answer."""

_ACTION = re.compile(r"(?:^|\n)[ \t]*Action:[ \t]*", re.IGNORECASE)
_THOUGHT = re.compile(r"(?:^|\n)[ \t]*(?:Thought|Reflection|Action_Summary):[ \t]*", re.IGNORECASE)
_BOX = re.compile(r"<\|box_(?:start|end)\|>|</?(?:point|bbox|box)>")
_FIGURES = re.compile(r"[(\[]?\s*(-?\d{1,9}(?:\.\d{1,9})?(?:\s*[,\s]\s*-?\d{1,9}(?:\.\d{1,9})?){1,3})\s*[)\]]?")
_LOOSE = re.compile(r"(type|finished|call_user)\(\s*(?:content\s*=\s*)?(['\"])(.*)\2\s*\)", re.DOTALL)
_ESCAPE = re.compile(r"\\(['\"\\nt])")
_ESCAPES = {"n": "\n", "t": "\t"}


def prompt(actions: Sequence[str], tools: Sequence[Tool], where: str) -> str:
    offers = [_OFFERS[name] for name in _OFFERS if name in actions]
    names = {tool.name for tool in tools}
    offers += [f"{tool.name}({_arguments(tool)}) # {tool.description}" for tool in tools if tool.name != "finish"]
    if "finish" in names:
        offers.append("finished(content='xxx') # The task is done; say what came of it.")
    return _FORM.format(actions="\n".join(offers), where=where)


def _arguments(tool: Tool) -> str:
    return ", ".join(f"{name}=..." for name in tool.schema.get("properties", {}))


def read(text: str, functions: Sequence[Tool], pointer: Point | None, middle: Point) -> Reading:
    """`functions`: whatever may be called beside the actions of the language."""
    parts = _ACTION.split(text)
    thought = _THOUGHT.sub("\n", parts[0]).strip()
    calls: list[Call] = []
    for part in parts[1:]:
        for statement in call_syntax.lines(_BOX.sub("", _THOUGHT.split(part)[0])):
            calls += _read(statement.text, functions, (pointer, middle))
    return Reading(tuple(calls), thought)


def _read(text: str, functions: Sequence[Tool], mouse: tuple[Point | None, Point]) -> list[Call]:
    own = {tool.name: list(tool.schema.get("properties", {})) for tool in functions}
    called = call_syntax.call(text, {*_READERS, *own}) or _loose(text)
    if called is None:
        return [bad(f"Not executed: “{text[:200]}” is no action of the action space with plain values.")]
    if called.name in own and called.name not in _READERS:
        params = dict(zip(own[called.name], called.args, strict=False)) | called.named
        return [Call(called.name, params)]
    reading = _READERS[called.name](called, mouse)
    if isinstance(reading, str):
        return [bad(f"Not executed: {called.name} {reading}")]
    return as_one([Call(name, params) for name, params in reading])


def _loose(text: str) -> call_syntax.Called | None:
    """Text whose quotes were not escaped: it ends with the last quote."""
    match = _LOOSE.fullmatch(text.strip())
    if not match:
        return None
    content = _ESCAPE.sub(lambda escape: _ESCAPES.get(escape[1], escape[1]), match[3])
    return call_syntax.Called(match[1], [], {"content": content})


Read = list[tuple[str, Json]] | str
Mouse = tuple[Point | None, Point]


def _point(called: call_syntax.Called, *names: str) -> Point | None:
    value = next((called.named[name] for name in names if name in called.named), None)
    if value is None and called.args:
        value = called.args[0]
    if isinstance(value, str):
        match = _FIGURES.fullmatch(value.strip())
        value = re.split(r"[,\s]+", match[1]) if match else None
    return pair(value)


def _clicking(extra: Json) -> Callable[[call_syntax.Called, Mouse], Read]:
    def click(called: call_syntax.Called, mouse: Mouse) -> Read:
        point = _point(called, "start_box", "point")
        return [("click", {"x": point[0], "y": point[1], **extra})] if point else "needs start_box='(x,y)'."

    return click


def _hover(called: call_syntax.Called, mouse: Mouse) -> Read:
    point = _point(called, "start_box", "point")
    return [("move", {"x": point[0], "y": point[1]})] if point else "needs start_box='(x,y)'."


def _drag(called: call_syntax.Called, mouse: Mouse) -> Read:
    start = _point(called, "start_box", "start_point")
    end = pair_of(called, "end_box", "end_point")
    if not start or not end:
        return "needs start_box='(x,y)' and end_box='(x,y)'."
    return [("drag", {"from_x": start[0], "from_y": start[1], "to_x": end[0], "to_y": end[1]})]


def pair_of(called: call_syntax.Called, *names: str) -> Point | None:
    """A point that is named, or the second argument."""
    rest = call_syntax.Called(called.name, called.args[1:], called.named)
    return _point(rest, *names)


def _hotkey(called: call_syntax.Called, mouse: Mouse) -> Read:
    value = _text(called, "key", "keys", "hotkey")
    keys = re.split(r"[\s+]+", value.strip()) if value and value.strip() else []
    if not keys or not all(keys):
        return "needs key='ctrl c'."
    return [("key_press", {"key": keys[0]})] if len(keys) == 1 else [("key_combo", {"keys": keys})]


def _type(called: call_syntax.Called, mouse: Mouse) -> Read:
    text = _text(called, "content", "text")
    if text is None:
        return "needs content='…'."
    line = text.removesuffix("\n")
    typed: list[tuple[str, Json]] = [("type_text", {"text": line})] if line or line == text else []
    return typed if line == text else [*typed, ("key_press", {"key": "enter"})]


def _scroll(called: call_syntax.Called, mouse: Mouse) -> Read:
    direction = called.named.get("direction", called.args[-1] if called.args else None)
    named = "start_box" in called.named or "point" in called.named or len(called.args) > 1
    point = _point(called, "start_box", "point") if named else mouse[0] or mouse[1]
    if not point or direction not in ("up", "down", "left", "right"):
        return "needs start_box='(x,y)' and direction, one of up, down, left, right."
    return [("scroll", {"x": point[0], "y": point[1], "direction": direction, "amount": 5})]


def _finished(called: call_syntax.Called, mouse: Mouse) -> Read:
    return [("finish", {"passed": True, "summary": _text(called, "content") or "The model ended the task."})]


def _call_user(called: call_syntax.Called, mouse: Mouse) -> Read:
    question = _text(called, "content") or "The model asks for a person's help."
    return [("ask_human", {"question": question})]


def _text(called: call_syntax.Called, *names: str) -> str | None:
    value: Any = next((called.named[name] for name in names if name in called.named), None)
    if value is None and called.args:
        value = called.args[0]
    return value if isinstance(value, str) else None


_READERS: dict[str, Callable[[call_syntax.Called, Mouse], Read]] = {
    "click": _clicking({}),
    "left_single": _clicking({}),
    "left_double": _clicking({"count": 2}),
    "right_single": _clicking({"button": "right"}),
    "middle_click": _clicking({"button": "middle"}),
    "hover": _hover,
    "mouse_move": _hover,
    "drag": _drag,
    "select": _drag,
    "hotkey": _hotkey,
    "press": _hotkey,
    "type": _type,
    "scroll": _scroll,
    "wait": lambda called, mouse: [("wait", {"ms": PAUSE_MS})],
    "finished": _finished,
    "call_user": _call_user,
}
