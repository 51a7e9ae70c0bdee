"""Reading the people of a team, the actor first."""

from django.db.models import Prefetch, QuerySet
from django.db.models.functions import Lower

from accounts.actor import Actor
from accounts.errors import MemberNotFound
from accounts.models import ApiKey, Group, Invitation, Membership, Role


def members_of(actor: Actor) -> QuerySet[Membership]:
    """By name; `user.groups.all()` are the groups of this team."""
    groups = Prefetch("user__groups", Group.objects.filter(team_id=actor.team_id).order_by("name"))
    rows = Membership.objects.filter(team_id=actor.team_id).select_related("user").prefetch_related(groups)
    return rows.order_by(Lower("user__name"), "user__email")


def get_member(actor: Actor, user_id: str) -> Membership:
    """Raises MemberNotFound, also for a person of another team."""
    row = members_of(actor).filter(user_id=user_id).first()
    if row is None:
        raise MemberNotFound
    return row


def is_last_owner(member: Membership) -> bool:
    """Is there no other owner who can sign in?"""
    others = Membership.objects.filter(team_id=member.team_id, roles__contains=[Role.OWNER], user__is_active=True)
    return Role.OWNER in member.roles and not others.exclude(id=member.id).exists()


def living_keys_of(actor: Actor, user_id: str) -> QuerySet[ApiKey]:
    """Keys of the team, of both worlds, that this person owns."""
    return ApiKey.objects.filter(team_id=actor.team_id, owner_id=user_id, revoked_at__isnull=True).order_by("name")


def sent_by(actor: Actor, user_id: str) -> QuerySet[Invitation]:
    """The open invitations that this person sent for the team."""
    rows = Invitation.objects.filter(team_id=actor.team_id, invited_by__id=user_id)
    return rows.filter(accepted_at__isnull=True, revoked_at__isnull=True)
