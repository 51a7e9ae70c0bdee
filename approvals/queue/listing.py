"""The list of what waits: which rows, in which order, and how much they hold up."""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from django.db.models import Count, Min, Q, QuerySet
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import Group
from approvals.access import DUE, approvals_of, by_due
from approvals.kinds import Kind
from approvals.models import NEVER, Approval
from approvals.schemas import WaitingObject
from approvals.subjects import subjects
from web.paging import beyond
from web.times import rfc3339

ORDERS = {"due": DUE, "oldest": ("created_at", "id")}
WHO = {"": "All", "mine": "Mine", "groups": "My groups", "free": "Free", "others": "Held by others"}


def filtered(actor: Actor, rows: QuerySet[Approval], kind: str, who: str) -> QuerySet[Approval]:
    """`who`: one of WHO."""
    if kind in Kind.values:
        rows = rows.filter(kind=kind)
    held = Q(claimed_by__isnull=False, claim_expires_at__gt=timezone.now())
    mine = Q(claimed_by__id=actor.id)
    if who == "mine":
        return rows.filter(Q(assignee=actor.id) | (held & mine))
    if who == "groups":
        return rows.filter(assignee__in=Group.objects.filter(team_id=actor.team_id, users=actor.id).values("id"))
    if who == "free":
        return rows.exclude(held)
    return rows.filter(held).exclude(mine) if who == "others" else rows


def next_below(actor: Actor, approval: Approval, filters: Mapping[str, str]) -> str | None:
    """The id of the open request that stands below this one in the list that was looked at; the first one after the last."""
    pending = approvals_of(actor).filter(status="pending").exclude(id=approval.id)
    rows = by_due(filtered(actor, pending, filters.get("kind", ""), filters.get("who", "")))
    order = ORDERS.get(filters.get("sort", "due"), DUE)
    approval.due_at = approval.expires_at or NEVER  # type: ignore[attr-defined]
    below = rows.filter(beyond(order, [getattr(approval, name.lstrip("-")) for name in order]))
    following = below.order_by(*order).first() or rows.order_by(*order).first()
    return following.id if following else None


def held_up(approval_ids: Collection[str]) -> dict[str, int]:
    """How many top-level subjects each of these pending requests holds up: its own, and those queued behind it."""
    return dict(Counter(approval_id for approval_id, _ in _holds(approval_ids)))


def _held_up_in_all(rows: QuerySet[Approval]) -> int:
    """The top-level subjects that these pending requests hold up, each counted once."""
    return len({subject_id for _, subject_id in _holds(rows.order_by().values_list("id", flat=True))})


def _holds(approval_ids: Collection[str]) -> list[tuple[str, str]]:
    ids = list(approval_ids)
    return [pair for subject in subjects() for pair in subject.held_up(ids)]


def summary(rows: QuerySet[Approval]) -> WaitingObject:
    """{pending, blocked_runs, oldest_created_at} over the whole filter."""
    pending = rows.filter(status="pending").order_by()
    sums = pending.aggregate(n=Count("id"), oldest=Min("created_at"))
    return {
        "pending": sums["n"],
        "blocked_runs": _held_up_in_all(pending),
        "oldest_created_at": rfc3339(sums["oldest"]),
    }


def waiting(pending: QuerySet[Approval]) -> dict[str, Any]:
    """{pending, of_kind: how many of each, oldest, blocked: how many runs} of all that waits."""
    rows = list(pending.order_by().values_list("kind").annotate(n=Count("id"), oldest=Min("created_at")))
    return {
        "pending": sum(n for _, n, _ in rows),
        "of_kind": {kind: n for kind, n, _ in rows},
        "oldest": min((oldest for _, _, oldest in rows), default=None),
        "blocked": _held_up_in_all(pending),
    }
