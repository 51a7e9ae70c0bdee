"""Conditions of a policy, {class} or {path, op, value} on a parameter; all of them must hold (docs/policies.md). Pure.

Who judges an action, replays a rule on past ones and pins what was approved all ask holds(): there is no second truth.
"""

import functools
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import re2

from web.json_values import Detail, Loc, deeper_than, size

Condition = Mapping[str, Any]
MOST = 10  # conditions of a policy
LONGEST_PATH = 200  # characters
LONGEST_PATTERN = 200  # characters
MOST_VALUES = 100  # of `in`
LARGEST = 8 * 1024  # bytes of all conditions as JSON
DEEPEST_VALUE = 10  # levels
MISSING: Final = object()
_PLACE = re.compile("[0-9]{1,9}")
_OF_OTHER_NOTATIONS = frozenset("[]*$\"'")
_MEMORY = 1 << 20  # bytes that a pattern may take; one that needs more is refused


def at(params: Any, path: str) -> Any:
    """What stands at the path, names and places of lists joined by dots ("to.0.email"); MISSING where nothing does."""
    for name in path.split("."):
        if isinstance(params, Mapping):
            params = params.get(name, MISSING)
        elif isinstance(params, list) and _PLACE.fullmatch(name) and int(name) < len(params):
            params = params[int(name)]
        else:
            return MISSING
    return params


def holds(condition: Condition, params: Any, action_class: str = "") -> bool | None:
    """Whether it holds for an action with these parameters, of this class; where nothing stands at its path it does not,
    whatever it says.

    None: it cannot be told, because a newer release wrote it or its pattern cannot read the text.
    """
    if condition.keys() == {"class"}:
        return bool(condition["class"] == action_class)
    if condition.keys() != {"path", "op", "value"} or condition["op"] not in _OPS:
        return None
    here = at(params, condition["path"])
    return False if here is MISSING else _OPS[condition["op"]](here, condition["value"])


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: 1 is 1.0, and neither "1" nor true."""
    if _is_number(one) and _is_number(other):
        return bool(one == other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    return type(one) is type(other) and bool(one == other)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _contains(here: Any, value: Any) -> bool:
    if isinstance(here, list):
        return any(same(each, value) for each in here)
    return isinstance(here, str) and isinstance(value, str) and value in here


def _matches(here: Any, pattern: Any) -> bool | None:
    if not isinstance(here, str):
        return False
    try:
        return _compiled(pattern).search(here) is not None
    except (re2.error, UnicodeEncodeError, TypeError):
        return None


@functools.lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    """RE2 takes time that grows with the text and no faster. Raises re2.error."""
    options = re2.Options()
    options.max_mem, options.log_errors = _MEMORY, False
    return re2.compile(pattern, options)


# Types are strict: text is no number, and true is none either.
_OPS: dict[str, Callable[[Any, Any], bool | None]] = {
    "eq": same,
    "ne": lambda here, value: not same(here, value),
    "gt": lambda here, value: _is_number(here) and _is_number(value) and here > value,
    "lt": lambda here, value: _is_number(here) and _is_number(value) and here < value,
    "contains": _contains,
    "prefix": lambda here, value: isinstance(here, str) and isinstance(value, str) and here.startswith(value),
    "in": lambda here, value: isinstance(value, list) and any(same(here, each) for each in value),
    "matches": _matches,
}


# --- what may be stored


def problems(when: Sequence[Condition], loc: Loc) -> Iterator[Detail]:
    """What is wrong with conditions of either sort, {class} or {path, op, value}, that somebody sent."""
    if len({each["class"] for each in when if "class" in each}) > 1:
        yield loc, "An action has one class: name it once.", "value_error"
    if size(list(when)) > LARGEST:
        yield loc, f"Must be at most {LARGEST // 1024} KiB as JSON.", "value_error"
        return
    for number, condition in enumerate(when):
        yield from _problems(condition, (*loc, number))


def _problems(condition: Condition, loc: Loc) -> Iterator[Detail]:
    if "class" in condition:
        for name in ("path", "op", "value"):
            if name in condition:
                yield (*loc, name), "A condition is about the class or about a parameter: make it two.", "value_error"
        return
    missing = [name for name in ("path", "op", "value") if name not in condition]
    for name in missing:
        yield (*loc, name), "Field required.", "missing"
    if "path" in condition and (problem := _path_problem(condition["path"])):
        yield (*loc, "path"), problem, "value_error"
    if not {"op", "value"}.intersection(missing) and (problem := _value_problem(condition["op"], condition["value"])):
        yield (*loc, "value"), problem, "value_error"


def _path_problem(path: str) -> str | None:
    names = path.split(".")
    if not all(name and name == name.strip() for name in names):
        return "Names joined by dots, such as to.0.email. A name that holds a dot itself cannot be used."
    if not _OF_OTHER_NOTATIONS.isdisjoint(path):
        return "Names and places of lists joined by dots, such as to.0.email; no brackets, quotes, $ or *."
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in path):
        return "Must not hold characters that cannot be seen."
    return None


def _value_problem(op: str, value: Any) -> str | None:
    if deeper_than(value, DEEPEST_VALUE):
        return f"Nested deeper than {DEEPEST_VALUE} levels."
    if op in ("gt", "lt") and not _is_number(value):
        return "Must be a number."
    if op == "in" and not (isinstance(value, list) and 1 <= len(value) <= MOST_VALUES):
        return f"Must be a list of 1 to {MOST_VALUES} values."
    if op in ("prefix", "matches") and not isinstance(value, str):
        return "Must be text."
    if op in ("prefix", "matches", "contains") and value == "":
        return "Must not be empty."
    return _pattern_problem(value) if op == "matches" else None


def _pattern_problem(pattern: str) -> str | None:
    if len(pattern) > LONGEST_PATTERN:
        return f"Must have at most {LONGEST_PATTERN} characters."
    try:
        _compiled(pattern)
    except re2.error as error:
        why = error.args[0] if error.args else b""
        return f"No pattern of RE2: {why.decode(errors='replace') if isinstance(why, bytes) else why}."
    return None


def canonical(when: Sequence[Condition]) -> list[dict[str, Any]]:
    """The same conditions in one form, so that rules that say the same are equal: sorted, each once, 1 for 1.0."""
    rows = [_plain(dict(condition)) for condition in when]
    for row in rows:
        if row.get("op") == "in" and isinstance(row["value"], list):
            row["value"] = _in_order(row["value"])
    return _in_order(rows)


def _in_order(values: list[Any]) -> list[Any]:
    rows = {json.dumps(value, sort_keys=True): value for value in values}
    return [rows[text] for text in sorted(rows)]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
