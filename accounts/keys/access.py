"""Reading keys, the actor first."""

from typing import Any

from django.db.models import F, QuerySet
from django.utils import timezone

from accounts.actor import Actor
from accounts.errors import KeyNotFound
from accounts.models import ApiKey


def get_key(actor: Actor, key_id: str) -> ApiKey:
    row = ApiKey.objects.filter(team_id=actor.team_id, test=actor.test, id=key_id).first()
    if row is None:
        raise KeyNotFound
    return row


def keys_of(actor: Actor) -> Any:
    return ApiKey.objects.filter(team_id=actor.team_id, test=actor.test).order_by(F("created_at").desc(), "-id")


def keys_in_force(actor: Actor) -> QuerySet[ApiKey]:
    """Neither revoked nor at their end."""
    rows = ApiKey.objects.filter(team_id=actor.team_id, test=actor.test, revoked_at__isnull=True)
    return rows.exclude(expires_at__lte=timezone.now())
