"""The version of what rules a team's actions in one world: its policies and its risk floor.

Who judges an action reads it first; who then writes what was judged holds it and finds it unchanged (runs/driving/steps.py). So a
change counts from its commit. The row is locked after runs and requests, before policies and wallets: an intent holds it when it
counts the use of its policy.
"""

from dataclasses import dataclass

from django.db.models import F

from accounts.models import RulesVersion
from accounts.sql import HOLD_VERSION, RULES
from database.sql import prepared


@dataclass(frozen=True)
class Rules:
    """`floor`: the risks that the team asks for in runs of one permission mode. Policies are read after this."""

    version: int
    floor: frozenset[str]


def rules_now(team_id: str, test: bool, mode: str) -> Rules:
    """As they are at this moment; the row of the version is made by whoever asks first."""
    row = prepared(RULES, {"team": team_id, "test": test, "mode": mode})
    assert row is not None
    version, floor, counts = row
    if version is None:
        version = _first_version(team_id, test)
    return Rules(version, frozenset(floor) if counts else frozenset())


def _first_version(team_id: str, test: bool) -> int:
    return RulesVersion.objects.get_or_create(team_id=team_id, test=test)[0].version


def hold_rules(team_id: str, test: bool) -> None:
    """Nobody writes an intent, and nobody else changes a rule, until the caller's transaction ends."""
    RulesVersion.objects.select_for_update(no_key=True).get_or_create(team_id=team_id, test=test)


def rules_changed(team_id: str, *worlds: bool) -> None:
    """To be called inside the transaction of every change; without `worlds` it concerns both. Who locks a policy for it holds the
    rules before."""
    for test in sorted(worlds or (False, True)):
        rows = RulesVersion.objects.filter(team_id=team_id, test=test)
        if not rows.update(version=F("version") + 1):
            _first_version(team_id, test)
            rows.update(version=F("version") + 1)


def rules_still(team_id: str, test: bool, version: int) -> bool:
    """Whether nothing changed since; until the caller's transaction ends nothing will."""
    return prepared(HOLD_VERSION, {"team": team_id, "test": test, "version": version}) is not None
