"""Forms of invitations."""

from collections.abc import Iterable
from typing import Any

from django import forms

from accounts.actor import Actor
from accounts.members.fields import NameField, NewPasswordField
from accounts.members.forms import RolesField, role_rows
from accounts.models import Group, User


class InviteForm(forms.Form):
    email = forms.EmailField(
        label="E-mail",
        widget=forms.EmailInput(attrs={"autofocus": True, "autocomplete": "off"}),
        help_text="The link opens the team for this address only.",
    )
    roles = RolesField()
    groups = forms.MultipleChoiceField(required=False)

    def __init__(self, actor: Actor, groups: Iterable[Group], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.actor = actor
        self.fields["groups"].choices = [(group.id, group.name) for group in groups]  # type: ignore[attr-defined]

    def _ticked(self, name: str) -> set[str]:
        return set(self.data.getlist(name)) if self.is_bound else set()  # type: ignore[attr-defined]

    def role_rows(self) -> list[tuple[str, str, bool]]:
        return role_rows(self.actor, self._ticked("roles"))

    def group_rows(self) -> list[tuple[str, str, bool]]:
        choices = self.fields["groups"].choices  # type: ignore[attr-defined]
        return [(key, name, key in self._ticked("groups")) for key, name in choices]


class NewPersonForm(forms.Form):
    """Who has no account chooses a name and a password."""

    name = NameField(max_length=128, label="Your name", widget=forms.TextInput(attrs={"autocomplete": "name"}))
    password = NewPasswordField()

    def __init__(self, email: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.email = email

    def clean(self) -> dict[str, Any]:
        NewPasswordField.judge(self, "password", User(email=self.email, name=self.cleaned_data.get("name", "")))
        return self.cleaned_data
