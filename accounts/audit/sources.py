"""The port of the audit: apps register their tables here when the process starts (AppConfig.ready()); read together they are
one list.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from accounts.actor import Actor
from accounts.audit.entries import Entry
from accounts.audit.query import Query
from accounts.audit.things import Things

POSITIONS = ("decisions", "handlings", "comments", "changes", "external")  # the order of rows of the same moment


@dataclass(frozen=True)
class Source:
    """One table. `time`: the field that says when; there is an index on (time, id).

    `mentions`: ids of the things that an entry of the row names.
    """

    time: str
    rows: Callable[[Actor, Query], QuerySet[Any]]
    mentions: Callable[[Any], Iterable[str]]
    entry: Callable[[Actor, Any, Things], Entry]


@dataclass(frozen=True)
class Place:
    """Where a row stands. Rows of the same moment stand by table, a number in POSITIONS, then by id."""

    at: datetime
    table: int
    id: str | int


Row = tuple[Place, Any]

_SOURCES: dict[str, Source] = {}


def register(name: str, source: Source) -> None:
    if name not in POSITIONS:
        raise ValueError(f"{name} has no position.")
    _SOURCES[name] = source


def sources() -> list[Source]:
    return [_SOURCES[name] for name in POSITIONS]
