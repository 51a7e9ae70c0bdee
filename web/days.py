"""A span of days as a form asks for it: in UTC, the last one included."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django import forms

_DATE = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")


class DaysForm(forms.Form):
    """The fields `from` and `to`; either may be empty."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, words in (("from", "From"), ("to", "To")):  # a class body cannot name a field `from`
            self.fields[name] = forms.DateField(
                label=f"{words} (UTC)",
                required=False,
                widget=_DATE,
                input_formats=["%Y-%m-%d"],
                error_messages={"invalid": "A day such as 2026-03-26."},
            )

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or self.cleaned_data
        first, last = values.get("from"), values.get("to")
        if first and last and last < first:
            self.add_error("to", "Must not be before the first day.")
        return values

    @property
    def start(self) -> datetime | None:
        """The beginning of the first day. The form is valid, as for `end`."""
        return _midnight(self.cleaned_data["from"])

    @property
    def end(self) -> datetime | None:
        """The end of the last day."""
        return _midnight(self.cleaned_data["to"], days=1)


def _midnight(day: date | None, days: int = 0) -> datetime | None:
    """The beginning of the day, or of the one `days` later; nothing beyond the calendar."""
    try:
        return datetime.combine(day, time(), UTC) + timedelta(days=days) if day else None
    except OverflowError:
        return None
