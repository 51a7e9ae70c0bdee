"""Reading policies, the actor first."""

from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.actor import Actor
from approvals.errors import PolicyNotFound
from approvals.models import Effect, Policy

# An allow that is for so many actions ends with the last of them.
NOT_USED_UP = Q(max_uses__isnull=True) | ~Q(effect=Effect.ALLOW) | Q(uses__lt=F("max_uses"))


def policies_of(actor: Actor) -> QuerySet[Policy]:
    return Policy.objects.filter(team_id=actor.team_id, test=actor.test)


def in_state(rows: QuerySet[Policy], state: str) -> QuerySet[Policy]:
    """Those that are active, used up, expired or revoked (sentences.state_of); all of them for any other word."""
    now = timezone.now()
    over = Q(expires_at__lte=Coalesce(F("revoked_at"), Value(now)))
    open_end = Q(expires_at__isnull=True) | Q(expires_at__gt=Coalesce(F("revoked_at"), Value(now)))
    if state == "active":
        return rows.filter(open_end, NOT_USED_UP, revoked_at__isnull=True)
    if state == "used_up":
        return rows.exclude(NOT_USED_UP)
    if state == "expired":
        return rows.filter(NOT_USED_UP, over)
    return rows.filter(open_end, NOT_USED_UP, revoked_at__isnull=False) if state == "revoked" else rows


def get_policy(actor: Actor, policy_id: str) -> Policy:
    """Raises PolicyNotFound."""
    row = policies_of(actor).filter(id=policy_id).first()
    if row is None:
        raise PolicyNotFound
    return row
