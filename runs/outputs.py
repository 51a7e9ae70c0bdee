"""What a run hands over at its end: JSON that fits the run's output_schema."""

import math
from typing import Any

from web.json_schema import validation
from web.json_values import DEEPEST, deeper_than, size, unstorable_at

MOST_OF_SCHEMA = 16 * 1024  # bytes as JSON
MOST_OF_OUTPUT = 64 * 1024
MOST_PROBLEMS = 5  # that are named
NOTHING = "There is no output, and the run has to hand over one that fits its output_schema."


def schema_problem(schema: Any) -> str | None:
    """Why this is no usable output_schema, as the end of a sentence; None when it is."""
    if isinstance(schema, dict) and size(schema) > MOST_OF_SCHEMA:
        return f"is larger than {MOST_OF_SCHEMA // 1024} KiB"
    return validation.problem(schema)


def misfit(schema: dict[str, Any] | None, output: Any) -> str | None:
    """What is wrong with the output, in words for people and models; None when it may be handed over.

    Without a schema everything fits that can be stored. May take a second: call it outside of a transaction.
    """
    if problem := unstorable(output):
        return problem
    if schema is None:
        return None
    if problem := schema_problem(schema):  # of a document from before schemas were looked at
        return f"The output cannot be checked: its schema {problem}."
    try:
        errors = validation.errors(schema, output, MOST_PROBLEMS)
    except validation.TooMuchEffort:
        return "The output is too large to be checked against its output_schema."
    if errors and output is None:
        return NOTHING
    return f"The output does not fit output_schema: {'; '.join(map(_words, errors))}." if errors else None


def _words(error: Any) -> str:
    place = ".".join(str(part) for part in error.absolute_path)
    message = str(error.message)
    return f"{f'{place[:100]}: ' if place else ''}{message if len(message) <= 200 else f'{message[:199]}…'}"


def unstorable(output: Any) -> str | None:
    """Why it can be handed over to nobody, in words; None when it can be kept."""
    if deeper_than(output, DEEPEST):
        return f"The output is nested deeper than {DEEPEST} levels."
    if unstorable_at(output) is not None:
        return "The output holds a NUL character or half a character."
    if _has_no_number(output):
        return "The output holds a number that JSON does not have."
    return f"The output is larger than {MOST_OF_OUTPUT // 1024} KiB." if size(output) > MOST_OF_OUTPUT else None


def _has_no_number(value: Any) -> bool:
    """Infinity and NaN, which Python's JSON lets through and the database does not."""
    if isinstance(value, dict):
        return any(map(_has_no_number, value.values()))
    if isinstance(value, list):
        return any(map(_has_no_number, value))
    return isinstance(value, float) and not math.isfinite(value)
