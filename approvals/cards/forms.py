"""What the card asks for, as form fields, and what people send back.

A request's questions and input schema are untrusted: they decide which fields are shown, never what is done.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict

from approvals.models import Approval
from web.errors import Refusal

PRESETS = ("Wrong target", "Wrong value", "Not now", "Do it another way")
_LINES = {ord("\n"): None, ord("\t"): None}
_INPUT_TYPES = {"email": "email", "date": "date", "uri": "url", "password": "password", "date-time": "text"}


@dataclass
class Field:
    """One field of a generated form. `kind`: text, textarea, number, checkbox, select, json; `type`: HTML's."""

    name: str
    label: str
    kind: str = "text"
    type: str = "text"
    required: bool = False
    help: str = ""
    value: Any = ""
    options: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    prefix: str = "field"

    @property
    def id(self) -> str:
        return f"{self.prefix}-{self.name}"

    @property
    def described_by(self) -> str:
        parts = [f"{self.id}-help"] if self.help else []
        return " ".join([*parts, f"{self.id}-error"] if self.errors else parts)


def value_fields(
    schema: Mapping[str, Any] | None, sent: QueryDict | None = None, problems: Mapping[str, list[str]] | None = None
) -> list[Field]:
    """The fields of a schema; with `sent`, filled with what was typed (never with passwords)."""
    properties = (schema or {}).get("properties")
    if not isinstance(properties, dict) or not properties:
        typed = sent.get("v", "") if sent else "{}"
        return [Field("v", "Values as JSON", "json", value=typed, help='An object, for example {"name": "value"}.')]
    required = (schema or {}).get("required")
    required = required if isinstance(required, list) else []
    required = [name for name in required if isinstance(name, str) and name in properties]
    # The database orders the names of an object by their length; a list stays as it was asked.
    fields = []
    for name in dict.fromkeys((*required, *properties)):
        errors = (problems or {}).get(name, [])
        fields.append(_field(name, _spec(properties, name), name in required, sent, errors))
    return fields


def _spec(properties: dict[str, Any], name: str) -> dict[str, Any]:
    return properties[name] if isinstance(properties[name], dict) else {}


def _field(name: str, spec: dict[str, Any], required: bool, sent: QueryDict | None, errors: list[str]) -> Field:
    kind, html_type = _widget(spec)
    value: Any = ""
    if html_type != "password":
        value = sent.get(f"v.{name}", "") if sent is not None else _initial(kind, spec.get("default"))
    choices = spec["enum"] if isinstance(spec.get("enum"), list) else []
    return Field(
        f"v.{name}",
        str(spec.get("title") or name.replace("_", " ").capitalize()),
        kind,
        html_type,
        required=required,
        help=str(spec.get("description") or ""),
        value=value,
        options=[{"value": json.dumps(choice), "label": str(choice)} for choice in choices],
        facts=_bounds(spec),
        errors=errors,
    )


def edit_fields(approval: Approval, sent: QueryDict | None, problems: Mapping[str, list[str]]) -> list[Field]:
    """A field for each parameter of the action that can be changed in place, with what was typed."""
    params: dict[str, Any] = (approval.action_now or {}).get("params") or {}
    return [
        _edit_field(approval, name, value, sent, problems.get(f"p.{name}", []))
        for name, value in params.items()
        # a form would change or hide what other text holds
        if not isinstance(value, str) or value.translate(_LINES).isprintable()
    ]


def _edit_field(approval: Approval, name: str, value: Any, sent: QueryDict | None, errors: list[str]) -> Field:
    text = value if isinstance(value, str) else json.dumps(value)
    kind = "number" if isinstance(value, int | float) and not isinstance(value, bool) else "text"
    is_long = isinstance(value, str) and (len(value) > 60 or "\n" in value)
    return Field(
        f"p.{name}",
        name,
        "textarea" if is_long else kind,
        kind,
        value=sent.get(f"p.{name}", text) if sent is not None else text,
        facts={"data-was": text},
        errors=errors,
        prefix=approval.id,
    )


def read_edit(approval: Approval, sent: QueryDict) -> dict[str, Any] | None:
    """The action with the parameters that were changed; None when the form changed none."""
    action = approval.action_now
    if not approval.traits.runs_action or action is None:
        return None
    params: dict[str, Any] = action.get("params") or {}
    changed = {name: _edited(value, sent.get(f"p.{name}")) for name, value in params.items()}
    if changed == params:
        return None
    return {"name": action["name"], "params": changed}


def _edited(value: Any, typed: str | None) -> Any:
    """What a field says: the value itself where it was not touched. Forms send lines with CR LF."""
    if typed is None:
        return value
    if isinstance(value, str):
        return value if _lines(typed) == _lines(value) else _lines(typed)
    return value if typed.strip() == json.dumps(value) else _parse(typed)


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _widget(spec: dict[str, Any]) -> tuple[str, str]:
    if isinstance(spec.get("enum"), list):
        return "select", ""
    kind = spec.get("type")
    if kind == "boolean":
        return "checkbox", ""
    if kind in ("integer", "number"):
        return "number", "number"
    if kind in (None, "string"):
        most = spec.get("maxLength")
        long = isinstance(most, int) and most > 300 and spec.get("format") != "password"
        return ("textarea", "") if long else ("text", _INPUT_TYPES.get(str(spec.get("format")), "text"))
    return "json", ""


def _bounds(spec: dict[str, Any]) -> dict[str, Any]:
    names = {"minimum": "min", "maximum": "max", "minLength": "minlength", "maxLength": "maxlength"}
    bounds = {html: spec[name] for name, html in names.items() if isinstance(spec.get(name), int | float)}
    if spec.get("type") == "number":
        bounds["step"] = "any"
    return bounds


def _initial(kind: str, default: Any) -> Any:
    if kind in ("select", "json"):
        return json.dumps(default) if default is not None else ""
    return default if default is not None else ""


def read_values(schema: Mapping[str, Any] | None, sent: QueryDict) -> dict[str, Any]:
    properties = (schema or {}).get("properties")
    if not isinstance(properties, dict) or not properties:
        whole = _parse(sent.get("v", "") or "{}")
        return whole if isinstance(whole, dict) else {"values": whole}
    values: dict[str, Any] = {}
    for name in properties:
        spec = _spec(properties, name)
        kind, _type = _widget(spec)
        raw = sent.get(f"v.{name}", "")
        if kind == "checkbox":
            values[name] = bool(raw)
        elif raw != "" or (kind in ("text", "textarea") and "default" in spec):
            values[name] = _parse(raw) if kind in ("number", "select", "json") else raw
    return values


def _parse(text: str) -> Any:
    """JSON, or the text itself: the schema then says what is wrong with it."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def read_answers(approval: Approval, sent: QueryDict) -> dict[str, Any]:
    """Question id -> chosen label(s). Own words count beside chosen boxes; beside a chosen circle they contradict."""
    answers: dict[str, Any] = {}
    for question in approval.questions:
        own = sent.get(f"own.{question['id']}", "").strip()
        labels = [*sent.getlist(f"q.{question['id']}"), *([own] if own else [])]
        if labels:
            is_list = question["multi_select"] or len(labels) > 1
            answers[question["id"]] = labels if is_list else labels[0]
    return answers


def problems_by_field(refusal: Refusal) -> dict[str, list[str]]:
    """What is wrong, by question id, property name, or "" for the whole form."""
    problems: dict[str, list[str]] = {}
    for detail in refusal.facts.get("details") or []:
        loc = [str(part) for part in detail["loc"]]
        name = loc[2] if len(loc) > 2 and loc[1] in ("answers", "values") else ""
        name = f"p.{loc[3]}" if len(loc) > 3 and loc[1] == "edited_action" else name
        problems.setdefault(name, []).append(str(detail["msg"]))
    for missing in refusal.facts.get("missing") or []:
        problems.setdefault(str(missing), []).append("Needs an answer.")
    return problems or {"": [refusal.message]}
