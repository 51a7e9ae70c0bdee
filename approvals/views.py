"""The queue and one approval request. The decision itself is taken in runs/views.py, one floor up."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.access import other_places
from accounts.actor import Actor
from accounts.models import Group
from accounts.pages import PageRequest, show, signed_in
from approvals.access import DUE, approvals_of, by_due, get_approval, held_up, waiting
from approvals.cards.card import card
from approvals.errors import ApprovalNotFound
from approvals.kinds import KINDS, Kind
from approvals.models import NEVER, Approval, Decision
from web.paging import beyond, page
from web.templatetags.show import plain

SHOWN = 50
LONGEST_TITLE = 120  # characters in a browser's tab
ORDERS = {"due": DUE, "oldest": ("created_at", "id")}
WHO = {"": "All", "mine": "Mine", "groups": "My groups", "free": "Free", "others": "Held by others"}


@require_GET
@signed_in("approvals:read")
def queue(request: PageRequest) -> HttpResponse:
    """Everything that waits, soonest first; beside it the card of the chosen request, else of the first."""
    actor, wanted = request.actor, request.GET.copy()
    keep = wanted.pop("keep", [""])[-1]
    request.GET = wanted  # type: ignore[assignment]  # links of the page and the way back do not pin anything
    back = f"{request.path}?{wanted.urlencode()}" if wanted else request.path
    pending = approvals_of(actor).filter(status="pending")
    kind, who, sort = wanted.get("kind", ""), wanted.get("who", ""), wanted.get("sort", "due")
    found = by_due(_filtered(actor, pending, kind, who))
    part = page(
        found, {"cursor": wanted.get("cursor", ""), "limit": str(SHOWN)}, lambda row: {"row": row},
        request_id=request.request_id, order=ORDERS.get(sort, DUE),
    )  # fmt: skip
    rows = [each["row"] for each in part["data"]]
    chosen = _open(actor, wanted.get("open")) or _kept(rows, keep) or (rows[0] if rows else None)
    holds = held_up(row.id for row in rows)
    for row in rows:
        row.holds = holds.get(row.id, 1)
    facts = waiting(pending)
    context = {
        "section": "queue", "rows": rows, "chosen": chosen, "next_cursor": part["next_cursor"], "whose": WHO,
        "opened": bool(wanted.get("open")) and chosen is not None, "may_decide": actor.may("approvals:decide"),
        "kind": kind, "who": who, "sort": sort, "live_title": _title(facts["pending"]),
        "decided": _decided(actor, wanted.get("decided")), "now": timezone.now(),
        "kinds": [(kind, KINDS[kind], facts["of_kind"][kind]) for kind in Kind if kind in facts["of_kind"]],
        "card": card(actor, chosen, back) if chosen else None, **facts,
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
    context = {
        "section": "queue",
        "approval": found,
        "card": shown,
        "live_title": plain(found.headline)[:LONGEST_TITLE],
    }
    return show(request, "approvals/approval.html", context, status)


def _filtered(actor: Actor, rows: QuerySet[Approval], kind: str, who: str) -> QuerySet[Approval]:
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


def next_below(actor: Actor, approval: Approval, wanted: Mapping[str, str]) -> str | None:
    """The id of the open request that stands below this one in the list that was looked at; the first one after the last."""
    pending = approvals_of(actor).filter(status="pending").exclude(id=approval.id)
    rows = by_due(_filtered(actor, pending, wanted.get("kind", ""), wanted.get("who", "")))
    order = ORDERS.get(wanted.get("sort", "due"), DUE)
    approval.due_at = approval.expires_at or NEVER  # type: ignore[attr-defined]
    below = rows.filter(beyond(order, [getattr(approval, name.lstrip("-")) for name in order]))
    following = below.order_by(*order).first() or rows.order_by(*order).first()
    return following.id if following else None


def _kept(rows: list[Approval], approval_id: str) -> Approval | None:
    """The request whose card is open: what happens meanwhile puts no other one in its place."""
    return next((row for row in rows if row.id == approval_id), None)


def _open(actor: Actor, approval_id: str | None) -> Approval | None:
    """The request that the address names, if it is anywhere. Raises ApprovalNotFound when it is in another team or world of
    the person: the page then says where."""
    found = _find(actor, approval_id)
    places = other_places(actor) if approval_id and found is None else ()
    if any(person.may("approvals:read") and _find(person, approval_id) for person in places):
        raise ApprovalNotFound
    return found


def _find(actor: Actor, approval_id: str | None) -> Approval | None:
    try:
        return get_approval(actor, approval_id) if approval_id else None
    except ApprovalNotFound:
        return None


def _decided(actor: Actor, approval_id: str | None) -> dict[str, Any] | None:
    """The receipt of the request that was decided just now: it stays at the top while the next one is open."""
    found = _find(actor, approval_id)
    return card(actor, found, "/") if found is not None and found.status != "pending" else None


def _title(count: int) -> str:
    return f"({count}) Queue" if count else "Queue"


def _today(actor: Actor) -> dict[str, Any]:
    """What people decided since midnight UTC, and whether anything was ever asked."""
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    made = Decision.objects.filter(counts=True, at__gte=midnight, approval__in=approvals_of(actor))
    rows = list(made.values_list("at", "approval__created_at", "actor__type"))
    times = [(at - opened).total_seconds() for at, opened, by in rows if by == "user"]
    return {
        "decided_today": len(times), "median_seconds": median(times) if times else 0,
        "decided_by_keys": sum(by == "api_key" for _, _, by in rows),
        "first_use": not approvals_of(actor).exists(), "may_start": actor.may("runs:write"),
    }  # fmt: skip
