"""Timers of stops, called by `manage.py clock`."""

from django.db.models import Exists, OuterRef

from accounts.actor import system
from database.timers import each_due
from machines.models import Stop
from runs.models import Run
from runs.stops import enforcing, services


def enforce() -> int:
    """Stops that are not confirmed yet: nobody finished it, or a worker still had an action in hand."""
    waiting = Stop.objects.filter(lifted_at__isnull=True, confirmed_at__isnull=True)
    return each_due(_enforce, list(waiting.order_by("requested_at").values_list("id", flat=True)))


def _enforce(stop_id: str) -> bool:
    return enforcing.enforce(Stop.objects.get(id=stop_id), grace=0).confirmed_at is not None


def thaw() -> int:
    """Stops that were lifted by somebody who did not come to thaw their machines."""
    left = Stop.objects.filter(lifted_at__isnull=False, thawed_at__isnull=True)
    return each_due(_thaw, list(left.values_list("id", flat=True)))


def _thaw(stop_id: str) -> bool:
    stop = Stop.objects.get(id=stop_id)
    enforcing.let_go_on(system(stop.team_id, stop.test), stop)
    return True


def uphold() -> int:
    """Hold what came into the scope of a stop since, and let go what was held at the very moment of a lift, or is held by nothing."""
    team_stops = Stop.objects.filter(
        team_id=OuterRef("team_id"), test=OuterRef("test"), scope="team", lifted_at__isnull=True
    )
    maybe_free = Run.objects.filter(~Exists(team_stops), stopped_at__isnull=False)
    for team_id, test in maybe_free.values_list("team_id", "test").distinct():
        services.release(system(team_id, test))
    held = services.hold_missed()
    standing = Stop.objects.filter(lifted_at__isnull=True, confirmed_at__isnull=False)
    held += enforcing.thaw_strays()
    return held + each_due(_enforce, list(standing.values_list("id", flat=True)))
