"""Sign-in, the team and world one looks at, the colours, API keys, and one's own profile."""

import functools
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout, update_session_auth_hash
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import limits, services
from accounts.access import get_key, get_team, keys_of, owns_installation, teams_of
from accounts.actor import Actor
from accounts.forms import KeyForm, OwnNameForm, PasswordForm, SignInForm
from accounts.models import Membership, Role, User
from accounts.pages import PageRequest, go, problems, signed_in
from database import disk
from web.errors import Refusal

THEMES = ("auto", "light", "dark")
WORLDS = ("live", "test")
PASSWORDS_PER_MINUTE = 10  # that somebody before an unlocked computer may try


def page_context(request: HttpRequest) -> dict[str, Any]:
    """What every page's frame needs. Database reads wait until a template asks for them."""
    theme = request.COOKIES.get("theme", "auto")
    frame: dict[str, Any] = {"theme": theme if theme in THEMES else "auto", "frame_actor": None}
    actor: Actor | None = getattr(request, "actor", None)
    if actor is None or actor.kind != "user":
        return frame
    roles = Role.highest_first(actor.roles)
    return frame | {
        "frame_actor": actor, "frame_roles": roles, "frame_team": lambda: get_team(actor),
        "frame_room": disk.room, "frame_teams": lambda: teams_of(actor), "frame_owns": functools.cache(lambda: owns_installation(actor)),
    }  # fmt: skip


class SignIn(LoginView):
    """Ten wrong passwords for one address and computer lock it for a while (django-axes)."""

    template_name = "accounts/sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def form_invalid(self, form: Any) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=422)


def locked_out(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    """What django-axes answers to a locked sign-in (AXES_LOCKOUT_CALLABLE)."""
    minutes = round(float(settings.AXES_COOLOFF_TIME) * 60)
    return render(request, "accounts/locked.html", {"minutes": minutes}, status=429)


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return go(request, "sign-in")


@require_POST
@signed_in()
def switch(request: PageRequest) -> HttpResponse:
    """Look at another team or world. Addresses of the old one do not exist there, so it starts at the queue, unless
    the form names an address of the new one.
    """
    team, mode = request.POST.get("team"), request.POST.get("mode")
    if team and Membership.objects.filter(user_id=request.actor.id, team_id=team).exists():
        request.session["team"] = team
    if mode in WORLDS:
        request.session["mode"] = mode
    following = request.POST.get("next", "")
    if following.startswith("/") and url_has_allowed_host_and_scheme(following, allowed_hosts=None):
        return HttpResponseRedirect(following)
    return redirect("queue")


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Light, dark or as the computer says; a cookie, so it holds before signing in too."""
    chosen = request.POST.get("theme", "auto")
    response = HttpResponse(status=204) if request.headers.get("X-Quiet") else go(request, "queue")
    response.set_cookie("theme", chosen if chosen in THEMES else "auto", max_age=365 * 86_400, samesite="Lax")
    return response


@require_GET
@signed_in("keys")
def keys(request: PageRequest) -> HttpResponse:
    return render(request, "accounts/keys.html", {"section": "keys", "keys": keys_of(request.actor)})


@require_http_methods(["GET", "POST"])
@signed_in("keys")
def new_key(request: PageRequest) -> HttpResponseBase:
    """The key is in this one answer and nowhere else."""
    form = KeyForm(request.actor, request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            made = services.create_key(request.actor, **form.wanted())
        except Refusal as refusal:
            for _, message in problems(refusal):
                form.add_error(None, message)
        else:
            return render(request, "accounts/key_made.html", {"section": "keys", "made": made})
    return render(
        request, "accounts/key_new.html", {"section": "keys", "form": form}, status=422 if form.errors else 200
    )


@require_http_methods(["GET", "POST"])
@signed_in("keys")
def revoke_key(request: PageRequest, key_id: str) -> HttpResponseBase:
    key = get_key(request.actor, key_id)
    if request.method == "POST":
        services.revoke_key(request.actor, key.id)
        messages.success(request, f"The key {key.name} is revoked. Calls with it are refused from now on.")
        return redirect("keys")
    return render(request, "accounts/key_revoke.html", {"section": "keys", "key": key})


@require_GET
@signed_in()
def profile(request: PageRequest) -> HttpResponse:
    return _profile(request)


@require_POST
@signed_in()
def change_name(request: PageRequest) -> HttpResponse:
    form = OwnNameForm(request.POST)
    if not form.is_valid():
        return _profile(request, name_form=form)
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
        return _profile(request, password_form=form)
    update_session_auth_hash(request, services.change_own_password(request.actor, form.cleaned_data["new"]))
    messages.success(request, "Your password is changed. Other browsers and computers have to sign in again.")
    return redirect("profile")


def _profile(
    request: PageRequest, name_form: OwnNameForm | None = None, password_form: PasswordForm | None = None
) -> HttpResponse:
    user = User.objects.get(id=request.actor.id)
    teams = [
        (each.team, Role.highest_first(each.roles), user.groups.filter(team_id=each.team_id).order_by("name"))
        for each in user.memberships.select_related("team").order_by("created_at", "id")
    ]
    context = {
        "section": "profile", "person": user, "teams": teams,
        "name_form": name_form or OwnNameForm(initial={"name": user.name}),
        "password_form": password_form or PasswordForm(user),
    }  # fmt: skip
    return render(request, "accounts/profile.html", context, status=422 if name_form or password_form else 200)
