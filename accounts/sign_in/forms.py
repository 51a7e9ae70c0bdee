"""The form that signs in."""

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm


class SignInForm(AuthenticationForm):
    """Says the same whether the address or the password was wrong."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.error_messages = {
            "invalid_login": "E-mail or password is wrong.",
            "inactive": "This account is switched off.",
        }
        self.fields["username"].label = "E-mail"
        self.fields["username"].widget = forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True})
        self.fields["password"].widget.attrs |= {"autocomplete": "current-password"}

    def clean_username(self) -> str:
        """One spelling for each person, else every spelling had its own count of wrong passwords."""
        return str(self.cleaned_data["username"]).strip().lower()
