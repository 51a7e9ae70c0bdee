"""Reading the groups of a team, the actor first."""

from django.db.models import Prefetch, QuerySet
from django.db.models.functions import Lower

from accounts.actor import Actor
from accounts.errors import GroupNotFound
from accounts.models import Group, Membership, User


def groups_of(actor: Actor) -> QuerySet[Group]:
    """By name, with their people by name."""
    people = Prefetch("users", User.objects.order_by(Lower("name"), "email"))
    rows = Group.objects.filter(team_id=actor.team_id).select_related("next_group").prefetch_related(people)
    return rows.order_by(Lower("name"))


def get_group(actor: Actor, group_id: str) -> Group:
    """Raises GroupNotFound, also for another team's."""
    row = groups_of(actor).filter(id=group_id).first()
    if row is None:
        raise GroupNotFound
    return row


def members_in(group: Group) -> QuerySet[Membership]:
    rows = Membership.objects.filter(team_id=group.team_id, user__groups=group).select_related("user")
    return rows.order_by(Lower("user__name"), "user__email")


def members_outside(group: Group) -> QuerySet[Membership]:
    rows = Membership.objects.filter(team_id=group.team_id).exclude(user__groups=group).select_related("user")
    return rows.order_by(Lower("user__name"), "user__email")


def told_before(group: Group) -> QuerySet[Group]:
    """The groups that pass on to this one."""
    return Group.objects.filter(team_id=group.team_id, next_group=group).order_by("name")


def next_of(actor: Actor) -> dict[str, str | None]:
    """The team's groups and whom each passes on to, by id."""
    return dict(Group.objects.filter(team_id=actor.team_id).values_list("id", "next_group_id"))


def leads_to(following: dict[str, str | None], start: str, target: str) -> bool:
    """Does passing on from `start` ever reach the target?"""
    at: str | None = start
    for _ in following:
        if at is None or at == target:
            break
        at = following.get(at)
    return at == target


def may_follow(actor: Actor, group: Group | None) -> list[Group]:
    """The groups that `group`, or a new one, may pass on to without a circle."""
    following = next_of(actor)
    return [each for each in groups_of(actor) if group is None or not leads_to(following, each.id, group.id)]
