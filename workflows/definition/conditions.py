"""Conditions of assert, if and loop: their form and their truth (docs/api/workflows.md 4)."""

import re
from collections.abc import Callable
from typing import Any

from web.json_values import Loc
from workflows.definition.field_checks import Violations
from workflows.definition.templates import PATH, Scope, expand
from workflows.definition.value_rules import Work, as_number, contains, equal, truthy

Condition = dict[str, Any]


def _ordered(compare: Callable[[float, float], bool]) -> Callable[[Any, Any, Work], bool]:
    """Both sides must be numbers or numeric text; anything else is false."""

    def judge(left: Any, right: Any, work: Work) -> bool:
        a, b = as_number(left), as_number(right)
        return a is not None and b is not None and compare(a, b)

    return judge


BINARY: dict[str, Callable[[Any, Any, Work], bool]] = {
    "eq": equal,
    "ne": lambda left, right, work: not equal(left, right, work),
    "lt": _ordered(lambda a, b: a < b),
    "gt": _ordered(lambda a, b: a > b),
    "lte": _ordered(lambda a, b: a <= b),
    "gte": _ordered(lambda a, b: a >= b),
    "contains": contains,
}
UNARY: dict[str, Callable[[Any], bool]] = {
    "truthy": truthy,
    "falsy": lambda value: not truthy(value),
    "exists": lambda value: value is not None,
}
ACCEPTED = (
    f"Accepted are {{op: {', '.join(BINARY)}, left, right}}, {{op: {', '.join(UNARY)}, value}}, "
    "{op: and, or, conditions}, {op: not, condition} and {type: field_equals, field, value}."
)
_FIELD = re.compile(PATH)


# --- form


def check(condition: Any, at: Loc, violations: Violations) -> None:
    """Add what is wrong with the condition that stands at `at`."""
    if violations.full:
        return
    if not isinstance(condition, dict):
        violations.add((*at, "op"), f"Not a condition. {ACCEPTED}")
        return
    op = condition.get("op")
    if op is None and condition.get("type") == "field_equals":
        _check_field_equals(condition, at, violations)
    elif not isinstance(op, str):
        violations.add((*at, "op"), f"{'No' if op is None else 'Not an'} operator. {ACCEPTED}")
    elif op in BINARY:
        _check_sides(condition, ("left", "right"), at, violations)
    elif op in UNARY:
        _check_sides(condition, ("value",), at, violations)
    elif op in ("and", "or"):
        _check_combined(condition, at, violations)
    elif op == "not":
        check_at(condition, "condition", at, violations)
    else:
        violations.add((*at, "op"), f"Unknown operator '{op[:64]}'. {ACCEPTED}")


def check_at(holder: dict[str, Any], key: str, at: Loc, violations: Violations) -> None:
    """The condition that `holder` must have under `key`."""
    if holder.get(key) is None:
        violations.missing((*at, key))
    else:
        check(holder[key], (*at, key), violations)


def _check_sides(condition: Condition, sides: tuple[str, ...], at: Loc, violations: Violations) -> None:
    """A side may be null but not absent."""
    for side in sides:
        if side not in condition:
            violations.missing((*at, side))


def _check_combined(condition: Condition, at: Loc, violations: Violations) -> None:
    inner = condition.get("conditions")
    if inner is None:
        violations.missing((*at, "conditions"))
    elif not isinstance(inner, list):
        violations.add((*at, "conditions"), "Must be a list of conditions.", "type_error")
    elif not inner:
        violations.add((*at, "conditions"), "Must hold at least one condition.")
    else:
        for k, each in enumerate(inner):
            check(each, (*at, "conditions", k), violations)


def _check_field_equals(condition: Condition, at: Loc, violations: Violations) -> None:
    field = condition.get("field")
    if field is None:
        violations.missing((*at, "field"))
    elif not isinstance(field, str):
        violations.add((*at, "field"), "Must be text.", "type_error")
    elif not _FIELD.fullmatch(field):
        violations.add((*at, "field"), "Must be a path such as start_up.status.")
    _check_sides(condition, ("value",), at, violations)


# --- truth


def holds(condition: Condition, scope: Scope, work: Work) -> bool:
    """Is a condition of valid form true? Raises TooMuchWork."""
    op = condition.get("op")
    if op is None:
        value = expand("{{" + condition["field"] + "}}", scope, work)
        return equal(value, expand(condition["value"], scope, work), work)
    if op in BINARY:
        left, right = (expand(condition[side], scope, work) for side in ("left", "right"))
        return BINARY[op](left, right, work)
    if op in UNARY:
        return UNARY[op](expand(condition["value"], scope, work))
    if op == "not":
        return not holds(condition["condition"], scope, work)
    judged = (holds(each, scope, work) for each in condition["conditions"])
    return all(judged) if op == "and" else any(judged)
