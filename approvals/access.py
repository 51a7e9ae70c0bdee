"""Reading approval requests, the actor first."""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

from django.db.models import Count, DateTimeField, Min, Q, QuerySet, Value
from django.db.models.functions import Coalesce

from accounts.actor import Actor
from accounts.models import Group
from approvals import sql
from approvals.errors import ApprovalNotFound
from approvals.models import NEVER, Approval, Decision
from database.sql import fetch, prepared_all
from web.times import rfc3339

# What is due first: requests that never expire come last, then the higher priority, then age.
DUE = ("due_at", "-priority", "created_at", "id")


def approvals_of(actor: Actor) -> QuerySet[Approval]:
    return Approval.objects.filter(team_id=actor.team_id, test=actor.test)


def by_due(rows: QuerySet[Approval]) -> QuerySet[Approval]:
    """The rows with `due_at`, to be ordered by DUE."""
    return rows.annotate(due_at=Coalesce("expires_at", Value(NEVER), output_field=DateTimeField()))


def open_count(actor: Actor) -> int:
    """Open requests of the actor's team and world."""
    return approvals_of(actor).filter(status="pending").count()


def get_approval(actor: Actor, approval_id: str) -> Approval:
    """Raises ApprovalNotFound, also for another team's or world's."""
    approval = fetch(Approval, sql.OF_TEAM, {"id": approval_id, "team": actor.team_id, "test": actor.test})
    if approval is None:
        raise ApprovalNotFound
    return approval


def locked_approval(approval_id: str) -> Approval:
    """A request that is there, locked after its root run and its run."""
    approval = fetch(Approval, sql.LOCKED, {"id": approval_id})
    assert approval is not None
    return approval


def assigned_names(actor: Actor) -> list[str]:
    """Whom an assignment has to name to mean the actor: the person, also when a key of theirs calls; and their groups."""
    groups = (
        Group.objects.filter(team_id=actor.team_id, users=actor.id) if actor.kind == "user" else Group.objects.none()
    )
    return [actor.owner_id or actor.id, *groups.values_list("id", flat=True)]


def held_by(team_id: str, holders: Collection[str]) -> QuerySet[Approval]:
    """Pending requests, of both worlds, that one of these people or keys claimed or that are assigned to one of them."""
    mine = Q(claimed_by__id__in=list(holders)) | Q(assignee__in=holders)
    return Approval.objects.filter(mine, team_id=team_id, status="pending").order_by("created_at", "id")


def pending_of_root(root_run_id: str) -> QuerySet[Approval]:
    return Approval.objects.filter(root_run_id=root_run_id, status="pending").order_by("created_at", "id")


def open_below(root_run_id: str) -> list[tuple[str, str, str]]:
    """Of each request of pending_of_root: its id, its run's and its kind."""
    return list(pending_of_root(root_run_id).values_list("id", "run_id", "kind"))


def decision_of(approval: Approval) -> Decision | None:
    """The decision that counts, if there is one."""
    return fetch(Decision, sql.DECISION, {"id": approval.id})


def lifted_cents(run_id: str) -> dict[str, int]:
    """By how much people lifted budgets for this run, by scope; that of the run itself stands in its budget_cents."""
    lifted: dict[str, int] = {}
    rows = Decision.objects.filter(approval__run_id=run_id, approval__kind="budget", verdict="approve", counts=True)
    for scope, values in rows.values_list("approval__budget__scope", "values"):
        lifted[scope] = lifted.get(scope, 0) + (values or {}).get("add_cents", 0)
    return {scope: cents for scope, cents in lifted.items() if scope != "run"}


def held_up(approval_ids: Iterable[str]) -> dict[str, int]:
    """How many top-level runs each of these pending requests holds up: its own, and those queued behind its machine."""
    return dict(Counter(approval_id for approval_id, _ in prepared_all(sql.HELD_UP, {"ids": list(approval_ids)})))


def _held_up_in_all(rows: QuerySet[Approval]) -> int:
    """The top-level runs that these pending requests hold up, each counted once."""
    ids = list(rows.order_by().values_list("id", flat=True))
    return len({root for _, root in prepared_all(sql.HELD_UP, {"ids": ids})})


def summary(rows: QuerySet[Approval]) -> dict[str, Any]:
    """{pending, blocked_runs, oldest_created_at} over the whole filter."""
    pending = rows.filter(status="pending").order_by()
    totals = pending.aggregate(count=Count("id"), oldest=Min("created_at"))
    return {
        "pending": totals["count"],
        "blocked_runs": _held_up_in_all(pending),
        "oldest_created_at": rfc3339(totals["oldest"]),
    }


def waiting(pending: QuerySet[Approval]) -> dict[str, Any]:
    """{pending, of_kind: how many of each, oldest, blocked: how many runs} of all that waits."""
    kinds = list(pending.order_by().values_list("kind").annotate(n=Count("id"), oldest=Min("created_at")))
    return {
        "pending": sum(count for _, count, _ in kinds),
        "of_kind": {kind: count for kind, count, _ in kinds},
        "oldest": min((oldest for _, _, oldest in kinds), default=None),
        "blocked": _held_up_in_all(pending),
    }
