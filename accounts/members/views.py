"""The people of a team, with who is invited; their roles and their leaving."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from accounts.actor import Actor
from accounts.audit.access import is_recorded
from accounts.errors import MemberNotFound
from accounts.invitations.access import is_under_way, open_invitations
from accounts.members import services
from accounts.members.access import get_member, is_last_owner, living_keys_of, members_of, sent_by
from accounts.members.forms import RolesForm
from accounts.models import Membership, Role
from accounts.pages import PageRequest, show, signed_in
from web.errors import Refusal


@require_GET
@signed_in("team:read")
def member_list(request: PageRequest) -> HttpResponse:
    actor = request.actor
    invited = list(open_invitations(actor))
    context = {
        "section": "members",
        "part": "people",
        "rows": [_row(actor, member) for member in members_of(actor)],
        "invited": [(each, _may_touch(actor, each.roles)) for each in invited],
        "may_write": actor.may("team:write"),
        "under_way": any(is_under_way(each) for each in invited),
        "live_title": "Members",
    }
    return show(request, "accounts/members.html", context)


def _row(actor: Actor, member: Membership) -> dict[str, Any]:
    """A person as the list shows them; nobody is offered what would be refused."""
    may_remove = actor.may("team:write") and _may_touch(actor, member.roles) and not is_last_owner(member)
    return {"member": member, "roles": Role.highest_first(member.roles), "may_remove": may_remove}


def _may_touch(actor: Actor, roles: list[str]) -> bool:
    return Role.OWNER not in roles or Role.OWNER in actor.roles


@require_http_methods(["GET", "POST"])
@signed_in("team:write")
def roles_page(request: PageRequest, user_id: str) -> HttpResponseBase:
    member = get_member(request.actor, user_id)
    form = RolesForm(request.actor, member.roles, request.POST if request.method == "POST" else None)
    status = 422 if form.errors else 200
    if form.is_valid():
        try:
            services.change_roles(request.actor, user_id, form.cleaned_data["roles"], form.was_seen())
        except Refusal as refusal:
            form.add_error(None, refusal.message)
            status = refusal.status
        else:
            messages.success(request, f"{member.user.name} has these roles from the next click on.")
            return redirect("members")
    context = {"section": "members", "member": member, "form": form, "last_owner": is_last_owner(member)}
    return render(request, "accounts/member_roles.html", context, status=status)


@require_http_methods(["GET", "POST"])
@signed_in("team:write")
def remove(request: PageRequest, user_id: str) -> HttpResponseBase:
    if request.method == "POST":
        return _remove(request, user_id)
    actor, member = request.actor, get_member(request.actor, user_id)
    context = {
        "section": "members",
        "member": member,
        "keys": living_keys_of(actor, user_id),
        "invitations": sent_by(actor, user_id).count(),
        "last_owner": is_last_owner(member),
        "owners_only": not _may_touch(actor, member.roles),
        "myself": user_id == actor.id,
    }
    return render(request, "accounts/member_remove.html", context)


def _remove(request: PageRequest, user_id: str) -> HttpResponse:
    try:
        member = services.remove(request.actor, user_id)
    except MemberNotFound:
        if not is_recorded(request.actor, "member.removed", user_id):
            raise
        messages.success(request, "This person is no longer in the team.")
    else:
        messages.success(request, f"{member.user.name} is no longer in the team.")
    return redirect("queue" if user_id == request.actor.id else "members")
