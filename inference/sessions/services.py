"""Sessions: conversations about one screen, one prediction at a time (docs/api/machines-and-inference.md section 4).

Their pictures are kept in rows of their own, so that they go in the same moment as the session or the log that names them.
"""

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from accounts.actor import Actor
from billing.direct import Price, capture_call, hold_call, price
from database.sql import one_after_the_other
from inference.errors import SessionLimitReached
from inference.models import Session
from inference.schemas import SessionCreate
from inference.sessions.access import get_session
from web.errors import InvalidState

IDLE = timedelta(seconds=1800)
MOST = 100  # living sessions of one caller


def create(actor: Actor, body: SessionCreate) -> tuple[Session, Price]:
    """In the caller's transaction, with what it costs held and captured. Its first prediction chooses the model. Raises Refusal."""
    _leave_room(actor)
    cost = price("sessions", images=[])
    if not actor.test:
        capture_call(hold_call(actor, cost))
    now = timezone.now()
    session = Session.objects.create(
        team_id=actor.team_id,
        test=actor.test,
        caller=actor.caller,
        created_at=now,
        expires_at=now + IDLE,
        total_credits_used=cost.cents,
        **body.model_dump(),
    )
    return session, cost


def _leave_room(actor: Actor) -> None:
    """One caller's sessions are made one after the other: two at once could both be the hundredth."""
    one_after_the_other(f"sessions of {actor.caller}")
    ends = list(
        Session.objects.filter(caller=actor.caller, expires_at__gt=timezone.now())
        .order_by("expires_at")
        .values_list("expires_at", flat=True)
    )
    if len(ends) >= MOST:
        seconds = max(1, int((ends[0] - timezone.now()).total_seconds()) + 1)
        raise SessionLimitReached(limit=MOST, retry_after=seconds)


def reset(actor: Actor, session_id: str) -> None:
    """Forget what was seen and done. Raises SessionNotFound, InvalidState."""
    with transaction.atomic():
        session = lock_idle(actor, session_id)
        session.log, session.pending, session.shown, session.history, session.step_count = [], [], [], [], 0
        session.expires_at = timezone.now() + IDLE
        session.save(update_fields=["log", "pending", "shown", "history", "step_count", "expires_at"])
        session.pictures.all().delete()


def delete(actor: Actor, session_id: str) -> None:
    """At once, with its pictures; a prediction that is under way then fails. Raises SessionNotFound."""
    with transaction.atomic():
        get_session(actor, session_id, lock=True).delete()


def sweep() -> int:
    """Forget sessions that have ended, with their pictures."""
    return Session.objects.filter(expires_at__lte=timezone.now()).delete()[0]


def lock_idle(actor: Actor, session_id: str) -> Session:
    """For a change, in a transaction. Raises SessionNotFound, or InvalidState while a prediction is under way."""
    session = get_session(actor, session_id, lock=True)
    if session.busy_until is not None and session.busy_until > timezone.now():
        raise InvalidState(
            "The session is working on another prediction. Wait for its answer.",
            current_state="predicting",
            allowed_from=["idle"],
        )
    return session
