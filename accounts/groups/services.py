"""Changes to the groups of a team, each under the team's lock."""

from collections.abc import Sequence

from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string

from accounts.access import locked_team
from accounts.actor import Actor
from accounts.audit.services import audit
from accounts.errors import GroupInUse
from accounts.groups.access import get_group, groups_of, leads_to, next_of
from accounts.members.access import get_member
from accounts.models import Group
from web.errors import Invalid

RESERVED = ("anyone",)  # a quorum's word for whoever may decide
ID_PREFIX = "grp_"  # a quorum names a group by id or by name: a name must not look like an id


def create_group(actor: Actor, name: str, next_group_id: str | None = None) -> Group:
    """Raises Invalid, InsufficientScope."""
    with transaction.atomic():
        actor = locked_team(actor, "team:write")
        _check_name(actor, name)
        following = _following(actor, next_group_id, None)
        group = Group.objects.create(team_id=actor.team_id, name=name, next_group=following)
        audit(actor, "group.created", group.id, **_facts(group))
        return group


def change_group(actor: Actor, group_id: str, name: str, next_group_id: str | None) -> Group:
    """Rename it and say who is told after it. Raises GroupNotFound, Invalid, GroupInUse (rename), InsufficientScope."""
    with transaction.atomic():
        actor = locked_team(actor, "team:write")
        group = get_group(actor, group_id)
        before = _facts(group)
        if name != group.name:
            _check_name(actor, name, group)
            _ask_gate(actor, (group.name,))
        group.name, group.next_group = name, _following(actor, next_group_id, group)
        if (after := _facts(group)) != before:
            group.save(update_fields=["name", "next_group"])
            audit(actor, "group.changed", group.id, before=before, after=after)
        return group


def _facts(group: Group) -> dict[str, str | None]:
    return {"name": group.name, "next_group": group.next_group.name if group.next_group else None}


def add_member(actor: Actor, group_id: str, user_id: str) -> None:
    """A second call changes nothing. Raises GroupNotFound, MemberNotFound, InsufficientScope."""
    with transaction.atomic():
        actor = locked_team(actor, "team:write")
        group, member = get_group(actor, group_id), get_member(actor, user_id)
        if not group.users.filter(id=user_id).exists():
            group.users.add(member.user)
            audit(actor, "group.member_added", group.id, name=group.name, user_id=user_id, person=member.user.name)


def remove_member(actor: Actor, group_id: str, user_id: str) -> None:
    """A second call changes nothing. Raises GroupNotFound, InsufficientScope."""
    with transaction.atomic():
        actor = locked_team(actor, "team:write")
        group = get_group(actor, group_id)
        person = group.users.filter(id=user_id).first()
        if person is not None:
            group.users.remove(person)
            audit(actor, "group.member_removed", group.id, name=group.name, user_id=user_id, person=person.name)


def delete_group(actor: Actor, group_id: str) -> Group:
    """Raises GroupNotFound, GroupInUse, InsufficientScope."""
    with transaction.atomic():
        actor = locked_team(actor, "team:write")
        group = get_group(actor, group_id)
        _ask_gate(actor, (group.id, group.name))
        people = [user.id for user in group.users.all()]
        Group.objects.filter(next_group=group).update(next_group=None)
        Group.objects.filter(id=group.id).delete()
        audit(actor, "group.deleted", group_id, name=group.name, people=people)
        return group


def _check_name(actor: Actor, name: str, own: Group | None = None) -> None:
    """Raises Invalid."""
    others = groups_of(actor).filter(name__iexact=name).exclude(id=own.id if own else "")
    if name.casefold() in RESERVED or name.startswith(ID_PREFIX):
        raise Invalid((("body", "name"), f"A group cannot be called {name}.", "value_error"))
    if others.exists():
        raise Invalid((("body", "name"), "There is a group of this name.", "value_error"))


def _following(actor: Actor, next_group_id: str | None, group: Group | None) -> Group | None:
    """Raises Invalid for an unknown group, and for one that passes on to `group` already."""
    if next_group_id is None:
        return None
    following = groups_of(actor).filter(id=next_group_id).first()
    if following is None:
        raise Invalid((("body", "next_group"), "There is no such group.", "value_error"))
    if group is not None and leads_to(next_of(actor), following.id, group.id):
        way = (
            "itself"
            if following.id == group.id
            else f"{following.name}, which passes on to it already: that is a circle"
        )
        raise Invalid((("body", "next_group"), f"A group cannot pass on to {way}.", "value_error"))
    return following


def _ask_gate(actor: Actor, words: Sequence[str]) -> None:
    """Ask settings.GROUP_USERS whether something names the group so. Raises GroupInUse.

    Policies, requests and workflows belong to apps further up.
    """
    users = [each for name in settings.GROUP_USERS for each in import_string(name)(actor.team_id, words)]
    if users:
        raise GroupInUse(users=" and ".join(users))
