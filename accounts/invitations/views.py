"""Inviting people, and the page that an invitation's link opens."""

from typing import Any

from django.contrib import messages
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts.groups.access import groups_of
from accounts.invitations import services
from accounts.invitations.access import account_for, by_token, require_open
from accounts.invitations.forms import InviteForm, NewPersonForm
from accounts.models import Invitation, Membership, Role, User
from accounts.pages import PageRequest, show_refusal, signed_in
from web.errors import Refusal
from web.links import address, origin

BY_PASSWORD = "accounts.passwords.ByPassword"  # noqa: S105  the name of a class


@require_http_methods(["GET", "POST"])
@signed_in("team:write")
def invite(request: PageRequest) -> HttpResponseBase:
    """The link is in this one answer, and in the mail."""
    form = InviteForm(request.actor, groups_of(request.actor), request.POST if request.method == "POST" else None)
    status = 422 if form.errors else 200
    if form.is_valid():
        values = form.cleaned_data
        try:
            invited = services.invite(
                request.actor, values["email"], values["roles"], values["groups"], origin(request)
            )
        except Refusal as refusal:
            show_refusal(form, refusal)
            status = refusal.status
        else:
            return _link(request, invited)
    return render(request, "accounts/invite.html", {"section": "members", "form": form}, status=status)


@require_POST
@signed_in("team:write")
def invite_again(request: PageRequest, invitation_id: str) -> HttpResponse:
    return _link(request, services.invite_again(request.actor, invitation_id, origin(request)))


def _link(request: PageRequest, invited: services.Invited) -> HttpResponse:
    link = address(origin(request), "join", invited.token)
    context = {"section": "members", "invitation": invited.row, "link": link, "before": invited.before}
    return render(request, "accounts/invitation_link.html", context)


@require_POST
@signed_in("team:write")
def revoke(request: PageRequest, invitation_id: str) -> HttpResponse:
    row = services.revoke(request.actor, invitation_id)
    messages.success(request, f"The invitation of {row.email} is withdrawn. Its link opens nothing any more.")
    return redirect("members")


# --- for who was invited: no sign-in is needed to look


@never_cache
@require_http_methods(["GET", "POST"])
def join(request: HttpRequest, token: str) -> HttpResponseBase:
    """GET says who invites to what and changes nothing; POST joins."""
    try:
        row = by_token(token)
        if request.method == "POST" and _is_in(request, row):  # a second click
            return _enter(request, row)
        require_open(row)
        return _joining(request, row, token)
    except Refusal as refusal:
        return render(request, "accounts/join_closed.html", {"refusal": refusal}, status=refusal.status)


def _joining(request: HttpRequest, row: Invitation, token: str) -> HttpResponseBase:
    posted = request.method == "POST"
    user, account = request.user, account_for(row)
    if isinstance(user, User) and user == account:
        if posted:
            services.join(user, token)
            return _enter(request, row)
        return _show(request, row, {"myself": user})
    if isinstance(user, User):
        return _show(request, row, {"other": user}, 403 if posted else 200)
    if account is not None:
        sign_in = f"{reverse('sign-in')}?{urlencode({'next': request.path})}"
        return HttpResponseRedirect(sign_in) if posted else _show(request, row, {"sign_in": sign_in})
    form = NewPersonForm(row.email, request.POST if posted else None)
    if form.is_valid():
        new_user = services.join_as_new(token, form.cleaned_data["name"], form.cleaned_data["password"])
        login(request, new_user, backend=BY_PASSWORD)
        return _enter(request, row)
    return _show(request, row, {"form": form}, 422 if form.errors else 200)


def _is_in(request: HttpRequest, row: Invitation) -> bool:
    """Did the person before the page join by this very invitation?"""
    by_me = row.accepted_by_id is not None and row.accepted_by_id == request.user.pk
    return by_me and Membership.objects.filter(team_id=row.team_id, user_id=row.accepted_by_id).exists()


def _enter(request: HttpRequest, row: Invitation) -> HttpResponse:
    request.session["team"] = row.team_id
    messages.success(request, f"You are in the team {row.team.name}.")
    return redirect("queue")


def _show(request: HttpRequest, row: Invitation, who: dict[str, Any], status: int = 200) -> HttpResponse:
    facts = {"invitation": row, "team": row.team, "roles": Role.highest_first(row.roles), "groups": row.groups.all()}
    return render(request, "accounts/join.html", facts | who, status=status)
