"""Who is told of a request: whoever may decide it, then whom it is meant for, then what they want to hear of."""

from collections.abc import Iterable

from accounts.access import people_with
from accounts.actor import ROLE_SCOPES, Actor
from accounts.models import Group
from approvals.deciders import quorum
from approvals.deciders.eligibility import require_decider
from approvals.models import Approval, MailSwitches
from web.errors import Refusal

DECIDING = sorted(role for role, scopes in ROLE_SCOPES.items() if "approvals:decide" in scopes)


def deciders(approval: Approval) -> list[Actor]:
    """The people who may decide the pending request now, and not only by rejecting it."""
    return able(approval, people_with(approval.team_id, DECIDING, approval.test))


def able(approval: Approval, people: Iterable[Actor]) -> list[Actor]:
    """Those of these people of the request's team who may decide this one."""
    able = [person for person in people if _may_decide(person, approval)]
    voters = quorum.may_vote(approval, [person.id for person in able])
    return [person for person in able if person.id in voters]


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
    people = deciders(approval)
    return _willing(approval, _meant(approval, people) or [person.id for person in people], reminder)


def assignees(approval: Approval) -> list[str]:
    """The assignee, or those of the assigned group, who may decide."""
    return _willing(approval, _meant(approval, deciders(approval)), reminder=False)


def _meant(approval: Approval, people: list[Actor]) -> list[str]:
    assigned = _assigned(approval)
    return [each.id for each in people if each.id in assigned]


def next_to_tell(approval: Approval, group: Group) -> list[str]:
    """The members of a further group who may decide; the request is meant for them from now on."""
    members = set(group.users.values_list("id", flat=True))
    people = [person.id for person in deciders(approval) if person.id in members]
    return _willing(approval, people, reminder=False, mine=True)


def asked_groups(approval: Approval) -> list[Group]:
    """The groups that the request waits for: assigned to it, or in its quorum and still lacking votes."""
    lacking = quorum.lacking(approval) if approval.quorum else []
    groups = {group.id: group for group in quorum.groups_named(approval.team_id, lacking).values()}
    assignee = approval.assignee or ""
    if assignee.startswith("grp_"):
        groups |= Group.objects.filter(team_id=approval.team_id).in_bulk([assignee])
    return list(groups.values())


def _assigned(approval: Approval) -> set[str]:
    if not approval.assignee:
        return set()
    if not approval.assignee.startswith("grp_"):
        return {approval.assignee}
    members = Group.users.through.objects.filter(group_id=approval.assignee, group__team_id=approval.team_id)
    return set(members.values_list("user_id", flat=True))


def _willing(approval: Approval, people: list[str], reminder: bool, *, mine: bool = False) -> list[str]:
    """Those who did not switch such mails off."""
    switches = {row.user_id: row for row in MailSwitches.objects.filter(team_id=approval.team_id, user_id__in=people)}
    willing = [user_id for user_id in people if wants(switches.get(user_id), reminder)]
    picky = {user_id for user_id, row in switches.items() if row.only_mine}
    if mine or not picky:
        return willing
    meant = _assigned(approval) | _of_groups(approval)
    return [user_id for user_id in willing if user_id in meant or user_id not in picky]


def _of_groups(approval: Approval) -> set[str]:
    groups = asked_groups(approval)
    members = Group.users.through.objects.filter(group_id__in=[group.id for group in groups])
    return set(members.values_list("user_id", flat=True))


def wants(switches: MailSwitches | None, reminder: bool) -> bool:
    """Who never chose wants everything."""
    return switches is None or (switches.reminders if reminder else switches.waiting)
