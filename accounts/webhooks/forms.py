"""Forms of webhooks."""

from typing import Any

from django import forms

from accounts.models import WebhookEndpoint
from accounts.webhooks.schemas import EVENTS, USUAL

EVENT_GROUPS = (
    ("Runs", tuple(e for e in EVENTS if e.startswith("run."))),
    ("Workflow runs", tuple(e for e in EVENTS if e.startswith("workflow_run."))),
    ("Requests to people", tuple(e for e in EVENTS if e.startswith("approval."))),
)
EVENT_WORDS = {
    "awaiting_human": "Waits for a person", "awaiting_input": "Any request of any run, child runs included",
    "resumed": "A decision took effect", "succeeded": "Succeeded", "failed": "Failed", "cancelled": "Cancelled",
    "timed_out": "Timed out", "created": "Opened", "decided": "Decided, or its decision undone", "expired": "Expired",
}  # fmt: skip


class WebhookForm(forms.Form):
    """Field names are those of POST /v1/webhooks, so that its violations find their field."""

    url = forms.CharField(
        label="Address",
        max_length=2048,
        widget=forms.URLInput(attrs={"autofocus": True, "spellcheck": "false"}),
        help_text="An https address that the internet can reach.",
    )
    description = forms.CharField(
        max_length=200, required=False, help_text="What is behind it, for example “on-call chat”."
    )
    events = forms.MultipleChoiceField(
        choices=[(e, e) for e in EVENTS], error_messages={"required": "Choose at least one event."}
    )

    def groups(self) -> list[dict[str, Any]]:
        """Events as the form shows them; those of before, or the usual ones, are ticked."""
        ticked = set(self.data.getlist("events") if self.is_bound else self.initial.get("events", USUAL))  # type: ignore[attr-defined]
        return [
            {"title": title, "events": [(e, EVENT_WORDS[e.partition(".")[2]], e in ticked) for e in events]}
            for title, events in EVENT_GROUPS
        ]

    def values(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in ("url", "events", "description")}


def values_of(row: WebhookEndpoint) -> dict[str, Any]:
    return {"url": row.url, "events": row.events, "description": row.description or ""}
