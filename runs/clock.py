"""Timers of runs, called by `manage.py clock` several times a second. Each looks for what is due and does it once."""

from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from accounts.team.event_retention import remove_old
from database.timers import each_due
from machines.models import Machine
from runs import services
from runs.driving import leases
from runs.models import Run, RunEvent, Worker

BATCH = 200
SILENT_SECONDS = 60


def deadlines() -> int:
    """Time out runs whose deadline fell."""
    going = Run.objects.filter(finished_at__isnull=True, stopped_at__isnull=True)
    due = going.filter(deadline_at__lte=timezone.now()).values_list("id", flat=True)
    return each_due(services.time_out, list(due[:BATCH]))


def stops() -> int:
    """Confirm the stop of cancelled runs whose worker is gone, and park what waits without one."""
    leases.park_orphans()
    open_stops = Run.objects.filter(
        status="cancelled", stop_confirmed_at__isnull=True, cancel_requested_at__isnull=False
    )
    dead = open_stops.filter(lease_until__lt=Now()) | open_stops.filter(lease_until__isnull=True)
    dead = dead.exclude(Exists(open_stops.filter(parent_id=OuterRef("id"))))  # its tasks first
    return services.confirm_stop(list(dead.values_list("id", flat=True)[:BATCH]))


def vanished() -> int:
    """Fail runs whose machine is gone and that nobody told: they were made at the very moment of its end."""
    left = Run.objects.filter(finished_at__isnull=True, owns_machine=False).values("machine_id")
    gone = Machine.objects.filter(status__in=("terminating", "terminated"), id__in=left)
    return each_due(services.machine_gone, list(gone.values_list("id", flat=True)[:BATCH]))


def workers() -> int:
    """Forget workers that have been silent for a minute: they died. One that was stopped and goes on is back with its next
    heartbeat."""
    return Worker.objects.filter(heartbeat_at__lt=timezone.now() - timedelta(seconds=SILENT_SECONDS)).delete()[0]


def retention() -> int:
    """Remove the events of runs that ended longer ago than their team keeps them."""
    return remove_old(_old_events)


def _old_events(team_id: str, before: datetime) -> QuerySet[RunEvent]:
    with_events = Exists(RunEvent.objects.filter(run_id=OuterRef("id")))
    runs = Run.objects.filter(with_events, team_id=team_id, finished_at__lt=before)
    return RunEvent.objects.filter(run_id__in=list(runs.values_list("id", flat=True)[:BATCH]))
