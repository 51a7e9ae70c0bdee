"""Changes to the people of a team. Each holds the team's lock, so that two of them never both see the other as an owner."""

from collections.abc import Iterable, Sequence

from django.db import transaction
from django.utils import timezone

from accounts.access import locked_team
from accounts.actor import Actor, command_line, scopes_of_roles
from accounts.audit.services import audit
from accounts.errors import LastOwner, OwnersOnly, RolesChanged
from accounts.keys.services import revoke_key_row
from accounts.members.access import get_member, is_last_owner, living_keys_of, sent_by
from accounts.models import Group, Invitation, Membership, Role, Team, User
from database.messages import publish
from web.errors import Invalid


def change_roles(actor: Actor, user_id: str, roles: Sequence[str], seen: Sequence[str]) -> Membership:
    """Give a person these roles; `seen` are the ones that the actor was shown. A second call changes nothing.

    Raises MemberNotFound, Invalid, RolesChanged, OwnersOnly, LastOwner, InsufficientScope.
    """
    after = checked_roles(roles)
    with transaction.atomic():
        actor = locked_team(actor, "team:write")
        member = get_member(actor, user_id)
        before = Role.highest_first(member.roles)
        if after == before:
            return member
        if Role.highest_first(seen) != before:
            raise RolesChanged(name=member.user.name, roles=", ".join(before))
        require_may_give(actor, before, after)
        _keep_an_owner(member, after)
        member.roles = after
        member.save(update_fields=["roles"])
        _withdraw_invitations(actor, member)
        audit(actor, "member.roles_changed", user_id, name=member.user.name, before=before, after=after)
        publish("member.changed", actor.team_id, user_id)
        return member


def remove(actor: Actor, user_id: str) -> Membership:
    """Take a person out of the team: their keys, groups and invitations of this team end with it; the account stays.

    Requests that they held are freed by the subscribers of member.changed. Raises MemberNotFound, OwnersOnly, LastOwner,
    InsufficientScope.
    """
    with transaction.atomic():
        actor = locked_team(actor, "team:write")
        member = get_member(actor, user_id)
        require_may_give(actor, member.roles, [])
        _keep_an_owner(member, [])
        keys = [revoke_key_row(actor, key).id for key in living_keys_of(actor, user_id)]
        groups = [group.name for group in member.user.groups.all()]
        Group.users.through.objects.filter(group__team_id=actor.team_id, user_id=user_id).delete()
        _withdraw(actor, sent_by(actor, user_id))
        Membership.objects.filter(id=member.id).delete()
        facts = {"name": member.user.name, "email": member.user.email, "roles": member.roles}
        audit(actor, "member.removed", user_id, **facts, keys=keys, groups=groups)
        publish("member.changed", actor.team_id, user_id)
        return member


def checked_roles(roles: Sequence[str]) -> list[str]:
    """The roles as they are stored. Raises Invalid."""
    checked = Role.highest_first(roles)
    if not checked or set(roles) - set(checked):
        raise Invalid((("body", "roles"), "Choose at least one role.", "value_error"))
    return checked


def require_may_give(actor: Actor, before: Sequence[str], after: Sequence[str]) -> None:
    """Raises OwnersOnly when the change makes or unmakes an owner and the actor is none."""
    if (Role.OWNER in before) != (Role.OWNER in after) and Role.OWNER not in actor.roles:
        raise OwnersOnly


def _keep_an_owner(member: Membership, after: Sequence[str]) -> None:
    if Role.OWNER not in after and is_last_owner(member):
        raise LastOwner(name=member.user.name)


def _withdraw_invitations(actor: Actor, member: Membership) -> None:
    """Invitations that they could not send any more would be a way back in."""
    rows = sent_by(actor, member.user_id)
    if "team:write" in scopes_of_roles(member.roles):
        rows = rows.filter(roles__contains=[Role.OWNER])
    if Role.OWNER not in member.roles:
        _withdraw(actor, rows)


def _withdraw(actor: Actor, rows: Iterable[Invitation]) -> None:
    for row in rows:
        row.revoked_at = timezone.now()
        row.save(update_fields=["revoked_at"])
        audit(actor, "invitation.revoked", row.id, email=row.email)


def create_user(team: Team, email: str, password: str | None, roles: list[str], name: str = "") -> User:
    """By command line: a person with these roles in the team; an existing person joins it, or gets them instead of theirs.

    Raises ValueError for an unknown role.
    """
    unknown = set(roles) - set(Role.values)
    if unknown:
        raise ValueError(f"Unknown role {', '.join(sorted(unknown))}. Known: {', '.join(Role.values)}.")
    with transaction.atomic():
        Team.objects.select_for_update(no_key=True).get(id=team.id)
        user = User.objects.filter(email__iexact=email).first() or User.objects.create_user(email, password, name)
        member = Membership.objects.filter(user=user, team=team).first()
        if member is None:
            Membership.objects.create(user=user, team=team, roles=roles)
            audit(command_line(team.id), "member.added", user.id, name=user.name, email=user.email, roles=roles)
        elif member.roles != roles:
            before, member.roles = member.roles, roles
            member.save(update_fields=["roles"])
            audit(command_line(team.id), "member.roles_changed", user.id, name=user.name, before=before, after=roles)
            publish("member.changed", team.id, user.id)
        return user


def set_password_of(actor: Actor, user: User, password: str) -> None:
    """For somebody who cannot sign in any more. Ends every session of the person."""
    with transaction.atomic():
        user = User.objects.select_for_update(no_key=True).get(id=user.id)
        user.set_password(password)
        user.save(update_fields=["password"])
        audit(actor, "member.password_set", user.id)
