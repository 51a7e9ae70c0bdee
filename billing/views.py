"""The ledger: what the team has, what it spent, and the proof that it adds up."""

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet, Sum
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_POST

from accounts.errors import InsufficientScope
from accounts.pages import PageRequest, problems, show, signed_in
from billing import services
from billing.access import account_balances, balance, transactions_of
from billing.forms import TopUpForm
from billing.models import Transaction, TransactionType
from web.errors import Refusal
from web.paging import page

PAGE = 100
TYPES = {
    "topup": "Top-up", "hold": "Hold", "capture": "Capture", "release": "Release", "machine_time": "Machine time",
    "grant": "Grant", "adjustment": "Adjustment", "refund": "Refund",
}  # fmt: skip


@require_GET
@signed_in("usage")
def ledger_page(request: PageRequest) -> HttpResponse:
    return _page(request, TopUpForm())


def _page(request: PageRequest, form: TopUpForm, status: int = 200) -> HttpResponse:
    actor, query = request.actor, {**request.GET.dict(), "limit": str(PAGE)}
    rows = _filtered(transactions_of(actor), request.GET.get("run", ""), request.GET.get("type", ""))
    part = page(rows, query, lambda row: {"row": row}, request_id=request.request_id)
    context = {
        "section": "ledger",
        "live_title": "Ledger",
        "balance": balance(actor),
        "rows": [r["row"] for r in part["data"]],
        "next_cursor": part["next_cursor"],
        "run": request.GET.get("run", ""),
        "type": request.GET.get("type", ""),
        "types": TYPES,
        "form": form,
        "may_add": actor.is_admin and not actor.test,
        "sums": {} if actor.test else _sums(actor.team_id),
        "charged": _charged(rows) if request.GET.get("run") else None,
    }
    return show(request, "billing/ledger.html", context, status)


def _sums(team_id: str) -> dict[str, int]:
    """Both sides of the proof: what is there and was used, and what was put in."""
    sums = account_balances(team_id)
    return sums | {"funded": -sums["funding"], "adjusted": -sums["adjustment"]}


def _filtered(rows: QuerySet[Transaction], run: str, kind: str) -> QuerySet[Transaction]:
    rows = rows.filter(run_id=run) if run else rows
    return rows.filter(type=kind) if kind in TransactionType.values else rows


def _charged(rows: QuerySet[Transaction]) -> int:
    sums: dict[str, Any] = rows.filter(type="capture").aggregate(total=Sum("amount_cents"))
    return sums["total"] or 0


@require_POST
@signed_in("usage")
def top_up(request: PageRequest) -> HttpResponseBase:
    """Only admins, only in the live world: the test world bills nothing."""
    if not request.actor.is_admin or request.actor.test:
        raise InsufficientScope("Only an admin adds money, and only in the live world.", required_scope="admin")
    form = TopUpForm(request.POST)
    if form.is_valid():
        try:
            row = services.topup(request.actor, form.cents, form.cleaned_data["reference"])
        except Refusal as refusal:
            for _, message in problems(refusal):
                form.add_error(None, message)
        else:
            messages.success(request, f"${row.amount_cents / 100:,.2f} is in the wallet, reference {row.reference}.")
            return redirect("ledger")
    return _page(request, form, 422)
