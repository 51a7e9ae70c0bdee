"""What the team's policies say of an action that a program outside wants to do (docs/policies.md)."""

from collections.abc import Mapping
from typing import Any

from accounts.keys.owners import person_behind
from accounts.team.rules_version import Rules, rules_now
from approvals.policies.rules import Proposal, Ruling, judge

MODE = "approval"


def rules_of(team_id: str, test: bool) -> Rules:
    """The rules of this moment, as ruling_on() needs them."""
    return rules_now(team_id, test, MODE)


def ruling_on(action: Mapping[str, Any], context: Mapping[str, Any], rules: Rules, team_id: str, test: bool) -> Ruling:
    """`action` and `context` as Approval has them: who asks, and for which end user."""
    asker, owner_id = context["started_by"], context["starter_owner_id"]
    return judge(
        Proposal(
            team_id=team_id,
            test=test,
            run_id=None,
            end_user=context["end_user"],
            mode=MODE,
            plan_approved=False,
            tool=action["name"],
            host=action["host"],
            risk=action["risk"],
            action_class=action["class"],
            read_only=False,
            risk_floor=rules.floor,
            starter=person_behind(asker, owner_id),
            asker=asker["id"] if asker["type"] == "api_key" else None,
            params=action["params"],
        )
    )
