"""The page behind a link in a mail: one request and its form. Opening it changes nothing; a decision is a POST of a member.

Whose team and which world it is about the link says, not the session.
"""

import functools
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from django.contrib.auth.views import redirect_to_login
from django.core import signing
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.views.decorators.http import require_GET, require_http_methods

from accounts.access import actor_in_team
from accounts.pages import PageRequest
from approvals.access import get_approval
from approvals.cards.card import answer_sent, card
from approvals.cards.pictures import picture_file
from approvals.deciding import decide, expire
from approvals.mail.signed_links import named_by, request_of
from approvals.models import Approval
from approvals.undoing import undo
from web.errors import Refusal, following_up

View = Callable[..., HttpResponseBase]  # of the request, the approval, the token and the rest of the address


def by_link(view: View) -> Callable[..., HttpResponseBase]:
    """The view is for signed-in members of the team whose request the link leads to."""

    @functools.wraps(view)
    def checked(request: HttpRequest, token: str, **rest: Any) -> HttpResponseBase:
        try:
            approval = request_of(token)
        except signing.SignatureExpired:
            if request.method == "POST":
                with suppress(signing.BadSignature):  # the link itself may be too old
                    expire(named_by(token).id)
            return _dead(request, "This link has expired", 410)
        except signing.BadSignature:
            return _dead(request, "This link is not valid", 404)
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        actor = actor_in_team(request, approval.team_id, approval.test)
        if actor is None or not actor.may("approvals:read"):
            return _dead(request, "This link is for another team", 404)
        request.actor = actor  # type: ignore[attr-defined]
        response = view(cast(PageRequest, request), approval, token, **rest)
        if "Cache-Control" not in response:
            add_never_cache_headers(response)
        return response

    return checked


def _dead(request: HttpRequest, title: str, status: int) -> HttpResponse:
    return render(request, "approvals/link_dead.html", {"title": title}, status=status)


@require_http_methods(["GET", "POST"])
@by_link
def link_page(request: PageRequest, approval: Approval, token: str) -> HttpResponseBase:
    if request.method != "POST":
        return _show(request, approval, token)
    refusal = _attempt(request, approval)
    if refusal is None:
        return redirect("decide-link", token)
    now = get_approval(request.actor, approval.id)
    if now.status != "pending":
        return redirect("decide-link", token)  # who came too late is told there what was decided
    return _show(request, now, token, refusal)


def _attempt(request: PageRequest, approval: Approval) -> Refusal | None:
    """The decision of the form, or its being undone."""
    try:
        with following_up():
            if "undo" in request.POST:
                undo(request.actor, approval.id)
            else:
                decide(request.actor, approval, answer_sent(request.actor, approval, request.POST), via="link")
    except Refusal as refusal:
        return refusal
    return None


def _show(request: PageRequest, approval: Approval, token: str, refusal: Refusal | None = None) -> HttpResponse:
    shown = card(request.actor, approval, request.path, refusal, request.POST if refusal else None)
    for picture in shown["pictures"]:
        picture["src"] = reverse("link-picture", args=[token, picture["index"]])
    own_vote = next((vote for vote in shown["handling"]["votes"] if vote.voter == request.actor.id), None)
    context: dict[str, Any] = {"card": shown, "voted": own_vote}
    return render(request, "approvals/minimal.html", context, status=refusal.status if refusal else 200)


@require_GET
@by_link
def link_picture(request: PageRequest, approval: Approval, token: str, index: int) -> HttpResponseBase:
    """A picture of this request; the session may be looking at another team."""
    return picture_file(approval, index)
