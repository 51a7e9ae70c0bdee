"""Making, changing and revoking policies. What loosens needs policies:write (docs/api/approvals.md section 11)."""

import re
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone

from accounts.access import require
from accounts.actor import Actor
from accounts.audit.services import audit
from accounts.team.rules_version import hold_rules, rules_changed
from approvals.deciders.quorum import checked_quorum, group_ids
from approvals.models import Effect, Policy
from approvals.policies import allowances, conditions
from approvals.policies.access import NOT_USED_UP, get_policy, policies_of
from approvals.policies.allowances import LOOSEN
from approvals.policies.loosening import Rule, in_ids, lifting_loosens, loosens, stricter
from approvals.policies.schemas import ACTION_NAME, HOST_NAME
from web.errors import EmptyUpdate, Invalid
from web.json_values import Detail
from web.times import rfc3339

TOOL = re.compile(rf"(\*|{ACTION_NAME}(\.\*)?)\Z")
HOST = re.compile(rf"(\*\.)?{HOST_NAME}\Z")
_AUDITED = (
    "tool", "effect", "host", "end_user", "include_end_users", "run_id", "expires_at", "quorum", "four_eyes", "when", "max_uses",
    "note", "origin",
)  # fmt: skip


def may_lift(actor: Actor, row: Policy) -> bool:
    """May the actor revoke it? Without what asks or denies more would be allowed."""
    needs = lifting_loosens(Rule.of(row, {}), timezone.now())
    return actor.may(LOOSEN if needs else "approvals:decide")


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
    wrong += conditions.problems(fields.get("when", ()), ("body", "when"))
    if "max_uses" in fields and fields.get("effect", Effect.ALLOW) != Effect.ALLOW:
        wrong.append((("body", "max_uses"), "Only an allow ends after so many actions.", "value_error"))
    if wrong:
        raise Invalid(*wrong)
    return fields | ({"when": conditions.canonical(fields["when"])} if "when" in fields else {})


def create(actor: Actor, **fields: Any) -> tuple[Policy, bool]:
    """The policy and whether it is new: an equal active one (tool, effect, host, end user, when, max_uses) is returned, at least
    as strict as it is wanted now.

    Raises InsufficientScope for an allow by who may not loosen, unless it is remembered with a decision.
    """
    if fields["effect"] == "allow" and fields.get("origin") != "remembered":
        require(actor, LOOSEN)
    about = {name: fields.get(name) for name in ("tool", "effect", "host", "end_user", "run_id", "max_uses")}
    now = timezone.now()
    active = policies_of(actor).filter(revoked_at__isnull=True)
    equal = active.filter(when=fields.get("when", []), **_exactly(about))
    backer = allowances.backer(actor, fields.get("expires_at"), fields.get("origin_approval_id"))
    with transaction.atomic():
        hold_rules(actor.team_id, actor.test)
        equal.filter(Q(expires_at__lte=now) | ~NOT_USED_UP).update(revoked_at=now)
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


def count_use(policy_id: str) -> bool:
    """In the transaction of what the policy let through. False: somebody else had its last use, and it covers nothing more; the
    caller writes nothing and judges anew."""
    rows = Policy.objects.filter(NOT_USED_UP, id=policy_id)
    return bool(rows.update(uses=F("uses") + 1, last_used_at=timezone.now()))
