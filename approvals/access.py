"""Reading approval requests, the actor first."""

from collections.abc import Collection

from django.db.models import DateTimeField, Q, QuerySet, Value
from django.db.models.functions import Coalesce

from accounts.actor import Actor
from accounts.models import Group
from approvals import sql
from approvals.errors import ApprovalNotFound
from approvals.models import NEVER, Approval, Decision
from database.sql import fetch

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


def readable(actor: Actor) -> QuerySet[Approval]:
    """What the actor may read: everything, or with approvals:request alone what it asked itself."""
    rows = approvals_of(actor)
    return rows if actor.may("approvals:read") else rows.filter(asker_id=actor.id)


def get_readable(actor: Actor, approval_id: str) -> Approval:
    """As get_approval(), of what the actor may read."""
    approval = get_approval(actor, approval_id)
    if not actor.may("approvals:read") and approval.asker_id != actor.id:
        raise ApprovalNotFound
    return approval


def find_approval(actor: Actor, approval_id: str | None) -> Approval | None:
    try:
        return get_approval(actor, approval_id) if approval_id else None
    except ApprovalNotFound:
        return None


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
    return [(row.id, row.run_id or "", row.kind) for row in pending_of_root(root_run_id).only("id", "run_id", "kind")]


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
