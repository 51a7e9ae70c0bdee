"""Making and revoking keys."""

import secrets
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from accounts.access import hash_key, locked_team
from accounts.actor import LIVE_DEFAULT, SCOPES, TEST_DEFAULT, Actor, command_line
from accounts.audit.services import audit
from accounts.errors import ScopeEscalation
from accounts.keys.access import get_key, keys_in_force
from accounts.models import ApiKey
from web.errors import Invalid
from web.json_values import Detail

MAX_ACTIVE_KEYS = 20


@dataclass(frozen=True)
class NewKey:
    """A key that was just made; `key` is readable here and never again."""

    row: ApiKey
    key: str


def expand_scopes(scopes: list[str], *also_wrong: Detail) -> frozenset[str]:
    """`family:*` becomes every scope of the family. Raises Invalid naming each unknown scope beside `also_wrong`."""
    result: set[str] = set()
    wrong = [*also_wrong]
    for index, scope in enumerate(scopes):
        family = {s for s in SCOPES if scope.endswith(":*") and s.startswith(scope[:-1])}
        if not family and scope not in SCOPES:
            wrong.append((("body", "scopes", index), f"Unknown scope '{scope[:64]}'.", "value_error"))
        result |= family or {scope}
    if wrong:
        raise Invalid(*wrong)
    return frozenset(result)


def create_key(
    actor: Actor,
    name: str,
    scopes: list[str] | None = None,
    *,
    budget_cents_month: int = 0,
    expires_at: datetime | None = None,
) -> NewKey:
    """A new key of the actor's world with at most the actor's own scopes.

    Raises Invalid, ScopeEscalation (a key that makes a key with a scope it lacks), and as locked_team().
    """
    past = expires_at is not None and expires_at <= timezone.now()
    late: list[Detail] = [(("body", "expires_at"), "Must lie in the future.", "value_error")] if past else []
    requested = expand_scopes(scopes or [], *late)
    if not requested <= actor.scopes:
        raise ScopeEscalation(required_scope=min(requested - actor.scopes), current_scopes=sorted(actor.scopes))
    default = TEST_DEFAULT if actor.test else LIVE_DEFAULT
    with transaction.atomic():
        actor = locked_team(actor, "keys")
        if keys_in_force(actor).count() >= MAX_ACTIVE_KEYS:
            raise Invalid((("body",), f"At most {MAX_ACTIVE_KEYS} active keys; revoke one first.", "value_error"))
        granted = requested if scopes is not None else default & actor.scopes
        new_key = issue_key(actor, name, granted, budget_cents_month, expires_at)
        audit(actor, "key.created", new_key.row.id, name=name, scopes=sorted(new_key.row.scopes))
        return new_key


def issue_key(
    actor: Actor, name: str, scopes: frozenset[str], budget_cents_month: int = 0, expires_at: datetime | None = None
) -> NewKey:
    """Make the key without asking whether the actor may, and without a word in the audit: whoever calls does both."""
    key = f"cs_{'test' if actor.test else 'live'}_{secrets.token_urlsafe(32)}"
    row = ApiKey.objects.create(
        team_id=actor.team_id,
        test=actor.test,
        name=name,
        hash=hash_key(key),
        prefix=key[:16],
        scopes=sorted(scopes),
        owner_id=actor.owner_id,
        created_by=actor.ref(),
        budget_cents_month=budget_cents_month,
        expires_at=expires_at,
    )
    return NewKey(row, key)


def hand_out_key(owner: Actor, name: str, scopes: frozenset[str]) -> NewKey:
    """By command line: a key of this person, in the world they act in."""
    with transaction.atomic():
        new_key = issue_key(owner, name, scopes)
        by = command_line(owner.team_id, owner.test)
        audit(by, "key.created", new_key.row.id, name=name, scopes=sorted(scopes), owner=owner.name)
        return new_key


def revoke_key(actor: Actor, key_id: str) -> ApiKey:
    """Effective at once; runs it started go on. A second call changes nothing. Raises KeyNotFound."""
    with transaction.atomic():
        return revoke_key_row(actor, get_key(actor, key_id))


def revoke_key_row(actor: Actor, row: ApiKey) -> ApiKey:
    """Of either world: with its owner every key goes. The caller is inside atomic()."""
    if ApiKey.objects.filter(id=row.id, revoked_at__isnull=True).update(revoked_at=timezone.now()):
        audit(replace(actor, test=row.test), "key.revoked", row.id, name=row.name)
    row.refresh_from_db()
    return row
