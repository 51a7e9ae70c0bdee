"""Signing in and out, the team and world one looks at, and the colours."""

from typing import Any

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from accounts.models import Membership
from accounts.pages import THEMES, PageRequest, go, signed_in
from accounts.sign_in.forms import SignInForm

WORLDS = ("live", "test")


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
