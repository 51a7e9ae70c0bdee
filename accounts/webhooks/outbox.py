"""The outbox: messages written in the transaction of what they report, and the attempts to deliver each of them.

An attempt is claim() in one transaction, HTTP outside of any, settle() in another. Who claims counts the attempt up; a
worker that comes back after somebody else has claimed finds another count and writes nothing. What a dying worker had
in hand the clock queues again when `queued_until` has passed.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django_q.tasks import async_task

from accounts.actor import system
from accounts.audit.services import audit
from accounts.models import DeliveryStatus, WebhookDelivery, WebhookEndpoint, WebhookEvent
from accounts.team.event_retention import remove_old
from accounts.webhooks.access import listening
from accounts.webhooks.schemas import message
from database.outbox import BATCH, QUEUED, ended, put_off, take_due
from database.sealing import unseal

PAUSES = (5, 25, 120, 600, 3000)  # seconds between the six attempts
JITTER = 0.1
MOST_ATTEMPTS = len(PAUSES) + 1
LEASE = timedelta(seconds=30)  # an attempt takes 10 s at most
GONE = 410


@dataclass(frozen=True)
class Own:
    """The address that a run brought along, with its sealed secret."""

    url: str
    secret: bytes


@dataclass(frozen=True)
class Attempt:
    """One attempt, claimed: everything that sending needs. The second secret is the one before a rotation."""

    delivery_id: str
    number: int
    url: str
    event_id: str
    body: bytes
    secrets: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt; `reason` says in plain words why it failed."""

    status: int | None
    reason: str | None

    @property
    def ok(self) -> bool:
        return self.reason is None


# --- writing


def emit(
    kind: str,
    team_id: str,
    test: bool,
    facts: Callable[[], dict[str, Any]],
    *,
    run_id: str | None = None,
    own: Own | None = None,
) -> None:
    """Write the message for whoever listens, in the caller's transaction. `facts` is called only if somebody does."""
    listeners = listening(team_id, test, kind)
    if not listeners and own is None:
        return
    event = new_event(kind, team_id, test, facts(), run_id=run_id)
    if own is not None:
        new_delivery(event, own.url, secret=own.secret)
    for endpoint in listeners:
        new_delivery(event, endpoint.url, endpoint=endpoint)


def new_event(kind: str, team_id: str, test: bool, facts: dict[str, Any], *, run_id: str | None = None) -> WebhookEvent:
    event = WebhookEvent(team_id=team_id, test=test, type=kind, run_id=run_id)
    event.body = json.dumps(message(event, facts), cls=DjangoJSONEncoder, separators=(",", ":"), ensure_ascii=False)
    event.save(force_insert=True)
    return event


def new_delivery(event: WebhookEvent, url: str, **fields: Any) -> WebhookDelivery:
    """Its first attempt is queued at once, in the caller's transaction."""
    now = timezone.now()
    row = WebhookDelivery.objects.create(event=event, url=url, next_attempt_at=now, queued_until=now + QUEUED, **fields)
    async_task("accounts.tasks.deliver", row.id, 0)
    return row


# --- attempts


def queue_due() -> int:
    """Queue the attempts whose time has come; called by the clock."""
    with transaction.atomic():
        rows = take_due(WebhookDelivery.objects.only("id", "attempts"))
        for row in rows:
            async_task("accounts.tasks.deliver", row.id, row.attempts)
        return len(rows)


def address_of(delivery_id: str) -> str | None:
    """None when there is no such delivery any more, or nothing left to do for it."""
    return WebhookDelivery.objects.filter(id=delivery_id, status="pending").values_list("url", flat=True).first()


def claim(delivery_id: str, attempts: int) -> Attempt | None:
    """Begin the attempt after `attempts` others; None when its turn has passed or it is not to be made."""
    with transaction.atomic():
        row = _locked(delivery_id, attempts)
        if row is None:
            return None
        now = timezone.now()
        if (why := _in_vain(row)) is not None:
            _finish(row, DeliveryStatus.FAILED, now, reason=why)
            return None
        row.attempts += 1
        row.queued_until = now + LEASE
        row.save(update_fields=["attempts", "queued_until"])
        return Attempt(row.id, row.attempts, row.url, row.event_id, row.event.body.encode(), _secrets(row, now))


def _locked(delivery_id: str, attempts: int) -> WebhookDelivery | None:
    rows = WebhookDelivery.objects.select_for_update(of=("self",)).select_related("event", "endpoint")
    return rows.filter(id=delivery_id, attempts=attempts, status="pending").first()


def _in_vain(row: WebhookDelivery) -> str | None:
    """Why no further attempt is made."""
    if row.attempts >= MOST_ATTEMPTS:
        return "The worker stopped during the last attempt; whether it arrived is not known."
    asked_for = row.redelivery_of is not None or row.event.type == "webhook.test"
    if row.endpoint is not None and not row.endpoint.active and not asked_for:
        return "The webhook was switched off."
    return None


def _secrets(row: WebhookDelivery, now: datetime) -> tuple[str, ...]:
    if row.endpoint is None:
        return (unseal(row.secret or b""),)
    current: str = unseal(row.endpoint.secret)
    until = row.endpoint.previous_until
    return (current, unseal(row.endpoint.previous_secret or b"")) if until is not None and until > now else (current,)


def settle(attempt: Attempt, outcome: Outcome) -> None:
    """Write what came of an attempt: done, to be tried again later, or given up."""
    with transaction.atomic():
        if outcome.status == GONE:
            _switch_off(attempt.delivery_id)
        row = _locked(attempt.delivery_id, attempt.number)
        if row is None:
            return
        now = timezone.now()
        facts = {"response_status": outcome.status, "reason": outcome.reason}
        if outcome.ok:
            _finish(row, DeliveryStatus.SUCCEEDED, now, **facts)
        elif outcome.status == GONE or row.attempts >= MOST_ATTEMPTS:
            _finish(row, DeliveryStatus.FAILED, now, **facts)
        else:
            pause = PAUSES[row.attempts - 1] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
            _save(row, **put_off(now + timedelta(seconds=pause)), **facts)


def _finish(row: WebhookDelivery, status: DeliveryStatus, now: datetime, **facts: Any) -> None:
    """The only writer of a delivery's status; it is written once."""
    _save(row, **ended(status, now), **facts)


def _save(row: WebhookDelivery, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(row, name, value)
    row.save(update_fields=list(fields))


def _switch_off(delivery_id: str) -> None:
    """The receiver said 410 Gone. The endpoint is locked before its delivery, as everywhere."""
    active = WebhookEndpoint.objects.select_for_update(of=("self",)).filter(deliveries__id=delivery_id, active=True)
    endpoint = active.first()
    if endpoint is not None:
        endpoint.active, endpoint.disabled_reason = False, "The receiver answered 410 Gone."
        endpoint.save(update_fields=["active", "disabled_reason"])
        audit(system(endpoint.team_id, endpoint.test), "webhook.disabled", endpoint.id, reason=endpoint.disabled_reason)


# --- retention


def sweep() -> int:
    """Forget messages, with their deliveries, that are older than their team keeps events; called by the clock."""
    return remove_old(_old)


def _old(team_id: str, before: datetime) -> QuerySet[WebhookEvent]:
    rows = WebhookEvent.objects.filter(team_id=team_id, created_at__lt=before).exclude(deliveries__status="pending")
    return WebhookEvent.objects.filter(id__in=list(rows.values_list("id", flat=True)[:BATCH]))
