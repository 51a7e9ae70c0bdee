"""Reading the audit, the actor first: four tables as one list, newest first, some rows at a time.

Each table is asked for the rows that may come next, by an index on (time, id), and the answers are merged. So a page costs the
same however long the list is, and new rows neither repeat nor hide others.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.fields.json import KT

from accounts.actor import Actor
from accounts.models import AUDITED_KIND, AuditEntry
from approvals.access import approvals_of
from approvals.models import Comment, Decision
from runs.audit.wanted import KINDS, LOST, Wanted
from runs.models import Run, RunEvent

Found = Decision | RunEvent | Comment | AuditEntry
HANDLED = ("vote", "claimed", "released", "assigned", "extended", "undone", "void")  # what no other table has
_LARGE = ("questions", "plan", "input_schema", "context", "evidence", "action", "edited_action")  # of a request
PART = 200  # rows in memory while a list of any length is read


@dataclass(frozen=True)
class Place:
    """Where a row stands. Rows of the same moment stand by table, then by id."""

    at: datetime
    table: int
    id: str | int


Row = tuple[Place, Found]


def page_of(actor: Actor, wanted: Wanted, after: Place | None, limit: int) -> list[Row]:
    """At most `limit` rows that stand behind `after`."""
    found = [_rows(actor, wanted, table, after, limit) for table in range(len(_TABLES))]
    merged = heapq.merge(*found, key=lambda row: (row[0].at, -row[0].table), reverse=True)
    return list(islice(merged, limit))


def parts_of(actor: Actor, wanted: Wanted) -> Iterator[list[Row]]:
    """The whole list, PART rows at a time."""
    after, found = None, page_of(actor, wanted, None, PART)
    while found:
        yield found
        after = found[-1][0]
        found = page_of(actor, wanted, after, PART) if len(found) == PART else []


def _rows(actor: Actor, wanted: Wanted, table: int, after: Place | None, limit: int) -> list[Row]:
    find, time = _TABLES[table]
    rows = find(actor, wanted)
    if wanted.start:
        rows = rows.filter(**{f"{time}__gte": wanted.start})
    if wanted.end:
        rows = rows.filter(**{f"{time}__lt": wanted.end})
    if after is not None:
        rows = rows.filter(_behind(after, table, time))
    return [(Place(getattr(row, time), table, row.pk), row) for row in rows.order_by(f"-{time}", "-id")[:limit]]


def _behind(after: Place, table: int, time: str) -> Q:
    older, not_newer = Q(**{f"{time}__lt": after.at}), Q(**{f"{time}__lte": after.at})
    if table == after.table:
        return not_newer & (older | Q(id__lt=after.id))  # the first half is what the index is entered by
    return not_newer if table > after.table else older


def _decisions(actor: Actor, wanted: Wanted) -> QuerySet[Decision]:
    if wanted.kind not in ("", "decision") or not _of_requests(wanted):
        return Decision.objects.none()
    rows = Decision.objects.filter(team_id=actor.team_id, test=actor.test).select_related("approval")
    rows = rows.defer("sealed", *(f"approval__{name}" for name in _LARGE))
    if wanted.verdict == LOST:
        rows = rows.filter(counts=False).exclude(loss="UNDONE")
    elif wanted.verdict:
        rows = rows.filter(verdict=wanted.verdict)
    return _by(_about_request(rows, actor, wanted), "actor__id", wanted)


def _comments(actor: Actor, wanted: Wanted) -> QuerySet[Comment]:
    if wanted.kind not in ("", "request") or wanted.verdict or not _of_requests(wanted):
        return Comment.objects.none()
    rows = Comment.objects.filter(team_id=actor.team_id, test=actor.test)
    return _by(_about_request(rows, actor, wanted), "actor__id", wanted)


def _about_request(rows: QuerySet[Any], actor: Actor, wanted: Wanted) -> QuerySet[Any]:
    rows = rows.filter(approval__run_id__in=_runs(actor, wanted.run)) if wanted.run else rows
    return rows.filter(approval_id=wanted.subject) if wanted.subject else rows


def _handlings(actor: Actor, wanted: Wanted) -> QuerySet[RunEvent]:
    if wanted.kind not in ("", "request") or wanted.verdict or not _of_requests(wanted):
        return RunEvent.objects.none()
    rows = RunEvent.objects.filter(type="approval", run__team_id=actor.team_id, run__test=actor.test)
    rows = rows.alias(change=KT("data__change"), request=KT("data__approval_id")).filter(change__in=HANDLED)
    if wanted.run:
        rows = rows.filter(run_id__in=_runs(actor, wanted.run))
    if wanted.subject:
        asked_by = approvals_of(actor).filter(id=wanted.subject).values("run_id")
        rows = rows.filter(run_id__in=asked_by, request=wanted.subject)
    return _by(rows, "data__by__id", wanted)


def _changes(actor: Actor, wanted: Wanted) -> QuerySet[AuditEntry]:
    """Entries of the actor's world, and of both."""
    if wanted.kind in ("decision", "request") or wanted.verdict:
        return AuditEntry.objects.none()
    rows = AuditEntry.objects.filter(Q(test=actor.test) | Q(test__isnull=True), team_id=actor.team_id)
    if wanted.kind:
        rows = rows.alias(written_kind=AUDITED_KIND).filter(written_kind__in=KINDS[wanted.kind])
    if wanted.run:
        runs = _runs(actor, wanted.run)
        rows = rows.alias(of_run=KT("data__run_id")).filter(data__has_key="run_id", of_run__in=runs)
    if wanted.subject:
        rows = rows.filter(subject=wanted.subject)
    return _by(rows, "actor__id", wanted)


def _of_requests(wanted: Wanted) -> bool:
    """Can what is done with requests be about the wanted subject?"""
    return not wanted.subject or wanted.subject.startswith("apr_")


def _by(rows: QuerySet[Any], path: str, wanted: Wanted) -> QuerySet[Any]:
    return rows.alias(who=KT(path)).filter(who=wanted.who) if wanted.who else rows


def _runs(actor: Actor, run_id: str) -> QuerySet[Run, str]:
    """The run, and those below it."""
    below = Run.objects.filter(Q(id=run_id) | Q(root_id=run_id), team_id=actor.team_id, test=actor.test)
    return below.values_list("id", flat=True)


_TABLES: tuple[tuple[Callable[[Actor, Wanted], QuerySet[Any]], str], ...] = (
    (_decisions, "at"), (_handlings, "created_at"), (_comments, "at"), (_changes, "at"),
)  # fmt: skip
