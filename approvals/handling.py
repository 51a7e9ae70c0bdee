"""Working on a request without deciding it: claim, release, assign, extend, comment.

Each change leaves an event in the subject's log, in its transaction. Locks as for a decision: the subject, the request.
"""

from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.access import get_team
from accounts.actor import Actor, scopes_of_roles, system
from accounts.models import ApiKey, Group, Membership
from approvals import subjects
from approvals.access import assigned_names, get_approval, held_by, locked_approval
from approvals.deciders.eligibility import require_unclaimed
from approvals.deciding import change_of, settling_expiry
from approvals.errors import ApprovalClaimed
from approvals.mail import outbox, reminders
from approvals.models import Approval, Comment
from approvals.services import notify, raise_closed
from web.errors import Invalid, InvalidState
from web.times import rfc3339

FURTHEST = timedelta(days=30)
LONGEST_EXTENSION = int(FURTHEST.total_seconds())


def _change(
    actor: Actor, approval_id: str, change: str, work: Callable[[Approval], object], *, open_only: bool = True
) -> Approval:
    """Lock, refuse a request that is closed, do the work, record it. No event when nothing changed: `work` says False."""
    approval = get_approval(actor, approval_id)
    with settling_expiry(), transaction.atomic():
        subject = subjects.lock(approval)
        approval = locked_approval(approval_id)
        if open_only and not approval.is_open:
            raise_closed(approval)
        _keep_claim_alive(actor, approval)
        before = _facts(approval)
        if work(approval) is not False:
            subject.record(change_of(approval, change, actor.ref(), **_difference(before, _facts(approval))))
            notify(approval)
        return approval


def _facts(approval: Approval) -> dict[str, Any]:
    """Who the request is assigned to, and until when it waits: what the log says of a change."""
    return {"assignee": approval.assignee, "expires_at": rfc3339(approval.expires_at)}


def _difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    changed = [name for name in after if after[name] != before[name]]
    return {"before": {name: before[name] for name in changed}, "after": {name: after[name] for name in changed}}


def claim(actor: Actor, approval_id: str, *, take_over: bool = False) -> Approval:
    """Only the claimer may decide until the claim runs out; repeating renews it.

    Raises ApprovalNotFound, ApprovalClaimed, or as a late decision.
    """

    def work(approval: Approval) -> None:
        may_take_over = actor.is_admin or approval.assignee in assigned_names(actor)
        if not (take_over and may_take_over):
            require_unclaimed(actor, approval)
        approval.claimed_by = actor.ref()
        _renew_claim(actor, approval)

    return _change(actor, approval_id, "claimed", work)


def _renew_claim(actor: Actor, approval: Approval) -> None:
    approval.claim_expires_at = approval.clock(timezone.now()) + timedelta(minutes=get_team(actor).claim_minutes)
    _save(approval, "claimed_by", "claim_expires_at")


def _keep_claim_alive(actor: Actor, approval: Approval) -> None:
    """A claim lives on while its holder works on the request; one that ran out stays so."""
    if approval.holder and approval.holder["id"] == actor.id:
        _renew_claim(actor, approval)


def release(actor: Actor, approval_id: str) -> Approval:
    """Give the request back to everybody. Raises ApprovalNotFound, and ApprovalClaimed for somebody else's claim."""

    def work(approval: Approval) -> bool:
        holder = approval.holder
        if holder and holder["id"] != actor.id and not actor.is_admin:
            raise ApprovalClaimed(claimed_by=holder, claim_expires_at=rfc3339(approval.claim_expires_at))
        if approval.claimed_by is not None:
            _end_claim(approval)
        return holder is not None

    return _change(actor, approval_id, "released", work, open_only=False)


def _end_claim(approval: Approval) -> None:
    approval.claimed_by = approval.claim_expires_at = None
    _save(approval, "claimed_by", "claim_expires_at")


def assign(actor: Actor, approval_id: str, assignee: str | None, note: str | None = None) -> Approval:
    """Route the request to a person or group; it does not narrow who may decide.

    Raises ApprovalNotFound, Invalid for who may not decide, or as a late decision.
    """

    def work(approval: Approval) -> None:
        before = approval.assignee
        if assignee is not None and (problem := assignee_problem(approval.team_id, assignee)):
            raise Invalid((("body", "assignee"), problem, "value_error"))
        _assign(approval, assignee)
        if assignee != before:
            outbox.assigned(actor, approval)
        if note:
            _write_comment(actor, approval, note)

    return _change(actor, approval_id, "assigned", work)


def _assign(approval: Approval, assignee: str | None) -> None:
    approval.assignee = assignee
    _save(approval, "assignee")


def assignee_problem(team_id: str, assignee: str) -> str | None:
    """Why nothing can be assigned to this id; None when it can."""
    return None if _may_decide(team_id, assignee) else "Must be a person or group of the team that may decide."


def _may_decide(team_id: str, assignee: str) -> bool:
    members = Membership.objects.filter(team_id=team_id, user__is_active=True)
    if assignee.startswith("grp_"):
        group = Group.objects.filter(team_id=team_id, id=assignee).first()
        members = members.filter(user__groups=group) if group else members.none()
    else:
        members = members.filter(user_id=assignee)
    return any("approvals:decide" in scopes_of_roles(m.roles) for m in members)


def extend(actor: Actor, approval_id: str, seconds: int) -> Approval:
    """expires_at + seconds, at most 30 days ahead.

    Raises ApprovalNotFound, InvalidState for a request that never expires, or as a late decision.
    """

    def work(approval: Approval) -> None:
        if approval.expires_at is None:
            raise InvalidState("The request never expires.", current_state="no_expiry", allowed_from=["expiring"])
        now = approval.clock(timezone.now())
        approval.expires_at = min(approval.expires_at + timedelta(seconds=seconds), now + FURTHEST)
        reminders.plan(approval, now)
        _save(approval, "expires_at", "reminders", "remind_at")

    return _change(actor, approval_id, "extended", work)


def comment(actor: Actor, approval_id: str, text: str) -> Approval:
    """Words beside a request, also a closed one. Raises ApprovalNotFound."""
    return _change(actor, approval_id, "commented", lambda row: _write_comment(actor, row, text), open_only=False)


def _write_comment(actor: Actor, approval: Approval, text: str) -> None:
    of = {"approval": approval, "team_id": approval.team_id, "test": approval.test}
    Comment.objects.create(**of, actor=actor.ref(), text=text)


def hand_back(team_id: str, user_id: str) -> None:
    """Who may no longer decide in this team holds nothing: their claims end, and what was assigned to them is nobody's."""
    holders = _without_right(team_id, user_id)
    for row in held_by(team_id, holders):
        actor = system(team_id, row.test)
        _change(actor, row.id, "released", lambda approval: _end_claim_of(approval, holders), open_only=False)
        _change(actor, row.id, "assigned", lambda approval: _end_assignment_of(approval, holders), open_only=False)


def _without_right(team_id: str, user_id: str) -> frozenset[str]:
    """Ids under which this person may not decide in the team (any more): their own, and those of their revoked keys."""
    keys = ApiKey.objects.filter(team_id=team_id, owner_id=user_id, revoked_at__isnull=False)
    own = () if _may_decide(team_id, user_id) else (user_id,)
    return frozenset((*own, *keys.values_list("id", flat=True)))


def _end_claim_of(approval: Approval, holders: Collection[str]) -> bool:
    """False when none of the holders claimed it."""
    if approval.status != "pending" or not approval.claimed_by or approval.claimed_by["id"] not in holders:
        return False
    _end_claim(approval)
    return True


def _end_assignment_of(approval: Approval, holders: Collection[str]) -> bool:
    """False when it is assigned to none of the holders."""
    if approval.status != "pending" or approval.assignee not in holders:
        return False
    _assign(approval, None)
    return True


def _save(approval: Approval, *fields: str) -> None:
    approval.version += 1
    approval.save(update_fields=["version", *fields])
