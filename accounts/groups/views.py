"""The groups of a team: the list, one with its people, and every change."""

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.actor import scopes_of_roles
from accounts.audit.access import is_recorded
from accounts.errors import GroupInUse, GroupNotFound
from accounts.groups import services
from accounts.groups.access import (
    get_group,
    groups_of,
    may_follow,
    members_in,
    members_outside,
    told_before,
)
from accounts.groups.forms import GroupForm
from accounts.members.access import get_member
from accounts.models import Group
from accounts.pages import PageRequest, show_refusal, signed_in
from web.errors import Refusal


@require_GET
@signed_in("team:read")
def group_list(request: PageRequest) -> HttpResponse:
    actor = request.actor
    context = {
        "section": "members",
        "part": "groups",
        "groups": groups_of(actor),
        "may_write": actor.may("team:write"),
    }
    return render(request, "accounts/groups.html", context)


@require_GET
@signed_in("team:read")
def group_page(request: PageRequest, group_id: str) -> HttpResponse:
    group = get_group(request.actor, group_id)
    context = {
        "section": "members",
        "group": group,
        "may_write": request.actor.may("team:write"),
        "rows": [(m, "approvals:decide" in scopes_of_roles(m.roles)) for m in members_in(group)],
        "outside": members_outside(group),
        "told_before": told_before(group),
    }
    return render(request, "accounts/group.html", context)


@require_http_methods(["GET", "POST"])
@signed_in("team:write")
def new_group(request: PageRequest) -> HttpResponseBase:
    form = GroupForm(may_follow(request.actor, None), request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            group = services.create_group(request.actor, **form.values())
        except Refusal as refusal:
            return _form(request, form, None, refusal)
        messages.success(request, f"The group {group.name} is made. Add its people.")
        return redirect("group", group.id)
    return _form(request, form, None)


@require_http_methods(["GET", "POST"])
@signed_in("team:write")
def edit_group(request: PageRequest, group_id: str) -> HttpResponseBase:
    group = get_group(request.actor, group_id)
    now = {"name": group.name, "next_group": group.next_group_id or ""}
    others = may_follow(request.actor, group)
    form = GroupForm(others, request.POST if request.method == "POST" else None, initial=now)
    if form.is_valid():
        try:
            services.change_group(request.actor, group_id, **form.values())
        except Refusal as refusal:
            return _form(request, form, group, refusal)
        messages.success(request, "The group is changed.")
        return redirect("group", group_id)
    return _form(request, form, group)


def _form(request: PageRequest, form: GroupForm, group: Group | None, refusal: Refusal | None = None) -> HttpResponse:
    if refusal is not None:
        show_refusal(form, refusal)
    status = refusal.status if refusal else 422 if form.errors else 200
    context = {"section": "members", "form": form, "group": group}
    return render(request, "accounts/group_form.html", context, status=status)


@require_POST
@signed_in("team:write")
def add_member(request: PageRequest, group_id: str) -> HttpResponse:
    get_group(request.actor, group_id)
    user_id = request.POST.get("user", "")
    if not user_id:
        messages.error(request, "Choose a person first.")
        return redirect("group", group_id)
    services.add_member(request.actor, group_id, user_id)
    messages.success(request, f"{get_member(request.actor, user_id).user.name} is in the group.")
    return redirect("group", group_id)


@require_POST
@signed_in("team:write")
def remove_member(request: PageRequest, group_id: str) -> HttpResponse:
    services.remove_member(request.actor, group_id, request.POST.get("user", ""))
    messages.success(request, "The group is changed.")
    return redirect("group", group_id)


@require_http_methods(["GET", "POST"])
@signed_in("team:write")
def delete_group(request: PageRequest, group_id: str) -> HttpResponseBase:
    if request.method != "POST":
        return _delete_page(request, get_group(request.actor, group_id))
    try:
        group = services.delete_group(request.actor, group_id)
    except GroupInUse as refusal:
        return _delete_page(request, get_group(request.actor, group_id), refusal)
    except GroupNotFound:
        if not is_recorded(request.actor, "group.deleted", group_id):
            raise
        messages.success(request, "This group is deleted.")
    else:
        messages.success(request, f"The group {group.name} is deleted.")
    return redirect("groups")


def _delete_page(request: PageRequest, group: Group, refusal: Refusal | None = None) -> HttpResponse:
    context = {"section": "members", "group": group, "told_before": told_before(group), "refusal": refusal}
    return render(request, "accounts/group_delete.html", context, status=refusal.status if refusal else 200)
