"""Reading the audit, the actor first: its tables as one list, newest first, some rows at a time.

Each table is asked for the rows that may come next, by an index on (time, id), and the answers are merged. So a page costs the
same however long the list is, and new rows neither repeat nor hide others.
"""

import heapq
from collections.abc import Iterator
from itertools import islice

from django.db.models import Q

from accounts.actor import Actor
from accounts.audit.entries import Entry
from accounts.audit.query import Query
from accounts.audit.sources import Place, Row, Source, sources
from accounts.audit.things import look_up
from accounts.models import AuditEntry

PART = 200  # rows in memory while a list of any length is read


def page_of(actor: Actor, query: Query, after: Place | None, limit: int) -> list[Row]:
    """At most `limit` rows that stand behind `after`."""
    tables = [_rows(actor, query, source, n, after, limit) for n, source in enumerate(sources())]
    merged = heapq.merge(*tables, key=lambda row: (row[0].at, -row[0].table), reverse=True)
    return list(islice(merged, limit))


def parts_of(actor: Actor, query: Query) -> Iterator[list[Row]]:
    """The whole list, PART rows at a time."""
    after, rows = None, page_of(actor, query, None, PART)
    while rows:
        yield rows
        after = rows[-1][0]
        rows = page_of(actor, query, after, PART) if len(rows) == PART else []


def entries(actor: Actor, rows: list[Row]) -> list[Entry]:
    """The rows in words, by a fixed number of queries."""
    tables = sources()
    things = look_up(actor, (each for place, row in rows for each in tables[place.table].mentions(row)))
    return [tables[place.table].entry(actor, row, things) for place, row in rows]


def is_recorded(actor: Actor, verb: str, subject: str) -> bool:
    """Was this done in the actor's team and world? Then a second click has nothing left to do."""
    rows = AuditEntry.objects.filter(Q(test=actor.test) | Q(test__isnull=True), team_id=actor.team_id)
    return rows.filter(verb=verb, subject=subject).exists()


def _rows(actor: Actor, query: Query, source: Source, table: int, after: Place | None, limit: int) -> list[Row]:
    time, rows = source.time, source.rows(actor, query)
    if query.start:
        rows = rows.filter(**{f"{time}__gte": query.start})
    if query.end:
        rows = rows.filter(**{f"{time}__lt": query.end})
    if after is not None:
        rows = rows.filter(_behind(after, table, time))
    return [(Place(getattr(row, time), table, row.pk), row) for row in rows.order_by(f"-{time}", "-id")[:limit]]


def _behind(after: Place, table: int, time: str) -> Q:
    older, not_newer = Q(**{f"{time}__lt": after.at}), Q(**{f"{time}__lte": after.at})
    if table == after.table:
        return not_newer & (older | Q(id__lt=after.id))  # the first half is what the index is entered by
    return not_newer if table > after.table else older
