"""Reading policies, the actor first."""

from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.actor import Actor
from approvals.errors import PolicyNotFound
from approvals.models import Policy


def policies_of(actor: Actor) -> QuerySet[Policy]:
    return Policy.objects.filter(team_id=actor.team_id, test=actor.test)


def in_state(rows: QuerySet[Policy], state: str) -> QuerySet[Policy]:
    """Those that are active, expired or revoked (sentences.state_of); all of them for any other word."""
    now = timezone.now()
    over = Q(expires_at__lte=Coalesce(F("revoked_at"), Value(now)))
    if state == "active":
        return rows.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now), revoked_at__isnull=True)
    if state == "expired":
        return rows.filter(over)
    open_end = Q(expires_at__isnull=True) | Q(expires_at__gt=F("revoked_at"))
    return rows.filter(open_end, revoked_at__isnull=False) if state == "revoked" else rows


def get_policy(actor: Actor, policy_id: str) -> Policy:
    """Raises PolicyNotFound."""
    row = policies_of(actor).filter(id=policy_id).first()
    if row is None:
        raise PolicyNotFound
    return row
