"""The statements that every live run needs, from its start to its end (docs/adr/0007): `make bench` measures runs and steps
with them (P1, P3, P4). A stop of a hundred runs needs halt(). Everything else is the ORM.
"""

from datetime import datetime

from database.sql import fetch, prepared
from machines.models import Machine, TakeoverLease

_OF_TEAM = "id = %(id)s AND team_id = %(team)s AND test = %(test)s"
_FREE = """
id = %(id)s AND status = 'running' AND (current_run_id IS NULL OR current_run_id = %(run)s) FOR UPDATE
"""
_OF_RUN = "id = %(id)s AND current_run_id = %(run)s FOR UPDATE"
_OPEN_LEASE = "machine_id = %(machine)s AND ended_at IS NULL FOR UPDATE"
_PRIVATE_SINCE = """
SELECT 1 FROM machines_takeoverlease
WHERE run_id = %(run)s AND private AND (ended_at IS NULL OR ended_at >= %(since)s) LIMIT 1
"""
# For as long as the stop stands: who freezes while it is being lifted has done so before, or freezes nothing.
_HALT = """
WITH stop AS (SELECT 1 FROM machines_stop WHERE id = %(stop)s AND lifted_at IS NULL FOR SHARE)
UPDATE machines_machine SET halted_at = now() WHERE id = %(machine)s AND halted_at IS NULL AND EXISTS (SELECT 1 FROM stop)
"""


def machine_by_id(machine_id: str) -> Machine | None:
    return fetch(Machine, "id = %(id)s", {"id": machine_id})


def machine_of_team(machine_id: str, team_id: str, *, test: bool) -> Machine | None:
    return fetch(Machine, _OF_TEAM, {"id": machine_id, "team": team_id, "test": test})


def free_machine(machine_id: str, run_id: str) -> Machine | None:
    """The machine, locked, when it runs and no other run has it."""
    return fetch(Machine, _FREE, {"id": machine_id, "run": run_id})


def machine_of_run(machine_id: str, run_id: str) -> Machine | None:
    """The machine, locked, while the run has it."""
    return fetch(Machine, _OF_RUN, {"id": machine_id, "run": run_id})


def open_lease(machine_id: str) -> TakeoverLease | None:
    """The machine's open lease, locked; it may be due to lapse."""
    return fetch(TakeoverLease, _OPEN_LEASE, {"machine": machine_id})


def private_since(run_id: str, since: datetime) -> bool:
    """Did a private takeover hide the machine of this run at some moment since then? Then what was seen is dropped."""
    return prepared(_PRIVATE_SINCE, {"run": run_id, "since": since}) is not None


def halt(machine_id: str, stop_id: str) -> None:
    """Write down that the machine stands still, if the stop stands."""
    prepared(_HALT, {"stop": stop_id, "machine": machine_id})
