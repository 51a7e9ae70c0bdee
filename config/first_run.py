"""What an installation starts with: one team, its owner, two keys, money; and for every team a machine of each kind that works here."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from django.conf import settings
from django.db import transaction

from accounts.actor import SCOPES, Actor, system
from accounts.keys.services import hand_out_key
from accounts.members.services import create_user
from accounts.models import Membership, Team
from billing.services import topup
from machines.access import ENDED
from machines.drivers.registry import driver_for
from machines.models import Machine
from machines.schemas import MachineCreate
from machines.services import create_machine
from web.errors import Refusal

EMAIL = "owner@demo.test"
Kind = Literal["terminal", "browser"]
USUAL: tuple[tuple[Kind, str], ...] = (("terminal", "Terminal 1"), ("browser", "Browser 1"))


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
    if Team.objects.exists():
        return None
    kinds = possible()  # tried by starting programs: not within a transaction
    with transaction.atomic():
        if Team.objects.exists():
            return None
        team = Team.objects.create(slug="demo", name="Demo")
        password = secrets.token_urlsafe(12)
        create_user(team, EMAIL, password, ["owner"], name="Owner")
        live, test = owner_actor(team, False), owner_actor(team, True)
        topup(live, settings.FIRST_GRANT_CENTS, "first-run", kind="grant", description="To start with")
        live_key = hand_out_key(live, "first live key", frozenset(SCOPES)).key
        test_key = hand_out_key(test, "first test key", frozenset(SCOPES)).key
        machines = _provide_for(team.id, kinds)
    return FirstRun(EMAIL, password, live_key, test_key, {m.display_name: m.id for m in machines})


def possible() -> list[Kind]:
    """The usual kinds of machine that this computer can run now."""
    return [kind for kind, _ in USUAL if not driver_for(kind).missing()]


def provide() -> list[Machine]:
    """At every start, and when something was fetched: make the machines that teams wait for. Returns those made.

    A team waits for a kind that it never had; without a default machine that lives, for every kind that it has none of.
    What somebody ended on purpose does not come back as long as there is a default. A team without money is left out.
    """
    kinds = possible()
    return [
        machine
        for team_id in Team.objects.order_by("id").values_list("id", flat=True)
        for machine in _provide_for(team_id, kinds)
    ]


def _provide_for(team_id: str, kinds: Iterable[Kind]) -> list[Machine]:
    try:
        with transaction.atomic():
            return _provide(Team.objects.select_for_update(no_key=True).get(id=team_id), kinds)
    except Refusal:
        return []


def _provide(team: Team, kinds: Iterable[Kind]) -> list[Machine]:
    ever = list(Machine.objects.filter(team=team, test=False).order_by("created_at", "id"))
    living = [machine for machine in ever if machine.status not in ENDED]
    orphaned = team.default_machine_id not in {machine.id for machine in living}
    had = {machine.kind for machine in (living if orphaned else ever)}
    actor = system(team.id, test=False)
    machines = [
        create_machine(actor, MachineCreate(display_name=name, kind=kind))
        for kind, name in USUAL
        if kind in kinds and kind not in had
    ]
    if orphaned and (first := _first([*living, *machines])):
        team.default_machine_id = first.id
        team.save(update_fields=["default_machine_id"])
    return machines


def _first(machines: list[Machine]) -> Machine | None:
    """The default of a team that has none: the oldest that is real."""
    return min(machines, key=lambda machine: (machine.kind == "simulated", machine.created_at), default=None)
