"""One's own profile: teams, name and password."""

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts import limits
from accounts.models import Role, User
from accounts.pages import PageRequest, signed_in
from accounts.profile import services
from accounts.profile.forms import OwnNameForm, PasswordForm

PASSWORDS_PER_MINUTE = 10  # that somebody before an unlocked computer may try


@require_GET
@signed_in()
def profile_page(request: PageRequest) -> HttpResponse:
    return _page(request)


@require_POST
@signed_in()
def change_name(request: PageRequest) -> HttpResponse:
    form = OwnNameForm(request.POST)
    if not form.is_valid():
        return _page(request, name_form=form)
    services.change_own_name(request.actor, form.cleaned_data["name"])
    messages.success(request, "Your name is changed.")
    return redirect("profile")


@require_POST
@signed_in()
def change_password(request: PageRequest) -> HttpResponse:
    """This session goes on, all others of the person end."""
    limits.spend(request.actor, "password", PASSWORDS_PER_MINUTE)
    form = PasswordForm(User.objects.get(id=request.actor.id), request.POST)
    if not form.is_valid():
        return _page(request, password_form=form)
    update_session_auth_hash(request, services.change_own_password(request.actor, form.cleaned_data["new"]))
    messages.success(request, "Your password is changed. Other browsers and computers have to sign in again.")
    return redirect("profile")


def _page(
    request: PageRequest, name_form: OwnNameForm | None = None, password_form: PasswordForm | None = None
) -> HttpResponse:
    user = User.objects.get(id=request.actor.id)
    teams = [
        (each.team, Role.highest_first(each.roles), user.groups.filter(team_id=each.team_id).order_by("name"))
        for each in user.memberships.select_related("team").order_by("created_at", "id")
    ]
    context = {
        "section": "profile",
        "person": user,
        "teams": teams,
        "name_form": name_form or OwnNameForm(initial={"name": user.name}),
        "password_form": password_form or PasswordForm(user),
    }
    return render(request, "accounts/profile.html", context, status=422 if name_form or password_form else 200)
