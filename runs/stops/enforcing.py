"""What happens after a stop's commit, outside of transactions: machines are frozen, and the stop is confirmed when it is so.

Whoever asked for the stop does it at once; the clock does what is left, and again, since a machine may be started while the stop
stands. Nothing here asks a worker or a machine's guest.
"""

import logging
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connections, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from accounts.actor import Actor
from machines.models import Machine, Stop
from machines.processes.freezing import freeze_machine, thaw_machine
from machines.stops import stop_over
from runs.log import wake_workers
from runs.models import Run, Step
from runs.stops import services
from runs.stops.holding import STOPPED_GRACE

log = logging.getLogger(__name__)
LOOK_SECONDS = 0.05
AT_ONCE = 8  # machines that are frozen or thawed at the same time
T = TypeVar("T")


def enforce(stop: Stop, grace: float = STOPPED_GRACE) -> Stop:
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
    """The machines with processes that the stop holds still."""
    rows = _real_machines().filter(team_id=stop.team_id, test=stop.test)
    if stop.scope == "machine":
        rows = rows.filter(id=stop.target_id)
    elif stop.scope == "workflow":
        rows = rows.filter(current_run_id__in=Run.objects.filter(workflow_id=stop.target_id).values("id"))
    return list(rows.order_by("id").values_list("id", flat=True))


def _real_machines() -> QuerySet[Machine]:
    return Machine.objects.filter(test=False, status="running").exclude(kind="simulated")


def _in_hand(stop: Stop) -> set[str | None]:
    """The machines of runs in the scope whose worker has an action in hand, or had when it was cancelled; None: one of their own.

    What a lost worker had sent to a real machine may go on there.
    """
    runs = Run.objects.filter(team_id=stop.team_id, test=stop.test, kind="agent")
    if stop.scope != "team":
        runs = runs.filter(**{f"{stop.scope}_id": stop.target_id})
    machine = _real_machines().filter(id=OuterRef("machine_id"))
    action = Step.objects.filter(run=OuterRef("id"), status="acting", skipped=False)
    may_act = Q(lease_owner__isnull=False) | Q(Exists(machine), owns_machine=False)
    unconfirmed = Q(status="cancelled", stop_confirmed_at__isnull=True, cancel_requested_at__isnull=False)
    rows = runs.filter(Q(may_act, Exists(action), finished_at__isnull=True) | unconfirmed)
    return {None if own else machine_id for own, machine_id in rows.values_list("owns_machine", "machine_id")}


def _freeze(stop: Stop, machine_ids: Collection[str]) -> set[str]:
    """Those that were frozen. They are written down first: who dies in between leaves nothing frozen that nobody thaws."""
    if not machine_ids:
        return set()
    _note(stop, machine_ids)
    done = _each(lambda each: _try(lambda: freeze_machine(each, "stop", stop.id), each), machine_ids)
    return {each for each, frozen in zip(machine_ids, done, strict=True) if frozen}


def _note(stop: Stop, machine_ids: Collection[str]) -> None:
    with transaction.atomic():
        row = Stop.objects.select_for_update(no_key=True).get(id=stop.id)
        row.frozen = sorted({*row.frozen, *machine_ids})
        row.save(update_fields=["frozen"])


def _try(work: Callable[[], None], machine_id: str) -> bool:
    try:
        work()
    except Exception:
        log.exception("freezing or thawing %s failed; the clock tries again", machine_id)
        return False
    return True


def _confirm(stop: Stop, frozen: set[str]) -> None:
    """What acts on a machine that is frozen does nothing; what a silent worker does is fenced by its lease."""
    _fence_silent_workers(stop)
    if not _in_hand(stop) - frozen:
        services.confirm(stop.id)


def _fence_silent_workers(stop: Stop) -> None:
    """Of a worker that is silent for longer than its leases last: they are taken away, so that it writes nothing when it wakes."""
    silent = Run.objects.filter(
        team_id=stop.team_id,
        test=stop.test,
        kind="agent",
        status="running",
        stopped_at__isnull=False,
        lease_owner__isnull=False,
        lease_until__lt=Now(),
    )
    with transaction.atomic():
        ids = list(silent.select_for_update(skip_locked=True, no_key=True).order_by("id").values_list("id", flat=True))
        rows = Run.objects.filter(id__in=ids)
        rows.update(lease_epoch=F("lease_epoch") + 1, lease_owner=None, lease_until=None)


def let_go_on(actor: Actor, stop: Stop) -> None:
    """After the lift: machines first, so that whoever looks finds them alive; then the runs. What no other stop holds."""
    stop.refresh_from_db(fields=["frozen"])  # the clock may have added to it
    _each(_thaw, stop.frozen)
    Stop.objects.filter(id=stop.id, thawed_at__isnull=True).update(thawed_at=timezone.now())
    services.release(actor)


def thaw_strays() -> int:
    """Let go what no stop holds any more, so that the next run finds it alive; how many machines."""
    runs = Run.objects.filter(id=OuterRef(OuterRef("current_run_id")))
    in_scope = (
        Q(scope="team")
        | Q(scope="machine", target_id=OuterRef("id"))
        | Q(scope="workflow", target_id__in=runs.values("workflow_id"))
    )
    stops = Stop.objects.filter(in_scope, team_id=OuterRef("team_id"), test=OuterRef("test"), thawed_at__isnull=True)
    strays = list(Machine.objects.filter(~Exists(stops), halted_at__isnull=False).values_list("id", flat=True))
    _each(_thaw, strays)
    if strays:
        wake_workers("")  # what was not claimed while its machine stood
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
