"""The form of a profile: people's units (dollars, yes and no) beside those of the row."""

import json
from collections.abc import Mapping
from typing import Any

from django import forms

from inference.models import Profile
from inference.profiles.vendors import PRICES_OF, VENDORS, Vendor, usual_prices
from inference.specs import free_name

UNKNOWN = ("", "As usual")
_CHOICES: dict[str, tuple[tuple[str, str], ...]] = {
    "coordinates": (
        ("pixels", "pixels of the picture"), ("thousand", "0 to 1000 of each side"), ("resized", "pixels of a resized picture"),
    ),
    "dialect": (
        ("tools", "calls of tools"), ("uitars", "UI-TARS"), ("qwen", "Qwen"), ("pyautogui", "pyautogui"),
        ("json_point", "a point as JSON"),
    ),
    "tools": (("native", "native calls"), ("json_schema", "JSON by a schema"), ("text", "text")),
    "picture_in_tool": (("true", "in the answer of the tool"), ("false", "as the next message")),
    "effort": (("low", "low"), ("medium", "medium"), ("high", "high"), ("xhigh", "very high"), ("max", "the most")),
}  # fmt: skip
_COMPUTER = {
    "anthropic": (("toolset", "the toolset of 2026"), ("older", "the computer tool of older models")),
    "openai": (("computer", "computer"), ("preview", "computer_use_preview, of older models")),
}
# Which options each wire shows as fields of their own; all others are in `more`, as JSON.
SHOWN: dict[str, tuple[str, ...]] = {
    "anthropic": ("computer", "effort", "max_side", "max_tokens"),
    "openai": ("computer", "effort", "max_side", "max_tokens"),
    "gemini": ("max_side", "max_tokens"),
    "compatible": ("coordinates", "dialect", "tools", "picture_in_tool", "max_side", "max_tokens", "keep_images"),
}
_LABELS = {
    "coordinates": "Places are given in", "dialect": "It answers with", "tools": "Tools are offered as",
    "picture_in_tool": "Pictures are sent", "effort": "Effort", "computer": "Tool", "max_side": "Longest side sent, in pixels",
    "max_tokens": "Longest answer, in tokens", "keep_images": "Newest pictures kept",
}  # fmt: skip
_HELP = {
    "coordinates": "A wrong one is what the test finds.",
    "max_side": "Larger screens are made smaller. Empty: as the vendor likes it.",
}
PRICES = {
    "price_input": ("input", "Input"), "price_output": ("output", "Output"), "price_cached": ("cached", "Input from the cache"),
    "price_cache_written": ("cache_written", "Input written to the cache"),
}  # fmt: skip
LIMITS = {
    "limit_concurrent": ("concurrent", "Calls at once", "Of each process. Empty: 8."),
    "limit_tokens": ("tokens", "Tokens of one run", "A run that took more ends. Empty or 0: no limit."),
    "limit_depth": ("depth", "Calls in a row without a step", "Empty: 12."),
}


class ProfileForm(forms.Form):
    """`profile`: the profile that is edited. Empty fields are left to the defaults of inference.specs.Spec."""

    name = forms.CharField(
        max_length=64,
        label="Name",
        help_text="What runs call it, for example claude. It stays.",
        widget=forms.TextInput(attrs={"autofocus": True, "spellcheck": "false", "autocapitalize": "none"}),
    )
    model = forms.CharField(max_length=128, label="Model", widget=forms.TextInput(attrs={"spellcheck": "false"}))
    base_url = forms.CharField(
        max_length=2048, required=False, label="Address", widget=forms.URLInput(attrs={"spellcheck": "false"})
    )
    key = forms.CharField(
        max_length=4096,
        required=False,
        label="API key",
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    take_key_away = forms.BooleanField(required=False, label="Take the key away")
    more = forms.CharField(
        required=False,
        label="Further options, as JSON",
        max_length=20_000,
        help_text='An object, for example {"keep_images": 3}. All options are in docs/models.md.',
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono", "spellcheck": "false"}),
    )

    def __init__(
        self, wire: str, *args: Any, profile: Profile | None = None, others: tuple[str, ...] = (), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.profile, self.vendor = profile, VENDORS[wire]
        self._fields_of_wire(wire, others)
        self._words()

    def _fields_of_wire(self, wire: str, others: tuple[str, ...]) -> None:
        for name in SHOWN[wire]:
            choices = _COMPUTER[wire] if name == "computer" else _CHOICES.get(name)
            more: dict[str, Any] = {"required": False, "label": _LABELS[name], "help_text": _HELP.get(name, "")}
            self.fields[name] = (
                forms.ChoiceField(choices=(UNKNOWN, *choices), **more) if choices else forms.IntegerField(**more)
            )
        self.fields["verifier"] = forms.ChoiceField(
            required=False,
            label="Who checks its work",
            choices=[("", "Another model, if there is one"), *((n, n) for n in others)],
            help_text="In runs of engine v4.",
        )
        for name, (_, label) in PRICES.items():
            self.fields[name] = forms.DecimalField(
                required=False, min_value=0, max_value=100_000, decimal_places=6, label=label
            )
        for name, (_, label, words) in LIMITS.items():
            self.fields[name] = forms.IntegerField(required=False, label=label, help_text=words)

    def _words(self) -> None:
        vendor, profile, fields = self.vendor, self.profile, self.fields
        own = vendor.wire == "compatible"
        fields["base_url"].required = own
        fields["base_url"].help_text = (
            "Of its API, for example http://127.0.0.1:11434/v1. Addresses of your own network work too."
            if own
            else f"Empty: {vendor.address}."
        )
        fields["model"].help_text = "As the server calls it." if own else f"For example {', '.join(vendor.prices)}."
        fields["key"].help_text = "Sealed in the database and never shown again."
        if own:
            fields["key"].label = "API key, if it wants one"
        if profile is not None:
            del fields["name"]
            if profile.key is not None:
                fields["key"].label, fields["key"].help_text = "New API key", "Empty: the one that is there stays."
            if profile.from_env:
                del fields["key"]
        if profile is None or profile.key is None or profile.from_env:
            del fields["take_key_away"]

    def options(self) -> list[Any]:
        return [self[name] for name in (*SHOWN[self.vendor.wire], "verifier", "more")]

    def prices(self) -> list[Any]:
        return [self[name] for name in PRICES]

    def limits(self) -> list[Any]:
        return [self[name] for name in LIMITS]

    def folded_is_wrong(self) -> bool:
        return any(name in self.errors for name in (*SHOWN[self.vendor.wire], "verifier", "more", *LIMITS))

    @property
    def prices_of(self) -> str:
        return PRICES_OF

    def clean_more(self) -> dict[str, Any]:
        text = self.cleaned_data["more"].strip()
        if not text:
            return {}
        try:
            options = json.loads(text)
        except ValueError as error:
            raise forms.ValidationError(f"This is not JSON: {error}.") from error
        except RecursionError:
            raise forms.ValidationError("This is too deep.") from None
        if not isinstance(options, dict):
            raise forms.ValidationError("This is no JSON object.")
        return options

    def values(self) -> dict[str, Any]:
        """As inference.profiles.services takes them; `key` is None where it is to stay."""
        data = self.cleaned_data
        options = {name: data[name] for name in (*SHOWN[self.vendor.wire], "verifier") if data[name] not in ("", None)}
        if "picture_in_tool" in options:
            options["picture_in_tool"] = options["picture_in_tool"] == "true"
        key = data.get("key") or ("" if data.get("take_key_away") else None)
        return {
            "name": data.get("name", ""),
            "wire": self.vendor.wire,
            "model": data["model"],
            "base_url": data["base_url"],
            "key": key,
            "options": options | data["more"],
            "prices": {n: _cents(data[f]) for f, (n, _) in PRICES.items() if data[f] is not None},
            "limits": {n: data[f] for f, (n, *_) in LIMITS.items() if data[f] is not None},
        }

    def refuse(self, problems: list[tuple[str, str]]) -> None:
        """Each violation at the field that people see it in."""
        of_prices = {f"prices.{name}": field for field, (name, _) in PRICES.items()}
        of_limits = {f"limits.{name}": field for field, (name, *_) in LIMITS.items()}
        for at, words in problems:
            name = of_prices.get(at) or of_limits.get(at) or at.removeprefix("options.")
            shown = name if name in self.fields else "more" if at.startswith("options") else None
            self.add_error(shown, words)


def _cents(dollars: Any) -> float:
    cents = float(dollars * 100)
    return int(cents) if cents == int(cents) else cents


def prices_in_words(profile: Profile) -> list[tuple[str, str]]:
    """(what is paid for, dollars per million tokens)."""
    dollars = _price_fields(profile.prices)
    return [(PRICES[field][1].lower(), _as_money(text)) for field, text in dollars.items()]


def _as_money(dollars: str) -> str:
    """At least two digits of cents: 1.5 is read as $1.50, 0.003 stays."""
    whole, _, cents = dollars.partition(".")
    return f"{whole}.{cents:0<2}"


def start_of(vendor: Vendor) -> dict[str, Any]:
    """What the form of a new profile holds at first."""
    prices = usual_prices(vendor.wire, vendor.model)
    model = "" if vendor.wire == "compatible" else vendor.model
    return {"name": free_name(vendor.name), "model": model} | _price_fields(prices)


def values_of(profile: Profile) -> dict[str, Any]:
    shown = (*SHOWN[profile.wire], "verifier")
    options = {name: value for name, value in profile.options.items() if name in shown}
    if "picture_in_tool" in options:
        options["picture_in_tool"] = str(options["picture_in_tool"]).lower()
    rest = {name: value for name, value in profile.options.items() if name not in shown}
    more = {"more": json.dumps(rest, indent=2, ensure_ascii=False)} if rest else {}
    limits = {field: profile.limits.get(name) for field, (name, *_) in LIMITS.items()}
    return (
        {"model": profile.model, "base_url": profile.base_url} | options | more | limits | _price_fields(profile.prices)
    )


def _price_fields(prices: Mapping[str, float]) -> dict[str, str]:
    return {
        field: f"{prices[name] / 100:.6f}".rstrip("0").rstrip(".")
        for field, (name, _) in PRICES.items()
        if name in prices
    }
