"""Policies: standing answers for actions, and the one order in which they are asked (contract/approvals.md section 11)."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.access import require
from accounts.actor import Actor
from accounts.audit.services import audit
from accounts.team.rules_version import hold_rules, rules_changed
from approvals import sql
from approvals.deciders.quorum import checked_quorum, group_ids
from approvals.errors import PolicyNotFound
from approvals.models import Policy
from approvals.policies import allowances
from approvals.policies.allowances import LOOSEN
from approvals.policies.loosening import Rule, in_ids, lifting_loosens, loosens, stricter
from approvals.policies.sentences import CLASS_WORDS
from database.sql import prepared
from web.errors import EmptyUpdate, Invalid
from web.json_values import Detail
from web.times import rfc3339

TOOL = re.compile(r"(\*|[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(\.\*)?)\Z")
_AUDITED = (
    "tool", "effect", "host", "end_user", "include_end_users", "run_id", "expires_at", "quorum", "four_eyes", "when", "note", "origin",
)  # fmt: skip
HOST = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\Z")


@dataclass(frozen=True)
class Proposal:
    """An action that an agent wants to do, and the run it belongs to."""

    team_id: str
    test: bool
    run_id: str
    end_user: str | None
    mode: str
    plan_approved: bool
    tool: str
    host: str | None
    risk: str
    read_only: bool
    risk_floor: frozenset[str]  # the risks that the team asks for in this mode
    action_class: str = "irreversible"  # read, reversible or irreversible (machines/actions/classes.py)
    starter: str | None = None  # the person who started the root run (accounts/keys/owners.py)


@dataclass(frozen=True)
class Ruling:
    """`why` is the sentence on the card (ask) or for the agent (deny). `policy_id`: the policy that decided.

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


def active(team_id: str, test: bool, now: datetime) -> QuerySet[Policy]:
    fresh = Q(expires_at__isnull=True) | Q(expires_at__gt=now)
    return Policy.objects.filter(fresh, team_id=team_id, test=test, revoked_at__isnull=True)


def judge(proposal: Proposal) -> Ruling:
    """First hit wins. Reads the policies as they are now: a change counts from the next action on whose intent is written."""
    if prepared(sql.ANY_POLICY, {"team": proposal.team_id, "test": proposal.test, "run": proposal.run_id}) is None:
        return rule([], proposal)
    mine, now = Q(run_id__isnull=True) | Q(run_id=proposal.run_id), timezone.now()
    rows = active(proposal.team_id, proposal.test, now).filter(mine).order_by("created_at", "id")
    return rule(allowances.counting([p for p in rows if fits(p, proposal)], proposal.starter, now), proposal)


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
    return Ruling("ask", f"Permission mode {proposal.mode} asks before every action.", can_remember=True)


def _ask_by_rule(asks: Sequence[Policy], proposal: Proposal) -> Ruling:
    """All quorums of the matching ask policies together; stored allows do not count here."""
    counts: dict[str, int] = {}
    for need in (need for policy in asks for need in policy.quorum or [{"group": "anyone", "count": 1}]):
        counts[need["group"]] = max(counts.get(need["group"], 0), need["count"])
    quorum = [{"group": group, "count": count} for group, count in counts.items()]
    if not asks:
        return Ruling("ask", f"The team asks before every action of risk {proposal.risk}.", quorum=quorum, by_rule=True)
    why, four_eyes = f"A policy asks before {_actions(asks[0])}.", any(policy.four_eyes for policy in asks)
    return Ruling("ask", why, asks[0].id, quorum=quorum, four_eyes=four_eyes, by_rule=True)


def _actions(policy: Policy) -> str:
    """For example "every click that is hard to undo", as the policy itself reads on its page."""
    where = "".join(CLASS_WORDS.get(str(condition.get("class")), "") for condition in policy.when)
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
    return _fits_any_tool(policy, proposal) and all(_holds(each, policy, proposal) for each in policy.when)


def _holds(condition: dict[str, Any], policy: Policy, proposal: Proposal) -> bool:
    """Whether the condition holds for the action. One that this release does not know, stored by a newer one, never lets an
    action through: an allow does not count, an ask or deny does."""
    if set(condition) == {"class"}:
        return bool(condition["class"] == proposal.action_class)
    return policy.effect != "allow"


def _fits_any_tool(policy: Policy, proposal: Proposal) -> bool:
    """Who asks before typing, or denies it, means commands too: they are text that is put at a prompt."""
    if fits_tool(policy.tool, proposal.tool):
        return True
    return proposal.tool == "run_line" and policy.effect != "allow" and fits_tool(policy.tool, "type_text")


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


def count_use(policy_id: str) -> None:
    """Called in the transaction of the action's intent."""
    Policy.objects.filter(id=policy_id).update(uses=F("uses") + 1, last_used_at=timezone.now())


def may_lift(actor: Actor, row: Policy) -> bool:
    """May the actor revoke it? Without what asks or denies more would be allowed."""
    needs = lifting_loosens(Rule.of(row, {}), timezone.now())
    return actor.may(LOOSEN if needs else "approvals:decide")


def policies_of(actor: Actor) -> QuerySet[Policy]:
    return Policy.objects.filter(team_id=actor.team_id, test=actor.test)


def in_state(rows: QuerySet[Policy], state: str) -> QuerySet[Policy]:
    """Those that are active, expired or revoked (sentences.state_of); all of them for any other word."""
    now = timezone.now()
    over = Q(expires_at__lte=Coalesce(F("revoked_at"), Value(now)))
    if state == "active":
        return rows.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now), revoked_at__isnull=True)
    if state == "expired":
        return rows.filter(over)
    open_end = Q(expires_at__isnull=True) | Q(expires_at__gt=F("revoked_at"))
    return rows.filter(open_end, revoked_at__isnull=False) if state == "revoked" else rows


def get_policy(actor: Actor, policy_id: str) -> Policy:
    """Raises PolicyNotFound."""
    row = policies_of(actor).filter(id=policy_id).first()
    if row is None:
        raise PolicyNotFound
    return row


def checked(actor: Actor, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields as they are stored. Raises Invalid with everything that is wrong."""
    wrong: list[Detail] = []
    if "tool" in fields and not TOOL.match(fields["tool"]):
        wrong.append(
            (("body", "tool"), "Letters, digits, _ . - and one * as the whole or after a final dot.", "value_error")
        )
    if fields.get("host") is not None and not HOST.match(fields["host"]):
        wrong.append((("body", "host"), "A host such as shop.test, or *.shop.test for its subdomains.", "value_error"))
    ends = fields.get("expires_at")
    if ends is not None and ends <= timezone.now():
        wrong.append((("body", "expires_at"), "Must lie in the future.", "value_error"))
    quorum = fields.get("quorum")
    if quorum is not None:
        wrong += checked_quorum(actor.team_id, quorum, ("body", "quorum"))
    classes = sorted({condition["class"] for condition in fields.get("when") or ()})
    if len(classes) > 1:
        wrong.append((("body", "when"), "An action has one class: name it once.", "value_error"))
    if wrong:
        raise Invalid(*wrong)
    return fields | ({"when": [{"class": name} for name in classes]} if "when" in fields else {})


def create(actor: Actor, **fields: Any) -> tuple[Policy, bool]:
    """The policy and whether it is new: an equal active one (tool, effect, host, end user, when) is returned, at least as strict
    as it is wanted now.

    Raises InsufficientScope for an allow by who may not loosen, unless it is remembered with a decision.
    """
    if fields["effect"] == "allow" and fields.get("origin") != "remembered":
        require(actor, LOOSEN)
    about = {name: fields.get(name) for name in ("tool", "effect", "host", "end_user", "run_id")}
    now = timezone.now()
    active = policies_of(actor).filter(revoked_at__isnull=True)
    equal = active.filter(when=fields.get("when", []), **_exactly(about))
    backer = allowances.backer(actor, fields.get("expires_at"), fields.get("origin_approval_id"))
    with transaction.atomic():
        hold_rules(actor.team_id, actor.test)
        equal.filter(expires_at__lte=now).update(revoked_at=now)
        try:
            with transaction.atomic():
                row = Policy.objects.create(
                    team_id=actor.team_id, test=actor.test, created_by=actor.ref(), allowed_by=[backer], **fields
                )
        except IntegrityError as error:
            if "one_active_policy" not in str(error):
                raise
            return _join(actor, equal.select_for_update().get(), backer, fields), False
        rules_changed(actor.team_id, actor.test)
        audit(actor, "policy.created", row.id, **{name: _plain(getattr(row, name)) for name in _AUDITED})
        return row, True


def _join(actor: Actor, row: Policy, backer: allowances.Backer, fields: dict[str, Any]) -> Policy:
    """The equal policy that is in force, with one more person behind it. What asks or denies is as strict as both want: else
    whoever is bound by it could forestall it with a weaker one."""
    if allowances.add_backer(row, backer, wide=fields.get("include_end_users", False)):
        row.save(update_fields=["allowed_by"])
    ends, ids = fields.get("expires_at"), group_ids(row.team_id)
    rule = Rule(row.effect, ends, in_ids(fields.get("quorum") or [], ids), fields.get("four_eyes", False))
    changes = stricter(Rule.of(row, ids), rule)
    if row.effect == "allow" or not changes:
        return row
    before = {name: _plain(getattr(row, name)) for name in changes}
    for name, value in changes.items():
        setattr(row, name, value)
    row.save(update_fields=list(changes))
    rules_changed(row.team_id, row.test)
    audit(actor, "policy.updated", row.id, before=before, after={k: _plain(v) for k, v in changes.items()})
    return row


def _exactly(fields: dict[str, Any]) -> dict[str, Any]:
    """Filters that find null by null."""
    return {f"{k}__isnull" if v is None else k: True if v is None else v for k, v in fields.items()}


def _plain(value: Any) -> Any:
    """As JSON holds it."""
    return rfc3339(value) if isinstance(value, datetime) else value


def _locked(actor: Actor, policy_id: str) -> tuple[Policy, Rule, dict[str, str]]:
    """The policy, what it says now, and the ids of the groups that it may name. Raises PolicyNotFound."""
    policy_id = get_policy(actor, policy_id).id
    hold_rules(actor.team_id, actor.test)
    row = Policy.objects.select_for_update().get(id=policy_id)
    ids = group_ids(row.team_id)
    return row, Rule.of(row, ids), ids


def update(actor: Actor, policy_id: str, changes: dict[str, Any]) -> Policy:
    """Raises PolicyNotFound, EmptyUpdate, Invalid when an equal policy is in force, and InsufficientScope when the change
    loosens and the actor may not."""
    if not changes:
        raise EmptyUpdate
    with transaction.atomic():
        row, was, ids = _locked(actor, policy_id)
        before = {name: _plain(getattr(row, name)) for name in changes}
        for name, value in changes.items():
            setattr(row, name, value)
        if loosens(was, Rule.of(row, ids), timezone.now()):
            require(actor, LOOSEN)
            if row.effect == "allow":
                allowances.keep_narrow(row, was.effect, was.ends, allowances.backer(actor))
        _save(row, [*changes, "allowed_by"])
        rules_changed(row.team_id, row.test)
        audit(actor, "policy.updated", row.id, before=before, after={k: _plain(v) for k, v in changes.items()})
        return row


def _save(row: Policy, fields: list[str]) -> None:
    try:
        with transaction.atomic():
            row.save(update_fields=fields)
    except IntegrityError as error:
        if "one_active_policy" not in str(error):
            raise
        raise Invalid((("body", "effect"), "An equal policy is in force already.", "value_error")) from error


def revoke(actor: Actor, policy_id: str) -> None:
    """Counts from its commit on, in running runs too. Raises PolicyNotFound, and InsufficientScope where it loosens and the
    actor may not."""
    with transaction.atomic():
        row, was, _ = _locked(actor, policy_id)
        if row.revoked_at is not None:
            return
        if lifting_loosens(was, timezone.now()):
            require(actor, LOOSEN)
        _revoke(actor, row)


def _revoke(actor: Actor, row: Policy) -> None:
    row.revoked_at = timezone.now()
    row.save(update_fields=["revoked_at", "allowed_by"])
    rules_changed(row.team_id, row.test)
    audit(actor, "policy.revoked", row.id, tool=row.tool, effect=row.effect)


def forget(actor: Actor, policy_id: str, approval_id: str) -> None:
    """What was remembered with this request counts no more: the policy that it stored ends, unless somebody else stands behind
    it by now, or made another rule of it."""
    hold_rules(actor.team_id, actor.test)
    row = Policy.objects.select_for_update().filter(id=policy_id, revoked_at__isnull=True, effect="allow").first()
    if row is None:
        return
    allowances.remove_backer(row, approval_id)
    if row.origin_approval_id == approval_id and not row.allowed_by:
        _revoke(actor, row)
        return
    row.save(update_fields=["allowed_by"])
    rules_changed(row.team_id, row.test)
