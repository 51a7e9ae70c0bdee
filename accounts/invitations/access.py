"""Reading invitations: those of a team with the actor first, and the one that a link opens."""

from datetime import timedelta

from django.db.models import QuerySet
from django.utils import timezone

from accounts.access import hash_key
from accounts.actor import Actor
from accounts.errors import InvitationNotFound, InvitationOver, LinkUnknown
from accounts.models import Invitation, User
from database.sealing import keyed_hash

SOON = timedelta(minutes=1)  # so long a page waits for the word of the worker that mails


def open_invitations(actor: Actor) -> QuerySet[Invitation]:
    """Neither accepted nor revoked, newest first; one that has expired can be sent again."""
    rows = Invitation.objects.filter(team_id=actor.team_id, accepted_at__isnull=True, revoked_at__isnull=True)
    return rows.prefetch_related("groups").order_by("-created_at", "-id")


def get_invitation(actor: Actor, invitation_id: str) -> Invitation:
    """Raises InvitationNotFound, also for another team's."""
    row = Invitation.objects.filter(team_id=actor.team_id, id=invitation_id).first()
    if row is None:
        raise InvitationNotFound
    return row


def is_under_way(row: Invitation) -> bool:
    """A worker is about to say what became of the mail."""
    return row.mailed_at is None and row.mail_problem is None and timezone.now() - row.created_at < SOON


def token_of(row: Invitation) -> str:
    """What the newest link ends with. It follows from the row and SECRET_KEY, so no table or queue has to hold it."""
    return keyed_hash(f"invitation:{row.id}:{row.links}")


def by_token(token: str) -> Invitation:
    """Raises LinkUnknown."""
    row = Invitation.objects.select_related("team").filter(hash=hash_key(token)).first()
    if row is None:
        raise LinkUnknown
    return row


def require_open(row: Invitation) -> None:
    """Raises InvitationOver, which says how it ended."""
    if row.accepted_at is not None:
        raise InvitationOver(how="was used already", reason_code="invitation_used")
    if row.revoked_at is not None:
        raise InvitationOver(how="was withdrawn", reason_code="invitation_revoked")
    if row.expired:
        raise InvitationOver(
            how=f"expired on {row.expires_at:%-d %B %Y at %H:%M} UTC", reason_code="invitation_expired"
        )


def account_for(row: Invitation) -> User | None:
    return User.objects.filter(email__iexact=row.email).first()
