"""API keys of the team and world."""

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from accounts.keys import services
from accounts.keys.access import get_key, keys_of
from accounts.keys.forms import KeyForm
from accounts.pages import PageRequest, problems, signed_in
from web.errors import Refusal


@require_GET
@signed_in("keys")
def key_list(request: PageRequest) -> HttpResponse:
    return render(request, "accounts/keys.html", {"section": "keys", "keys": keys_of(request.actor)})


@require_http_methods(["GET", "POST"])
@signed_in("keys")
def new_key(request: PageRequest) -> HttpResponseBase:
    """The key is in this one answer and nowhere else."""
    form = KeyForm(request.actor, request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            key = services.create_key(request.actor, **form.values())
        except Refusal as refusal:
            for _, message in problems(refusal):
                form.add_error(None, message)
        else:
            return render(request, "accounts/key_made.html", {"section": "keys", "made": key})
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
