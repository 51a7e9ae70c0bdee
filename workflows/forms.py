"""The form of the editor. What a document may hold is not said here: documents.py reads it."""

import json
from typing import Any

from django import forms

from workflows.models import Document, Workflow

STARTER = {"steps": [{"id": "hello", "type": "task", "task": "create a file named hello.txt"}]}
MOST = 300_000  # characters that are looked at: a text a little too long is told so by its reader


def _code(label: str, rows: int, height: str) -> forms.Textarea:
    attributes = {"rows": rows, "spellcheck": "false", "wrap": "off", "class": "code-text", "autocapitalize": "off"}
    return forms.Textarea(attrs=attributes | {"data-code": label, "data-height": height})


class WorkflowForm(forms.Form):
    """Field names are those of POST /v1/workflows, so that its violations find their field."""

    name = forms.CharField(required=False, widget=forms.TextInput(attrs={"maxlength": 128}))
    slug = forms.CharField(
        required=False,
        widget=forms.TextInput(attrs={"maxlength": 63, "spellcheck": "false", "autocapitalize": "off"}),
        help_text="Its name for programs, which stays. Empty: made of the name.",
    )
    description = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 2, "maxlength": 2000}))
    budget = forms.DecimalField(
        label="Budget in dollars per month",
        required=False,
        min_value=0,
        max_value=1_000_000,
        decimal_places=2,
        help_text="Empty: no limit.",
    )
    inputs_schema = forms.CharField(
        label="Inputs",
        required=False,
        strip=False,
        max_length=MOST,
        widget=_code("Inputs", 8, "low"),
        help_text='What a start is asked for, for example {"file": {"type": "string", "required": true}}, or JSON Schema.',
    )
    definition = forms.CharField(
        required=False,
        strip=False,
        max_length=MOST,
        widget=_code("Definition", 28, "high"),
        help_text="JSON: the steps and what they put out.",
    )
    based_on = forms.IntegerField(required=False, min_value=1, widget=forms.HiddenInput)

    def __init__(self, *args: Any, new: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not new:
            del self.fields["slug"]

    def values(self) -> dict[str, Any]:
        """As drafts.read_draft takes it; also of a form with errors."""
        sent = {name: self.cleaned_data.get(name) for name in self.fields}
        budget = sent.pop("budget")
        cents = 0 if budget is None else int(budget * 100)
        texts = {name: sent[name] or "" for name in ("definition", "inputs_schema")}
        return sent | texts | {"budget_cents_month": cents}

    def refuse(self, name: str, message: str) -> None:
        field = "budget" if name == "budget_cents_month" else name
        if field in self.fields:
            self.add_error(field, message)
        else:
            self.add_error(None, f"{name}: {message}")


def pretty_json(value: Any) -> str:
    """JSON as an author writes it, the keys in their order; small values on one line."""
    return "" if value in (None, {}) else _pretty(value, 0)


def _pretty(value: Any, level: int) -> str:
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or (len(flat) + 2 * level <= 100 and (level > 1 or not value)):
        return flat
    inner = "  " * (level + 1)
    if isinstance(value, dict):
        parts = [f"{json.dumps(key, ensure_ascii=False)}: {_pretty(each, level + 1)}" for key, each in value.items()]
        return "{\n" + ",\n".join(inner + part for part in parts) + "\n" + "  " * level + "}"
    return "[\n" + ",\n".join(inner + _pretty(each, level + 1) for each in value) + "\n" + "  " * level + "]"


def initial_of(document: Document, workflow: Workflow) -> dict[str, Any]:
    """The fields as an older or the current version has them."""
    cents = workflow.budget_cents_month
    return {
        "name": document.name,
        "description": document.description or "",
        "budget": cents / 100 if cents else None,
        "inputs_schema": pretty_json(document.inputs_schema),
        "definition": pretty_json(document.definition),
        "based_on": workflow.version,
    }


def initial_from(body: dict[str, Any] | None) -> dict[str, Any]:
    """The fields of an example, or those to begin with."""
    body = body or {"definition": STARTER}
    texts = {name: pretty_json(body.get(name)) for name in ("inputs_schema", "definition")}
    return {name: body.get(name, "") for name in ("name", "slug", "description")} | texts
