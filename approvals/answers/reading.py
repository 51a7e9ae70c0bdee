"""What people send with a decision, checked against what was asked. Pure: rows in, values out, Invalid raised.

Answers are kept as {question id: {"value", "custom"}}, for multi_select as a list of these.
"""

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jsonschema.exceptions import ValidationError, best_match

from approvals.answers import examples
from approvals.errors import AnswerRequired
from database.sealing import REDACTED
from web.errors import Invalid
from web.json_schema import patterns, validation
from web.json_values import Detail, Loc

Question = Mapping[str, Any]
_QUICK = 20_000  # ways that a pattern may try on a key: about a millisecond
_RECOMMENDED = re.compile(r"\s*\(recommended\)\s*$", re.IGNORECASE)


def tidy_questions(questions: Sequence[Question]) -> list[dict[str, Any]]:
    """Questions with every field present; a suffix "(Recommended)" of a label becomes the flag."""
    return [_question(question) for question in questions]


def _question(question: Question) -> dict[str, Any]:
    return {
        "id": str(question["id"]),
        "header": question.get("header") or "",
        "question": question["question"],
        "multi_select": bool(question.get("multi_select")),
        "allow_custom": question.get("allow_custom", True) is not False,
        "secret": bool(question.get("secret")),
        "options": [_option(option) for option in question.get("options") or []],
    }


def _option(option: Mapping[str, Any] | str) -> dict[str, Any]:
    fields = {"label": option} if isinstance(option, str) else option
    label = _RECOMMENDED.sub("", fields["label"])
    is_recommended = bool(fields.get("recommended")) or label != fields["label"]
    return {"label": label, "description": fields.get("description") or "", "recommended": is_recommended}


def _find(questions: Sequence[Question], key: str) -> list[Question]:
    """The questions a key names: by id, else exact text, else header."""
    for field in ("id", "question", "header"):
        if matching := [question for question in questions if question[field] == key]:
            return matching
    return []


def read_answers(
    questions: Sequence[Question], data: Mapping[str, Any], at: Loc, *, lenient: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(answers by question id, context): every question answered. `lenient` keeps unknown keys as context.

    Raises Invalid (at `at` + key) or AnswerRequired naming the unanswered.
    """
    if lenient and set(data) == {"answer"} and len(questions) == 1:
        data = {questions[0]["id"]: data["answer"]}
    answers: dict[str, Any] = {}
    context: dict[str, Any] = {}
    wrong: list[Detail] = []
    for key, value in data.items():
        matching = _find(questions, key)
        if not matching and lenient:
            context[key] = value
        elif problem := _answer(matching, value, answers):
            wrong.append(((*at, key), problem, "value_error"))
    if wrong:
        raise Invalid(*wrong)
    missing = [question["id"] for question in questions if question["id"] not in answers]
    if missing:
        raise AnswerRequired(missing, {"answers": examples.of_questions(questions)})
    return answers, context


def _answer(matching: Sequence[Question], value: Any, answers: dict[str, Any]) -> str:
    """Adds the answer to the one question that matches; a sentence when there is none, or the value does not fit."""
    if not matching:
        return "There is no such question."
    if len(matching) > 1:
        return "Fits two questions; use the question's id."
    question = matching[0]
    if question["id"] in answers:
        return "This question was answered twice."
    choices = _choose(question, value)
    if isinstance(choices, str):
        return choices
    answers[question["id"]] = choices if question["multi_select"] else choices[0]
    return ""


def _choose(question: Question, value: Any) -> list[dict[str, Any]] | str:
    """The chosen values, each {"value", "custom"}; a sentence when the value does not fit."""
    labels = [option["label"] for option in question["options"]]
    values = _several(value, labels) if question["multi_select"] else [value]
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        return "Must be text, or a list of texts where several may be chosen."
    if not values or not all(v.strip() for v in values):
        return "Must not be empty."
    if any(len(v) > 4000 for v in values):
        return "Must have at most 4000 characters."
    custom = [v for v in values if v not in labels]
    if custom and labels and not question["allow_custom"]:
        return f"Must be one of {', '.join(labels)}."
    return [{"value": v, "custom": v not in labels} for v in dict.fromkeys(values)]


def _several(value: Any, labels: list[str]) -> Any:
    """Labels may come as one text with commas, unless that is a label itself."""
    if not isinstance(value, str):
        return value
    return [value] if value in labels else [part.strip() for part in value.split(",") if part.strip()]


def recommended(questions: Sequence[Question]) -> dict[str, Any] | None:
    """The recommended option of every question as answers to read; None when a question has none."""
    answers: dict[str, Any] = {}
    for question in questions:
        labels = [option["label"] for option in question["options"] if option["recommended"]]
        if not labels:
            return None
        answers[question["id"]] = labels if question["multi_select"] else labels[0]
    return answers


def read_values(schema: Mapping[str, Any] | None, data: Mapping[str, Any], at: Loc) -> dict[str, Any]:
    """The values with the schema's defaults applied. Raises Invalid with a loc into the body; at `at` for a schema that is no use."""
    values = copy.deepcopy(dict(data))
    if schema is None:
        return values
    if problem := validation.problem(schema):
        raise Invalid((at, f"The schema {problem}.", "value_error"))
    for name, field in (schema.get("properties") or {}).items():
        if isinstance(field, dict) and "default" in field:
            values.setdefault(name, copy.deepcopy(field["default"]))
    wrong = [detail for error in _violations(schema, values, at) for detail in _details(schema, error, at)]
    if wrong:
        raise Invalid(*dict.fromkeys(wrong))
    return values


def _details(schema: Mapping[str, Any], error: ValidationError, at: Loc) -> list[Detail]:
    cause: Any = best_match([error]) or error
    where = (*at, *cause.absolute_path)
    if cause.validator == "required":
        absent = [name for name in cause.validator_value if name not in cause.instance]
        return [((*where, name), "Field required.", "missing") for name in absent]
    return [(where, _words(schema, cause), "type_error" if cause.validator == "type" else "value_error")]


def _violations(schema: Mapping[str, Any], values: Any, at: Loc) -> list[ValidationError]:
    try:
        return validation.errors(dict(schema), values)
    except validation.TooMuchEffort as error:
        message = "Cannot be held against the schema in reasonable time."
        raise Invalid((at, message, "value_error")) from error


def _words(schema: Mapping[str, Any], error: ValidationError) -> str:
    """What is wrong. The library's sentence repeats the value, which a form that asks for a secret must not."""
    return f"Does not fit: {error.validator}." if asks_secret(schema) else error.message[:500]


def asks_secret(schema: Any) -> bool:
    """Whether the schema calls anything a password."""
    if isinstance(schema, Mapping):
        return schema.get("format") == "password" or any(map(asks_secret, schema.values()))
    return isinstance(schema, list) and any(map(asks_secret, schema))


def redact_answers(questions: Sequence[Question], answers: Mapping[str, Any]) -> dict[str, Any]:
    secret = {question["id"] for question in questions if question["secret"]}
    return {key: (REDACTED if key in secret else answer) for key, answer in answers.items()}


def redact_values(schema: Mapping[str, Any] | None, values: Any, root: Mapping[str, Any] | None = None) -> Any:
    """Values that the schema calls a password read "[redacted]", at any depth and however it says so.

    Where a schema has alternatives all of them count: better one value too many than a secret in a log.
    """
    root = root if root is not None else schema or {}
    parts = _parts(schema, root)
    if any(part.get("format") == "password" for part in parts):
        return REDACTED
    if isinstance(values, dict):
        return {k: redact_values({"allOf": _of_key(parts, k)}, v, root) for k, v in values.items()}
    if isinstance(values, list):
        return [redact_values({"allOf": _of_index(parts, i)}, v, root) for i, v in enumerate(values)]
    return values


def _parts(schema: Any, root: Mapping[str, Any], seen: tuple[str, ...] = ()) -> list[Mapping[str, Any]]:
    """The schema and every one that may hold for the same value."""
    if not isinstance(schema, Mapping):
        return []
    inner = [schema.get(word) for word in ("if", "then", "else")]
    for word in ("allOf", "anyOf", "oneOf"):
        inner += schema.get(word) or []
    ref = schema.get("$ref")
    if isinstance(ref, str) and ref not in seen:
        seen = (*seen, ref)
        inner.append(validation.referred(ref, root))
    return [schema, *(part for each in inner for part in _parts(each, root, seen))]


def _of_key(parts: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    """Schemas of one property."""
    schemas: list[Any] = []
    for part in parts:
        named = (part.get("properties") or {}).get(key)
        fitting = [each for pattern, each in (part.get("patternProperties") or {}).items() if _may_fit(pattern, key)]
        schemas += [named, *fitting] if named is not None or fitting else [part.get("additionalProperties")]
    return [schema for schema in schemas if isinstance(schema, Mapping)]


def _may_fit(pattern: str, key: str) -> bool:
    """Where it would take long to tell, it may: better one value too many than a secret in a log."""
    return patterns.ways(pattern, len(key)) > _QUICK or re.search(pattern, key) is not None


def _of_index(parts: Sequence[Mapping[str, Any]], index: int) -> list[Any]:
    """Schemas of one place in a list."""
    schemas: list[Any] = []
    for part in parts:
        first = part.get("prefixItems") or []
        schemas.append(first[index] if index < len(first) else part.get("items"))
    return [schema for schema in schemas if isinstance(schema, Mapping)]
