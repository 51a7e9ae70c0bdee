"""Quorums: how many people of which groups must approve (docs/api/approvals.md section 6)."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.utils import timezone
from typing_extensions import TypedDict

from accounts.actor import Actor
from accounts.keys.owners import person_of
from accounts.models import Group
from approvals.models import Approval, Policy, Vote
from web.json_values import Detail, Loc

Need = dict[str, Any]
ANYONE = "anyone"


class NeedObject(TypedDict):
    """`approved`: how many of the group have."""

    group: str
    count: int
    approved: int


def groups_named(team_id: str, names: Sequence[str]) -> dict[str, Group]:
    """The team's groups by the id or name they were named with."""
    groups = Group.objects.filter(team_id=team_id)
    return {key: group for group in groups for key in (group.id, group.name) if key in names}


def group_ids(team_id: str) -> dict[str, str]:
    """The ids of the team's groups, by id and by name."""
    pairs = Group.objects.filter(team_id=team_id).values_list("id", "name")
    return {word: group_id for group_id, name in pairs for word in (group_id, name)}


def checked_quorum(team_id: str, quorum: Sequence[Need], at: Loc) -> list[Detail]:
    """What is wrong with a quorum that names groups: unknown ones, and a group named twice."""
    return wrong_needs(groups_named(team_id, [q["group"] for q in quorum]), quorum, at)


def wrong_needs(groups: Mapping[str, Group], quorum: Sequence[Need], at: Loc) -> list[Detail]:
    """As checked_quorum, where `groups` has those that there are."""
    wrong: list[Detail] = []
    seen: set[str] = set()
    for index, need in enumerate(quorum):
        name = need["group"]
        key = name if name == ANYONE else groups[name].id if name in groups else None
        if key is None:
            wrong.append(((*at, index, "group"), f"There is no group '{name}'.", "value_error"))
        elif key in seen:
            wrong.append(((*at, index, "group"), f"The group '{name}' is named twice.", "value_error"))
        seen.add(key or name)
    return wrong


def users_of_group(team_id: str, words: Sequence[str]) -> list[str]:
    """Policies and requests that name a group by one of these words: its name, its id (settings.GROUP_USERS)."""
    named = Q(pk__in=[])
    for word in words:
        named |= Q(quorum__contains=[{"group": word}])
    fresh = Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())
    policies = Policy.objects.filter(named, fresh, team_id=team_id, revoked_at__isnull=True)
    waiting = Q(status="pending") | Q(effect_pending=True)  # what is not in effect may be undone, and waits again
    requests = Approval.objects.filter(named | Q(assignee__in=words), waiting, team_id=team_id)
    return [*_counted("policy", "policies", policies), *_counted("open request", "open requests", requests)]


def _counted(one: str, many: str, rows: QuerySet[Any]) -> list[str]:
    return in_words(one, many, dict(rows.order_by().values_list("test").annotate(n=Count("pk"))))


def in_words(one: str, many: str, counts: Mapping[bool, int]) -> list[str]:
    """`2 policies of the live world`; `counts` by whether the world is the test world."""
    return [
        f"{n} {one if n == 1 else many} of the {'test' if test else 'live'} world" for test, n in sorted(counts.items())
    ]


def needs(approval: Approval) -> list[NeedObject]:
    """[{group, count, approved}] in list order; without a quorum one person of anyone."""
    if not approval.quorum:
        return [{"group": ANYONE, "count": 1, "approved": int(approval.status in ("approved", "answered"))}]
    votes = list(Vote.objects.filter(approval=approval).values_list("group", flat=True))
    return [
        {"group": need["group"], "count": need["count"], "approved": votes.count(need["group"])}
        for need in approval.quorum
    ]


def lacking(approval: Approval) -> list[str]:
    """Groups still lacking votes, in list order."""
    return [n["group"] for n in needs(approval) if n["approved"] < n["count"]]


def group_to_vote_for(actor: Actor, approval: Approval) -> str | None:
    """The first group in list order that still lacks votes and for which the actor may vote; None when there is none.

    API keys belong to no group: they count only for anyone.
    """
    names = lacking(approval)
    groups = groups_named(approval.team_id, names)
    own = set(Group.objects.filter(users=actor.id).values_list("id", flat=True)) if actor.kind == "user" else set()
    for name in names:
        if name == ANYONE or (name in groups and own & set(voting_for(approval, groups[name]))):
            return name
    return None


def voting_for(approval: Approval, group: Group) -> list[str]:
    """Ids of the groups whose members vote for this one: itself and, once the request went on to it, the next one."""
    following = group.next_group_id if approval.went_on else None
    return [group.id] if following is None else [group.id, following]


def voter_id(actor: Actor) -> str:
    """Who a vote is counted for: a key votes as the person behind it, so that one person counts once."""
    return person_of(actor)


def cast_vote(actor: Actor, approval: Approval, group: str, note: str | None) -> bool:
    """Count this person's approval; True when the quorum is complete. The caller holds the request's lock."""
    Vote.objects.create(approval=approval, voter=voter_id(actor), actor=actor.ref(), group=group, note=note)
    return not lacking(approval)


def has_voted(actor: Actor, approval: Approval) -> bool:
    return Vote.objects.filter(approval=approval, voter=voter_id(actor)).exists()


def may_vote(approval: Approval, people: Collection[str]) -> set[str]:
    """Those of these people whose approval would still count towards the quorum."""
    if not approval.quorum:
        return set(people)
    voted = set(Vote.objects.filter(approval=approval).values_list("voter", flat=True))
    groups = lacking(approval)
    if ANYONE in groups:
        return set(people) - voted
    named = [each for group in groups_named(approval.team_id, groups).values() for each in voting_for(approval, group)]
    members = Group.users.through.objects.filter(group_id__in=named, user_id__in=people)
    return set(members.values_list("user_id", flat=True)) - voted
