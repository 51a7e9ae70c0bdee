"""The form of a new machine."""

from typing import Any

from django import forms

from machines.schemas import MachineCreate

KINDS = (
    ("terminal", "Terminal: a shell"),
    ("browser", "Browser: Chromium"),
    ("simulated", "Simulated: a drawn screen, for trying things out"),
)


class MachineForm(forms.Form):
    display_name = forms.CharField(label="Name", max_length=64, widget=forms.TextInput(attrs={"autofocus": True}))
    kind = forms.ChoiceField(choices=KINDS)
    ttl_minutes = forms.IntegerField(
        label="Ends by itself after, in minutes",
        min_value=5,
        max_value=10_080,
        required=False,
        help_text="5 to 10080. Empty: never. A run that uses it may finish first.",
    )
    screen_width = forms.IntegerField(
        label="Screen width", min_value=320, max_value=3840, required=False, help_text="Usual: 1280."
    )
    screen_height = forms.IntegerField(
        label="Screen height", min_value=240, max_value=2160, required=False, help_text="Usual: 800."
    )

    def body(self) -> MachineCreate:
        values: dict[str, Any] = {k: v for k, v in self.cleaned_data.items() if v not in (None, "")}
        return MachineCreate.model_validate(values)

    def refuse(self, problems: list[tuple[str, str]]) -> None:
        for name, message in problems:
            self.add_error(name if name in self.fields else None, message)
