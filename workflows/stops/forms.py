"""The form that stops everything."""

from typing import Any

from django import forms

from accounts.actor import Actor
from machines.access import machines_of
from workflows.access import workflows_of

MOST = 200  # machines and workflows that are offered


class StopForm(forms.Form):
    """`what` is "team", or the scope and the id of what is stopped: "machine mch_1"."""

    what = forms.ChoiceField(label="What")
    reason = forms.CharField(
        label="Why",
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 2, "autofocus": True}),
        help_text="Everybody in the team reads it, on every page.",
    )

    def __init__(self, actor: Actor, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        machines = machines_of(actor).exclude(status__in=("terminating", "terminated")).order_by("display_name", "id")
        workflows = workflows_of(actor).order_by("name", "id")
        self.fields["what"].choices = [  # type: ignore[attr-defined]
            ("team", "Everything: all runs and machines of this team and world"),
            ("One machine", [(f"machine {m.id}", m.display_name) for m in machines[:MOST]]),
            ("One workflow", [(f"workflow {w.id}", w.name) for w in workflows[:MOST]]),
        ]

    def values(self) -> tuple[str, str | None, str]:
        """Scope, id and reason."""
        scope, _, target_id = self.cleaned_data["what"].partition(" ")
        return scope, target_id or None, self.cleaned_data["reason"]
