"""Request bodies and answers of keys."""

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from accounts.actor import SCOPES, ActorRef
from accounts.models import ApiKey
from web.bodies import Body, Int, Time
from web.paging import Page
from web.times import Timestamp, rfc3339

FAMILIES = sorted({scope.partition(":")[0] + ":*" for scope in SCOPES if ":" in scope})
Scope = Annotated[str, Field(json_schema_extra={"enum": [*SCOPES, *FAMILIES]})]


class KeyCreate(Body):
    name: Annotated[str, Field(min_length=1, max_length=100)]
    scopes: list[Scope] | None = None
    budget_cents_month: Annotated[Int, Field(ge=0, le=100_000_000)] = 0
    expires_at: Time | None = None


class NewKeyObject(TypedDict):
    """The one answer that shows the key itself."""

    key: str
    key_id: str
    key_prefix: str
    name: str
    kind: str
    scopes: list[str]
    created_at: Timestamp
    request_id: str


def new_key_object(row: ApiKey, key: str, request_id: str) -> NewKeyObject:
    return {
        "key": key,
        "key_id": row.id,
        "key_prefix": row.prefix,
        "name": row.name,
        "kind": row.kind,
        "scopes": sorted(row.scopes),
        "created_at": rfc3339(row.created_at),
        "request_id": request_id,
    }


class KeyRevokedObject(TypedDict):
    status: str
    key_id: str


class KeyObject(TypedDict):
    key_id: str
    key_prefix: str
    name: str
    kind: str
    scopes: list[str]
    budget_cents_month: int
    created_by: ActorRef
    created_at: Timestamp
    last_used_at: Timestamp | None
    expires_at: Timestamp | None
    revoked_at: Timestamp | None


class KeyPage(Page[KeyObject]):
    """`keys`: the rows once more (docs/api/aliases.md)."""

    keys: NotRequired[list[KeyObject]]


def key_object(key: ApiKey) -> KeyObject:
    """A key as lists show it: never the key itself."""
    return {
        "key_id": key.id,
        "key_prefix": key.prefix,
        "name": key.name,
        "kind": key.kind,
        "scopes": sorted(key.scopes),
        "budget_cents_month": key.budget_cents_month,
        "created_by": key.created_by,
        "created_at": rfc3339(key.created_at),
        "last_used_at": rfc3339(key.last_used_at),
        "expires_at": rfc3339(key.expires_at),
        "revoked_at": rfc3339(key.revoked_at),
    }
