"""Policies: standing answers for actions, and the one order in which they are asked (docs/api/approvals.md section 11)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from django.db.models import Q, QuerySet
from django.utils import timezone

from approvals import sql
from approvals.models import Policy
from approvals.policies import allowances, conditions
from approvals.policies.access import NOT_USED_UP
from approvals.policies.sentences import condition_words
from database.sql import prepared


@dataclass(frozen=True)
class Proposal:
    """An action that an agent, or a program outside, wants to do. `run_id`: of the run it belongs to; None for a program's.

    `params`: the action's own, complete; conditions look into them.
    """

    team_id: str
    test: bool
    run_id: str | None
    end_user: str | None
    mode: str
    plan_approved: bool
    tool: str
    host: str | None
    risk: str
    read_only: bool
    risk_floor: frozenset[str]  # the risks that the team asks for in this mode
    action_class: str = "irreversible"  # read, reversible or irreversible (machines/actions/classes.py)
    starter: str | None = None  # the person who started the root run (accounts/keys/owners.py), or whose key asks
    asker: str | None = None  # the key that asks without a run
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ruling:
    """`why` is the sentence on the card (ask) or for the agent (deny). `policy_id`: the policy that decided; `policy_ids`: of all
    that ask.

    `version`: of the rules by which it was judged; None where nobody judged.
    """

    verdict: Literal["allow", "ask", "deny"]
    why: str = ""
    policy_id: str | None = None
    can_remember: bool = False
    quorum: list[dict[str, Any]] = field(default_factory=list)
    four_eyes: bool = False
    by_rule: bool = False  # asked by an ask policy or the risk floor: a change of mode does not lift it
    version: int | None = None
    policy_ids: tuple[str, ...] = ()


def active(team_id: str, test: bool, now: datetime) -> QuerySet[Policy]:
    fresh = Q(expires_at__isnull=True) | Q(expires_at__gt=now)
    return Policy.objects.filter(fresh, NOT_USED_UP, team_id=team_id, test=test, revoked_at__isnull=True)


def judge(proposal: Proposal) -> Ruling:
    """First hit wins. Reads the policies as they are now: a change counts from the next action on whose intent is written."""
    if prepared(sql.ANY_POLICY, {"team": proposal.team_id, "test": proposal.test, "run": proposal.run_id}) is None:
        return rule([], proposal)
    mine, now = Q(run_id__isnull=True) | Q(run_id=proposal.run_id), timezone.now()
    rows = active(proposal.team_id, proposal.test, now).filter(mine).order_by("created_at", "id")
    fitting = [p for p in rows if fits(p, proposal)]
    return rule(allowances.counting(fitting, proposal.starter, now, asker=proposal.asker), proposal)


def rule(matching: Sequence[Policy], proposal: Proposal) -> Ruling:
    """The order of section 11 over the policies that fit the proposal."""
    denies = [p for p in matching if p.effect == "deny"]
    asks = [p for p in matching if p.effect == "ask"]
    if denies:
        return Ruling("deny", f"A policy denies {proposal.tool}.", denies[0].id)
    if proposal.read_only and not asks:
        return Ruling("allow")
    if asks or proposal.risk in proposal.risk_floor:
        return _ask_by_rule(asks, proposal)
    allowed = _allow(matching, proposal)
    if allowed is not None:
        return Ruling("allow", policy_id=allowed.id)
    if proposal.mode == "autonomous" or (proposal.mode == "plan" and proposal.plan_approved):
        return Ruling("allow")
    why = f"Permission mode {proposal.mode} asks before every action."
    if proposal.run_id is None:  # of a program, which has no mode
        why = f"No policy allows {proposal.tool} without a person."
    return Ruling("ask", why, can_remember=True)


def _ask_by_rule(asks: Sequence[Policy], proposal: Proposal) -> Ruling:
    """All quorums of the matching ask policies together; stored allows do not count here."""
    counts: dict[str, int] = {}
    for need in (need for policy in asks for need in policy.quorum or [{"group": "anyone", "count": 1}]):
        counts[need["group"]] = max(counts.get(need["group"], 0), need["count"])
    quorum = [{"group": group, "count": count} for group, count in counts.items()]
    if not asks:
        return Ruling("ask", f"The team asks before every action of risk {proposal.risk}.", quorum=quorum, by_rule=True)
    why, four_eyes = f"A policy asks before {_actions(asks[0])}.", any(policy.four_eyes for policy in asks)
    policy_ids = tuple(policy.id for policy in asks)
    return Ruling("ask", why, asks[0].id, quorum=quorum, four_eyes=four_eyes, by_rule=True, policy_ids=policy_ids)


def _actions(policy: Policy) -> str:
    """For example "every click that is hard to undo", as the policy itself reads on its page."""
    where = condition_words(policy.when)
    if policy.tool == "*":
        return f"every action{where}"
    return f"every {policy.tool}{where}" if where else policy.tool


def _allow(matching: Iterable[Policy], proposal: Proposal) -> Policy | None:
    """Remembered for this run first, then for its end user, then team-wide."""
    allows = (policy for policy in matching if policy.effect == "allow")
    return min(allows, key=lambda policy: (policy.run_id is None, policy.end_user is None), default=None)


def fits(policy: Policy, proposal: Proposal) -> bool:
    if not fits_host(policy.host, proposal.host) or not _fits_user(policy, proposal):
        return False
    params = _params_for(policy, proposal)
    return params is not None and all(_holds(each, policy, proposal, params) for each in policy.when)


def _holds(condition: dict[str, Any], policy: Policy, proposal: Proposal, params: Mapping[str, Any]) -> bool:
    """Whether the condition holds for the action. One that cannot be told, such as one that a newer release stored, never lets
    an action through: an allow does not count, an ask or deny does."""
    is_met = conditions.holds(condition, params, proposal.action_class)
    return policy.effect != "allow" if is_met is None else is_met


def _params_for(policy: Policy, proposal: Proposal) -> Mapping[str, Any] | None:
    """What the conditions of the policy look into; None where it is about other actions.

    Who asks before typing, or denies it, means commands too: they are text that is put at a prompt.
    """
    if fits_tool(policy.tool, proposal.tool):
        return proposal.params
    if proposal.tool == "run_line" and policy.effect != "allow" and fits_tool(policy.tool, "type_text"):
        return {**proposal.params, "text": proposal.params.get("command")}
    return None


def fits_tool(pattern: str, tool: str) -> bool:
    """Whole and case-sensitive; a family `mail.*` fits `mail.send` and not `mail`."""
    return pattern in ("*", tool) or (pattern.endswith(".*") and tool.startswith(pattern[:-1]))


def fits_host(pattern: str | None, host: str | None) -> bool:
    """`shop.test` fits that host only, `*.shop.test` its subdomains only; a host that is not known fits none."""
    if pattern is None:
        return True
    if host is None:
        return False
    return host.endswith(pattern[1:]) and host != pattern[2:] if pattern.startswith("*.") else host == pattern


def _fits_user(policy: Policy, proposal: Proposal) -> bool:
    if policy.end_user is not None:
        return policy.end_user == proposal.end_user
    if policy.effect != "allow" or policy.run_id is not None:
        return True
    return proposal.end_user is None or policy.include_end_users
