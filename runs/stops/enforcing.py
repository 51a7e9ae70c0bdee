"""What happens after a stop's commit, outside of transactions: machines are frozen, and the stop is confirmed when it is so.

Whoever asked for the stop does it at once; the clock does what is left, and again, since a machine may be started while the stop
stands. Nothing here asks a worker or a machine's guest.
"""

import logging
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connections
from django.utils import timezone

from accounts.actor import Actor
from database.sql import prepared, prepared_all
from machines.models import Machine, Stop
from machines.processes.freezing import freeze_machine, thaw_machine
from machines.stops import stop_over
from runs.driving.leases import STOPPED_GRACE
from runs.stops import services

log = logging.getLogger(__name__)
GRACE = STOPPED_GRACE  # for actions that were sent already; then their machines are frozen under them
LOOK_SECONDS = 0.05
AT_ONCE = 8  # machines that are frozen or thawed at the same time
T = TypeVar("T")

# The machines with processes that the stop holds still.
_MACHINES = """
SELECT m.id FROM machines_machine m JOIN machines_stop s ON s.id = %(stop)s AND s.team_id = m.team_id AND s.test = m.test
WHERE NOT m.test AND m.kind <> 'simulated' AND m.status = 'running' AND (s.scope = 'team'
  OR s.scope = 'machine' AND m.id = s.target_id OR s.scope = 'workflow' AND EXISTS (
    SELECT 1 FROM runs_run r WHERE r.id = m.current_run_id AND r.workflow_id = s.target_id))
ORDER BY m.id
"""
# Runs in the scope whose worker has an action in hand, or had when it was cancelled: their machine; null: one of their own.
# What a lost worker had sent to a real machine may go on there.
_IN_HAND = """
SELECT CASE WHEN r.owns_machine THEN NULL ELSE r.machine_id END FROM runs_run r JOIN machines_stop s
  ON s.id = %(stop)s AND s.team_id = r.team_id AND s.test = r.test AND r.kind = 'agent' AND (s.scope = 'team'
    OR s.scope = 'workflow' AND s.target_id = r.workflow_id OR s.scope = 'machine' AND s.target_id = r.machine_id)
LEFT JOIN machines_machine m ON m.id = r.machine_id AND NOT r.owns_machine AND NOT m.test AND m.kind <> 'simulated'
  AND m.status = 'running'
WHERE (r.finished_at IS NULL AND (r.lease_owner IS NOT NULL OR m.id IS NOT NULL) AND EXISTS (
    SELECT 1 FROM runs_step t WHERE t.run_id = r.id AND t.status = 'acting' AND NOT t.skipped))
  OR (r.status = 'cancelled' AND r.stop_confirmed_at IS NULL AND r.cancel_requested_at IS NOT NULL)
"""
# Machines that stand still although no stop holds them: a workflow's whose run was cancelled there, or what a crash left.
_STRAYS = """
SELECT m.id FROM machines_machine m WHERE m.halted_at IS NOT NULL AND NOT EXISTS (
  SELECT 1 FROM machines_stop s WHERE s.team_id = m.team_id AND s.test = m.test AND s.thawed_at IS NULL AND (s.scope = 'team'
    OR s.scope = 'machine' AND s.target_id = m.id OR s.scope = 'workflow' AND EXISTS (
      SELECT 1 FROM runs_run r WHERE r.id = m.current_run_id AND r.workflow_id = s.target_id)))
"""
# A worker that is silent for longer than its leases last: they are taken away, so that it writes nothing when it wakes.
_FENCE = """
UPDATE runs_run SET lease_epoch = lease_epoch + 1, lease_owner = NULL, lease_until = NULL WHERE id IN (
  SELECT id FROM runs_run WHERE team_id = %(team)s AND test = %(test)s AND stopped_at IS NOT NULL AND status = 'running'
    AND kind = 'agent' AND lease_owner IS NOT NULL AND lease_until < now() ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)
"""


def enforce(stop: Stop, grace: float = GRACE) -> Stop:
    """Freeze the stop's machines and confirm it, as far as it is so. Returns the stop as it then is.

    Machines on which no action is under way are frozen at once, the others when it is done, or `grace` seconds are over.
    """
    frozen: set[str] = set()
    until = time.monotonic() + grace
    while True:
        busy = _in_hand(stop)
        late = time.monotonic() >= until
        frozen |= _freeze(stop, [each for each in _machines(stop) if each not in frozen and (late or each not in busy)])
        if late or not busy:
            break
        time.sleep(LOOK_SECONDS)
    _confirm(stop, frozen)
    stop.refresh_from_db()
    return stop


def _machines(stop: Stop) -> list[str]:
    return [row[0] for row in prepared_all(_MACHINES, {"stop": stop.id})]


def _in_hand(stop: Stop) -> set[str | None]:
    return {row[0] for row in prepared_all(_IN_HAND, {"stop": stop.id})}


def _freeze(stop: Stop, machine_ids: Collection[str]) -> set[str]:
    """Those that were frozen. They are written down first: who dies in between leaves nothing frozen that nobody thaws."""
    if not machine_ids:
        return set()
    _note(stop, machine_ids)
    done = _each(lambda each: _try(lambda: freeze_machine(each, "stop", stop.id), each), machine_ids)
    return {each for each, frozen in zip(machine_ids, done, strict=True) if frozen}


_NOTE = """
UPDATE machines_stop SET frozen = (SELECT jsonb_agg(DISTINCT id) FROM (
  SELECT jsonb_array_elements_text(frozen) AS id UNION SELECT unnest(%(ids)s::text[])) AS ids) WHERE id = %(stop)s
"""


def _note(stop: Stop, machine_ids: Collection[str]) -> None:
    prepared(_NOTE, {"stop": stop.id, "ids": list(machine_ids)})


def _try(work: Callable[[], None], machine_id: str) -> bool:
    try:
        work()
    except Exception:
        log.exception("freezing or thawing %s failed; the clock tries again", machine_id)
        return False
    return True


def _confirm(stop: Stop, frozen: set[str]) -> None:
    """What acts on a machine that is frozen does nothing; what a silent worker does is fenced by its lease."""
    prepared(_FENCE, {"team": stop.team_id, "test": stop.test})
    if not _in_hand(stop) - frozen:
        services.confirm(stop.id)


def let_go_on(actor: Actor, stop: Stop) -> None:
    """After the lift: machines first, so that whoever looks finds them alive; then the runs. What no other stop holds."""
    stop.refresh_from_db(fields=["frozen"])  # the clock may have added to it
    _each(_thaw, stop.frozen)
    Stop.objects.filter(id=stop.id, thawed_at__isnull=True).update(thawed_at=timezone.now())
    services.release(actor)


def thaw_strays() -> int:
    """Let go what no stop holds any more, so that the next run finds it alive; how many machines."""
    strays = [row[0] for row in prepared_all(_STRAYS, {})]
    _each(_thaw, strays)
    if strays:
        prepared("SELECT pg_notify('run_wake', '')", {})  # what was not claimed while its machine stood
    return len(strays)


def _thaw(machine_id: str) -> None:
    """What cannot be thawed now the clock puts right (machines/processes/freezing.py): the reason is taken from the row first."""
    machine = Machine.objects.filter(id=machine_id).first()
    if machine is None or stop_over(machine) is not None:
        return  # that stop has it written down by now, or will freeze it again
    _try(lambda: thaw_machine(machine_id, "stop"), machine_id)
    again = stop_over(machine)
    if again is not None:
        _freeze(again, [machine_id])


def _each(work: Callable[[str], T], machine_ids: Collection[str]) -> list[T]:
    """For all of them at once, each with a connection of its own: one slow machine delays no other."""

    def aside(machine_id: str) -> T:
        try:
            return work(machine_id)
        finally:
            connections.close_all()

    if len(machine_ids) <= 1:
        return [work(each) for each in machine_ids]
    with ThreadPoolExecutor(min(len(machine_ids), AT_ONCE), thread_name_prefix="stop") as threads:
        return list(threads.map(aside, machine_ids))
