"""Forms of secrets. What is typed into them as a value is never shown again, not even when the form is refused."""

from typing import Any

from django import forms

from accounts.models import TeamSecret
from accounts.secrets.hosts import WRONG, as_compared

_HIDDEN = {"autocomplete": "off", "spellcheck": "false", "data-1p-ignore": "", "data-lpignore": "true"}


class LinesField(forms.CharField):
    """One entry a line; commas divide, too."""

    widget = forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "autocapitalize": "off"})

    def to_python(self, value: Any) -> Any:
        return [entry for line in str(value or "").replace(",", "\n").splitlines() if (entry := line.strip())]


class SecretForm(forms.Form):
    """Field names are those of POST /v1/secrets. `change`: of a secret that is there, whose name stays."""

    name = forms.CharField(
        max_length=64,
        widget=forms.TextInput(attrs={"autofocus": True, "autocomplete": "off"}),
        help_text="What tasks call it by, for example “shop password”. It cannot be changed later.",
    )
    value = forms.CharField(
        required=False,
        max_length=4096,
        strip=False,
        widget=forms.PasswordInput(attrs=_HIDDEN),
        help_text="A password, a token, an account number. Nobody can read it again.",
    )
    totp_seed = forms.CharField(
        label="Or the key of one-time codes",
        required=False,
        max_length=512,
        widget=forms.PasswordInput(attrs=_HIDDEN),
        help_text="What a site shows for an authenticator app that cannot scan its picture. Runs type the code of the moment.",
    )
    hosts = LinesField(
        help_text="Whose pages may get it, one a line: shop.example.com, or *.example.com for all hosts below example.com."
    )
    machines = LinesField(
        label="Terminals",
        required=False,
        help_text="Ids of terminals that may get it, one a line, for example mch_4dE. None: it is typed in browsers only.",
    )

    def __init__(self, *args: Any, change: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.change = change
        if change:
            del self.fields["name"]
            self.fields["value"].label = "New value"
            self.fields["value"].help_text = "Empty: the one that is kept stays. Nobody can read either."
            self.fields["value"].widget.attrs["autofocus"] = True

    def clean_hosts(self) -> list[str]:
        wrong = [entry for entry in self.cleaned_data["hosts"] if as_compared(entry) is None]
        if wrong:
            raise forms.ValidationError([f"{entry[:80]}: {WRONG}" for entry in wrong[:5]])
        hosts: list[str] = self.cleaned_data["hosts"]
        return hosts

    def clean(self) -> dict[str, Any]:
        data = self.cleaned_data
        if not self.change and not data.get("value") and not data.get("totp_seed") and not self.errors.get("value"):
            self.add_error("value", "Give a value, or the key of one-time codes.")
        return data

    def values(self) -> dict[str, Any]:
        data = self.cleaned_data
        secret = {name: data[name] for name in ("value", "totp_seed") if data[name]}
        named = {} if self.change else {"name": data["name"]}
        return {**named, **secret, "hosts": data["hosts"], "machines": data["machines"]}

    def refuse(self, problems: list[tuple[str, str]]) -> None:
        for name, message in problems:
            field = name.partition(".")[0]
            self.add_error(field if field in self.fields else None, message)


def values_of(row: TeamSecret) -> dict[str, Any]:
    return {"hosts": "\n".join(row.hosts), "machines": "\n".join(row.machines)}
