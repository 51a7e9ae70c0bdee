"""Forms of groups."""

from typing import Any

from django import forms

from accounts.members.fields import NameField
from accounts.models import Group


class GroupForm(forms.Form):
    """`others`: the groups that may be told next, which are those that do not lead back here."""

    name = NameField(max_length=64, help_text="For example Finance. Policies name groups by it.")
    next_group = forms.ChoiceField(
        label="When this group lets the time run out, tell",
        required=False,
        help_text="A request that nobody of this group answers in time is passed on to the people of that group.",
        error_messages={"invalid_choice": "That group is gone, or passes on to this one already."},
    )

    def __init__(self, others: list[Group], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["next_group"].choices = [("", "nobody"), *((g.id, g.name) for g in others)]  # type: ignore[attr-defined]

    def values(self) -> dict[str, Any]:
        return {"name": self.cleaned_data["name"], "next_group_id": self.cleaned_data["next_group"] or None}
