"""What a fresh installation starts with: one team, its owner, two keys, money, and a machine of each kind that works here."""

import secrets
from dataclasses import dataclass
from typing import Literal

from django.conf import settings
from django.db import transaction

from accounts.actor import SCOPES, Actor
from accounts.models import Membership, Team
from accounts.services import create_user, issue_key
from billing.services import topup
from machines.drivers.registry import driver_for
from machines.schemas import MachineCreate
from machines.services import create_machine

EMAIL = "owner@demo.test"


@dataclass(frozen=True)
class FirstRun:
    """Shown once and written to DATA_DIR/first-run.txt."""

    email: str
    password: str
    live_key: str
    test_key: str
    machines: dict[str, str]  # name -> id


def owner_actor(team: Team, test: bool) -> Actor:
    """The team's first owner acting in one world."""
    user = (
        Membership.objects.filter(team=team, roles__contains=["owner"])
        .select_related("user")
        .earliest("created_at")
        .user
    )
    return Actor(team.id, test, "user", user.id, user.name, frozenset(SCOPES), frozenset({"owner"}), owner_id=user.id)


def set_up() -> FirstRun | None:
    """Make the team `demo` with everything it needs to start a run; None when there is a team already."""
    with transaction.atomic():
        if Team.objects.exists():
            return None
        team = Team.objects.create(slug="demo", name="Demo")
        password = secrets.token_urlsafe(12)
        create_user(team, EMAIL, password, ["owner"], name="Owner")
        live, test = owner_actor(team, False), owner_actor(team, True)
        topup(live, settings.FIRST_GRANT_CENTS, "first-run", kind="grant", description="To start with")
        live_key = issue_key(live, "first live key", frozenset(SCOPES)).key
        test_key = issue_key(test, "first test key", frozenset(SCOPES)).key
        made = _machines(live)
        team.default_machine_id = next(iter(made.values()), None)
        team.save(update_fields=["default_machine_id"])
    return FirstRun(EMAIL, password, live_key, test_key, made)


def _machines(actor: Actor) -> dict[str, str]:
    """A terminal and a browser where this computer can run them."""
    made = {}
    wanted: tuple[tuple[Literal["terminal", "browser"], str], ...] = (
        ("terminal", "Terminal 1"),
        ("browser", "Browser 1"),
    )
    for kind, name in wanted:
        if not driver_for(kind).missing():
            made[name] = create_machine(actor, MachineCreate(display_name=name, kind=kind)).id
    return made
