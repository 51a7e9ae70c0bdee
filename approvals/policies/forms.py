"""The form of a policy, and the filter of their list."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.db.models import Count

from accounts.actor import Actor
from accounts.models import Group
from approvals.deciders.quorum import ANYONE
from approvals.models import Policy
from approvals.policies import condition_forms
from approvals.policies.allowances import LOOSEN
from approvals.policies.schemas import PolicyCreate

EFFECTS = (
    ("ask", "Ask", "A person is asked every time, whatever the run’s permission mode and whatever was remembered."),
    ("allow", "Allow", "It runs without asking, unless another policy or the team’s risk floor asks or denies."),
    ("deny", "Deny", "It never runs, and nobody is asked. Who wanted it is told. This goes before every other policy."),
)
STATES = (("active", "Active"), ("used_up", "Used up"), ("expired", "Expired"), ("revoked", "Revoked"), ("all", "All"))
CLASSES = (
    ("", "Any"), ("irreversible", "Only what is hard to undo"), ("reversible", "Only what can be undone"),
    ("read", "Only what merely looks"),
)  # fmt: skip
REACHES = (("", "Any"), ("team", "Team-wide"), ("end_user", "One end user"), ("run", "One run"))
TOOLS = (
    "click", "type_text", "run_line", "fill", "key_press", "key_combo", "scroll", "drag", "select_option", "upload",
    "open_url", "go_back", "reload", "*",
)  # fmt: skip
_MINUTE = "%Y-%m-%dT%H:%M"


class PolicyFilter(forms.Form):
    """What the list shows, as it stands in the address; what is not known asks for nothing."""

    tool = forms.CharField(required=False, max_length=128, label="Action")
    end_user = forms.CharField(required=False, max_length=128, label="End user")
    reach = forms.ChoiceField(required=False, choices=REACHES, label="Reach")


class PolicyForm(forms.Form):
    """Field names are those of POST /v1/permissions, so that its violations find their field.

    A policy that exists (`row`) keeps what it is about: only what PATCH may change is asked for. `like`: a new one begins as
    that one is.
    """

    tool = forms.CharField(
        label="Action",
        max_length=128,
        widget=forms.TextInput(attrs={"list": "tools", "spellcheck": "false", "autocomplete": "off"}),
        help_text="Its exact name, such as click or mail.send; mail.* for all whose names begin so; * for every action.",
    )
    effect = forms.ChoiceField(
        choices=[(value, word) for value, word, _ in EFFECTS],
        widget=forms.RadioSelect,
        error_messages={"required": "Choose what happens."},
    )
    host = forms.CharField(
        required=False,
        max_length=255,
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocapitalize": "none"}),
        help_text="shop.test for this host, *.shop.test for its subdomains. Empty: any. With a host it fits only while the host is known.",
    )
    end_user = forms.CharField(
        label="End user", required=False, max_length=128, help_text="Empty: the policy is team-wide."
    )
    when = forms.ChoiceField(
        label="Which of these actions",
        choices=CLASSES,
        required=False,
        help_text="Whether it can be undone is judged by the server, from what is pressed or typed.",
    )
    max_uses = forms.IntegerField(
        label="How many times",
        required=False,
        min_value=1,
        max_value=10_000,
        help_text="So many actions run unasked, then it ends. Empty: any number.",
    )
    include_end_users = forms.BooleanField(label="Also in runs with an end user", required=False)
    expires_at = forms.DateTimeField(
        label="Until (UTC)",
        required=False,
        input_formats=[_MINUTE, "%Y-%m-%d"],
        help_text="Empty: until somebody revokes it.",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format=_MINUTE),
        error_messages={"invalid": "A day and time such as 2026-03-26T14:35."},
    )
    four_eyes = forms.BooleanField(label="Not by who started the run", required=False)
    note = forms.CharField(required=False, max_length=500, help_text="Why it exists, for whoever finds it later.")

    def __init__(
        self, actor: Actor, *args: Any, row: Policy | None = None, like: Policy | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.row = row
        self._rows = 0 if row else condition_forms.rows_of(self.data if self.is_bound else self.initial)
        self._places: list[int | None] = []  # the row of each condition that was sent; None: the class
        for number in range(self._rows):
            self.fields.update(condition_forms.fields(number))
        self.may_loosen = actor.may(LOOSEN)
        self.quorum_errors: list[str] = []
        usual = row or like
        self._groups = _groups(actor, usual)
        stored = {need["group"]: need["count"] for need in usual.quorum} if usual else {}
        for group in self._groups:
            self.fields[group.field] = forms.IntegerField(
                label=group.words, required=False, min_value=0, max_value=20, initial=stored.get(group.name)
            )
        if row is not None:
            for name in ("tool", "host", "end_user", "when", "include_end_users", "max_uses"):
                del self.fields[name]

    def effects(self) -> list[dict[str, Any]]:
        chosen = self["effect"].value()
        return [
            {"value": v, "word": w, "words": words, "chosen": v == chosen, "barred": self._barred(v)}
            for v, w, words in EFFECTS
        ]

    def _barred(self, effect: str) -> bool:
        """Would choosing it alone loosen, and may this person not?"""
        now = self.row.effect if self.row else None
        return not self.may_loosen and effect != now and (effect == "allow" or (effect == "ask" and now == "deny"))

    def conditions(self) -> list[dict[str, forms.BoundField]]:
        """The rows of conditions on parameters; the last of them is empty."""
        return [{name: self[f"{name}-{number}"] for name in ("path", "op", "value")} for number in range(self._rows)]

    def needs(self) -> list[forms.BoundField]:
        return [self[group.field] for group in self._groups]

    def policy_create(self) -> PolicyCreate:
        """Raises pydantic's ValidationError for what the form's own checks let through."""
        data = self.cleaned_data
        fields = {name: data[name] or None for name in ("tool", "end_user", "expires_at", "note")}
        fields |= {"host": data["host"].lower() or None, "effect": data["effect"]}
        rows = condition_forms.read_rows(data, self._rows)
        self._places = [*([None] if data["when"] else []), *rows]
        fields["when"] = [*([{"class": data["when"]}] if data["when"] else []), *rows.values()]
        if data["effect"] == "allow":
            fields |= {"include_end_users": data["include_end_users"], "max_uses": data["max_uses"]}
        return PolicyCreate.model_validate(fields | self._approvals())

    def changes(self) -> dict[str, Any]:
        """What differs from the policy as it is."""
        row, data = self.row, self.cleaned_data
        assert row is not None
        fields = {"effect": data["effect"], "note": data["note"] or None} | self._approvals()
        if "expires_at" in self.changed_data:
            fields["expires_at"] = data["expires_at"]
        return {name: value for name, value in fields.items() if value != getattr(row, name)}

    def _approvals(self) -> dict[str, Any]:
        """Who must approve, where anybody is asked. The order of groups counts: who is in two counts for the first."""
        if self.cleaned_data["effect"] != "ask":
            return {}
        counts = [(group.name, self.cleaned_data[group.field]) for group in self._groups]
        quorum = [{"group": name, "count": count} for name, count in counts if count]
        return {"quorum": quorum, "four_eyes": self.cleaned_data["four_eyes"]}

    def refuse(self, problems: list[tuple[str, str]]) -> None:
        for name, message in problems:
            if name.startswith("quorum"):
                self.quorum_errors.append(message)
                self.add_error(None, f"Who must approve: {message}")
            else:
                field = self._field_of(name)
                self.add_error(field if field in self.fields else None, message)

    def _field_of(self, name: str) -> str:
        """`when.1.value` is the value of the row that was the second condition."""
        whole, _, place = name.partition(".")
        number, _, part = place.partition(".")
        if whole != "when" or not number.isdecimal():
            return name
        row = self._places[int(number)]
        return "when" if row is None else f"{part or 'path'}-{row}"


@dataclass(frozen=True)
class _Group:
    """`name`: as the quorum names it. `id` is that of the group, whose name may hold what no field name may."""

    name: str
    id: str
    words: str

    @property
    def field(self) -> str:
        return f"need-{self.id}"


def _groups(actor: Actor, row: Policy | None) -> list[_Group]:
    """The groups of the policy in its order, the team's others, and anyone."""
    groups = list(Group.objects.filter(team_id=actor.team_id).annotate(people=Count("users")).order_by("name"))
    by_name = {key: group for group in groups for key in (group.name, group.id)}
    stored = [need["group"] for need in row.quorum] if row else []
    shown = {by_name[name].id for name in stored if name in by_name and name != ANYONE}
    others = [group.id if group.name == ANYONE else group.name for group in groups if group.id not in shown]
    names = [*stored, *others, *([] if ANYONE in stored else [ANYONE])]
    return [_group(name, None if name == ANYONE else by_name.get(name), at) for at, name in enumerate(names)]


def _group(name: str, group: Any, at: int) -> _Group:
    if name == ANYONE:
        return _Group(name, ANYONE, "Anyone who may decide")
    if group is None:
        return _Group(name, f"gone{at}", f"{name}, a group that no longer exists")
    return _Group(name, group.id, f"{group.name} ({group.people} {'person' if group.people == 1 else 'people'})")


def initial_like(row: Policy, query: Mapping[str, str]) -> dict[str, Any]:
    """A new policy that is like `row`, but for what the address says; a condition in the address is one more."""
    when = next((each["class"] for each in row.when if "class" in each), "")
    about = {"tool": row.tool, "host": row.host or "", "end_user": row.end_user or "", "when": when}
    more = {name: query[name] for name in ("path-0", "op-0", "value-0") if name in query}
    rows = more | condition_forms.initial_rows(row.when, start=1 if more else 0)
    allow = {"include_end_users": row.include_end_users, "max_uses": row.max_uses}
    return initial_of(row) | about | allow | rows


def initial_of(row: Policy) -> dict[str, Any]:
    ends = row.expires_at.replace(second=0, microsecond=0) if row.expires_at else None
    return {"effect": row.effect, "expires_at": ends, "four_eyes": row.four_eyes, "note": row.note or ""}
