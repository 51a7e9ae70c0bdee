"""Stops as a machine feels them: while one stands nobody acts on it by hand. What a stop does to runs: runs/stops/."""

from django.db.models import Q

from accounts.actor import Actor
from machines.errors import Stopped
from machines.models import Machine, Stop
from machines.occupants import occupant


def stop_over(machine: Machine) -> Stop | None:
    """The oldest stop that stands over the machine; one of a workflow does while a run of the workflow has the machine."""
    holds = Q(scope="team") | Q(scope="machine", target_id=machine.id)
    if machine.current_run_id:
        holds |= Q(scope="workflow", target_id=occupant().workflow_of(machine.current_run_id))
    stops = Stop.objects.filter(holds, team_id=machine.team_id, test=machine.test, lifted_at__isnull=True)
    return stops.order_by("requested_at", "id").first()


def any_stop(actor: Actor) -> bool:
    """Whether one stands in the actor's team and world: nearly never, so that a list asks once and not for each machine."""
    return Stop.objects.filter(team_id=actor.team_id, test=actor.test, lifted_at__isnull=True).exists()


def require_unstopped(machine: Machine) -> None:
    """Raises Stopped while a stop stands over the machine."""
    stop = stop_over(machine)
    if stop is not None:
        raise Stopped(stop.id, str(stop.requested_by["name"]), stop.reason)
