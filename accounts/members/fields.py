"""Fields of forms about people."""

from typing import Any

from django import forms
from django.contrib.auth.password_validation import validate_password

from accounts.models import User


class NameField(forms.CharField):
    """A name of a person or group, which others read: nothing in it may hide or turn the text beside it."""

    def validate(self, value: str) -> None:
        super().validate(value)
        if not value.isprintable():
            raise forms.ValidationError("Use letters, digits, spaces and signs only.")


class NewPasswordField(forms.CharField):
    """A password that is being chosen; judge() asks the validators of AUTH_PASSWORD_VALIDATORS."""

    def __init__(self, **more: Any) -> None:
        widget = forms.PasswordInput(attrs={"autocomplete": "new-password"})
        # hashing a longer one would be work without use
        super().__init__(max_length=1024, strip=False, widget=widget, help_text="At least 10 characters.", **more)

    @staticmethod
    def judge(form: forms.Form, name: str, user: User) -> None:
        if form.cleaned_data.get(name):
            try:
                validate_password(form.cleaned_data[name], user)
            except forms.ValidationError as error:
                form.add_error(name, error)
