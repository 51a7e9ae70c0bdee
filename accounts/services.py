"""Changes to teams, people and keys."""

import secrets
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core import signing
from django.db import transaction
from django.utils import timezone
from django.utils.module_loading import import_string
from psycopg.types.json import Jsonb

from accounts.access import AGENT_PREFIX, get_key, get_team, hash_key, keys_in_force, locked_team
from accounts.actor import LIVE_DEFAULT, SCOPES, TEST_DEFAULT, Actor, command_line
from accounts.models import ApiKey, Membership, Role, Team, User
from accounts.team.rules_version import rules_changed
from database.messages import publish
from database.sql import insert, prepared
from web.errors import EmptyUpdate, Invalid, ScopeEscalation
from web.json_values import Detail

MAX_ACTIVE_KEYS = 20
RULING = frozenset({"risk_floor", "risk_floor_modes", "forbid_self_approval"})  # settings by which actions are judged
OF_BOTH_WORLDS = ("team.", "member.", "group.", "invitation.", "profile.", "model.")  # no world of their own


@dataclass(frozen=True)
class NewKey:
    """A key that was just made; `key` is readable here and never again."""

    row: ApiKey
    key: str


def audit(actor: Actor, verb: str, subject: str, **data: Any) -> None:
    """One row for the audit page, in the transaction of the change; of the actor's world, or of both (OF_BOTH_WORLDS)."""
    test = None if verb.startswith(OF_BOTH_WORLDS) else actor.test
    entry = {"team": actor.team_id, "test": test, "verb": verb, "subject": subject, "now": timezone.now()}
    prepared(_AUDIT, entry | {"actor": Jsonb(actor.ref()), "data": Jsonb(data)})


_AUDIT = """
INSERT INTO accounts_auditentry (team_id, test, actor, verb, subject, data, at)
VALUES (%(team)s, %(test)s, %(actor)s, %(verb)s, %(subject)s, %(data)s, %(now)s)
"""


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
    actor: Actor, name: str, scopes: list[str] | None = None, *,
    budget_cents_month: int = 0, expires_at: datetime | None = None,
) -> NewKey:  # fmt: skip
    """A new key of the actor's world with at most the actor's own scopes.

    Raises Invalid, ScopeEscalation (a key that makes a key with a scope it lacks), and as locked_team().
    """
    past = expires_at is not None and expires_at <= timezone.now()
    late: list[Detail] = [(("body", "expires_at"), "Must lie in the future.", "value_error")] if past else []
    wanted = expand_scopes(scopes or [], *late)
    if not wanted <= actor.scopes:
        raise ScopeEscalation(required_scope=min(wanted - actor.scopes), current_scopes=sorted(actor.scopes))
    default = TEST_DEFAULT if actor.test else LIVE_DEFAULT
    with transaction.atomic():
        actor = locked_team(actor, "keys")
        if keys_in_force(actor).count() >= MAX_ACTIVE_KEYS:
            raise Invalid((("body",), f"At most {MAX_ACTIVE_KEYS} active keys; revoke one first.", "value_error"))
        given = wanted if scopes is not None else default & actor.scopes
        made = issue_key(actor, name, given, budget_cents_month, expires_at)
        audit(actor, "key.created", made.row.id, name=name, scopes=sorted(made.row.scopes))
        return made


def issue_key(
    actor: Actor, name: str, scopes: frozenset[str], budget_cents_month: int = 0, expires_at: datetime | None = None
) -> NewKey:
    """Make the key without asking whether the actor may, and without a word in the audit: whoever calls does both."""
    key = f"cs_{'test' if actor.test else 'live'}_{secrets.token_urlsafe(32)}"
    row = ApiKey(
        team_id=actor.team_id, test=actor.test, name=name, hash=hash_key(key), prefix=key[:16], scopes=sorted(scopes),
        owner_id=actor.owner_id, created_by=actor.ref(), budget_cents_month=budget_cents_month, expires_at=expires_at,
    )  # fmt: skip
    return NewKey(insert(row), key)


def hand_out_key(owner: Actor, name: str, scopes: frozenset[str]) -> NewKey:
    """By command line: a key of this person, in the world they act in."""
    with transaction.atomic():
        made = issue_key(owner, name, scopes)
        by = command_line(owner.team_id, owner.test)
        audit(by, "key.created", made.row.id, name=name, scopes=sorted(scopes), owner=owner.name)
        return made


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


def agent_credential(run_id: str) -> str:
    """What a worker or agent holds for its run. It opens no API route (403 AGENT_FORBIDDEN)."""
    return AGENT_PREFIX + signing.dumps(run_id, salt="agent")


def update_team(actor: Actor, changes: dict[str, Any]) -> Team:
    """Change settings; `changes` holds only the fields given.

    Raises EmptyUpdate, what settings.TEAM_SETTING_GATES raise (MachineNotFound, InvalidState, Invalid), as locked_team().
    """
    if not changes:
        raise EmptyUpdate
    with transaction.atomic():
        actor = locked_team(actor, "team:write")
        for name, gate in settings.TEAM_SETTING_GATES.items():
            if changes.get(name) is not None:
                import_string(gate)(actor, changes[name])
        team = get_team(actor)
        before = {name: getattr(team, name) for name in changes}
        for name, value in changes.items():
            setattr(team, name, value)
        team.save(update_fields=list(changes))
        if changes.keys() & RULING:
            rules_changed(team.id)
        audit(actor, "team.updated", team.id, before=before, after=changes)
    return get_team(actor)


def create_user(team: Team, email: str, password: str | None, roles: list[str], name: str = "") -> User:
    """By command line: a person with these roles in the team; an existing person joins it, or gets them instead of theirs.

    Raises ValueError for an unknown role.
    """
    unknown = set(roles) - set(Role.values)
    if unknown:
        raise ValueError(f"Unknown role {', '.join(sorted(unknown))}. Known: {', '.join(Role.values)}.")
    with transaction.atomic():
        Team.objects.select_for_update(no_key=True).get(id=team.id)
        user = User.objects.filter(email__iexact=email).first() or User.objects.create_user(email, password, name)
        member = Membership.objects.filter(user=user, team=team).first()
        if member is None:
            Membership.objects.create(user=user, team=team, roles=roles)
            audit(command_line(team.id), "member.added", user.id, name=user.name, email=user.email, roles=roles)
        elif member.roles != roles:
            before, member.roles = member.roles, roles
            member.save(update_fields=["roles"])
            audit(command_line(team.id), "member.roles_changed", user.id, name=user.name, before=before, after=roles)
            publish("member.changed", team.id, user.id)
        return user


def set_password_of(actor: Actor, user: User, password: str) -> None:
    """For somebody who cannot sign in any more. Ends every session of the person."""
    with transaction.atomic():
        user = User.objects.select_for_update(no_key=True).get(id=user.id)
        user.set_password(password)
        user.save(update_fields=["password"])
        audit(actor, "member.password_set", user.id)


def change_own_name(actor: Actor, name: str) -> None:
    """In every team; what was written down before keeps the old name. A second call changes nothing."""
    with transaction.atomic():
        user = User.objects.select_for_update(no_key=True).get(id=actor.id)
        before, user.name = user.name, name
        if before != name:
            user.save(update_fields=["name"])
            audit(actor, "profile.name_changed", user.id, before=before, after=name)


def change_own_password(actor: Actor, password: str) -> User:
    """Ends every session of the person, this one included unless the door keeps it: their hash stands for the password."""
    with transaction.atomic():
        user = User.objects.select_for_update(no_key=True).get(id=actor.id)
        user.set_password(password)
        user.save(update_fields=["password"])
        audit(actor, "profile.password_changed", user.id)
        return user
