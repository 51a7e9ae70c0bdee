"""Who works on a request, to whom it can be handed, and what was said beside it: the card's part that does not decide."""

from dataclasses import dataclass
from typing import Any

from accounts.actor import Actor, scopes_of_roles
from accounts.models import Group, Membership
from approvals.access import assigned_names
from approvals.models import Approval

EXTENSIONS = ((15 * 60, "15 minutes"), (3600, "1 hour"), (86_400, "1 day"))


@dataclass(frozen=True)
class Choice:
    """A person or group that a request can be handed to."""

    id: str
    name: str


def desk(actor: Actor, approval: Approval) -> dict[str, Any]:
    """The template context of one open or closed request. Rights follow approvals.handling."""
    held, may, is_open = approval.holder, actor.may("approvals:decide"), approval.is_open
    mine = held is not None and held["id"] == actor.id
    people, groups = (_people(approval.team_id), _groups(approval.team_id)) if may and is_open else ([], [])
    return {
        "held": held, "mine": mine, "may": may and is_open, "may_claim": may and is_open and not held,
        "may_take_over": may and is_open and held and not mine and (actor.is_admin or approval.assignee in assigned_names(actor)),
        "people": people, "groups": groups, "assignee": _name(approval.assignee),
        "extensions": EXTENSIONS if may and is_open and approval.expires_at else (),
        "comments": list(approval.comments.order_by("at")),
        "votes": list(approval.votes.order_by("at")) if approval.quorum else [],
    }  # fmt: skip


def _people(team_id: str) -> list[Choice]:
    rows = (
        Membership.objects.filter(team_id=team_id, user__is_active=True).select_related("user").order_by("user__name")
    )
    return [Choice(m.user_id, m.user.name) for m in rows if "approvals:decide" in scopes_of_roles(m.roles)]


def _groups(team_id: str) -> list[Choice]:
    return [Choice(g.id, g.name) for g in Group.objects.filter(team_id=team_id).order_by("name")]


def _name(assignee: str | None) -> str:
    """The name behind an assignee's id; "" for nobody."""
    if not assignee:
        return ""
    group = Group.objects.filter(id=assignee).values_list("name", flat=True).first()
    person = Membership.objects.filter(user_id=assignee).values_list("user__name", flat=True).first()
    return group or person or "somebody who has left"
