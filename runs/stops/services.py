"""Stopping and lifting: one transaction each. What holds machines still, and confirms, is runs/stops/enforcing.py.

Locks: the stops of a team and world, one after the other; then root runs, runs, the machine, and last the team, whose row runs are
made under. New runs are made under the lock of the team or of their workflow run; who starts on a machine locks it and then
reads the stops. So whatever is not held by the commit has not begun, and will not.
"""

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar, cast

from django.db import OperationalError, connection, transaction
from django.utils import timezone
from psycopg.errors import DeadlockDetected

from accounts.actor import Actor, system
from accounts.audit.services import audit
from accounts.errors import InsufficientScope
from accounts.models import Team
from accounts.webhooks.outbox import emit
from approvals.errors import NotEligible
from approvals.services import queue_changed
from machines import services as machines
from machines.models import Machine, Stop, StopScope, TakeoverLease
from machines.stops import stop_over
from runs.models import Run
from runs.services import lock_run
from runs.stops import holding
from runs.stops.access import get_stop, in_force
from runs.stops.hung import ending_hung_transactions
from runs.stops.schemas import stop_object
from runs.subject import take_late_effects
from web.errors import InvalidState

P = ParamSpec("P")
T = TypeVar("T")
TRIES = 3  # two transactions that wait for each other: one is undone and comes again
_IN_TURN = "SELECT pg_advisory_xact_lock(hashtext('stops'), hashtext(%s))"


def _in_turn(work: Callable[Concatenate[Actor, P], T]) -> Callable[Concatenate[Actor, P], T]:
    """In a transaction, one stop or lift of a team and world after the other, whoever hangs meanwhile."""

    @wraps(work)
    def turn(actor: Actor, *args: P.args, **kwargs: P.kwargs) -> T:
        for attempt in range(1, TRIES + 1):
            try:
                with transaction.atomic(), ending_hung_transactions():
                    with connection.cursor() as cursor:
                        cursor.execute(_IN_TURN, [f"{actor.team_id}:{actor.test}"])
                    return work(actor, *args, **kwargs)
            except OperationalError as error:
                if attempt == TRIES or not isinstance(error.__cause__, DeadlockDetected):
                    raise
        raise AssertionError  # the loop returns or raises

    return cast("Callable[Concatenate[Actor, P], T]", turn)


# --- stopping


@_in_turn
def request_stop(actor: Actor, scope: str, target_id: str | None, reason: str, *, anew: bool = True) -> Stop:
    """From the commit on nothing in the scope acts. The caller has found the target for the actor, and calls enforce() afterwards.

    Without `anew` the actor's own stop of the same scope that stands already is returned: a second click.
    """
    now = timezone.now()
    if not anew and (same := _same(actor, scope, target_id)) is not None:
        return same
    stop = Stop.objects.create(
        team_id=actor.team_id,
        test=actor.test,
        scope=scope,
        target_id=target_id,
        reason=reason,
        requested_by=actor.ref(),
        requested_at=now,
    )
    _hold(stop, now)
    audit(actor, "stop.requested", stop.id, **_facts(stop), reason=reason, runs=stop.runs)
    _tell("stop.requested", stop)
    return stop


def _same(actor: Actor, scope: str, target_id: str | None) -> Stop | None:
    mine = in_force(actor).filter(scope=scope, target_id=target_id)
    return mine.filter(requested_by__type=actor.kind, requested_by__id=actor.id).first()


def _hold(stop: Stop, now: datetime) -> None:
    """Workflow runs first: they make no tasks once they are locked. Then what came meanwhile, now that nothing more can."""
    words = f"Stopped by {stop.requested_by['name']}: {stop.reason}"
    held: set[str] = set()
    for kinds in (("workflow",), ("agent",)):
        held.update(_hold_more(stop, now, words, held, *kinds))
    if stop.scope == StopScope.MACHINE:
        machines.locked(stop.target_id or "")
    else:
        Team.objects.select_for_update(no_key=True).get(id=stop.team_id)
    held.update(_hold_more(stop, now, words, held, "workflow", "agent"))
    _stop_leases(stop, now)
    stop.runs = len(held)
    stop.save(update_fields=["runs"])


def _hold_more(stop: Stop, now: datetime, words: str, held: set[str], *kinds: str) -> set[str]:
    more = set(holding.to_hold(stop, *kinds)) - held
    holding.hold(sorted(more), now, words)
    return more


def _stop_leases(stop: Stop, now: datetime) -> None:
    """Control by hand of machines that no run has does not lapse either: nobody can do anything with it."""
    leases = TakeoverLease.objects.filter(ended_at__isnull=True, stopped_at__isnull=True, machine__team_id=stop.team_id)
    if stop.scope == StopScope.TEAM:
        leases.filter(machine__test=stop.test).update(stopped_at=now)
    elif stop.scope == StopScope.MACHINE:
        leases.filter(machine_id=stop.target_id).update(stopped_at=now)


def hold_missed() -> int:
    """Runs that were made at the very moment of a stop, and have not started; called by the clock."""
    missed = holding.missed()
    for run_id, stop_id in missed:
        with transaction.atomic():
            run, stop = lock_run(run_id), Stop.objects.get(id=stop_id)
            if not run.is_terminal and run.stopped_at is None and stop.lifted_at is None:
                holding.hold([run_id], timezone.now(), f"Stopped by {stop.requested_by['name']}: {stop.reason}")
    return len(missed)


# --- lifting


def require_lifter(actor: Actor) -> None:
    """Admins lift stops, and keys that may loosen rules. Raises NotEligible, InsufficientScope."""
    if actor.kind == "user" and not actor.is_admin:
        raise NotEligible("Only an admin may lift a stop.", eligible=["admin"])
    if actor.kind == "api_key" and not (actor.may("policies:write") or actor.may("team:write")):
        raise InsufficientScope(required_scope="policies:write", current_scopes=sorted(actor.scopes))


@_in_turn
def lift(actor: Actor, stop_id: str) -> Stop:
    """The caller calls enforcing.let_go_on() afterwards: what no other stop holds then has its time back.

    Raises NotFound, NotEligible, InsufficientScope, InvalidState when it was lifted before.
    """
    stop = get_stop(actor, stop_id)
    require_lifter(actor)
    if stop.lifted_at is not None:
        raise InvalidState(current_state="lifted", allowed_from=["requested", "confirmed"])
    now = timezone.now()
    stop.lifted_at, stop.lifted_by = now, actor.ref()
    stop.save(update_fields=["lifted_at", "lifted_by"])
    seconds = round((now - stop.requested_at).total_seconds())
    audit(actor, "stop.lifted", stop.id, **_facts(stop), seconds=seconds)
    _tell("stop.lifted", stop)
    return stop


@_in_turn
def release(actor: Actor) -> None:
    """What no stop holds any more, now that its machines run again: it goes on with a fresh look."""
    now, by = timezone.now(), "" if actor.kind == "system" else f" by {actor.name}"
    Team.objects.select_for_update(no_key=True).get(id=actor.team_id)
    released = holding.to_release(actor.team_id, actor.test)
    holding.release(released, now, f"The stop was lifted{by}.")
    _free_leases(actor, now)
    for run in Run.objects.filter(id__in=released, status="awaiting_human", controlled_by__isnull=True):
        take_late_effects(lock_run(run.id))


def _free_leases(actor: Actor, now: datetime) -> None:
    """Control by hand of machines that no run has."""
    stopped = TakeoverLease.objects.filter(stopped_at__isnull=False, ended_at__isnull=True).select_related("machine")
    for lease in stopped.filter(machine__team_id=actor.team_id, machine__test=actor.test).select_for_update(
        of=("self",)
    ):
        if stop_over(lease.machine) is None and lease.stopped_at is not None:
            by = now - lease.stopped_at
            lease.expires_at, lease.idle_expires_at, lease.stopped_at = (
                lease.expires_at + by,
                lease.idle_expires_at + by,
                None,
            )
            lease.save(update_fields=["expires_at", "idle_expires_at", "stopped_at"])


# --- confirming


def confirm(stop_id: str) -> bool:
    """No worker has an action in hand any more. False when that was said before, or the stop was lifted."""
    with transaction.atomic():
        stop = Stop.objects.select_for_update().get(id=stop_id)
        if stop.confirmed_at is not None or stop.lifted_at is not None:
            return False
        stop.confirmed_at = timezone.now()
        stop.save(update_fields=["confirmed_at"])
        audit(system(stop.team_id, stop.test), "stop.confirmed", stop.id, **_facts(stop))
        _tell("stop.confirmed", stop)
        return True


def _facts(stop: Stop) -> dict[str, str]:
    facts = {"scope": stop.scope}
    if stop.scope == StopScope.MACHINE:
        machine = Machine.objects.get(id=stop.target_id)
        return facts | {"machine_id": machine.id, "machine": machine.display_name}
    return facts | ({"workflow_id": stop.target_id} if stop.target_id else {})


def _tell(event: str, stop: Stop) -> None:
    emit(event, stop.team_id, stop.test, lambda: {"reason": stop.reason, "data": stop_object(stop)})
    queue_changed(stop.team_id, stop.test)
