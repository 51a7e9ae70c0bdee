"""The form that starts a workflow: a field for each input, and what a run is asked besides."""

import json
from collections.abc import Mapping
from typing import Any

from django import forms
from django.http import QueryDict

from accounts.actor import Actor
from accounts.pages import problems
from approvals.cards.forms import Field, read_values, value_fields
from runs.starting.forms import RunForm
from web.errors import Refusal
from workflows.definition.documents import run_defaults
from workflows.definition.inputs import as_json_schema


class StartForm(RunForm):
    """Field names are those of POST /v1/workflows/{id}/runs."""

    version = forms.TypedChoiceField(label="Version", coerce=int, required=False, empty_value=None)
    max_iterations = forms.IntegerField(
        label="Most iterations of all loops",
        min_value=1,
        max_value=100_000,
        required=False,
        help_text="Empty: no limit.",
    )

    def __init__(
        self,
        actor: Actor,
        definition: dict[str, Any],
        schema: dict[str, Any] | None,
        versions: list[int],
        data: QueryDict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(actor, data, **kwargs)
        del self.fields["task"]
        self.definition = definition
        self.schema = as_json_schema(schema) if schema else None
        self.inputs = input_fields(self.schema, data, kwargs.get("initial", {}).get("inputs"))
        self.fields["version"].choices = [(n, f"Version {n}") for n in versions]  # type: ignore[attr-defined]
        if not versions:
            del self.fields["version"]
        for name, value in run_defaults(definition).items():
            field = "budget" if name == "budget_cents" else name
            shown = f"${value / 100:.2f}" if field == "budget" else value
            self.fields[field].help_text = f"Empty: as the document says, {shown}."

    def more_names(self) -> list[str]:
        return [name for name in super().more_names() if name != "version"]

    def given(self) -> dict[str, Any]:
        sent = read_values(self.schema, self.data) if isinstance(self.data, QueryDict) else {}
        return super().given() | {"inputs": sent}

    def refuse_by(self, refusal: Refusal) -> None:
        """Each complaint beside its field; inputs have fields of their own."""
        by_name = {field.name: field for field in self.inputs}
        for place, message in problems(refusal):
            first, _, rest = place.partition(".")
            field = by_name.get(f"v.{rest.partition('.')[0]}", by_name.get("v"))
            if first != "inputs":
                self.refuse([(place, message)])
            elif field is not None:
                field.errors.append(message)
            else:
                self.add_error(None, f"{rest}: {message}")
        if not self.errors:
            self.add_error(None, "See the marked inputs.")


def input_fields(
    schema: Mapping[str, Any] | None, sent: QueryDict | None, before: Mapping[str, Any] | None
) -> list[Field]:
    """`before`: the inputs of the run that is repeated; they stand where the schema's defaults would."""
    properties = (schema or {}).get("properties")
    if before is None or sent is not None:
        return value_fields(schema, sent)
    if not isinstance(properties, dict) or not properties:
        (whole,) = value_fields(None)
        whole.value = json.dumps(before, ensure_ascii=False, indent=2)
        return [whole]
    filled = {
        n: s | {"default": before[n]} if isinstance(s, dict) and n in before else s for n, s in properties.items()
    }
    return value_fields({**(schema or {}), "properties": filled})
