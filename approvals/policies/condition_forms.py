"""Conditions on parameters as fields of a form: a parameter, a comparison and a value as people type it."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms

from approvals.policies.conditions import LONGEST_PATH, MOST, Condition
from approvals.policies.sentences import OP_WORDS

FEWEST_ROWS = 2
LONGEST_VALUE = 4000  # characters
_OF_TEXT = ("prefix", "matches")
_PARTS = ("path", "op", "value")


def rows_of(sent: Mapping[str, Any]) -> int:
    """How many rows are shown: those that hold something, and an empty one."""
    filled = [n for n in range(MOST) if sent.get(f"path-{n}") or sent.get(f"value-{n}")]
    return min(MOST, max(FEWEST_ROWS, max(filled, default=-1) + 2))


def fields(number: int) -> dict[str, forms.Field]:
    """Those of one row, from 0."""
    plain = {"spellcheck": "false", "autocomplete": "off", "autocapitalize": "none"}
    row = number + 1
    return {
        f"path-{number}": forms.CharField(
            label=f"Parameter {row}",
            required=False,
            max_length=LONGEST_PATH,
            widget=forms.TextInput(attrs=plain | {"placeholder": "to.0.email"}),
        ),
        f"op-{number}": forms.ChoiceField(
            label=f"Comparison {row}", required=False, choices=OP_WORDS.items(), initial="eq"
        ),
        f"value-{number}": forms.CharField(
            label=f"Value {row}", required=False, max_length=LONGEST_VALUE, widget=forms.TextInput(attrs=plain)
        ),
    }


def read_rows(data: Mapping[str, Any], rows: int) -> dict[int, dict[str, Any]]:
    """Row → condition, of the rows that hold something; what is not filled in is missing."""
    conditions: dict[int, dict[str, Any]] = {}
    for number in range(rows):
        path, op, text = (data.get(f"{part}-{number}") or "" for part in _PARTS)
        if path or text:
            given = {"path": path or None, "op": op or "eq", "value": read_value(op, text) if text else None}
            conditions[number] = {name: value for name, value in given.items() if value is not None}
    return conditions


def initial_rows(when: Sequence[Condition], start: int = 0) -> dict[str, str]:
    """The fields that hold these conditions, in rows from `start` on."""
    rows: dict[str, str] = {}
    for number, condition in enumerate((each for each in when if "path" in each), start):
        texts = (condition["path"], condition["op"], value_text(condition["op"], condition["value"]))
        rows |= {f"{part}-{number}": text for part, text in zip(_PARTS, texts, strict=True)}
    return rows


def read_value(op: str, text: str) -> Any:
    """A number, true, false, a list or text in quotation marks as JSON has them; anything else is text as it stands. What only text
    can begin with or match is text."""
    value = _json(text)
    if op in _OF_TEXT:
        return value if isinstance(value, str) else text
    if op == "in" and not isinstance(value, list):
        return [_scalar(part.strip()) for part in text.split(",") if part.strip()]
    return text if value is None else value


def value_text(op: str, value: Any) -> str:
    """What to type for a value: read_value() of it is the value again."""
    if isinstance(value, str) and value == value.strip() and read_value(op, value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


def _scalar(text: str) -> Any:
    value = _json(text)
    return text if value is None else value


def _json(text: str) -> Any:
    """None for what is no JSON, and for null."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return None


def _refuse(name: str) -> None:
    raise ValueError(name)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value
