"""The cast: Alice operates, Ana approves, Bob looks on, Adam administers, Olga owns; Charlie is a stranger from another team."""

import functools
import json
import pickle
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core import signing
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from django.utils.crypto import get_random_string

from accounts import access
from accounts.access import member
from accounts.actor import LIVE_DEFAULT, SCOPES, Actor
from accounts.keys.services import issue_key
from accounts.models import Membership, Team, User
from billing.services import topup
from database.sql import insert, prepared
from tests import documented
from tests.browsing import Browser

BY_PASSWORD = settings.AUTHENTICATION_BACKENDS[-1]
PASSWORD = "a long enough password"  # for tests that sign in; the others need no hashing
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
ROLES = {"alice": ["operator"], "ana": ["approver"], "bob": ["viewer"], "adam": ["admin"], "olga": ["owner"]}


@dataclass
class Api:
    """An API client with one key; answers are Django responses with `.json()`."""

    key: str
    client: Client

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"X-API-Key": self.key} | {k.replace("_", "-"): v for k, v in headers.items()}
        response = self.client.generic(method, f"/v1{path}", data, content_type="application/json", headers=sent)
        wrong = documented.problem(method, f"/v1{path}", response)
        assert wrong is None, wrong
        return response

    def get(self, path: str, **headers: str) -> HttpResponse:
        return self.request("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> HttpResponse:
        return self.request("POST", path, body, **headers)

    def put(self, path: str, body: Any = None, **headers: str) -> HttpResponse:
        return self.request("PUT", path, body, **headers)

    def patch(self, path: str, body: Any = None, **headers: str) -> HttpResponse:
        return self.request("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> HttpResponse:
        return self.request("DELETE", path, **headers)


@dataclass
class Cast:
    """A team with its people and money."""

    team: Team
    people: dict[str, User]

    def actor(self, name: str = "olga", *, test: bool = False) -> Actor:
        """As they are now: a test may have changed their roles."""
        actor = member(self.people[name].id, self.team.id, test)
        assert actor is not None
        return actor

    def api(self, *, test: bool = False, scopes: frozenset[str] | None = None, owner: str = "olga") -> Api:
        """A client with a new key; default scopes: all."""
        actor = self.actor(owner, test=test)
        return Api(issue_key(actor, "a key", scopes if scopes is not None else frozenset(SCOPES)).key, Client())

    def browser(self, name: str, **session: Any) -> Browser:
        """A browser signed in as this person, with no more than the row that signing in leaves."""
        user, client, key = self.people[name], Browser(), get_random_string(32)
        proof = user.get_session_auth_hash()
        said = {SESSION_KEY: user.id, BACKEND_SESSION_KEY: BY_PASSWORD, HASH_SESSION_KEY: proof} | session
        until = timezone.now() + timedelta(days=1)
        insert(Session(session_key=key, session_data=SessionStore().encode(said), expire_date=until))
        client.cookies[settings.SESSION_COOKIE_NAME] = key
        return client


def actor_of_key(key: str) -> Actor:
    """Its actor, as a call long ago."""
    return access.actor_of_key(key, 0)[0]


def make_cast(slug: str, cents: int = 10_000) -> Cast:
    """By the product's own services the first time; then the same rows again, in one statement."""
    rows, pickled = _made_once(slug, cents)
    prepared(_AGAIN, {"rows": rows})
    made: Cast = pickle.loads(pickled)
    return made


@functools.cache
def _made_once(slug: str, cents: int) -> tuple[str, bytes]:
    """The rows of a cast by table, as JSON, and the cast itself; nothing of it stays in the database."""
    with transaction.atomic():
        cast = _make_cast(slug, cents)
        row = prepared(_ROWS, {"team": cast.team.id})
        transaction.set_rollback(True)
    assert row is not None
    return json.dumps(row[0]), pickle.dumps(cast)


def _make_cast(slug: str, cents: int) -> Cast:
    made = FIRST if slug == "acme" else timezone.now()  # acme is the installation's own team, whichever is made first
    team = Team.objects.create(slug=slug, name=slug.title(), created_at=made)
    people = {n: User(email=f"{n}@{slug}.test", name=n.title(), password="!") for n in ROLES}
    User.objects.bulk_create(people.values())
    Membership.objects.bulk_create(Membership(user=people[n], team=team, roles=roles) for n, roles in ROLES.items())
    cast = Cast(team, people)
    if cents:
        topup(cast.actor(), cents, f"start of {slug}")
    return cast


# Where a cast stands, and what of each table is its own.
_OWN = {
    "accounts_team": "id = %(team)s",
    "accounts_user": "id IN (SELECT user_id FROM accounts_membership WHERE team_id = %(team)s)",
    **dict.fromkeys(
        ("accounts_membership", "accounts_auditentry", "billing_wallet", "billing_transaction"), "team_id = %(team)s"
    ),
}
_ROWS = "SELECT json_build_object({})".format(
    ", ".join(
        f"'{table}', (SELECT coalesce(json_agg(t), '[]') FROM {table} t WHERE {own})" for table, own in _OWN.items()
    )
)
_AGAIN = "WITH {} SELECT 1".format(
    ", ".join(
        f"{table}_again AS (INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, %(rows)s::json -> '{table}'))"
        for table in _OWN
    )
)


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast("acme")


@pytest.fixture
def strangers(db: None) -> Cast:
    """Another team; its operator plays Charlie."""
    return make_cast("others")


@pytest.fixture
def live(cast: Cast) -> Api:
    return cast.api()


@pytest.fixture
def test_key(cast: Cast) -> Api:
    return cast.api(test=True)


@pytest.fixture
def plain_live(cast: Cast) -> Api:
    """A live key with the default scopes: it may not decide."""
    return cast.api(scopes=LIVE_DEFAULT)


def agent_credential(run_id: str) -> str:
    """As a worker or agent may hold one for its run. It opens no API route (403 AGENT_FORBIDDEN)."""
    return access.AGENT_PREFIX + signing.dumps(run_id, salt="agent")
