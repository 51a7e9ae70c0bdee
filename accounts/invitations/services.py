"""Inviting, inviting again, withdrawing, and joining by a link."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone
from django_q.tasks import async_task

from accounts.access import hash_key, locked_team
from accounts.actor import Actor
from accounts.audit.services import audit
from accounts.errors import AccountExists, InvitationOver
from accounts.groups.access import groups_of
from accounts.invitations.access import by_token, get_invitation, open_invitations, require_open, token_of
from accounts.limits import spend
from accounts.members.services import checked_roles, require_may_give
from accounts.models import Invitation, Membership, Team, User
from web.errors import Invalid

LIFE = timedelta(days=7)
MOST_OPEN = 200
MAILS_PER_MINUTE = 30  # that one person may send


@dataclass(frozen=True)
class Invited:
    """An invitation and its link's token, readable here and never again. `before`: an older link works no longer."""

    row: Invitation
    token: str
    before: bool


def invite(actor: Actor, email: str, roles: Sequence[str], group_ids: Sequence[str], start: str) -> Invited:
    """Invite the address; one that has an open invitation gets a new link, with these roles. `start`: see web.links.

    Raises Invalid, OwnersOnly, RateLimited, InsufficientScope.
    """
    spend(actor, "invitations", MAILS_PER_MINUTE)
    email, roles = email.strip().lower(), checked_roles(roles)
    with transaction.atomic():
        actor = locked_team(actor, "team:write")
        require_may_give(actor, [], roles)
        _require_stranger(actor, email)
        groups = list(groups_of(actor).filter(id__in=group_ids))
        row = open_invitations(actor).filter(email=email).first()
        before = row is not None
        if row is None:
            _require_room(actor)
            row = Invitation(team_id=actor.team_id, email=email, links=0)
        else:
            require_may_give(actor, [], row.roles)
        row.roles = roles
        _new_link(actor, row)
        row.groups.set(groups)
        verb = "invitation.renewed" if before else "invitation.created"
        audit(actor, verb, row.id, email=email, roles=roles, groups=[group.name for group in groups])
        async_task("accounts.tasks.mail_invitation", row.id, row.links, start)
        return Invited(row, token_of(row), before)


def invite_again(actor: Actor, invitation_id: str, start: str) -> Invited:
    """A new link for an open invitation, with seven new days; the old one stops working.

    Raises InvitationNotFound, InvitationOver, OwnersOnly, RateLimited, InsufficientScope.
    """
    spend(actor, "invitations", MAILS_PER_MINUTE)
    with transaction.atomic():
        actor = locked_team(actor, "team:write")
        row = get_invitation(actor, invitation_id)
        if row.accepted_at is None and row.revoked_at is None:
            row.expires_at = timezone.now() + LIFE
        require_open(row)
        require_may_give(actor, [], row.roles)
        _new_link(actor, row)
        audit(actor, "invitation.renewed", row.id, email=row.email, roles=row.roles)
        async_task("accounts.tasks.mail_invitation", row.id, row.links, start)
        return Invited(row, token_of(row), True)


def _new_link(actor: Actor, row: Invitation) -> None:
    now = timezone.now()
    row.links += 1
    row.hash, row.invited_by = hash_key(token_of(row)), actor.ref()
    row.created_at, row.expires_at, row.mailed_at, row.mail_problem = now, now + LIFE, None, None
    row.save()


def _require_stranger(actor: Actor, email: str) -> None:
    """Raises Invalid for somebody who is in the team."""
    member = Membership.objects.filter(team_id=actor.team_id, user__email__iexact=email).select_related("user").first()
    if member is not None:
        raise Invalid((("body", "email"), f"{member.user.name} is in the team already.", "value_error"))


def _require_room(actor: Actor) -> None:
    if open_invitations(actor).count() >= MOST_OPEN:
        raise Invalid((("body",), f"At most {MOST_OPEN} open invitations; withdraw some first.", "value_error"))


def revoke(actor: Actor, invitation_id: str) -> Invitation:
    """Its link stops working. A second call changes nothing. Raises InvitationNotFound, InvitationOver (it was used),
    OwnersOnly, InsufficientScope."""
    with transaction.atomic():
        actor = locked_team(actor, "team:write")
        row = get_invitation(actor, invitation_id)
        if row.accepted_at is not None:
            raise InvitationOver("It was accepted a moment ago. Take the person out of the team instead.")
        if row.revoked_at is None:
            require_may_give(actor, [], row.roles)
            row.revoked_at = timezone.now()
            row.save(update_fields=["revoked_at"])
            audit(actor, "invitation.revoked", row.id, email=row.email)
        return row


# --- joining


def join(user: User, token: str) -> Team:
    """The person of the invited address joins the team; who is in it already keeps their roles.

    Raises LinkUnknown, InvitationOver; ValueError for another person.
    """
    with transaction.atomic():
        row = _locked(token)
        if user.email.lower() != row.email:
            raise ValueError(f"{row.id} is for somebody else.")
        return _join(user, row)


def join_as_new(token: str, name: str, password: str) -> User:
    """Make the account of the invited address, and let it join. Raises LinkUnknown, InvitationOver, AccountExists."""
    with transaction.atomic():
        row = _locked(token)
        if User.objects.filter(email__iexact=row.email).exists():
            raise AccountExists
        try:
            with transaction.atomic():
                user = User.objects.create_user(row.email, password, name)
        except IntegrityError as error:
            if "accounts_user_email" not in str(error):
                raise
            raise AccountExists from error
        _join(user, row)
        return user


def _locked(token: str) -> Invitation:
    """The open invitation, with the lock of its team. Raises LinkUnknown, InvitationOver."""
    Team.objects.select_for_update(no_key=True).get(id=by_token(token).team_id)
    row = by_token(token)
    require_open(row)
    return row


def _join(user: User, row: Invitation) -> Team:
    Membership.objects.get_or_create(user=user, team_id=row.team_id, defaults={"roles": row.roles})
    groups = list(row.groups.all())
    for group in groups:
        group.users.add(user)
    row.accepted_at, row.accepted_by = timezone.now(), user
    row.save(update_fields=["accepted_at", "accepted_by"])
    actor = Actor(row.team_id, False, "user", user.id, user.name, frozenset(), owner_id=user.id)
    facts = {"email": row.email, "roles": row.roles, "groups": [group.name for group in groups]}
    audit(actor, "invitation.accepted", row.id, **facts, invited_by=row.invited_by)
    return row.team
