"""The queue and one approval request. The decision itself is taken in runs/views.py, one floor up."""

from statistics import median
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.actor import Actor
from accounts.models import Group
from accounts.pages import PageRequest, show, signed_in
from accounts.templatetags.show import plain
from approvals.access import DUE, approvals_of, by_due, get_approval
from approvals.cards import card
from approvals.errors import ApprovalNotFound
from approvals.models import Approval, Decision, Kind

SHOWN = 100


@require_GET
@signed_in("approvals:read")
def queue(request: PageRequest) -> HttpResponse:
    """Everything that waits, soonest first; beside it the card of the chosen request, else of the first."""
    actor = request.actor
    pending = approvals_of(actor).filter(status="pending")
    found = _filtered(actor, pending, request.GET.get("kind", ""), request.GET.get("who", ""))
    rows = list(by_due(found).order_by(*DUE)[:SHOWN])
    chosen = _find(actor, request.GET.get("open")) or (rows[0] if rows else None)
    context = {
        "section": "queue", "rows": rows, "chosen": chosen, "total": found.count(),
        "opened": bool(request.GET.get("open")) and chosen is not None,
        "kind": request.GET.get("kind", ""), "who": request.GET.get("who", ""), "kinds": _kinds(pending),
        "live_title": _title(pending.count()), "decided": _decided(actor, request.GET.get("decided")),
        "card": card(actor, chosen, request.get_full_path()) if chosen else None, **_summary(pending),
    }  # fmt: skip
    if not rows:
        context |= _today(actor)
    return show(request, "approvals/queue.html", context)


@require_GET
@signed_in("approvals:read")
def approval(request: PageRequest, approval_id: str) -> HttpResponse:
    found = get_approval(request.actor, approval_id)
    return card_page(request, found)


def card_page(request: PageRequest, found: Approval, status: int = 200, **form: Any) -> HttpResponse:
    """The request alone on a page; `form` brings back a decision that was not valid."""
    shown = card(request.actor, found, request.POST.get("back") or request.get_full_path(), **form)
    context = {"section": "queue", "approval": found, "card": shown, "live_title": plain(found.title)}
    return show(request, "approvals/approval.html", context, status)


def _filtered(actor: Actor, rows: QuerySet[Approval], kind: str, who: str) -> QuerySet[Approval]:
    if kind in Kind.values:
        rows = rows.filter(kind=kind)
    if who == "mine":
        groups = Group.objects.filter(team_id=actor.team_id, users=actor.id).values("id")
        rows = rows.filter(Q(assignee=actor.id) | Q(assignee__in=groups) | Q(claimed_by__id=actor.id))
    return rows


def _find(actor: Actor, approval_id: str | None) -> Approval | None:
    try:
        return get_approval(actor, approval_id) if approval_id else None
    except ApprovalNotFound:
        return None


def _decided(actor: Actor, approval_id: str | None) -> dict[str, Any] | None:
    """The receipt of the request that was decided just now: it stays at the top while the next one is open."""
    found = _find(actor, approval_id)
    return card(actor, found, "/") if found is not None and found.status != "pending" else None


def _kinds(pending: QuerySet[Approval]) -> list[tuple[str, str]]:
    """The kinds that are waiting now: only these are worth a filter."""
    waiting = set(pending.order_by().values_list("kind", flat=True).distinct())
    return [(value, label) for value, label in Kind.choices if value in waiting]


def _summary(pending: QuerySet[Approval]) -> dict[str, Any]:
    oldest = pending.order_by("created_at").values_list("created_at", flat=True).first()
    runs = pending.order_by().values("root_run_id").distinct().count()
    return {"pending": pending.count(), "blocked": runs, "oldest": oldest}


def _title(count: int) -> str:
    return f"({count}) Queue" if count else "Queue"


def _today(actor: Actor) -> dict[str, Any]:
    """What people decided since midnight UTC, and whether anything was ever asked."""
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    made = Decision.objects.filter(counts=True, at__gte=midnight, approval__in=approvals_of(actor))
    times = [
        (at - opened).total_seconds()
        for at, opened, by in made.values_list("at", "approval__created_at", "actor__type") if by != "system"
    ]  # fmt: skip
    return {
        "decided_today": len(times), "median_seconds": median(times) if times else 0,
        "first_use": not approvals_of(actor).exists(), "may_start": actor.may("runs:write"),
    }  # fmt: skip
