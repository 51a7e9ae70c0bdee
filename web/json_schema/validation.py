"""JSON Schema 2020-12 that people write: used without fetching anything, and without working for ever.

A schema can refer to itself, double its work with every reference, or hold an expression that `re` never ends with. What can be
seen in the schema is refused by `problem`; the rest is counted while values are checked.
"""

import json
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any
from urllib.parse import unquote

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from web.json_schema import patterns
from web.json_values import size

MOST_BYTES = 64 * 1024
MOST_PARTS = 500  # objects of a schema; each takes about a millisecond to check
MOST_IN_PLACE = 250  # parts that may apply to one and the same value
MOST_EFFORT = 100_000  # keywords applied, and kilobytes looked at, in one check: about a second
_ONE = (
    "not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames", "unevaluatedItems",
    "unevaluatedProperties", "contentSchema",
)  # fmt: skip
_MANY = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
_IN_PLACE = frozenset({"not", "if", "then", "else", "allOf", "anyOf", "oneOf", "dependentSchemas"})
_BY_PATTERN = frozenset({"patternProperties", "additionalProperties", "unevaluatedProperties"})

Schema = dict[str, Any]


class TooMuchEffort(Exception):
    """The value cannot be checked in reasonable time."""


# --- the schema itself


def problem(schema: Any) -> str | None:
    """Why this is no usable schema; None when it is."""
    if not isinstance(schema, dict):
        return "is not an object"
    try:
        if size(schema) > MOST_BYTES:
            return f"is larger than {MOST_BYTES // 1024} KiB"
        if count_parts(schema) > MOST_PARTS:
            return f"has more than {MOST_PARTS} parts"
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = "/".join(str(part) for part in error.absolute_path)
        return f"is not valid at '{where[:100]}': {error.message[:200]}"
    except (RecursionError, ValueError):
        return "is nested too deep, or holds a number that is too large"
    return _problem_of_parts(schema)


def count_parts(schema: Schema) -> int:
    """Objects in the schema, itself included: what it takes to check it."""
    count = 0
    layer: list[Any] = [schema]
    while layer:
        count += sum(isinstance(each, dict) for each in layer)
        inner = (each.values() if isinstance(each, dict) else each for each in layer)
        layer = [child for children in inner for child in children if isinstance(child, dict | list)]
    return count


def _problem_of_parts(schema: Schema) -> str | None:
    parts = {id(part): part for part in _parts(schema)}
    for part in parts.values():
        if part is not schema and "$id" in part:
            return "has a part with an $id of its own"
        if "$dynamicRef" in part or "$recursiveRef" in part:
            return "uses $dynamicRef or $recursiveRef"
        ref = part.get("$ref")
        if ref is not None and id(referred(ref, schema)) not in parts:
            return f"refers to {ref[:100]!r}, which is not a part of it"
        for pattern in (part.get("pattern"), *part.get("patternProperties", ())):
            if pattern is not None and (problem := patterns.problem(pattern)):
                return problem
    try:
        weights: dict[int, int] = {}
        fits = all(_weight(part, schema, weights, 0) <= MOST_IN_PLACE for part in parts.values())
    except RecursionError:
        return "refers to itself without end"
    return None if fits else f"applies more than {MOST_IN_PLACE} parts to one value"


def _parts(schema: Any) -> Iterator[Schema]:
    """Every object of the schema that is a schema itself, the whole first."""
    if isinstance(schema, dict):
        yield schema
        for _keyword, child in _children(schema):
            yield from _parts(child)


def _children(part: Schema) -> Iterator[tuple[str, Any]]:
    for keyword in _ONE:
        if keyword in part:
            yield keyword, part[keyword]
    for keyword in _MANY:
        yield from ((keyword, child) for child in part.get(keyword, ()))
    for keyword in _NAMED:
        yield from ((keyword, child) for child in part.get(keyword, {}).values())


def referred(ref: str, schema: Any) -> Any:
    """What "#/$defs/name" names in the schema; None for what lies elsewhere."""
    if ref == "#":
        return schema
    part: Any = schema if ref.startswith("#/") else None
    for step in unquote(ref).split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(part, list):
            part = part[int(key)] if key.isdecimal() and len(key) < 6 and int(key) < len(part) else None
        else:
            part = part.get(key) if isinstance(part, dict) else None
    return part


def _weight(part: Schema, schema: Schema, weights: dict[int, int], depth: int) -> int:
    """How many parts apply to a value that this one applies to. Raises RecursionError when there is no end."""
    if id(part) in weights:
        return weights[id(part)]
    if depth > 100:
        raise RecursionError
    inner = [child for keyword, child in _children(part) if keyword in _IN_PLACE]
    if "$ref" in part:
        inner.append(referred(part["$ref"], schema))
    weight = 1 + sum(_weight(child, schema, weights, depth + 1) for child in inner if isinstance(child, dict))
    weights[id(part)] = weight
    return weight


# --- values against a schema without a problem


class _Effort:
    def __init__(self, *values: Any) -> None:
        self.left = MOST_EFFORT
        self.sizes: dict[int, int] = {}
        for value in values:
            self._measure(value)

    def _measure(self, value: Any) -> int:
        if isinstance(value, dict):
            size = sum(len(key) + self._measure(item) for key, item in value.items())
        elif isinstance(value, list):
            size = sum(map(self._measure, value))
        else:
            return len(value) if isinstance(value, str) else 10
        self.sizes[id(value)] = size + 2
        return size + 2

    def size(self, value: Any) -> int:
        return len(value) if isinstance(value, str) else self.sizes.get(id(value), 10)

    def spend(self, units: float) -> None:
        self.left -= int(units)
        if self.left < 0:
            raise TooMuchEffort


_effort: ContextVar[_Effort] = ContextVar("effort")


def errors(schema: Schema, value: Any, most: int = 100) -> list[ValidationError]:
    """What is wrong with the value, at most so many. The schema is one without a problem. Raises TooMuchEffort."""
    token = _effort.set(_Effort(schema, value))
    try:
        violations = _Counting(schema, registry=Registry()).iter_errors(value)
        return [error for error, _ in zip(violations, range(most), strict=False)]
    except (RecursionError, ArithmeticError, Unresolvable) as error:
        raise TooMuchEffort from error
    finally:
        _effort.reset(token)


Keyword = Callable[[Any, Any, Any, Any], Any]


def _counted(name: str, keyword: Keyword) -> Keyword:
    """A keyword that counts. An error repeats the whole value, so its size counts too."""

    def apply(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        effort = _effort.get()
        effort.spend(1 + (effort.size(instance) + effort.size(value)) // 1000)
        if isinstance(value, list):
            effort.spend(len(value))
        if name == "pattern" and isinstance(instance, str):
            _count_pattern(value, instance, effort)
        if name in _BY_PATTERN and isinstance(instance, dict):
            for pattern in schema.get("patternProperties", ()):
                for key in instance:
                    _count_pattern(pattern, key, effort)
        return keyword(validator, value, instance, schema)

    return apply


def _count_pattern(pattern: str, text: str, effort: _Effort) -> None:
    ways = patterns.ways(pattern, len(text))
    if ways > patterns.MOST_WAYS:
        raise TooMuchEffort
    effort.spend(1 + ways // 1000)


def _unique_items(validator: Any, value: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    """By their canonical text: the library compares each with each."""
    if value and validator.is_type(instance, "array"):
        texts = {json.dumps(_canonical(item), sort_keys=True) for item in instance}
        if len(texts) < len(instance):
            yield ValidationError("Holds the same element twice.")


def _canonical(value: Any) -> Any:
    """1.0 is the same number as 1."""
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


_KEYWORDS = Draft202012Validator.VALIDATORS | {"uniqueItems": _unique_items}
_Counting: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {name: _counted(name, each) for name, each in _KEYWORDS.items()}
)
