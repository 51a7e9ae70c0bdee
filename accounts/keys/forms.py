"""The form of a key."""

from datetime import datetime
from typing import Any

from django import forms

from accounts.actor import LIVE_DEFAULT, SCOPES, TEST_DEFAULT, Actor

SCOPE_GROUPS = (
    (
        "Runs and approvals",
        ("runs:read", "runs:write", "approvals:read", "approvals:request", "approvals:decide", "policies:write"),
    ),
    ("Workflows", ("workflows:read", "workflows:write")),
    ("Machines", ("machines:read", "machines:write", "actions:exec", "terminal:exec", "connection:read")),
    ("Inference", ("predict", "session", "ground", "parse")),
    ("Team", ("usage", "webhooks:read", "webhooks:write", "secrets:write", "keys", "team:read", "team:write")),
)
SCOPE_WORDS = {
    "runs:read": "Read runs, their steps and pictures", "runs:write": "Start and cancel runs",
    "approvals:read": "Read approval requests", "approvals:decide": "Decide approval requests",
    "approvals:request": "Ask people: requests of programs without a run",
    "policies:write": "Allow actions by policy, lift what asks or denies",
    "workflows:read": "Read workflows", "workflows:write": "Edit, start and cancel workflows",
    "machines:read": "Read machines and their pictures", "machines:write": "Create, stop and terminate machines",
    "actions:exec": "Act on machines, take control", "terminal:exec": "Run commands on machines",
    "connection:read": "Read connection secrets", "predict": "Predict actions", "session": "Sessions",
    "ground": "Find elements", "parse": "Parse code into actions",
    "usage": "Read usage, balance and ledger", "webhooks:read": "Read webhooks",
    "webhooks:write": "Change webhooks", "secrets:write": "Make, replace and delete secrets",
    "keys": "Make and revoke keys", "team:read": "Read team settings",
    "team:write": "Change team settings",
}  # fmt: skip


class KeyForm(forms.Form):
    name = forms.CharField(max_length=100, help_text="Who or what will use it, for example “nightly invoices”.")
    scopes = forms.MultipleChoiceField(
        choices=[(s, s) for s in SCOPES], error_messages={"required": "Choose at least one scope."}
    )
    budget = forms.DecimalField(
        label="Budget per month, in dollars",
        required=False,
        min_value=0,
        max_value=1_000_000,
        decimal_places=2,
        help_text="Runs started with this key stop when it is spent. Empty: no limit.",
    )
    expires_at = forms.DateTimeField(
        label="Expires (UTC)",
        required=False,
        help_text="Empty: never.",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )

    def __init__(self, actor: Actor, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.actor = actor

    def groups(self) -> list[dict[str, Any]]:
        """Scopes as the form shows them, by subject; the usual ones are ticked."""
        usual = (TEST_DEFAULT if self.actor.test else LIVE_DEFAULT) & self.actor.scopes
        ticked = set(self.data.getlist("scopes")) if self.is_bound else usual  # type: ignore[attr-defined]
        return [
            {"title": title, "scopes": [(s, SCOPE_WORDS[s], s in ticked) for s in scopes if self.actor.may(s)]}
            for title, scopes in SCOPE_GROUPS
        ]

    def values(self) -> dict[str, Any]:
        expires: datetime | None = self.cleaned_data["expires_at"]
        cents = int((self.cleaned_data["budget"] or 0) * 100)
        return {
            "name": self.cleaned_data["name"],
            "scopes": self.cleaned_data["scopes"],
            "budget_cents_month": cents,
            "expires_at": expires,
        }
