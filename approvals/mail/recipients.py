"""Who is told of a request: whoever may decide it, then whom it is meant for, then what they want to hear of."""

from collections.abc import Iterable

from accounts.access import people_with
from accounts.actor import ROLE_SCOPES, Actor
from accounts.models import Group
from approvals.deciders import quorum
from approvals.deciders.eligibility import require_decider
from approvals.models import Approval, MailSwitches
from database.sql import fetch_all
from web.errors import Refusal

DECIDING = sorted(role for role, scopes in ROLE_SCOPES.items() if "approvals:decide" in scopes)


def deciders(approval: Approval) -> list[Actor]:
    """The people who may decide the pending request now, and not only by rejecting it."""
    return able(approval, people_with(approval.team_id, DECIDING, approval.test))


def able(approval: Approval, people: Iterable[Actor]) -> list[Actor]:
    """Those of these people of the request's team who may decide this one."""
    found = [each for each in people if _may_decide(each, approval)]
    voters = quorum.may_vote(approval, [each.id for each in found])
    return [each for each in found if each.id in voters]


def _may_decide(actor: Actor, approval: Approval) -> bool:
    try:
        require_decider(actor, approval, approval.traits.verdict)
    except Refusal:
        return False
    return True


def to_tell(approval: Approval, *, reminder: bool = False) -> list[str]:
    """Ids of the people who get a mail: the assignee or the assigned group, else everybody who may decide.

    When the request is meant for people who may not decide it any more, all the others hear of it.
    """
    found = deciders(approval)
    return _willing(approval, _meant(approval, found) or [each.id for each in found], reminder)


def assignees(approval: Approval) -> list[str]:
    """The assignee, or those of the assigned group, who may decide."""
    return _willing(approval, _meant(approval, deciders(approval)), reminder=False)


def _meant(approval: Approval, people: list[Actor]) -> list[str]:
    assigned = _assigned(approval)
    return [each.id for each in people if each.id in assigned]


def next_to_tell(approval: Approval, group: Group) -> list[str]:
    """The members of a further group who may decide; the request is meant for them from now on."""
    members = set(group.users.values_list("id", flat=True))
    found = [each.id for each in deciders(approval) if each.id in members]
    return _willing(approval, found, reminder=False, mine=True)


def asked_groups(approval: Approval) -> list[Group]:
    """The groups that the request waits for: assigned to it, or in its quorum and still lacking votes."""
    lacking = quorum.lacking(approval) if approval.quorum else []
    found = {group.id: group for group in quorum.groups_named(approval.team_id, lacking).values()}
    if (approval.assignee or "").startswith("grp_"):
        found |= {g.id: g for g in Group.objects.filter(team_id=approval.team_id, id=approval.assignee)}
    return list(found.values())


def _assigned(approval: Approval) -> set[str]:
    if not approval.assignee:
        return set()
    if not approval.assignee.startswith("grp_"):
        return {approval.assignee}
    members = Group.users.through.objects.filter(group_id=approval.assignee, group__team_id=approval.team_id)
    return set(members.values_list("user_id", flat=True))


def _willing(approval: Approval, people: list[str], reminder: bool, *, mine: bool = False) -> list[str]:
    """Those who did not switch such mails off."""
    theirs = {"team": approval.team_id, "people": people}
    rows = fetch_all(MailSwitches, "team_id = %(team)s AND user_id = ANY(%(people)s::text[])", theirs)
    chosen = {each.user_id: each for each in rows}
    picky = [user_id for user_id, each in chosen.items() if each.only_mine]
    meant = (_assigned(approval) | _of_groups(approval)) if picky and not mine else set(people)
    return [
        user_id for user_id in people
        if wants(chosen.get(user_id), reminder) and (user_id in meant or user_id not in picky)
    ]  # fmt: skip


def _of_groups(approval: Approval) -> set[str]:
    groups = asked_groups(approval)
    members = Group.users.through.objects.filter(group_id__in=[group.id for group in groups])
    return set(members.values_list("user_id", flat=True))


def wants(switches: MailSwitches | None, reminder: bool) -> bool:
    """Who never chose wants everything."""
    return switches is None or (switches.reminders if reminder else switches.waiting)
