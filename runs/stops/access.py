"""Reading stops, the actor first."""

from django.db.models import QuerySet

from accounts.actor import Actor
from machines.models import Stop
from web.errors import NotFound


def stops_of(actor: Actor) -> QuerySet[Stop]:
    """All stops of the actor's team and world."""
    return Stop.objects.filter(team_id=actor.team_id, test=actor.test)


def in_force(actor: Actor) -> QuerySet[Stop]:
    """Those that stand, oldest first."""
    return stops_of(actor).filter(lifted_at__isnull=True).order_by("requested_at", "id")


def get_stop(actor: Actor, stop_id: str) -> Stop:
    """Raises NotFound, also for another team's or world's."""
    stop = stops_of(actor).filter(id=stop_id.replace("\0", "\ufffd")).first()
    if stop is None:
        raise NotFound("There is no such stop.")
    return stop
