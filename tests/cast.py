"""The cast: Alice operates, Ana approves, Bob looks on, Adam administers, Olga owns; Charlie is a stranger from another team."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from accounts.access import actor_of_membership
from accounts.actor import LIVE_DEFAULT, SCOPES, Actor
from accounts.models import Membership, Team, User
from accounts.services import issue_key
from billing.services import topup

PASSWORD = "a long enough password"  # for tests that sign in; the others need no hashing
ROLES = {"alice": ["operator"], "ana": ["approver"], "bob": ["viewer"], "adam": ["admin"], "olga": ["owner"]}


@dataclass
class Api:
    """An API client with one key; answers are Django responses with `.json()`."""

    key: str
    client: Client

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"X-API-Key": self.key} | {k.replace("_", "-"): v for k, v in headers.items()}
        return self.client.generic(method, f"/v1{path}", data, content_type="application/json", headers=sent)

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
        membership = Membership.objects.select_related("user", "team").get(team=self.team, user=self.people[name])
        return actor_of_membership(membership, test)

    def api(self, *, test: bool = False, scopes: frozenset[str] | None = None, owner: str = "olga") -> Api:
        """A client with a new key; default scopes: all."""
        actor = self.actor(owner, test=test)
        return Api(issue_key(actor, "a key", scopes if scopes is not None else frozenset(SCOPES)).key, Client())

    def browser(self, name: str) -> Client:
        """A Django test client signed in as this person."""
        client = Client()
        client.force_login(self.people[name], backend="django.contrib.auth.backends.ModelBackend")
        return client


def make_cast(slug: str, cents: int = 10_000) -> Cast:
    team = Team.objects.create(slug=slug, name=slug.title())
    people = {n: User(email=f"{n}@{slug}.test", name=n.title(), password="!") for n in ROLES}
    User.objects.bulk_create(people.values())
    members = {n: Membership(user=people[n], team=team, roles=roles) for n, roles in ROLES.items()}
    Membership.objects.bulk_create(members.values())
    if cents:
        topup(actor_of_membership(members["olga"], test=False), cents, f"start of {slug}")
    return Cast(team, people)


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
