"""The days that a reader of the statistics chooses."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from web.days import DaysForm

USUAL_DAYS = 30
SPANS = (1, 7, 30, 90)  # days that are one click away
FIRST = datetime(2000, 1, 1, tzinfo=UTC)  # before any request; days before a day have room there


class Days(DaysForm):
    """`from` and `to`, or `days` before now; without any of them the USUAL_DAYS before now."""

    def __init__(self, query: Mapping[str, str]) -> None:
        super().__init__(query)
        named = bool(query.get("from") or query.get("to"))
        days = query.get("days", "")
        self.span = None if named else next((span for span in SPANS if str(span) == days), USUAL_DAYS)

    def period(self, now: datetime) -> tuple[datetime, datetime]:
        """From when until when; never beyond `now`. The form is valid."""
        until = min(max(self.end or now, FIRST), now)
        return self.start or until - timedelta(days=self.span or USUAL_DAYS), until
