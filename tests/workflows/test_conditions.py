"""Conditions: their truth and their form (docs/api/workflows.md 4)."""

from typing import Any

import pytest

from tests.workflows.documents import FALSE, TRUE, check, eq, wrong_steps
from workflows.definition.conditions import holds
from workflows.definition.value_rules import TooMuchWork, Work

SCOPE = {
    "inputs": {"n": 3, "name": "Ann", "list": [1, "two", None, {"a": 1}], "object": {"a": 1, "7": 2}, "none": None},
    "vars": {"iteration": 0, "attempt": 1},
    "go": {"status": "succeeded", "passed": True, "error": None},
}
EQUAL: list[tuple[Any, Any, bool]] = [
    (1, 1.0, True), (1, 1, True), (1, 2, False), (0, -0.0, True), (1, True, False), (0, False, False), (True, True, True),
    (True, False, False), ("1", 1, False), (1, "1", False), ("true", True, False), ("a", "a", True), ("a", "A", False),
    ("", None, False), (None, None, True), (None, 0, False), (None, False, False), (None, [], False), ("{{inputs.gone}}", None, True),
    ("{{inputs.gone}}", "", False), ("{{gone}}", "{{inputs.also_gone}}", True), ([], [], True), ([], {}, False), ({}, {}, True),
    ([1, 2], [1.0, 2], True), ([1, 2], [2, 1], False), ([1], [1, 1], False), ([1], [True], False), (["1"], [1], False),
    ({"a": 1, "b": [2]}, {"b": [2.0], "a": 1.0}, True), ({"a": 1}, {"a": True}, False), ({"a": None}, {}, False),
    ({"a": 1}, {"b": 1}, False), ("{{inputs.n}}", 3, True), ("{{inputs.n}}", "3", False), ("n={{inputs.n}}", "n=3", True),
    ("{{inputs.object}}", {"a": 1, "7": 2}, True), ({"x": ["{{inputs.n}}"]}, {"x": [3]}, True), ("{{go.passed}}", True, True),
    ("{{go.passed}}", 1, False), (2**70, 2**70 + 1, False), (2**53 + 1, float(2**53), False),
]  # fmt: skip
ORDERED: list[tuple[Any, Any, str]] = [
    (1, 2, "lt lte"), (2, 1, "gt gte"), (1, 1.0, "lte gte"), ("1", 2, "lt lte"), ("10", "9", "gt gte"), (" 1.5 ", "1.5", "lte gte"),
    ("-2", 1, "lt lte"), ("+3", 3, "lte gte"), ("1e2", 100, "lte gte"), (".5", "0.5", "lte gte"), ("1.", 1, "lte gte"),
    ("1e999", 10**300, "gt gte"), ("{{inputs.n}}", 2, "gt gte"), ("{{inputs.n}}", "3", "lte gte"),
    # anything else is false for all four
    (True, 0, ""), (1, True, ""), (False, False, ""), ("true", 1, ""), ("a", "b", ""), ("", 1, ""), (" ", 1, ""), ("1_000", 1, ""),
    ("nan", 1, ""), ("inf", 1, ""), ("0x10", 1, ""), ("1,5", 1, ""), ("١", 0, ""), ("1" * 401, 1, ""), (None, 1, ""), (1, None, ""),
    ([1], 1, ""), ({}, 1, ""), ("{{inputs.gone}}", 1, ""), ("{{inputs.list}}", 0, ""),
]  # fmt: skip
CONTAINS: list[tuple[Any, Any, bool]] = [
    ("Hello Ann", "Ann", True), ("Hello {{inputs.name}}", "{{inputs.name}}", True), ("Hello", "hello", False), ("abc", "", True),
    ("n=3", "{{inputs.n}}", True), ("is true", True, True), ('a {"a":1}', {"a": 1}, True), ("1.5", 1.5, True), ("abc", None, False),
    ("abc", "{{inputs.gone}}", False), ("null", None, False), ([1, 2], 2, True), ([1, 2], 2.0, True), ([1, 2], "2", False),
    ([1], True, False), (["ab"], "a", False), ([[1]], [1], True), ([{"a": 1}], {"a": 1.0}, True), ([None], None, False),
    ([], "{{inputs.gone}}", False), ("{{inputs.list}}", "two", True), ("{{inputs.list}}", {"a": 1}, True), ({"a": 1}, "a", True),
    ({"a": 1}, "b", False), ({"a": 1}, 1, False), ("{{inputs.object}}", 7, True), ("{{inputs.object}}", "{{inputs.gone}}", False),
    (12, 1, False), (True, True, False), (None, "a", False), (None, None, False), ("{{inputs.gone}}", "a", False),
]  # fmt: skip
TRUTH: list[tuple[Any, bool]] = [
    (None, False), ("{{inputs.gone}}", False), ("{{inputs.none}}", False), (False, False), (0, False), (0.0, False), (-0.0, False),
    ("", False), ([], False), ({}, False), ("{{inputs.gone}}{{inputs.none}}", False), (True, True), (1, True), (-1, True),
    (0.1, True), ("false", True), ("0", True), (" ", True), ("null", True), ([0], True), ([None], True), ({"a": None}, True),
    ("{{inputs.n}}", True), ("{{go.passed}}", True), ("{{vars.iteration}}", False), ("x{{inputs.gone}}", True),
]  # fmt: skip
EXISTS: list[tuple[Any, bool]] = [
    (None, False), ("{{inputs.gone}}", False), ("{{inputs.none}}", False), ("{{go.error}}", False), ("{{gone.deep.er}}", False),
    ("{{inputs.n.x}}", False), ("{{inputs.list.9}}", False), ("", True), (0, True), (False, True), ([], True), ({}, True), ("a", True),
    ("{{vars.iteration}}", True), ("{{inputs}}", True), ("{{inputs.gone}}!", True),
]  # fmt: skip


def true(condition: dict[str, Any]) -> bool:
    assert wrong_steps([check(condition=condition)]) == []
    return holds(condition, SCOPE, Work())


@pytest.mark.parametrize(("left", "right", "same"), EQUAL, ids=str)
def test_T_144_eq_and_its_opposite_ne(left: Any, right: Any, same: bool) -> None:
    assert true({"op": "eq", "left": left, "right": right}) is same
    assert true({"op": "eq", "left": right, "right": left}) is same
    assert true({"op": "ne", "left": left, "right": right}) is not same


@pytest.mark.parametrize(("left", "right", "holding"), ORDERED, ids=lambda value: str(value)[:20])
def test_order_needs_numbers_or_numeric_text_on_both_sides(left: Any, right: Any, holding: str) -> None:
    found = [op for op in ("lt", "gt", "lte", "gte") if true({"op": op, "left": left, "right": right})]
    assert set(found) == set(holding.split())


@pytest.mark.parametrize(("left", "right", "inside"), CONTAINS, ids=str)
def test_T_145_contains(left: Any, right: Any, inside: bool) -> None:
    assert true({"op": "contains", "left": left, "right": right}) is inside


@pytest.mark.parametrize(("value", "truth"), TRUTH, ids=str)
def test_T_145_truthy_and_falsy(value: Any, truth: bool) -> None:
    assert true({"op": "truthy", "value": value}) is truth
    assert true({"op": "falsy", "value": value}) is not truth


@pytest.mark.parametrize(("value", "there"), EXISTS, ids=str)
def test_T_143_exists(value: Any, there: bool) -> None:
    assert true({"op": "exists", "value": value}) is there


COMBINED: list[tuple[dict[str, Any], bool]] = [
    ({"op": "and", "conditions": [TRUE]}, True),
    ({"op": "and", "conditions": [TRUE, TRUE]}, True),
    ({"op": "and", "conditions": [TRUE, FALSE]}, False),
    ({"op": "or", "conditions": [FALSE]}, False),
    ({"op": "or", "conditions": [FALSE, TRUE]}, True),
    ({"op": "not", "condition": TRUE}, False),
    ({"op": "not", "condition": {"op": "not", "condition": TRUE}}, True),
    ({"op": "or", "conditions": [{"op": "and", "conditions": [TRUE, FALSE]}, {"op": "not", "condition": FALSE}]}, True),
    ({"type": "field_equals", "field": "go.status", "value": "succeeded"}, True),
    ({"type": "field_equals", "field": "go.status", "value": "failed"}, False),
    ({"type": "field_equals", "field": "go.gone", "value": None}, True),
    ({"type": "field_equals", "field": "inputs.n", "value": "{{inputs.n}}"}, True),
    ({"type": "field_equals", "field": "inputs.n", "value": "3"}, False),
    ({"type": "field_equals", "op": None, "field": "inputs.list.1", "value": "two"}, True),
    ({"type": "field_equals", "op": "falsy", "field": "inputs.n", "value": 0}, True),  # op wins
    ({"type": "nonsense", "op": "truthy", "value": 1}, True),
]


@pytest.mark.parametrize(("condition", "truth"), COMBINED, ids=str)
def test_combined_and_field_conditions(condition: dict[str, Any], truth: bool) -> None:
    assert true(condition) is truth


AT_OP = [("op", "value_error")]
FORM: list[tuple[Any, list[tuple[Any, ...]]]] = [
    ("{{go.passed}}", AT_OP), (True, AT_OP), (0, AT_OP), ([], AT_OP), ([TRUE], AT_OP), ({}, AT_OP), ({"op": None}, AT_OP),
    ({"op": "is", "left": 1, "right": 1}, AT_OP), ({"op": "EQ", "left": 1, "right": 1}, AT_OP), ({"op": 1}, AT_OP), ({"op": []}, AT_OP),
    ({"op": {}}, AT_OP), ({"op": ""}, AT_OP), ({"type": "field_is", "field": "a", "value": 1}, AT_OP), ({"type": "eq"}, AT_OP),
    ({"op": "is", "type": "field_equals", "field": "a", "value": 1}, AT_OP), ({"left": 1, "right": 1}, AT_OP),
    (eq(None, None), []), ({"op": "eq", "right": 1}, [("left", "missing")]), ({"op": "lt", "left": 1}, [("right", "missing")]),
    ({"op": "contains"}, [("left", "missing"), ("right", "missing")]),
    ({"op": "truthy"}, [("value", "missing")]), ({"op": "exists", "value": None}, []),
    ({"op": "and"}, [("conditions", "missing")]), ({"op": "or", "conditions": None}, [("conditions", "missing")]),
    ({"op": "and", "conditions": []}, [("conditions", "value_error")]), ({"op": "or", "conditions": {}}, [("conditions", "type_error")]),
    ({"op": "and", "conditions": [TRUE, None, 1]}, [("conditions", 1, "op", "value_error"), ("conditions", 2, "op", "value_error")]),
    ({"op": "not"}, [("condition", "missing")]), ({"op": "not", "condition": []}, [("condition", "op", "value_error")]),
    ({"op": "not", "condition": {"op": "or", "conditions": [{"op": "eq", "left": 1}]}},
     [("condition", "conditions", 0, "right", "missing")]),
    ({"type": "field_equals"}, [("field", "missing"), ("value", "missing")]),
    ({"type": "field_equals", "field": 1, "value": 1}, [("field", "type_error")]),
    ({"type": "field_equals", "field": "{{go}}", "value": 1}, [("field", "value_error")]),
    ({"type": "field_equals", "field": ".a", "value": 1}, [("field", "value_error")]),
    ({"type": "field_equals", "field": "", "value": 1}, [("field", "value_error")]),
    ({"type": "field_equals", "field": "a.b", "value": None}, []),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "expected"), FORM, ids=str)
def test_any_other_shape_is_refused_where_it_stands(condition: Any, expected: list[tuple[Any, ...]]) -> None:
    found = wrong_steps([check(condition=condition)])
    assert [(*loc, kind) for loc, kind in found] == [(0, "condition", *each) for each in expected]


def test_a_condition_cannot_look_for_ever() -> None:
    scope = {"inputs": {"a": [list(range(2000))], "b": [list(range(2000))]}}
    many = {"op": "and", "conditions": [eq("{{inputs.a}}", "{{inputs.b}}")] * 2000}
    with pytest.raises(TooMuchWork):
        holds(many, scope, Work())
