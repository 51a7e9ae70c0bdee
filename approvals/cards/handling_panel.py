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


def handling_panel(actor: Actor, approval: Approval) -> dict[str, Any]:
    """The template context of one open or closed request. Rights follow approvals.handling."""
    holder, is_open = approval.holder, approval.is_open
    may = actor.may("approvals:decide") and is_open
    mine = holder is not None and holder["id"] == actor.id
    return {
        "held": holder,
        "mine": mine,
        "may": may,
        "may_claim": may and not holder,
        "may_take_over": may and holder and not mine and _may_take_over(actor, approval),
        "people": _people(approval.team_id) if may else [],
        "groups": _groups(approval.team_id) if may else [],
        "assignee": _name(approval.assignee),
        "extensions": EXTENSIONS if may and approval.expires_at else (),
        "comments": list(approval.comments.order_by("at")),
        "votes": list(approval.votes.order_by("at")) if approval.quorum else [],
    }


def _may_take_over(actor: Actor, approval: Approval) -> bool:
    return actor.is_admin or approval.assignee in assigned_names(actor)


def _people(team_id: str) -> list[Choice]:
    members = Membership.objects.filter(team_id=team_id, user__is_active=True).select_related("user")
    rows = members.order_by("user__name")
    return [Choice(row.user_id, row.user.name) for row in rows if "approvals:decide" in scopes_of_roles(row.roles)]


def _groups(team_id: str) -> list[Choice]:
    return [Choice(*row) for row in Group.objects.filter(team_id=team_id).order_by("name").values_list("id", "name")]


def _name(assignee: str | None) -> str:
    """The name behind an assignee's id; "" for nobody."""
    if not assignee:
        return ""
    group = Group.objects.filter(id=assignee).values_list("name", flat=True).first()
    person = Membership.objects.filter(user_id=assignee).values_list("user__name", flat=True).first()
    return group or person or "somebody who has left"
