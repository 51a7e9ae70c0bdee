"""Reading workflow documents in both forms (docs/api/workflows.md 2): every violation at once, nothing else raised.

A body holds either `definition`, or `steps` with `output` beside it. Kept is always the first form. Pure: which groups, agents and
machines a document names is for the caller to look up, by `step_types.walk`.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from web.json_values import DEEPEST, Detail, Loc, deeper_than, size, too_big, unstorable_at
from workflows.definition.field_checks import Field, Problem, Violations, mapping, one_of, text, whole
from workflows.definition.inputs import schema_problem
from workflows.definition.step_types import StepReader

MAX_BYTES = 256 * 1024  # of definition and inputs_schema as JSON
DSL_VERSION = "2026-06-01"
SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)
RUN_DEFAULTS = {
    "budget_cents": Field(whole(0, 10_000_000)),
    "max_iterations": Field(whole(1, 100_000)),
    "deadline_seconds": Field(whole(1, 86_400)),
}
Form = Literal["create", "put", "start", "validate"]
Definition = dict[str, Any]


@dataclass(frozen=True)
class Reading:
    """What a body says. `values` has only what was given, null ones left out, under the names of the workflow object.

    These are name, slug, declared_version, definition, inputs_schema, description, metadata, budget_cents_month, status. They
    are to be used only where `violations` is empty and `too_large` false (413).
    """

    values: dict[str, Any] = field(default_factory=dict)
    violations: list[Detail] = field(default_factory=list)
    warnings: list[Detail] = field(default_factory=list)
    too_large: bool = False


def check_document(body: Any, form: Form, others: Collection[str] = ()) -> Reading:
    """Read the body of a create call, a PUT, an ad-hoc start or a validate call.

    `others` names fields that the caller reads itself, such as those of a start; any further one is a violation. Of a body that
    is no object, is nested too deep or holds text that cannot be stored only that is said.
    """
    if wrong := unreadable(body):
        return Reading(violations=[wrong])
    fields = {key: value for key, value in body.items() if value is not None}
    if _bytes(fields) > MAX_BYTES:
        return Reading(too_large=True)
    violations = Violations()
    violations.check_fields(fields, _fields(form), ("body",))
    values = {key: fields[key] for key in _fields(form) if key in fields}
    if "version" in values:
        values["declared_version"] = values.pop("version")
    reader = StepReader(violations)
    if definition := _read_definition(fields, form, reader):
        values["definition"] = definition
    _check_slug(fields, values, form, violations)
    allowed = {*_fields(form), "definition", *others} | ({"steps", "output"} if "steps" in fields else set())
    for key in body:
        if key not in allowed:
            violations.add(("body", key), "Unknown field.", "extra_forbidden")
    return Reading(values, violations.details, reader.warnings)


def unreadable(body: Any) -> Detail | None:
    """Why a body is not looked at any further."""
    if not isinstance(body, dict):
        return ("body",), "The body must be a JSON object.", "type_error"
    if deeper_than(body, DEEPEST):
        return ("body",), f"Nested deeper than {DEEPEST} levels.", "value_error"
    if (place := unstorable_at(body)) is not None:
        return ("body", *place), "Text must not contain the NUL character.", "value_error"
    return None


def _bytes(fields: Mapping[str, Any]) -> int:
    """Of the document, in whichever form."""
    try:
        return size([fields[key] for key in ("definition", "steps", "output", "inputs_schema") if key in fields])
    except ValueError:  # a number of thousands of digits
        return MAX_BYTES + 1


# --- the fields beside the definition


def _small(value: Any) -> Problem | None:
    if problem := mapping(value):
        return problem
    message = too_big(value)
    return ("value_error", message) if message else None


def _inputs_schema(value: Any) -> Problem | None:
    message = schema_problem(value)
    return ("value_error" if isinstance(value, dict) else "type_error", message) if message else None


def _slug(value: Any) -> Problem | None:
    if not isinstance(value, str):
        return "type_error", "Must be text."
    if SLUG.fullmatch(value):
        return None
    return "value_error", "Must begin with a-z or 0-9 and have at most 63 characters of a-z, 0-9, _ and -."


_START = {
    "name": Field(text(1, 128)), "slug": Field(_slug), "version": Field(text(0, 64)), "inputs_schema": Field(_inputs_schema),
    "description": Field(text(0, 2000)),
}  # fmt: skip
_VALIDATE = _START | {"metadata": Field(_small), "budget_cents_month": Field(whole(0, 100_000_000))}
_PUT = {key: each for key, each in _VALIDATE.items() if key != "slug"} | {"status": Field(one_of("active", "archived"))}
_FORMS: dict[Form, dict[str, Field]] = {
    "create": _VALIDATE | {"name": Field(text(1, 128), required=True)},
    "put": _PUT,
    "start": _START,
    "validate": _VALIDATE | _PUT,
}


def _fields(form: Form) -> dict[str, Field]:
    return _FORMS[form]


def slug_of(name: str) -> str:
    """The name in lower case, other characters replaced by -, trimmed, at most 63; may be empty."""
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_")[:63].rstrip("-")


def _check_slug(fields: Mapping[str, Any], values: dict[str, Any], form: Form, violations: Violations) -> None:
    """With `definition` the slug is required; with `steps` it defaults to the name."""
    if form != "create" or "slug" in fields:
        return
    if "steps" not in fields:
        violations.missing(("body", "slug"))
    elif isinstance(fields.get("name"), str):
        values["slug"] = slug_of(fields["name"])
        if not values["slug"]:
            violations.add(("body", "slug"), "The name has no letter or digit for a slug; give a slug.")


# --- the definition


def _read_definition(fields: Mapping[str, Any], form: Form, reader: StepReader) -> Definition | None:
    violations = reader.violations
    if "definition" not in fields and "steps" not in fields:
        if form != "put":
            violations.missing(("body", "definition"))
        return None
    if "definition" not in fields:
        beside: Definition = {key: fields[key] for key in ("steps", "output") if key in fields}
        _check_definition(beside, ("body",), reader)
        return beside
    if "steps" in fields:
        violations.add(("body", "steps"), "Give definition or steps, not both.")
    if problem := mapping(fields["definition"]):
        violations.add(("body", "definition"), problem[1], problem[0])
        return None
    definition: Definition = fields["definition"]
    _check_definition(definition, ("body", "definition"), reader)
    reader.warn(definition, {"steps", "output", *RUN_DEFAULTS}, ("body", "definition"))
    return definition


def _check_definition(definition: Definition, at: Loc, reader: StepReader) -> None:
    violations = reader.violations
    steps = definition.get("steps")
    if steps is None:
        violations.missing((*at, "steps"))
    elif not isinstance(steps, list):
        violations.add((*at, "steps"), "Must be a list of steps.", "type_error")
    elif not steps:
        violations.add((*at, "steps"), "Must hold at least one step.")
    else:
        reader.read(steps, (*at, "steps"))
    violations.check_fields(definition, {"output": Field(mapping)} | RUN_DEFAULTS, at)


def run_defaults(definition: Definition) -> dict[str, int]:
    """Limits of a run that the definition sets where the start body does not."""
    return {key: int(definition[key]) for key in RUN_DEFAULTS if definition.get(key) is not None}
