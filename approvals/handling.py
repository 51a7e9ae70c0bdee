"""Working on a request without deciding it: claim, release, assign, extend, comment. The caller holds its lock."""

from collections.abc import Collection
from datetime import timedelta

from django.utils import timezone

from accounts.access import get_team
from accounts.actor import Actor, scopes_of_roles
from accounts.models import ApiKey, Group, Membership
from approvals.access import assigned_names
from approvals.deciders.eligibility import require_unclaimed
from approvals.errors import ApprovalClaimed
from approvals.mail import reminders
from approvals.models import Approval, Comment
from web.errors import Invalid, InvalidState
from web.times import rfc3339

FURTHEST = timedelta(days=30)


def claim(actor: Actor, approval: Approval, *, take_over: bool = False) -> None:
    """Only the claimer may decide until the claim runs out; repeating renews it. Raises ApprovalClaimed."""
    may_take_over = actor.is_admin or approval.assignee in assigned_names(actor)
    if not (take_over and may_take_over):
        require_unclaimed(actor, approval)
    approval.claimed_by = actor.ref()
    _renew(actor, approval)


def _renew(actor: Actor, approval: Approval) -> None:
    approval.claim_expires_at = approval.clock(timezone.now()) + timedelta(minutes=get_team(actor).claim_minutes)
    _save(approval, "claimed_by", "claim_expires_at")


def release(actor: Actor, approval: Approval) -> bool:
    """Give the request back to everybody; False when nobody held it. Raises ApprovalClaimed for somebody else's claim."""
    holder = approval.holder
    if holder and holder["id"] != actor.id and not actor.is_admin:
        raise ApprovalClaimed(claimed_by=holder, claim_expires_at=rfc3339(approval.claim_expires_at))
    if approval.claimed_by is None:
        return False
    approval.claimed_by = approval.claim_expires_at = None
    _save(approval, "claimed_by", "claim_expires_at")
    return holder is not None


def without_right(team_id: str, user_id: str) -> frozenset[str]:
    """Ids under which this person may not decide in the team (any more): their own, and those of their revoked keys."""
    keys = ApiKey.objects.filter(team_id=team_id, owner_id=user_id, revoked_at__isnull=False)
    own = () if _may_decide(team_id, user_id) else (user_id,)
    return frozenset((*own, *keys.values_list("id", flat=True)))


def end_claim(approval: Approval, holders: Collection[str]) -> bool:
    """Give back what one of the holders claimed; False when there is nothing to do."""
    if approval.status != "pending" or not approval.claimed_by or approval.claimed_by["id"] not in holders:
        return False
    approval.claimed_by = approval.claim_expires_at = None
    _save(approval, "claimed_by", "claim_expires_at")
    return True


def end_assignment(approval: Approval, holders: Collection[str]) -> bool:
    """Assigned to one of the holders it is assigned to nobody; False when there is nothing to do."""
    if approval.status != "pending" or approval.assignee not in holders:
        return False
    assign(approval, None)
    return True


def assign(approval: Approval, assignee: str | None) -> None:
    """Route the request to a person or group; it does not narrow who may decide. Raises Invalid for who may not."""
    if assignee is not None and (problem := assignee_problem(approval.team_id, assignee)):
        raise Invalid((("body", "assignee"), problem, "value_error"))
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


def extend(approval: Approval, seconds: int) -> None:
    """expires_at + seconds, at most 30 days ahead. Raises InvalidState for a request that never expires."""
    if approval.expires_at is None:
        raise InvalidState("The request never expires.", current_state="no_expiry", allowed_from=["expiring"])
    now = approval.clock(timezone.now())
    approval.expires_at = min(approval.expires_at + timedelta(seconds=seconds), now + FURTHEST)
    reminders.plan(approval, now)
    _save(approval, "expires_at", "reminders", "remind_at")


def comment(actor: Actor, approval: Approval, text: str) -> Comment:
    of = {"approval": approval, "team_id": approval.team_id, "test": approval.test}
    return Comment.objects.create(**of, actor=actor.ref(), text=text)


def keep_claim_alive(actor: Actor, approval: Approval) -> None:
    """A claim lives on while its holder works on the request; one that ran out stays so."""
    if approval.holder and approval.holder["id"] == actor.id:
        _renew(actor, approval)


def _save(approval: Approval, *fields: str) -> None:
    approval.version += 1
    approval.save(update_fields=["version", *fields])
