"""Request bodies and answers of keys."""

from typing import Annotated, Any

from pydantic import Field

from accounts.models import ApiKey
from web.bodies import Body, Int, Time
from web.times import rfc3339


class KeyCreate(Body):
    name: Annotated[str, Field(min_length=1, max_length=100)]
    scopes: list[str] | None = None
    budget_cents_month: Annotated[Int, Field(ge=0, le=100_000_000)] = 0
    expires_at: Time | None = None


def key_object(key: ApiKey) -> dict[str, Any]:
    """A key as lists show it: never the key itself."""
    return {
        "key_id": key.id, "key_prefix": key.prefix, "name": key.name, "kind": key.kind, "scopes": sorted(key.scopes),
        "budget_cents_month": key.budget_cents_month, "created_by": key.created_by,
        "created_at": rfc3339(key.created_at),
        "last_used_at": rfc3339(key.last_used_at), "expires_at": rfc3339(key.expires_at),
        "revoked_at": rfc3339(key.revoked_at),
    }  # fmt: skip
