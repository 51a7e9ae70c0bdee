"""Sessions, the actor first."""

from django.db.models import QuerySet
from django.utils import timezone

from accounts.actor import Actor
from inference.errors import SessionNotFound
from inference.models import Session


def sessions_of(actor: Actor) -> QuerySet[Session]:
    """The living ones of the caller's team and world."""
    return Session.objects.filter(team_id=actor.team_id, test=actor.test, expires_at__gt=timezone.now())


def get_session(actor: Actor, session_id: str, *, lock: bool = False) -> Session:
    """Raises SessionNotFound. With `lock` the caller is inside atomic()."""
    rows = sessions_of(actor).select_for_update() if lock else sessions_of(actor)
    session = rows.filter(id=session_id).first()
    if session is None:
        raise SessionNotFound
    return session
