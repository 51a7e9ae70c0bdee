"""Webhooks of the team: the list, one with the log of its deliveries, and every change."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.models import WebhookDelivery, WebhookEndpoint
from accounts.pages import PageRequest, show, show_refusal, signed_in
from accounts.webhooks import services
from accounts.webhooks.access import deliveries_to, endpoints_of, get_endpoint
from accounts.webhooks.forms import WebhookForm, values_of
from accounts.webhooks.outbox import MOST_ATTEMPTS
from accounts.webhooks.schemas import WebhookCreate
from accounts.webhooks.signing import cut
from database.sealing import unseal
from web.errors import Refusal
from web.paging import page

PAGE = 50


@require_GET
@signed_in("webhooks:read")
def webhook_list(request: PageRequest) -> HttpResponse:
    rows = [(row, _last(row)) for row in endpoints_of(request.actor).order_by("-created_at", "-id")]
    context = {"section": "webhooks", "rows": rows, "may_write": request.actor.may("webhooks:write")}
    return render(request, "accounts/webhooks.html", context)


def _last(row: WebhookEndpoint) -> WebhookDelivery | None:
    return deliveries_to(row).order_by("-created_at", "-id").first()


@require_http_methods(["GET", "POST"])
@signed_in("webhooks:write")
def new_webhook(request: PageRequest) -> HttpResponseBase:
    """The secret is in this one answer and nowhere else."""
    form = WebhookForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            shown = services.create_endpoint(request.actor, WebhookCreate.model_validate(form.values()))
        except Refusal as refusal:
            show_refusal(form, refusal)
        else:
            return _secret(request, shown, "The webhook is made")
    return _form(request, form, None)


def _form(request: PageRequest, form: WebhookForm, row: WebhookEndpoint | None) -> HttpResponse:
    context = {"section": "webhooks", "form": form, "webhook": row}
    return render(request, "accounts/webhook_form.html", context, status=422 if form.errors else 200)


def _secret(request: PageRequest, shown: services.Shown, title: str) -> HttpResponse:
    context = {"section": "webhooks", "webhook": shown.row, "secret": shown.secret, "title": title}
    return render(request, "accounts/webhook_secret.html", context)


@require_GET
@signed_in("webhooks:read")
def webhook_page(request: PageRequest, webhook_id: str) -> HttpResponse:
    row = get_endpoint(request.actor, webhook_id)
    query = {**request.GET.dict(), "limit": str(PAGE)}
    part = page(deliveries_to(row), query, lambda delivery: {"row": delivery}, request_id=request.request_id)
    deliveries: list[WebhookDelivery] = [each["row"] for each in part["data"]]
    context: dict[str, Any] = {
        "section": "webhooks",
        "webhook": row,
        "secret": cut(unseal(row.secret)),
        "deliveries": deliveries,
        "next_cursor": part["next_cursor"],
        "may_write": request.actor.may("webhooks:write"),
        "most": MOST_ATTEMPTS,
        "under_way": any(d.queued_until is not None for d in deliveries),
        "live_title": "Webhook",
    }
    return show(request, "accounts/webhook.html", context)


@require_http_methods(["GET", "POST"])
@signed_in("webhooks:write")
def edit_webhook(request: PageRequest, webhook_id: str) -> HttpResponseBase:
    row = get_endpoint(request.actor, webhook_id)
    form = WebhookForm(request.POST if request.method == "POST" else None, initial=values_of(row))
    if form.is_valid():
        try:
            services.update_endpoint(request.actor, row.id, form.values())
        except Refusal as refusal:
            show_refusal(form, refusal)
        else:
            messages.success(request, "The webhook is changed. Messages still under way go to the new address.")
            return redirect("webhook", row.id)
    return _form(request, form, row)


@require_POST
@signed_in("webhooks:write")
def switch_webhook(request: PageRequest, webhook_id: str) -> HttpResponse:
    """On or off, as the form says: a second click changes nothing."""
    on = request.POST.get("active") == "true"
    row = services.update_endpoint(request.actor, webhook_id, {"active": on}).row
    messages.success(
        request, "The webhook is on." if on else "The webhook is off. Nothing is sent until it is on again."
    )
    return redirect("webhook", row.id)


@require_POST
@signed_in("webhooks:write")
def send_test(request: PageRequest, webhook_id: str) -> HttpResponse:
    services.send_test(request.actor, webhook_id)
    return redirect("webhook", webhook_id)


@require_POST
@signed_in("webhooks:write")
def redeliver(request: PageRequest, webhook_id: str, delivery_id: str) -> HttpResponse:
    services.redeliver(request.actor, webhook_id, delivery_id)
    messages.success(request, "It is sent again, with the same id.")
    return redirect("webhook", webhook_id)


@require_http_methods(["GET", "POST"])
@signed_in("webhooks:write")
def rotate_secret(request: PageRequest, webhook_id: str) -> HttpResponseBase:
    row = get_endpoint(request.actor, webhook_id)
    if request.method == "POST":
        return _secret(
            request, services.update_endpoint(request.actor, row.id, {"rotate_secret": True}), "The new secret"
        )
    return render(request, "accounts/webhook_rotate.html", {"section": "webhooks", "webhook": row})


@require_http_methods(["GET", "POST"])
@signed_in("webhooks:write")
def delete_webhook(request: PageRequest, webhook_id: str) -> HttpResponseBase:
    row = get_endpoint(request.actor, webhook_id)
    if request.method == "POST":
        services.delete_endpoint(request.actor, row.id)
        messages.success(request, "The webhook is deleted.")
        return redirect("webhooks")
    pending = deliveries_to(row).filter(status="pending").count()
    return render(request, "accounts/webhook_delete.html", {"section": "webhooks", "webhook": row, "pending": pending})
