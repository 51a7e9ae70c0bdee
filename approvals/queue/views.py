"""The queue: everything that waits, and beside it the card of one request."""

from statistics import median
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.access import other_places
from accounts.actor import Actor
from accounts.pages import PageRequest, show, signed_in
from approvals.access import DUE, approvals_of, by_due, find_approval
from approvals.cards.card import card, receipt
from approvals.errors import ApprovalNotFound
from approvals.kinds import KINDS, Kind
from approvals.models import Approval, Decision
from approvals.queue.listing import ORDERS, WHO, filtered, held_up, waiting
from web.paging import Page, page

SHOWN = 50


@require_GET
@signed_in("approvals:read")
def queue_page(request: PageRequest) -> HttpResponse:
    """Everything that waits, soonest first; beside it the card of the chosen request, else of the first."""
    actor, query = request.actor, request.GET.copy()
    keep = query.pop("keep", [""])[-1]
    request.GET = query  # type: ignore[assignment]  # links of the page and the way back do not pin anything
    back = f"{request.path}?{query.urlencode()}" if query else request.path
    pending = approvals_of(actor).filter(status="pending")
    kind, who, sort = query.get("kind", ""), query.get("who", ""), query.get("sort", "due")
    part: Page[dict[str, Any]] = page(
        by_due(filtered(actor, pending.select_related("external_request"), kind, who)),
        {"cursor": query.get("cursor", ""), "limit": str(SHOWN)},
        lambda row: {"row": row},
        request_id=request.request_id,
        order=ORDERS.get(sort, DUE),
    )
    rows = [each["row"] for each in part["data"]]
    chosen = _open(actor, query.get("open")) or _kept(rows, keep) or (rows[0] if rows else None)
    holds = held_up([row.id for row in rows])
    for row in rows:
        row.holds = holds.get(row.id, 1)
    facts = waiting(pending)
    context = {
        "section": "queue",
        "rows": rows,
        "chosen": chosen,
        "next_cursor": part["next_cursor"],
        "whose": WHO,
        "opened": bool(query.get("open")) and chosen is not None,
        "may_decide": actor.may("approvals:decide"),
        "kind": kind,
        "who": who,
        "sort": sort,
        "live_title": _title(facts["pending"]),
        "decided": receipt(actor, query.get("decided"), "/"),
        "now": timezone.now(),
        "kinds": [(kind, KINDS[kind], facts["of_kind"][kind]) for kind in Kind if kind in facts["of_kind"]],
        "card": card(actor, chosen, back) if chosen else None,
        **facts,
    }
    if not rows:
        context |= _today(actor)
    return show(request, "approvals/queue.html", context)


def _kept(rows: list[Approval], approval_id: str) -> Approval | None:
    """The request whose card is open: what happens meanwhile puts no other one in its place."""
    return next((row for row in rows if row.id == approval_id), None)


def _open(actor: Actor, approval_id: str | None) -> Approval | None:
    """The request that the address names, if it is anywhere. Raises ApprovalNotFound when it is in another team or world of
    the person: the page then says where."""
    approval = find_approval(actor, approval_id)
    places = other_places(actor) if approval_id and approval is None else ()
    if any(person.may("approvals:read") and find_approval(person, approval_id) for person in places):
        raise ApprovalNotFound
    return approval


def _title(count: int) -> str:
    return f"({count}) Queue" if count else "Queue"


def _today(actor: Actor) -> dict[str, Any]:
    """What people decided since midnight UTC, and whether anything was ever asked."""
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    decisions = Decision.objects.filter(counts=True, at__gte=midnight, approval__in=approvals_of(actor))
    rows = list(decisions.values_list("at", "approval__created_at", "actor__type"))
    times = [(at - opened).total_seconds() for at, opened, by in rows if by == "user"]
    return {
        "decided_today": len(times),
        "median_seconds": median(times) if times else 0,
        "decided_by_keys": sum(by == "api_key" for _, _, by in rows),
        "first_use": not approvals_of(actor).exists(),
        "may_start": actor.may("runs:write"),
    }
