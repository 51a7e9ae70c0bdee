"""Reading webhooks, the actor first."""

from django.db.models import QuerySet

from accounts.actor import Actor
from accounts.errors import WebhookNotFound
from accounts.models import WebhookDelivery, WebhookEndpoint
from accounts.sql import ANY_WEBHOOK
from database.sql import prepared
from web.errors import NotFound


def endpoints_of(actor: Actor) -> QuerySet[WebhookEndpoint]:
    return WebhookEndpoint.objects.filter(team_id=actor.team_id, test=actor.test, deleted_at__isnull=True)


def get_endpoint(actor: Actor, webhook_id: str, *, lock: bool = False) -> WebhookEndpoint:
    """Raises WebhookNotFound, also for another team's or world's. With `lock` the caller is inside atomic()."""
    rows = endpoints_of(actor).select_for_update() if lock else endpoints_of(actor)
    row = rows.filter(id=webhook_id).first()
    if row is None:
        raise WebhookNotFound
    return row


def listening(team_id: str, test: bool, kind: str) -> list[WebhookEndpoint]:
    """The endpoints that hear of events of this kind."""
    if prepared(ANY_WEBHOOK, {"team": team_id, "test": test}) is None:
        return []
    rows = WebhookEndpoint.objects.filter(team_id=team_id, test=test, deleted_at__isnull=True, active=True)
    return list(rows.filter(events__contains=[kind]).order_by("created_at", "id"))


def deliveries_to(endpoint: WebhookEndpoint) -> QuerySet[WebhookDelivery]:
    return WebhookDelivery.objects.filter(endpoint=endpoint).select_related("event")


def get_delivery(endpoint: WebhookEndpoint, delivery_id: str) -> WebhookDelivery:
    row = deliveries_to(endpoint).filter(id=delivery_id).first()
    if row is None:
        raise NotFound("There is no such delivery.")
    return row


def deliveries_of_run(actor: Actor, run_id: str) -> QuerySet[WebhookDelivery]:
    """What was sent about a run, to its own address and to those of the team."""
    rows = WebhookDelivery.objects.filter(event__team_id=actor.team_id, event__test=actor.test, event__run_id=run_id)
    return rows.select_related("event")
