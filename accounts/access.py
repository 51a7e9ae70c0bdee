"""Who is calling, and what of their team they may see."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal

from django.core import signing
from django.db.models import Case, QuerySet, When
from django.http import HttpRequest
from django.utils import timezone

from accounts import sql
from accounts.actor import Actor, scopes_of_roles
from accounts.errors import AgentForbidden, InsufficientScope, InvalidApiKey
from accounts.models import ApiKey, Membership, Role, Team
from database.sql import fetch, prepared, prepared_all

MOST_TEAMS = 10  # of a person, in which something that is not here is looked for
AGENT_PREFIX = "cs_agent_"


def hash_key(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def actor_of_key(key: str, minute: int, bucket: str = "requests") -> tuple[Actor, int]:
    """The actor behind a live or test key, and how many calls of `bucket` it has made this minute, this one included.

    Raises InvalidApiKey, or AgentForbidden for the credential of an agent.
    """
    if key.startswith(AGENT_PREFIX):
        try:
            signing.loads(key.removeprefix(AGENT_PREFIX), salt="agent")
        except signing.BadSignature:
            raise InvalidApiKey from None
        raise AgentForbidden
    now = timezone.now()
    row = prepared(sql.KEY, {"hash": hash_key(key), "now": now, "minute": minute, "bucket": bucket})
    if row is None:
        raise InvalidApiKey
    key_id, team_id, test, name, scopes, owner_id, last_used_at, used = row
    if last_used_at is None or (now - last_used_at).total_seconds() > 60:
        ApiKey.objects.filter(id=key_id).update(last_used_at=now)
    return Actor(team_id, test, "api_key", key_id, name, frozenset(scopes), owner_id=owner_id), used


def actor_now(actor: Actor) -> Actor:
    """The key or person of a call that has waited, with the rights that they have by now.

    Raises InvalidApiKey when the key was revoked, or the person left the team.
    """
    if actor.kind == "user":
        person = member(actor.id, actor.team_id, actor.test)
    else:
        row = prepared(sql.SCOPES_OF_KEY, {"id": actor.id, "now": timezone.now()})
        person = replace(actor, scopes=frozenset(row[0])) if row else None
    if person is None:
        raise InvalidApiKey
    return person


def actor_of_session(request: HttpRequest, mode: str | None = None) -> Actor | None:
    """The signed-in person in the team they look at; `mode` (live or test) overrides the world they chose."""
    user = request.user
    if not user.is_authenticated:
        return None
    test = (mode or request.session.get("mode", "live")) == "test"
    return _member(user.pk, request.session.get("team", ""), test)


def actor_of_page(request: HttpRequest) -> Actor | None:
    """As actor_of_session, but in the team and world that the page was of: another tab may have switched meanwhile.

    A page of ours says so with every request of htmx, every form and the address of its socket.
    """
    team, world = named_place(request)
    person = actor_of_session(request, world or None)
    if person is None or not team or person.team_id == team:
        return person
    return member(person.id, team, person.test) or person


def named_place(request: HttpRequest) -> tuple[str, str]:
    """(team, world) that the request says it is about; "" for what it does not say."""
    sent = request.POST if request.method == "POST" else request.GET
    team = request.headers.get("X-In-Team") or sent.get("in_team", "")
    world = request.headers.get("X-In-World") or sent.get("in_world", "")
    return team, world if world in ("live", "test") else ""


def other_places(actor: Actor) -> Iterable[Actor]:
    """The person in the other world, then in both worlds of their other teams."""
    teams = sorted(teams_of(actor), key=lambda team: team.id != actor.team_id)
    for team in teams[:MOST_TEAMS]:
        for test in (not actor.test, actor.test):
            person = member(actor.id, team.id, test)
            if person is not None and (person.team_id, person.test) != (actor.team_id, actor.test):
                yield person


def member(user_id: str, team_id: str, test: bool) -> Actor | None:
    """An active person as a member of this team."""
    actor = _member(user_id, team_id, test)
    return actor if actor is not None and actor.team_id == team_id else None


def actor_in_team(request: HttpRequest, team_id: str, test: bool) -> Actor | None:
    """The signed-in person as a member of this team, whatever team and world they look at elsewhere."""
    return member(request.user.pk, team_id, test) if request.user.is_authenticated else None


def _member(user_id: str, team_id: str, test: bool) -> Actor | None:
    """The person as a member of that team, else of the one they joined first."""
    first = (Case(When(team_id=team_id, then=0), default=1), "created_at", "id")
    row = _active_members().filter(user_id=user_id).order_by(*first).first()
    return None if row is None else _person(row, test)


def people_with(team_id: str, roles: list[str], test: bool) -> list[Actor]:
    """The active people of the team who have any of these roles, by name."""
    rows = prepared_all(sql.PEOPLE_WITH, {"team": team_id, "roles": roles})
    return [_actor(team_id, user_id, name, own, sees_usage, test) for user_id, name, own, sees_usage in rows]


def _active_members() -> QuerySet[Membership]:
    return Membership.objects.filter(user__is_active=True).select_related("user", "team")


def _person(row: Membership, test: bool) -> Actor:
    name = row.user.name or row.user.email
    return _actor(row.team_id, row.user_id, name, row.roles, row.team.usage_for_all, test)


def _actor(team_id: str, user_id: str, name: str, roles: list[str], sees_usage: bool, test: bool) -> Actor:
    scopes = scopes_of_roles(roles) | ({"usage"} if sees_usage else set())
    return Actor(team_id, test, "user", user_id, name, scopes, frozenset(roles), owner_id=user_id)


def require(actor: Actor, *scopes: str) -> None:
    """Any one of the scopes is enough. Raises InsufficientScope naming the first."""
    if not any(actor.may(s) for s in scopes):
        raise InsufficientScope(required_scope=scopes[0], current_scopes=actor.named_scopes)


def locked_team(actor: Actor, scope: str) -> Actor:
    """Lock the team's keys, people and groups, and give back the actor as they are now: who waited may have lost rights.

    The caller is inside atomic(). Raises InsufficientScope, InvalidApiKey.
    """
    Team.objects.select_for_update(no_key=True).get(id=actor.team_id)
    if actor.kind == "api_key" and not ApiKey.objects.filter(id=actor.id, revoked_at__isnull=True).exists():
        raise InvalidApiKey
    if actor.kind == "user":
        now = member(actor.id, actor.team_id, actor.test)
        if now is None:
            raise InsufficientScope(required_scope=scope, current_scopes=[])
        actor = now
    require(actor, scope)
    return actor


def owns_installation(actor: Actor) -> bool:
    """Whether the actor is an owner of the installation: a person who owns its first team, whatever team they look at."""
    if actor.kind != "user":
        return False
    first = Team.objects.order_by("created_at", "id").values("id")[:1]
    return _active_members().filter(user=actor.id, team=first, roles__contains=[Role.OWNER]).exists()


def installation_team() -> Team | None:
    """The first team, made by whoever set the installation up; None before there is one."""
    return Team.objects.order_by("created_at", "id").first()


def get_team(actor: Actor) -> Team:
    team = fetch(Team, "id = %(team)s", {"team": actor.team_id})
    assert team is not None
    return team


def teams_of(actor: Actor) -> list[Team]:
    """The teams of a signed-in person, in the order in which they joined."""
    joined = Team.objects.filter(memberships__user=actor.id)
    return list(joined.order_by("memberships__created_at", "memberships__id"))


Setting = Literal[
    "budget_cents_month", "forbid_self_approval", "hot_window_seconds", "plan_max_revisions", "remember_days",
    "undo_window_seconds",
]  # fmt: skip


def team_setting(team_id: str, name: Setting) -> Any:
    """One setting of a team that is there, as runs and requests ask it again and again."""
    row = prepared(sql.TEAM_SETTING.format(name=name), {"team": team_id})
    assert row is not None
    return row[0]
