"""What runs add to the audit: what the log says was done with requests; and which runs belong to a run."""

from django.db.models import Q, QuerySet
from django.db.models.fields.json import KT

from accounts.actor import Actor
from accounts.audit import sources, things
from accounts.audit.entries import Entry
from accounts.audit.query import Query
from accounts.audit.sources import Source
from accounts.audit.things import Things
from approvals.access import approvals_of
from approvals.audit import asks_for_handling, handled, mentions
from approvals.models import HANDLINGS
from runs.models import Run, RunEvent


def register() -> None:
    sources.register("handlings", Source("created_at", _handlings, lambda row: mentions(row.data), _handling))
    things.register_tree("run", _below)


def _handlings(actor: Actor, query: Query) -> QuerySet[RunEvent]:
    if not asks_for_handling(query):
        return RunEvent.objects.none()
    rows = RunEvent.objects.filter(type="approval", run__team_id=actor.team_id, run__test=actor.test)
    rows = rows.alias(change=KT("data__change"), request=KT("data__approval_id")).filter(change__in=HANDLINGS)
    if query.run:
        rows = rows.filter(run_id__in=_below(actor, query.run))
    if query.subject:
        runs = approvals_of(actor).filter(id=query.subject).values("run_id")
        rows = rows.filter(run_id__in=runs, request=query.subject)
    return rows.alias(who=KT("data__by__id")).filter(who=query.who) if query.who else rows


def _below(actor: Actor, run_id: str) -> QuerySet[Run, str]:
    """The run, and those below it."""
    runs = Run.objects.filter(Q(id=run_id) | Q(root_id=run_id), team_id=actor.team_id, test=actor.test)
    return runs.values_list("id", flat=True)


def _handling(actor: Actor, row: RunEvent, named: Things) -> Entry:
    return handled(actor, f"{row.run_id}:{row.seq}", row.created_at, row.run_id, row.data, named)
