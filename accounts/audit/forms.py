"""What the reader of the audit asks for, as it stands in the address of the page."""

import re
from typing import Any

from django import forms

from accounts.actor import Actor
from accounts.audit.query import Query
from accounts.audit.words import KIND_NAMES, VERDICT_NAMES
from accounts.models import ApiKey, Membership
from web.days import DaysForm

MOST_KEYS = 200  # of the team's newest, that can be chosen by name; any other is found by a click on its name
_ID = re.compile(r"[A-Za-z0-9_]{1,40}")


class AuditFilter(DaysForm):
    """Every field may be empty. Dates are days in UTC, the last one included."""

    who = forms.ChoiceField(label="Person or key", required=False)
    kind = forms.ChoiceField(label="Kind of change", required=False, choices=[("", "Everything"), *KIND_NAMES.items()])
    verdict = forms.ChoiceField(required=False, choices=[("", "Any"), *VERDICT_NAMES.items()])
    run = forms.CharField(required=False, max_length=40, widget=forms.TextInput(attrs={"placeholder": "run_…"}))
    subject = forms.CharField(required=False, max_length=80, widget=forms.HiddenInput())

    def __init__(self, actor: Actor, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["who"].choices = _people(actor, str(self.data.get("who", "")))  # type: ignore[attr-defined]

    def query(self) -> Query:
        values = self.cleaned_data
        words = {name: values[name] for name in ("who", "kind", "verdict", "run", "subject")}
        return Query(**words, start=self.start, end=self.end)

    def is_empty(self) -> bool:
        return not any(self.data.get(name) for name in self.fields)


def _people(actor: Actor, chosen: str) -> list[tuple[str, Any]]:
    """Everybody, people, keys, the installation; and who was chosen, should they be none of these any more."""
    members = Membership.objects.filter(team_id=actor.team_id).select_related("user").order_by("user__name", "id")
    people = [(m.user.id, m.user.name or m.user.email) for m in members]
    keys = ApiKey.objects.filter(team_id=actor.team_id, test=actor.test).order_by("-created_at", "-id")[:MOST_KEYS]
    named = [(k.id, f"{k.name} (…{k.id[-4:]})") for k in keys]
    system = ("system", "Countersign itself")
    ids = {value for value, _ in (*people, *named, system)}
    other = [(chosen, f"Somebody else ({chosen})")] if _ID.fullmatch(chosen) and chosen not in ids else []
    return [("", "Everybody"), *other, ("People", people), ("API keys", named), system]
