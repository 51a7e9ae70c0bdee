"""Forms of one's own profile."""

from typing import Any

from django import forms

from accounts.members.fields import NameField, NewPasswordField
from accounts.models import User


class OwnNameForm(forms.Form):
    name = NameField(max_length=128, widget=forms.TextInput(attrs={"autocomplete": "name"}))


class PasswordForm(forms.Form):
    """Asks for the password of now, so that an unlocked computer is not enough."""

    now = forms.CharField(
        label="Password now",
        strip=False,
        max_length=1024,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    new = NewPasswordField(label="New password")

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_now(self) -> str:
        password = str(self.cleaned_data["now"])
        if not self.user.check_password(password):
            raise forms.ValidationError("This is not your password.")
        return password

    def clean(self) -> dict[str, Any]:
        NewPasswordField.judge(self, "new", self.user)
        return self.cleaned_data
