"""Request bodies, answers and messages of webhooks."""

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, ConfigDict, Field
from typing_extensions import TypedDict

from accounts.models import WebhookDelivery, WebhookEndpoint, WebhookEvent
from accounts.webhooks.signing import cut
from database.sealing import unseal
from web.bodies import Body
from web.times import Timestamp, rfc3339

EventName = Literal[
    "run.awaiting_human", "run.awaiting_input", "run.resumed", "run.succeeded", "run.failed", "run.cancelled",
    "run.timed_out",
    "workflow_run.awaiting_human", "workflow_run.resumed", "workflow_run.succeeded", "workflow_run.failed",
    "workflow_run.cancelled", "workflow_run.timed_out",
    "approval.created", "approval.decided", "approval.expired", "approval.cancelled",
    "stop.requested", "stop.confirmed", "stop.lifted",
    "webhook.test",
]  # fmt: skip
EVENTS: tuple[str, ...] = get_args(EventName)
USUAL = tuple(e for e in EVENTS if e not in ("run.awaiting_input", "approval.expired", "webhook.test"))
# What a message says of its subject; null where it does not apply.
FACTS = (
    "run_id", "workflow_id", "status", "state", "result", "output", "error", "awaiting_human_reason", "reason",
    "awaiting_step_id", "approval_id", "input_kind", "change", "data", "run", "approval",
)  # fmt: skip


def _each_once(events: list[str]) -> list[str]:
    return list(dict.fromkeys(events)) or list(USUAL)


Url = Annotated[str, Field(min_length=1, max_length=2048, json_schema_extra={"pattern": "^[Hh][Tt][Tt][Pp][Ss]?://"})]
Events = Annotated[list[EventName], AfterValidator(_each_once)]
Description = Annotated[str, Field(max_length=200)]


class WebhookCreate(Body):
    """No events, or an empty list: the usual ones."""

    url: Url
    events: Events = Field(default_factory=lambda: list(USUAL))  # type: ignore[arg-type]
    description: Description | None = None
    active: bool = True


class WebhookPatch(Body):
    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    url: Url | None = None
    events: Events | None = None
    description: Description | None = None
    active: bool | None = None
    rotate_secret: bool | None = None


class Nothing(Body):
    """A call without a body, or with {}."""


class WebhookObject(TypedDict):
    id: str
    object: str
    url: str
    events: list[str]
    active: bool
    description: str | None
    secret: str
    disabled_reason: str | None
    created_at: Timestamp


def webhook_object(row: WebhookEndpoint, secret: str | None = None) -> WebhookObject:
    """The endpoint as the API shows it; `secret` is given only in the answer that shows it whole."""
    return {
        "id": row.id,
        "object": "webhook",
        "url": row.url,
        "events": row.events,
        "active": row.active,
        "description": row.description,
        "secret": secret or cut(unseal(row.secret)),
        "disabled_reason": row.disabled_reason,
        "created_at": rfc3339(row.created_at),
    }


class DeliveryObject(TypedDict):
    id: str
    object: str
    webhook_id: str | None
    event_id: str
    event: str
    run_id: str | None
    url: str
    status: str
    attempts: int
    response_status: int | None
    reason: str | None
    next_attempt_at: Timestamp | None
    redelivery_of: str | None
    created_at: Timestamp
    finished_at: Timestamp | None


def delivery_object(row: WebhookDelivery) -> DeliveryObject:
    return {
        "id": row.id,
        "object": "delivery",
        "webhook_id": row.endpoint_id,
        "event_id": row.event_id,
        "event": row.event.type,
        "run_id": row.event.run_id,
        "url": row.url,
        "status": row.status,
        "attempts": row.attempts,
        "response_status": row.response_status,
        "reason": row.reason,
        "next_attempt_at": rfc3339(row.next_attempt_at),
        "redelivery_of": row.redelivery_of,
        "created_at": rfc3339(row.created_at),
        "finished_at": rfc3339(row.finished_at),
    }


def message(event: WebhookEvent, facts: dict[str, Any]) -> dict[str, Any]:
    """The body of every webhook: all keys always present."""
    at = rfc3339(event.created_at)
    head = {
        "event": event.type,
        "type": event.type,
        "id": event.id,
        "timestamp": at,
        "created_at": at,
        "object": "webhook.event",
    }
    return head | dict.fromkeys(FACTS) | facts
