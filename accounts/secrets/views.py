"""The secrets of a team: the list, one with what used it, and every change. No page shows a value."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods
from pydantic import ValidationError

from accounts.audit.access import is_recorded
from accounts.errors import SecretNotFound
from accounts.models import TeamSecret
from accounts.pages import PageRequest, problems, signed_in
from accounts.secrets import services
from accounts.secrets.access import get_secret_by_id, secrets_of, uses_of
from accounts.secrets.forms import SecretForm, values_of
from accounts.secrets.schemas import SecretChange, SecretCreate
from web.bodies import Body, details
from web.errors import Invalid

B = TypeVar("B", bound=Body)
SECTION = {"section": "secrets"}
MOST_USES = 50


@require_GET
@signed_in("secrets:write")
def secret_list(request: PageRequest) -> HttpResponse:
    rows = secrets_of(request.actor).order_by("name")
    return render(request, "accounts/secrets.html", SECTION | {"secrets": rows})


@require_GET
@signed_in("secrets:write")
def secret_page(request: PageRequest, secret_id: str) -> HttpResponse:
    row = get_secret_by_id(request.actor, secret_id)
    context = SECTION | {"secret": row, "handle": f"{{{{secret:{row.name}}}}}", "uses": uses_of(row)[:MOST_USES]}
    return render(request, "accounts/secret.html", context)


@require_http_methods(["GET", "POST"])
@signed_in("secrets:write")
def new_secret(request: PageRequest) -> HttpResponseBase:
    form = SecretForm(request.POST if request.method == "POST" else None)
    row = _done(form, SecretCreate, lambda body: services.create_secret(request.actor, body))
    if row is None:
        return _form(request, form, None)
    messages.success(request, f"The secret {row.name} is kept. Nobody can read it again.")
    return redirect("secret", row.id)


@require_http_methods(["GET", "POST"])
@signed_in("secrets:write")
def edit_secret(request: PageRequest, secret_id: str) -> HttpResponseBase:
    row = get_secret_by_id(request.actor, secret_id)
    form = SecretForm(request.POST if request.method == "POST" else None, initial=values_of(row), change=True)
    changed = _done(form, SecretChange, lambda body: services.change_secret(request.actor, row.name, body))
    if changed is None:
        return _form(request, form, row)
    messages.success(request, "The secret is changed. Runs under way get what is new.")
    return redirect("secret", row.id)


def _done(form: SecretForm, model: type[B], service: Callable[[B], TeamSecret]) -> TeamSecret | None:
    """None while the form is empty, or wrong in a way that it says."""
    if not form.is_valid():
        return None
    try:
        return service(model.model_validate(form.values()))
    except ValidationError as error:
        form.refuse(problems(Invalid(*details(error, "body"))))
    except Invalid as refusal:
        form.refuse(problems(refusal))
    return None


def _form(request: PageRequest, form: SecretForm, row: TeamSecret | None) -> HttpResponse:
    context: dict[str, Any] = SECTION | {"form": form, "secret": row}
    return render(request, "accounts/secret_form.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@signed_in("secrets:write")
def delete_secret(request: PageRequest, secret_id: str) -> HttpResponseBase:
    try:
        row = get_secret_by_id(request.actor, secret_id)
        if request.method != "POST":
            return render(request, "accounts/secret_delete.html", SECTION | {"secret": row})
        services.delete_secret(request.actor, row.name)
        messages.success(request, f"The secret {row.name} is deleted.")
    except SecretNotFound:
        if request.method != "POST" or not is_recorded(request.actor, "secret.deleted", secret_id):
            raise
        messages.success(request, "This secret is deleted.")
    return redirect("secrets")
