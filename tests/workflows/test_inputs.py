"""inputs_schema in both forms, and inputs held against it (docs/api/workflows.md 7)."""

from typing import Any

import pytest

from web.errors import Invalid
from workflows.definition.inputs import is_json_schema, read_inputs, schema_problem

SHORT = {"file": {"type": "string", "required": True}, "copies": {"type": "integer", "default": 1}}
LONG = {
    "type": "object", "required": ["file"], "additionalProperties": False,
    "properties": {
        "file": {"type": "string", "minLength": 1}, "copies": {"type": "integer", "default": 1},
        "to": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "cc": {"default": []}}},
    },
}  # fmt: skip
EITHER: list[tuple[dict[str, Any], bool]] = [
    ({}, False), ({"type": "object"}, True), ({"type": ["object", "null"]}, True), ({"type": {"type": "string"}}, False),
    ({"required": []}, True), ({"required": {"type": "boolean"}}, False), ({"allOf": []}, True), ({"anyOf": [{}]}, True),
    ({"oneOf": [{}]}, True), ({"oneOf": {}}, False), ({"$schema": "https://json-schema.org/draft/2020-12/schema"}, True),
    ({"$schema": {}}, False), ({"properties": {}}, True), ({"properties": {}, "more": {}}, False), ({"name": {}}, False),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "long"), EITHER, ids=str)
def test_the_top_level_tells_which_form_it_is(schema: dict[str, Any], long: bool) -> None:
    assert is_json_schema(schema) is long


FINE: list[Any] = [
    {}, SHORT, LONG, {"a": {}}, {"a": {"type": None, "required": None, "default": None, "description": None, "enum": None}},
    {"a": {"enum": [1, "x", None]}}, {"a": {"description": "What?"}}, {"type": {"type": "string"}}, {"properties": {"a": {}}},
    {"properties": {"a": True}}, {"properties": {"a": {"$ref": "#"}}}, {"type": "object", "$ref": "#/$defs/a", "$defs": {"a": {}}},
    {"type": "object", "properties": {"a": {"$ref": "#/properties/b"}, "b": {"pattern": "^[a-z]+$"}}},
    {"type": "object", "$id": "https://a.test/b", "$ref": "#/$defs/a", "$defs": {"a": {"required": ["k"]}}},
    {"type": "object", "properties": {"$ref": {"type": "string"}}}, {"type": "object", "enum": [{"$ref": "https://a.test"}]},
    {"type": "object", "default": {"$ref": 1}},
]  # fmt: skip


@pytest.mark.parametrize("schema", FINE, ids=str)
def test_a_schema_in_order_has_no_problem(schema: Any) -> None:
    assert schema_problem(schema) is None


DOUBLING = {"30": {}} | {str(n): {"allOf": [{"$ref": f"#/$defs/{n + 1}"}] * 2} for n in range(30)}
BROKEN: list[tuple[Any, str]] = [
    ([], "object"), ("string", "object"), (True, "object"), ({"a": "string"}, "'a'"), ({"a": None}, "'a'"), ({"a": []}, "'a'"),
    ({"a": {"typ": "string"}}, "'typ'"), ({"a": {"minimum": 1}}, "'minimum'"), ({"a": {"type": "text"}}, "type"),
    ({"a": {"type": ["string"]}}, "type"), ({"a": {"type": {}}}, "type"), ({"a": {"required": "yes"}}, "required"),
    ({"a": {"required": 1}}, "required"), ({"a": {"description": 1}}, "description"), ({"a": {"enum": []}}, "enum"),
    ({"a": {"enum": "x"}}, "enum"), ({"a": {"type": "integer", "default": "x"}}, "default"),
    ({"a": {"enum": [1, 2], "default": 3}}, "default"), ({"properties": {}, "additionalProperties": False}, "'additionalProperties'"),
    ({"type": "text"}, "'type'"), ({"type": []}, "'type'"), ({"required": [1]}, "'required/0'"), ({"properties": []}, "'properties'"),
    ({"type": "object", "properties": {"a": {"type": "text"}}}, "'properties/a/type'"), ({"type": "object", "minProperties": -1}, "-1"),
    ({"anyOf": []}, "'anyOf'"), ({"type": "object", "$ref": "https://a.test/s.json"}, "refers to"),
    ({"type": "object", "$ref": "s.json"}, "refers"),
    ({"type": "object", "$ref": "#/$defs/gone"}, "refers to"), ({"type": "object", "$ref": "#name"}, "refers to"),
    ({"type": "object", "$ref": "#/enum/0", "enum": [{"type": "object"}]}, "refers to"),
    ({"type": "object", "$ref": "file:///etc/passwd"}, "refers"),
    ({"type": "object", "$ref": "#"}, "itself"), ({"type": "object", "allOf": [{"not": {"$ref": "#/allOf/0"}}]}, "itself"),
    ({"type": "object", "$dynamicRef": "#x"}, "$dynamicRef"), ({"type": "object", "properties": {"a": {"$id": "b"}}}, "$id"),
    ({"type": "object", "properties": {"a": {"pattern": "("}}}, "not valid"),
    ({"type": "object", "properties": {"a": {"pattern": "(a+)+"}}}, "repeats"),
    ({"type": "object", "patternProperties": {"(a|a)*b": {}}}, "repeats"),
    ({"type": "object", "properties": {f"a{n}": {} for n in range(500)}}, "500"),
    ({"type": "object", "description": "x" * 65_536}, "64 KiB"),
    ({"type": "object", "$ref": "#/$defs/0", "$defs": DOUBLING},
     "more than 250"),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "said"), BROKEN, ids=lambda value: str(value)[:50])
def test_a_broken_schema_is_told_why(schema: Any, said: str) -> None:
    problem = schema_problem(schema)
    assert problem is not None
    assert said in problem
    assert len(problem) < 500


def refused(schema: dict[str, Any], given: Any) -> list[tuple[Any, ...]]:
    with pytest.raises(Invalid) as caught:
        read_inputs(schema, given)
    details = caught.value.facts["details"]
    assert all(d["loc"][:2] == ["body", "inputs"] and d["msg"] for d in details)
    return [(*d["loc"][2:], d["type"]) for d in details]


@pytest.mark.parametrize("schema", [SHORT, LONG], ids=["short", "long"])
def test_T_160_a_missing_required_input_is_named(schema: dict[str, Any]) -> None:
    assert refused(schema, {}) == [("file", "missing")]
    assert refused(schema, None) == [("file", "missing")]


@pytest.mark.parametrize("schema", [SHORT, LONG], ids=["short", "long"])
def test_T_160_defaults_are_applied(schema: dict[str, Any]) -> None:
    assert read_inputs(schema, {"file": "a"}) == {"file": "a", "copies": 1}
    assert read_inputs(schema, {"file": "a", "copies": 2}) == {"file": "a", "copies": 2}


WRONG: list[tuple[dict[str, Any], Any, list[tuple[Any, ...]]]] = [
    (SHORT, [], [("type_error",)]), (SHORT, "x", [("type_error",)]), (SHORT, {"file": 1}, [("file", "type_error")]),
    (SHORT, {"file": None}, [("file", "type_error")]), (SHORT, {"file": "a", "copies": 1.5}, [("copies", "type_error")]),
    (SHORT, {"file": "a", "copies": True}, [("copies", "type_error")]),
    (SHORT, {"copies": "1"}, [("copies", "type_error"), ("file", "missing")]),
    ({"a": {"enum": ["x", 1]}}, {"a": "y"}, [("a", "value_error")]), ({"a": {"type": "number"}}, {"a": "1"}, [("a", "type_error")]),
    ({"a": {"type": "boolean"}}, {"a": 0}, [("a", "type_error")]), ({"a": {"type": "object"}}, {"a": []}, [("a", "type_error")]),
    ({"a": {"type": "array"}}, {"a": {}}, [("a", "type_error")]), (LONG, {"file": ""}, [("file", "value_error")]),
    (LONG, {"file": "a", "x": 1, "y": 2}, [("x", "extra_forbidden"), ("y", "extra_forbidden")]),
    (LONG, {"file": "a", "to": {}}, [("to", "name", "missing")]), (LONG, {"file": "a", "to": {"name": 1}}, [("to", "name", "type_error")]),
    ({"properties": {"l": {"items": {"type": "integer"}}}}, {"l": [1, "x", 2, "y"]}, [("l", 1, "type_error"), ("l", 3, "type_error")]),
    ({"properties": {"l": {"uniqueItems": True}}}, {"l": [{"a": 1}, {"a": 1.0}]}, [("l", "value_error")]),
    ({"type": "object", "required": ["a", "b", "c"]}, {"b": 1}, [("a", "missing"), ("c", "missing")]),
    ({"type": "object", "patternProperties": {"^x_": {"type": "integer"}}, "additionalProperties": False}, {"x_a": "1", "y": 1},
     [("x_a", "type_error"), ("y", "extra_forbidden")]),
    ({"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, {}, [("value_error",)]),
    ({"type": "array"}, {}, [("type_error",)]),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "given", "expected"), WRONG, ids=lambda value: str(value)[:50])
def test_inputs_that_do_not_fit_are_refused_where_they_stand(
    schema: dict[str, Any], given: Any, expected: list[tuple[Any, ...]]
) -> None:
    assert schema_problem(schema) is None
    assert sorted(refused(schema, given)) == sorted(expected)


def test_extra_inputs_are_allowed_unless_the_schema_forbids_them() -> None:
    assert read_inputs(SHORT, {"file": "a", "more": [1]}) == {"file": "a", "more": [1], "copies": 1}
    assert read_inputs(None, {"anything": {"goes": None}}) == {"anything": {"goes": None}}
    assert read_inputs({}, None) == {}


def test_defaults_inside_given_objects_are_applied() -> None:
    assert read_inputs(LONG, {"file": "a", "to": {"name": "Ann"}})["to"] == {"name": "Ann", "cc": []}


def test_a_default_satisfies_a_required_input() -> None:
    assert read_inputs({"a": {"required": True, "default": 1}}, {}) == {"a": 1}


def test_neither_inputs_nor_schema_are_changed_or_shared() -> None:
    schema = {"a": {"default": {"k": []}}, "b": {"type": "object"}}
    given: dict[str, Any] = {"b": {"x": []}}
    found = read_inputs(schema, given)
    found["a"]["k"].append(1)
    found["b"]["x"].append(1)
    assert schema == {"a": {"default": {"k": []}}, "b": {"type": "object"}}
    assert given == {"b": {"x": []}}


def test_the_task_of_the_start_stands_for_an_input_that_the_schema_knows() -> None:
    schema = {"task": {"type": "string", "required": True}}
    assert read_inputs(schema, {}, "File it") == {"task": "File it"}
    assert read_inputs(schema, {"task": "Other"}, "File it") == {"task": "Other"}
    assert read_inputs(LONG, {"file": "a"}, "File it") == {"file": "a", "copies": 1}


def deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


TREE = {"type": "object", "properties": {"a": {"$ref": "#"}}}
HEAVY: list[tuple[dict[str, Any], Any]] = [
    (TREE | {"properties": {"a": {"allOf": [{"$ref": "#"}] * 20}}}, deep(90)),
    ({"properties": {"l": {"items": {"anyOf": [{"type": "string"}] * 99 + [{}]}}}}, {"l": [1] * 100_000}),
    ({"properties": {"s": {"pattern": "^[^@ ]+@[^@ ]+\\.[^@ ]+$"}}}, {"s": "a" * 5000}),
    ({"properties": {"l": {"items": {"pattern": "^[^@ ]+@[^@ ]+\\.[^@ ]+$"}}}}, {"l": ["a" * 400] * 1000}),
    ({"type": "object", "patternProperties": {"a*b*c": {}}}, {"a" * 5000: 1}),
    ({"properties": {"l": {"items": {"enum": list(range(5000))}}}}, {"l": [-1] * 5000}),
    ({"properties": {"n": {"multipleOf": 0.1}}}, {"n": 10**4000}),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "given"), HEAVY, ids=lambda value: str(value)[:50])
def test_what_would_take_too_long_is_refused(schema: dict[str, Any], given: Any) -> None:
    assert schema_problem(schema) is None
    assert refused(schema, given) == [("value_error",)]


def test_what_is_deep_or_long_but_honest_is_checked() -> None:
    assert read_inputs(TREE, deep(90)) == deep(90)
    addresses = {"l": ["ann@example.com"] * 2000}
    assert (
        read_inputs({"properties": {"l": {"items": {"pattern": "^[^@ ]+@[^@ ]+\\.[^@ ]+$"}}}}, addresses) == addresses
    )
    unique = {"l": [{"k": n} for n in range(5000)]}
    assert read_inputs({"properties": {"l": {"uniqueItems": True}}}, unique) == unique


def test_the_number_of_violations_is_bounded() -> None:
    assert len(refused({"properties": {"l": {"items": {"type": "string"}}}}, {"l": [1] * 1000})) == 100
