"""Forms about people."""

from typing import Any

from django import forms

from accounts.actor import Actor
from accounts.models import Role

ROLE_WORDS = {
    "owner": "Everything, and makes and unmakes owners",
    "admin": "Everything, people and keys included",
    "approver": "Decides requests, takes control of machines",
    "operator": "Starts runs and workflows, works with machines",
    "viewer": "Sees everything, changes nothing",
}


class RolesField(forms.MultipleChoiceField):
    def __init__(self) -> None:
        choices = [(role, role) for role in Role.highest_first(Role.values)]
        super().__init__(choices=choices, error_messages={"required": "Choose at least one role."})


class RolesForm(forms.Form):
    """`seen` brings back the roles that the page showed: a change that came meanwhile is not overwritten."""

    roles = RolesField()
    seen = forms.CharField(required=False, max_length=100)

    def __init__(self, actor: Actor, now: list[str], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.actor, self.now = actor, Role.highest_first(now)

    def rows(self) -> list[tuple[str, str, bool]]:
        """(role, words, ticked) of the roles that this actor may give and take."""
        return role_rows(self.actor, set(self.data.getlist("roles")) if self.is_bound else set(self.now))  # type: ignore[attr-defined]

    @property
    def kept_owner(self) -> bool:
        """An owner, looked at by an admin, who cannot change that."""
        return Role.OWNER in self.now and Role.OWNER not in self.actor.roles

    def was_seen(self) -> list[str]:
        return str(self.cleaned_data["seen"]).split(",")


def role_rows(actor: Actor, ticked: set[str]) -> list[tuple[str, str, bool]]:
    offered = [role for role in ROLE_WORDS if role != Role.OWNER or Role.OWNER in actor.roles]
    return [(role, ROLE_WORDS[role], role in ticked) for role in offered]
