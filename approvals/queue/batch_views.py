"""Deciding requests that are alike together: a table of their differences first, then each by itself."""

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from accounts.actor import Actor
from accounts.pages import PageRequest, signed_in
from approvals.answers.answer import Answer
from approvals.cards import batches
from approvals.cards.card import reason_sent
from approvals.cards.forms import PRESETS
from approvals.deciding import decide
from approvals.models import Approval
from web.errors import Refusal, following_up
from web.templatetags.show import plain


@require_http_methods(["GET", "POST"])
@signed_in("approvals:decide")
def batch_page(request: PageRequest) -> HttpResponseBase:
    ids = request.POST.getlist("id") if request.method == "POST" else request.GET.getlist("id")
    rows = batches.chosen(request.actor, ids, late=request.method == "POST")  # deciding settles their expiry
    if not rows:
        gone = "none of the chosen requests is open any more" if ids else "choose some in the queue first"
        messages.warning(request, f"Nothing to decide: {gone}.")
        return redirect("queue")
    if request.method == "POST":
        return _decide_all(request, rows, len(set(ids)))
    return _show(request, rows, len(set(ids)))


def _show(request: PageRequest, rows: list[Approval], chosen: int) -> HttpResponse:
    context = {
        "section": "queue",
        "batches": batches.batches(rows),
        "presets": PRESETS,
        "gone": chosen - len(rows),
        "count": len(rows),
    }
    return render(request, "approvals/together.html", context)


def _decide_all(request: PageRequest, rows: list[Approval], chosen: int) -> HttpResponseBase:
    verdict = request.POST.get("verdict", "")
    if verdict not in ("approve", "reject"):
        return _show(request, rows, chosen)
    note = reason_sent(request.POST)
    refused = 0
    for row in rows:
        answer = Answer(verdict, note=note, action_hash=request.POST.get(f"hash.{row.id}") or None)
        if why := _refusal(request.actor, row, answer):
            refused += 1
            messages.warning(request, f"{plain(row.title)}: {why}")
    if done := len(rows) - refused:
        word = "approved" if verdict == "approve" else "rejected"
        messages.success(request, f"{done} request{'s' if done > 1 else ''} {word}.")
    if chosen > len(rows):
        messages.warning(request, f"{chosen - len(rows)} of the chosen requests had been closed meanwhile.")
    return redirect("queue")


def _refusal(actor: Actor, row: Approval, answer: Answer) -> str:
    """Decide one of them; why it was refused, or "". Each decision stands by itself."""
    try:
        with following_up():
            decide(actor, row, answer, via="dashboard")
    except Refusal as refusal:
        return refusal.message
    return ""
