"""Stops as a machine feels them: while one stands nobody acts on it by hand. What a stop does to runs: runs/stops/."""

from accounts.actor import Actor
from database.sql import fetch
from machines.errors import Stopped
from machines.models import Machine, Stop

# The oldest stop that stands over a machine; one of a workflow does while a run of the workflow has the machine.
_OVER = """
lifted_at IS NULL AND team_id = %(team)s AND test = %(test)s AND (scope = 'team' OR scope = 'machine' AND target_id = %(id)s
  OR scope = 'workflow' AND target_id = (SELECT workflow_id FROM runs_run WHERE id = %(run)s))
ORDER BY requested_at, id LIMIT 1
"""


def stop_over(machine: Machine) -> Stop | None:
    of = {"id": machine.id, "team": machine.team_id, "test": machine.test, "run": machine.current_run_id}
    return fetch(Stop, _OVER, of)


def any_stop(actor: Actor) -> bool:
    """Whether one stands in the actor's team and world: nearly never, so that a list asks once and not for each machine."""
    return Stop.objects.filter(team_id=actor.team_id, test=actor.test, lifted_at__isnull=True).exists()


def require_unstopped(machine: Machine) -> None:
    """Raises Stopped while a stop stands over the machine."""
    stop = stop_over(machine)
    if stop is not None:
        raise Stopped(stop.id, str(stop.requested_by["name"]), stop.reason)
