"""Changes to webhooks."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.actor import Actor
from accounts.audit.services import audit
from accounts.models import WebhookDelivery, WebhookEndpoint
from accounts.webhooks import outbox, targets
from accounts.webhooks.access import get_delivery, get_endpoint
from accounts.webhooks.schemas import WebhookCreate
from accounts.webhooks.signing import new_secret
from database.sealing import seal
from web.errors import EmptyUpdate, Invalid

ROTATION = timedelta(hours=24)  # how long the old secret signs beside the new one


@dataclass(frozen=True)
class Shown:
    """An endpoint and its secret, if this is the one time that it is shown."""

    row: WebhookEndpoint
    secret: str | None


def create_endpoint(actor: Actor, body: WebhookCreate) -> Shown:
    """A new endpoint of the actor's world. Raises Invalid."""
    _check_url(body.url)
    secret = new_secret()
    with transaction.atomic():
        row = WebhookEndpoint.objects.create(
            team_id=actor.team_id,
            test=actor.test,
            url=body.url,
            events=list(body.events),
            active=body.active,
            description=body.description,
            secret=seal(secret),
            created_by=actor.ref(),
        )
        audit(actor, "webhook.created", row.id, url=row.url, events=row.events)
    return Shown(row, secret)


def _check_url(url: str) -> None:
    if (problem := targets.problem(url)) is not None:
        raise Invalid((("body", "url"), problem, "value_error"))


def update_endpoint(actor: Actor, webhook_id: str, changes: dict[str, Any]) -> Shown:
    """Change what is given; `rotate_secret` makes a new secret. Raises EmptyUpdate, Invalid, WebhookNotFound."""
    if not changes:
        raise EmptyUpdate
    if "url" in changes:
        _check_url(changes["url"])
    with transaction.atomic():
        row = get_endpoint(actor, webhook_id, lock=True)
        values = {name: value for name, value in changes.items() if name != "rotate_secret"}
        before = {name: getattr(row, name) for name in values}
        secret = new_secret() if changes.get("rotate_secret") else None
        fields = values | (_rotated(row, secret) if secret else {})
        if values.get("active"):
            fields["disabled_reason"] = None
        for name, value in fields.items():
            setattr(row, name, value)
        if fields:
            row.save(update_fields=list(fields))
        if "url" in values:
            WebhookDelivery.objects.filter(endpoint=row, status="pending").update(url=row.url)
        audit(actor, "webhook.updated", row.id, before=before, after=values, rotated=secret is not None)
    return Shown(row, secret)


def _rotated(row: WebhookEndpoint, secret: str) -> dict[str, Any]:
    return {"secret": seal(secret), "previous_secret": bytes(row.secret), "previous_until": timezone.now() + ROTATION}


def delete_endpoint(actor: Actor, webhook_id: str) -> None:
    """Its pending deliveries are dropped; finished ones stay in the log of their runs. Raises WebhookNotFound."""
    with transaction.atomic():
        row = get_endpoint(actor, webhook_id, lock=True)
        row.active, row.deleted_at, row.previous_secret, row.previous_until = False, timezone.now(), None, None
        row.save(update_fields=["active", "deleted_at", "previous_secret", "previous_until"])
        WebhookDelivery.objects.filter(endpoint=row, status="pending").delete()
        audit(actor, "webhook.deleted", row.id, url=row.url)


def send_test(actor: Actor, webhook_id: str) -> WebhookDelivery:
    """A delivery of webhook.test, whatever the endpoint subscribes to. Raises WebhookNotFound."""
    with transaction.atomic():
        row = get_endpoint(actor, webhook_id, lock=True)
        event = outbox.new_event("webhook.test", row.team_id, row.test, {"data": {"webhook_id": row.id}})
        return outbox.new_delivery(event, row.url, endpoint=row)


def redeliver(actor: Actor, webhook_id: str, delivery_id: str) -> WebhookDelivery:
    """A new delivery of the same message to where the endpoint is now. Raises WebhookNotFound, NotFound."""
    with transaction.atomic():
        row = get_endpoint(actor, webhook_id, lock=True)
        old = get_delivery(row, delivery_id)
        return outbox.new_delivery(old.event, row.url, endpoint=row, redelivery_of=old.id)
