"""Which person an actor is: a key acts for its owner, and a key without one for whoever made it (docs/api/approvals.md section 6.3)."""

from collections.abc import Mapping
from typing import Any

from accounts.actor import Actor
from accounts.models import ApiKey

MOST_MAKERS = 100  # keys in a row, each made with the one before


def person_of(actor: Actor) -> str:
    """One id for a person, all their keys and their sessions."""
    return person_behind(actor.ref(), actor.owner_id)


def person_behind(ref: Mapping[str, Any], owner_id: str | None) -> str:
    """As person_of(), of what was written down: {type, id, name} and the owner then."""
    if owner_id is not None or ref.get("type") != "api_key":
        return owner_id or str(ref.get("id"))
    return _maker(str(ref["id"]))


def person_named(ref: Mapping[str, Any]) -> str:
    """As person_behind(), where the owner of a key was not written down."""
    of_key = ref.get("type") == "api_key"
    owner = ApiKey.objects.filter(id=ref["id"]).values_list("owner_id", flat=True).first() if of_key else None
    return person_behind(ref, owner)


def _maker(key_id: str) -> str:
    """Of a key without an owner: who made it, at the beginning of the row."""
    for _ in range(MOST_MAKERS):
        row = ApiKey.objects.filter(id=key_id).first()
        if row is None:
            return key_id
        if row.owner_id is not None:
            return row.owner_id
        by = row.created_by
        if by["type"] != "api_key":
            return str(by["id"]) if by["type"] == "user" else key_id
        key_id = by["id"]
    return key_id
