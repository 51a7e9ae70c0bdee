"""Times as the API writes them: RFC 3339 in UTC with milliseconds and Z."""

from datetime import UTC, datetime
from typing import Annotated, overload

from django.utils.dateparse import parse_date, parse_datetime
from pydantic import Field

Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"})]  # of an answer, as rfc3339() writes it


@overload
def rfc3339(at: datetime) -> str: ...


@overload
def rfc3339(at: datetime | None) -> str | None: ...


def rfc3339(at: datetime | None) -> str | None:
    """`2026-03-26T14:35:01.000Z`, or None for None."""
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_time(text: str, *, dates: bool = False) -> datetime | None:
    """The time in UTC, None for what is none; without a zone it is in UTC. With `dates` a date is its midnight."""
    try:
        time = parse_datetime(text)
        day = parse_date(text) if dates and time is None else None
        if day is not None:
            time = datetime(day.year, day.month, day.day)  # noqa: DTZ001  the next line gives it its zone
        return time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC) if time else None
    except (ValueError, OverflowError):
        return None
