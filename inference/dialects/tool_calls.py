"""One thing that a model called for, before it is known whether there is such a thing. Points are as the model wrote them."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

Json = dict[str, Any]
Point = tuple[float, float]

# By what a point goes into the parameters of an action, and out of them to the screen.
POINTS = (("x", "y"), ("from_x", "from_y"), ("to_x", "to_y"), ("x1", "y1"), ("x2", "y2"))
NUMBERS = frozenset(
    {"x", "y", "from_x", "from_y", "to_x", "to_y", "x1", "y1", "x2", "y2", "count", "amount", "ms", "seconds"}
)

_NUMERAL = re.compile(r"[+-]?\d{1,12}(?:\.\d{1,12})?")
_THINK = re.compile(r"<think(?:ing)?>(.*?)</think(?:ing)?>", re.DOTALL)
_SPECIAL = re.compile(r"<\|(?:im_start|im_end|endoftext|eot_id|end)\|>")
_FENCE = re.compile(r"```[\w+-]*[ \t]*\n(.*?)(?:\n[ \t]*)?```", re.DOTALL)


@dataclass(frozen=True)
class Call:
    """`name` with `params`, or `problem`: what to tell the model about what could not be read. `id` is the vendor's, if any.
    `more`: the next call belongs to the same."""

    name: str = ""
    params: Json = field(default_factory=dict)
    text: str = ""
    problem: str = ""
    id: str = ""
    more: bool = False


@dataclass(frozen=True)
class Reading:
    """A whole answer: its calls in order, and the words beside them."""

    calls: tuple[Call, ...] = ()
    text: str = ""


def bad(problem: str, call_id: str = "") -> Call:
    return Call(problem=problem, id=call_id)


def without_thinking(text: str) -> tuple[str, str]:
    """(what is said, what was thought before). A chat template may have written the opening mark into the prompt, and an
    answer that was cut has no closing one."""
    text = _SPECIAL.sub("", text)
    thoughts = [match.strip() for match in _THINK.findall(text)]
    answer = _THINK.sub("", text)
    before, mark, after = answer.partition("</think>")
    if mark:
        thoughts, answer = [before.strip(), *thoughts], after
    answer, mark, after = answer.partition("<think>")
    if mark:
        thoughts.append(after.strip())
    return answer.strip(), "\n\n".join(filter(None, thoughts))


def fenced(text: str) -> list[str]:
    """The contents of the blocks between fences."""
    return [block.strip() for block in _FENCE.findall(text)]


def json_object(text: str) -> Json:
    """Raises ValueError that says in words for the model what is wrong."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        place = f" ({error.msg} at character {error.pos})" if isinstance(error, json.JSONDecodeError) else ""
        raise ValueError(f"is not valid JSON{place}") from None
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")
    return value


def numbers(params: Json) -> Json:
    """Numerals that were written as strings are the numbers they show; anything else stays what it is."""
    return {name: _number(value) if name in NUMBERS else value for name, value in params.items()}


def _number(value: Any) -> Any:
    if isinstance(value, str) and _NUMERAL.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def pair(value: Any) -> Point | None:
    """The point in [x, y], or the middle of the box in [x1, y1, x2, y2]."""
    if not isinstance(value, list | tuple) or len(value) not in {2, 4}:
        return None
    figures = [_number(one) for one in value]
    if not all(is_number(one) and abs(one) < 1e9 for one in figures):
        return None
    if len(figures) == 2:
        return figures[0], figures[1]
    return _number((figures[0] + figures[2]) / 2), _number((figures[1] + figures[3]) / 2)


def as_one(calls: Sequence[Call]) -> list[Call]:
    """Several actions that the model said as one."""
    return [replace(call, more=index < len(calls) - 1) for index, call in enumerate(calls)]
