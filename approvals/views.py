"""One request on a page, and the buttons about it: deciding it, and working on it without deciding."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from accounts.pages import PageRequest, go, refusals_as_messages, show, signed_in, whole_number
from approvals import deciding, handling, undoing
from approvals.access import get_approval
from approvals.cards.card import answer_sent, card
from approvals.cards.pictures import picture_file
from approvals.models import Approval
from approvals.queue.listing import next_below
from web.errors import Refusal, following_up
from web.templatetags.show import plain

LONGEST_TITLE = 120  # characters in a browser's tab


@require_GET
@signed_in("approvals:read")
def approval_page(request: PageRequest, approval_id: str) -> HttpResponse:
    return _show(request, get_approval(request.actor, approval_id))


@require_GET
@signed_in("approvals:read")
def picture(request: PageRequest, approval_id: str, index: int) -> HttpResponse:
    """A picture that people are shown with the request."""
    return picture_file(get_approval(request.actor, approval_id), index)


def _show(request: PageRequest, approval: Approval, status: int = 200, **form: Any) -> HttpResponse:
    """`form` brings back a decision that was not valid."""
    context = {
        "section": "queue",
        "approval": approval,
        "card": card(request.actor, approval, request.POST.get("back") or request.get_full_path(), **form),
        "live_title": plain(approval.headline)[:LONGEST_TITLE],
    }
    return show(request, "approvals/approval.html", context, status)


# --- deciding


@require_POST
@signed_in("approvals:read")
def decide(request: PageRequest, approval_id: str) -> HttpResponseBase:
    """Lost races are facts, shown on the card; what was not valid comes back with the form."""
    approval = get_approval(request.actor, approval_id)
    try:
        with following_up():
            deciding.decide(
                request.actor, approval, answer_sent(request.actor, approval, request.POST), via="dashboard"
            )
    except Refusal as refusal:
        if refusal.status == 422:
            return _ask_again(request, approval, refusal)
        if get_approval(request.actor, approval_id).status == "pending":
            messages.error(request, refusal.message)
    return _after_decision(request, approval)


def _ask_again(request: PageRequest, approval: Approval, refusal: Refusal) -> HttpResponse:
    if not request.htmx:
        return _show(request, approval, 422, refusal=refusal, sent=request.POST)
    context = {"card": card(request.actor, approval, request.POST.get("back", "/"), refusal, request.POST)}
    response = render(request, "approvals/_card.html", context, status=422)
    response["HX-Retarget"] = f"#card-{approval.id}"
    response["HX-Reswap"] = "outerHTML"
    response["HX-Push-Url"] = "false"
    return response


def _after_decision(request: PageRequest, approval: Approval) -> HttpResponse:
    """Back to where the card was: the queue with the receipt and the next card, the subject, or the request."""
    back = go(request, "queue")["Location"]
    address, _, query = back.partition("?")
    params = QueryDict(query, mutable=True)
    params.pop("open", None)
    if not address.startswith("/approvals/"):
        params["decided"] = approval.id
    if address == reverse("queue") and (following := next_below(request.actor, approval, params)):
        params["open"] = following
    return redirect(f"{address}?{params.urlencode()}" if params else address)


@require_POST
@signed_in("approvals:decide")
def undo(request: PageRequest, approval_id: str) -> HttpResponseBase:
    """The request is open again, as long as the decision has not taken effect."""
    with refusals_as_messages(request):
        undoing.undo(request.actor, approval_id)
    return go(request, "approval", approval_id)


# --- working on it without deciding


def _do(request: PageRequest, approval_id: str, work: Callable[[], object]) -> HttpResponseBase:
    """Do it and go back to where the card was; what is refused is said there."""
    get_approval(request.actor, approval_id)
    with refusals_as_messages(request):
        work()
    return go(request, "approval", approval_id)


@require_POST
@signed_in("approvals:decide")
def claim(request: PageRequest, approval_id: str) -> HttpResponseBase:
    take_over = bool(request.POST.get("take_over"))
    return _do(request, approval_id, lambda: handling.claim(request.actor, approval_id, take_over=take_over))


@require_POST
@signed_in("approvals:decide")
def release(request: PageRequest, approval_id: str) -> HttpResponseBase:
    return _do(request, approval_id, lambda: handling.release(request.actor, approval_id))


@require_POST
@signed_in("approvals:decide")
def assign(request: PageRequest, approval_id: str) -> HttpResponseBase:
    """Hand over to a person or a group with a note, or to nobody in particular."""
    assignee, note = request.POST.get("assignee") or None, request.POST.get("note", "").strip()[:2000] or None
    return _do(request, approval_id, lambda: handling.assign(request.actor, approval_id, assignee, note))


@require_POST
@signed_in("approvals:decide")
def extend(request: PageRequest, approval_id: str) -> HttpResponseBase:
    seconds = whole_number(request.POST.get("seconds", ""), 7) or 0
    if not 1 <= seconds <= handling.LONGEST_EXTENSION:
        messages.error(request, "Choose by how much the time is extended.")
        return go(request, "approval", approval_id)
    return _do(request, approval_id, lambda: handling.extend(request.actor, approval_id, seconds))


@require_POST
@signed_in("approvals:read")
def comment(request: PageRequest, approval_id: str) -> HttpResponseBase:
    text = request.POST.get("text", "").strip().replace("\0", "\ufffd")[:4000]
    if not text:
        messages.error(request, "Write something first.")
        return go(request, "approval", approval_id)
    return _do(request, approval_id, lambda: handling.comment(request.actor, approval_id, text))
