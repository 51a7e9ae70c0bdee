"""What a workflow asks for at its start: inputs_schema in both forms, and inputs held against it (docs/api/workflows.md 7)."""

import copy
import re
from collections.abc import Iterator
from typing import Any

from jsonschema.exceptions import ValidationError, best_match

from web.errors import Invalid
from web.json_schema import validation
from web.json_schema.validation import Schema
from web.json_values import Detail, Loc

TYPES = ("string", "integer", "number", "boolean", "object", "array")
_SPEC = frozenset({"type", "required", "default", "description", "enum"})
AT: Loc = ("body", "inputs")


def is_json_schema(schema: Schema) -> bool:
    """Which of the two forms it is, by what stands at its top level."""
    return (
        isinstance(schema.get("type"), str | list)
        or any(isinstance(schema.get(word), list) for word in ("required", "allOf", "anyOf", "oneOf"))
        or isinstance(schema.get("$schema"), str)
        or schema.keys() == {"properties"}
    )


def schema_problem(schema: Any) -> str | None:
    """Why an inputs_schema is refused; None when it is in order."""
    if not isinstance(schema, dict):
        return "Must be an object."
    problem = None if is_json_schema(schema) else next(_short_problems(schema), None)
    problem = problem or validation.problem(as_json_schema(schema))
    if not problem and not is_json_schema(schema):
        problem = next(_wrong_defaults(as_json_schema(schema)), None)
    return f"The schema {problem}." if problem else None


def _wrong_defaults(schema: Schema) -> Iterator[str]:
    for name, spec in _properties(schema).items():
        if "default" in spec and validation.errors(spec, spec["default"], most=1):
            yield f"has a default for '{name[:64]}' that does not fit"


def _short_problems(schema: Schema) -> Iterator[str]:
    for name, spec in schema.items():
        shown = f"says of '{name[:64]}'"
        if not isinstance(spec, dict):
            yield f"{shown} no object of type, required, default, description, enum"
            return
        if unknown := next((key for key in spec if key not in _SPEC), None):
            yield f"{shown} '{unknown[:64]}', but the short form knows only type, required, default, description, enum"
        if spec.get("type") not in (None, *TYPES):
            yield f"{shown} a type that is none of {', '.join(TYPES)}"
        if not isinstance(spec.get("required"), bool | None):
            yield f"{shown} required, which must be true or false"
        if not isinstance(spec.get("description"), str | None):
            yield f"{shown} a description that is no text"
        if spec.get("enum") is not None and not (isinstance(spec["enum"], list) and spec["enum"]):
            yield f"{shown} enum, which must be a list of at least one value"


def as_json_schema(schema: Schema) -> Schema:
    """The same schema in the long form. Nulls of the short form are not given."""
    if is_json_schema(schema):
        return schema
    properties = {
        name: {key: value for key, value in spec.items() if key != "required" and value is not None}
        for name, spec in schema.items()
    }
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name, spec in schema.items() if spec.get("required")],
    }


def read_inputs(schema: Schema | None, values: Any, task: str | None = None) -> dict[str, Any]:
    """The inputs with defaults applied. `task`, the start body's own, stands for an input of that name that the schema knows.

    The schema is one without a problem. Raises Invalid with every violation.
    """
    if not isinstance(values, dict | None):
        raise Invalid((AT, "Must be an object.", "type_error"))
    inputs = copy.deepcopy(values or {})
    if schema is None:
        return inputs
    long = as_json_schema(schema)
    if task is not None and "task" in _properties(long):
        inputs.setdefault("task", task)
    _apply_defaults(long, inputs)
    if wrong := _violations(long, inputs):
        raise Invalid(*wrong)
    return inputs


def _properties(schema: Any) -> dict[str, Any]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return properties if isinstance(properties, dict) else {}


def _apply_defaults(schema: Any, values: dict[str, Any]) -> None:
    """Defaults of properties, also of those inside objects that were given."""
    for name, spec in _properties(schema).items():
        if isinstance(spec, dict) and "default" in spec:
            values.setdefault(name, copy.deepcopy(spec["default"]))
        if isinstance(values.get(name), dict):
            _apply_defaults(spec, values[name])


def _violations(schema: Schema, inputs: dict[str, Any]) -> list[Detail]:
    try:
        errors = validation.errors(schema, inputs)
    except validation.TooMuchEffort:
        return [(AT, "Cannot be held against the schema in reasonable time.", "value_error")]
    return list(dict.fromkeys(detail for error in errors for detail in _details(error)))


def _details(error: ValidationError) -> Iterator[Detail]:
    cause = best_match([error]) or error
    where: Loc = (*AT, *cause.absolute_path)
    expected: Any = cause.validator_value
    instance: Any = cause.instance
    if cause.validator == "required":
        names = [name for name in expected if name not in instance]
        yield from (((*where, name), "Field required.", "missing") for name in names)
    elif cause.validator == "additionalProperties" and expected is False:
        yield from (((*where, name), "Unknown input.", "extra_forbidden") for name in _extras(cause))
    else:
        kind = "type_error" if cause.validator == "type" else "value_error"
        yield where, cause.message[:500], kind


def _extras(error: ValidationError) -> list[str]:
    schema: Any = error.schema
    instance: Any = error.instance
    properties = schema.get("properties", {})
    fitting = schema.get("patternProperties", {})
    return [name for name in instance if name not in properties and not any(re.search(p, name) for p in fitting)]
