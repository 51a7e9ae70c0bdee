"""The page where a person says what they want to be mailed about, in each of their teams."""

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from accounts.models import Membership
from accounts.pages import PageRequest, signed_in
from approvals.mail.recipients import DECIDING
from approvals.models import MailSwitches

SWITCHES = (
    ("waiting", "When something waits for me", "At most one mail a minute; more at once come as one list."),
    ("reminders", "Reminders", "After half of the time, and when a tenth of it is left."),
    (
        "only_mine",
        "Only what is meant for me",
        "Handed to me or a group of mine, or needing a vote of a group of mine.",
    ),
)


@require_http_methods(["GET", "POST"])
@signed_in()
def notifications_page(request: PageRequest) -> HttpResponseBase:
    if request.method == "POST":
        _save(request)
        messages.success(request, "Saved. It holds from the next mail on.")
        return redirect("notifications")
    return _show(request)


def _show(request: PageRequest) -> HttpResponse:
    chosen = {each.team_id: each for each in MailSwitches.objects.filter(user_id=request.actor.id)}
    teams = [
        {
            "team": member.team,
            "decides": bool(set(member.roles) & set(DECIDING)),
            "switches": _rows(chosen.get(member.team_id) or MailSwitches(team=member.team), member.team_id),
        }
        for member in _memberships(request)
    ]
    context = {"section": "notifications", "teams": teams, "address": request.user.get_username()}
    return render(request, "approvals/notifications.html", context)


def _rows(switches: MailSwitches, team_id: str) -> list[dict[str, object]]:
    return [
        {"name": f"{team_id}.{name}", "label": label, "hint": hint, "on": getattr(switches, name)}
        for name, label, hint in SWITCHES
    ]


def _save(request: PageRequest) -> None:
    """Only of the teams that the form showed: a box that is not ticked is not sent."""
    with transaction.atomic():
        for member in _memberships(request):
            if f"{member.team_id}.shown" not in request.POST:
                continue
            switches = {name: f"{member.team_id}.{name}" in request.POST for name, _, _ in SWITCHES}
            MailSwitches.objects.update_or_create(user_id=request.actor.id, team_id=member.team_id, defaults=switches)


def _memberships(request: PageRequest) -> list[Membership]:
    rows = Membership.objects.filter(user_id=request.actor.id).select_related("team")
    return list(rows.order_by("team__name", "id"))
