"""Machine processes: starting, ending and watching them. The one place besides sessions.py that talks to drivers.

One process per machine at a time is guarded by a session-level advisory lock, which holds no transaction open while a
driver works and is freed by PostgreSQL when its holder dies. Statuses are moved in short transactions around it.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django_q.models import OrmQ
from django_q.tasks import async_task

from database.timers import each_due
from machines.drivers import home_folder, process
from machines.drivers.base import Driver, DriverUnavailable, Handle, MachineGone, MachineSpec
from machines.drivers.registry import driver_for
from machines.drivers.within import within
from machines.errors import MachineFull, MachineStandsStill, MachineUnavailable
from machines.models import Machine, MachineStatus
from machines.processes import capacity, freezing
from machines.processes.nodes import adopt, is_here, node_key, queue_of, require_here, this_node
from machines.processes.turns import turn
from machines.services import driver_kind, end_if_expired, is_simulated, locked, move, queue_work
from machines.sql import machine_by_id
from web.errors import InvalidState

log = logging.getLogger(__name__)
START_SECONDS = 30.0  # a worker's task may last 60
STOP_SECONDS = 15.0
LOOK_SECONDS = 15.0  # a guest that is busy is asked three times
GLANCE_SECONDS = 1.0  # the clock has other things to do
SILENCES, SILENCES_APART = 3, 5.0  # so often, so many seconds apart, a machine does not answer: then it is looked into
QUIT_SECONDS = 3.0
STARTS = 3  # failed ones in a row are an error
STUCK_SECONDS = 60.0
# When retry_stuck() has something to do next (config/clock.py).
NEXT_STUCK = """
SELECT min(status_at) + interval '60 s' FROM machines_machine
WHERE status IN ('creating', 'starting', 'stopping', 'terminating')
"""
COMING_UP = frozenset({MachineStatus.CREATING, MachineStatus.STARTING})
GOING_DOWN = frozenset({MachineStatus.STOPPING, MachineStatus.TERMINATING})
FULL_STOPS = frozenset({MachineStatus.STOPPING, MachineStatus.STOPPED})
T = TypeVar("T")


def _of_here() -> Q:
    """Machines that this process can reach."""
    return Q(node__isnull=True) | Q(node=this_node())


class Occupied(Exception):
    """Somebody else is starting or ending this machine's process right now."""


@dataclass(frozen=True)
class Facts:
    """What it takes to reach a machine: read once from its row, usable in any thread and event loop."""

    id: str
    status: str
    driver: str
    spec: MachineSpec
    handle: Handle
    restarts: int
    node: str | None = None
    problem: str = ""
    begun_for: str | None = None
    halted: bool = False
    full: bool = False  # it was stopped because of its home


def facts(machine: Machine) -> Facts:
    return Facts(
        id=machine.id,
        status=machine.status,
        driver=driver_kind(machine),
        spec=machine.spec,
        handle=machine.handle,
        restarts=machine.restarts,
        node=machine.node,
        problem=machine.problem,
        begun_for=machine.begun_for,
        halted=machine.halted_at is not None,
        full=machine.full_at is not None,
    )


def look_up(machine_id: str) -> Facts:
    """Raises MachineUnavailable when there is no such machine."""
    machine = machine_by_id(machine_id)
    if machine is None:
        raise MachineUnavailable("The machine no longer exists.")
    return facts(machine)


def not_up(now: Facts) -> MachineUnavailable:
    """Why nobody can act on it: it is not meant to run."""
    words = f"The machine is {now.status}. {now.problem}".strip()
    return MachineFull(words) if now.full and now.status in FULL_STOPS else MachineUnavailable(words)


@contextmanager
def process_lock(machine_id: str, wait: float = 0.0) -> Iterator[None]:
    """Only one starts, ends or restarts a machine at a time. Raises Occupied after `wait` seconds."""
    with turn("machine", machine_id, wait) as mine:
        if not mine:
            raise Occupied
        yield


def _run(work: Coroutine[Any, Any, T], seconds: float) -> T:
    """Drivers are asynchronous; tasks, requests and the clock are not."""
    return asyncio.run(within(seconds, work))


def bring_up(machine_id: str, wait: float = 0.0, *, instead_of: int | None = None) -> Facts:
    """See that the machine's process lives and its guest answers: start it if not, and let the machine run.

    `instead_of`: the number of a start whose process is of no use, although it may answer; it is ended.
    Must be called outside of transactions. Raises MachineUnavailable when it failed or the machine is not wanted up;
    MachineElsewhere; Occupied when somebody else is still at it after `wait` seconds.
    """
    with process_lock(machine_id, wait):
        now = look_up(machine_id)
        if now.status not in {*COMING_UP, MachineStatus.RUNNING}:
            raise not_up(now)
        require_here(now.node)
        driver = driver_for(now.driver)
        _require_awake(now)
        if now.handle and now.restarts != instead_of and _alive(driver, now):
            if now.status == MachineStatus.RUNNING and now.node:
                return now
            return _came_up(machine_id, now.handle, started=False)
        _require_awake(look_up(machine_id))  # it may have been stopped while it was asked
        _begin(machine_id)
        _find_room(machine_id)
        _end_former(driver, now)
        up = _came_up(machine_id, _start(driver, now), started=True)
        freezing.settle(machine_id)  # one that people stopped stands still again
        return up


def _require_awake(now: Facts) -> None:
    """Raises MachineStandsStill for one that does not answer because people stopped it; what died, is started again."""
    if now.halted and now.status == MachineStatus.RUNNING and process.is_alive(process.recorded(now.handle)):
        raise MachineStandsStill


def _find_room(machine_id: str) -> None:
    """Raises MachineUnavailable when this computer has none: the machine then waits, starting, or is in error, by setting."""
    problem = capacity.lack(Machine.objects.get(id=machine_id))
    if problem is None:
        return
    if settings.MACHINE_CAPACITY != "wait":
        raise _failed(machine_id, problem, final=True)
    Machine.objects.filter(id=machine_id, status=MachineStatus.STARTING).update(problem=f"It waits for room. {problem}")
    raise MachineUnavailable(problem)


def _end_former(driver: Driver, now: Facts) -> None:
    """What is left of the machine's former process; what cannot be ended, a start ends or fails."""
    if now.handle:
        with suppress(TimeoutError, OSError, MachineGone):
            _run(driver.stop(now.spec, now.handle), STOP_SECONDS)


def note_begun(machine_id: str, run_id: str) -> None:
    """The machine was made ready for this run, which finds it from now on as it leaves it."""
    Machine.objects.filter(id=machine_id).update(begun_for=run_id)


def _alive(driver: Driver, now: Facts) -> bool:
    try:
        return _run(driver.alive(now.spec, now.handle), LOOK_SECONDS)
    except (TimeoutError, OSError):
        return False


def _begin(machine_id: str) -> None:
    with transaction.atomic():
        machine = locked(machine_id)
        if machine.status in {MachineStatus.CREATING, MachineStatus.RUNNING}:
            move(machine, MachineStatus.STARTING)
        elif machine.status != MachineStatus.STARTING:
            raise MachineUnavailable(f"The machine is {machine.status}.")


def _start(driver: Driver, now: Facts) -> Handle:
    lacks = driver.missing()
    if lacks:
        raise _failed(now.id, " ".join(lacks), final=True)
    try:
        return _run(driver.start(now.spec, None), START_SECONDS)
    except DriverUnavailable as error:
        raise _failed(now.id, str(error), final=True) from error
    except TimeoutError as error:
        raise _failed(now.id, f"The machine did not start within {START_SECONDS:.0f} seconds.") from error
    except Exception as error:  # whatever a driver raises, the machine did not start
        if not isinstance(error, MachineGone):
            log.exception("Machine %s did not start", now.id)
        raise _failed(now.id, f"The machine did not start: {error}") from error


def _failed(machine_id: str, problem: str, *, final: bool = False) -> MachineUnavailable:
    """Count the failed start: it is tried again, or the third time the machine is in error."""
    with transaction.atomic():
        machine = locked(machine_id)
        if machine.status == MachineStatus.STARTING:
            machine.failed_starts += 1
            if final or machine.failed_starts >= STARTS:
                machine.failed_starts = 0
                move(machine, MachineStatus.ERROR, problem=problem[:1000])
            else:
                queue_work(machine)
            machine.save(update_fields=["failed_starts"])
    return MachineUnavailable(problem)


def _came_up(machine_id: str, handle: Handle, *, started: bool) -> Facts:
    """Keep the handle whatever happened meanwhile: who ends the machine needs it."""
    here = this_node()  # before the transaction: the first call writes a file
    with transaction.atomic():
        machine = locked(machine_id)
        machine.handle, machine.failed_starts, machine.node = handle, 0, here
        machine.restarts += started
        machine.save(update_fields=["handle", "failed_starts", "restarts", "node"])
        if machine.status in COMING_UP:
            move(machine, MachineStatus.RUNNING)
        elif machine.status in GOING_DOWN:
            queue_work(machine)
    if machine.status != MachineStatus.RUNNING:
        raise MachineUnavailable(f"The machine is {machine.status}.")
    return facts(machine)


def take_down(machine_id: str, wait: float = 0.0) -> None:
    """End the process of a machine that is stopping, suspended or terminating; terminated only when it is surely gone.

    Raises Occupied, MachineElsewhere; TimeoutError and whatever the driver raises leave the status, and reconcile() tries again.
    """
    with process_lock(machine_id, wait):
        now = look_up(machine_id)
        if now.status not in {*GOING_DOWN, MachineStatus.SUSPENDED}:
            return
        require_here(now.node)
        driver = driver_for(now.driver)
        _run(driver.stop(now.spec, now.handle), STOP_SECONDS)  # also what a killed worker started and did not record
        if now.handle and _alive(driver, now):
            log.warning("Machine %s still answers after its end was asked for", machine_id)
            return
        if now.status == MachineStatus.TERMINATING:
            home_folder.remove(now.spec.folder)
        freezing.settle(machine_id)  # nothing of it stands any more
        _went_down(machine_id)


def _went_down(machine_id: str) -> None:
    after = {MachineStatus.STOPPING: MachineStatus.STOPPED, MachineStatus.TERMINATING: MachineStatus.TERMINATED}
    with transaction.atomic():
        machine = locked(machine_id)
        for before, goal in after.items():
            if machine.status == before:
                move(machine, goal, problem=machine.problem)  # it may say why the machine was stopped
                return


def reconcile(stuck_after: float = STUCK_SECONDS) -> int:
    """Queue the work of machines whose process died or whose last change got stuck; how many there were.

    The clock calls both parts every few seconds. Any number of callers at once queue a machine's start once.
    """
    return retry_stuck(stuck_after) + revive_dead()


def revive_dead() -> int:
    """Queue the start of machines of this node whose process died, and take over those of nodes that are over; how many
    there were. Of other nodes nobody here can tell: look_everywhere() asks them."""
    adopt()
    running = Machine.objects.filter(_of_here(), status=MachineStatus.RUNNING, test=False)
    rows = [machine for machine in running if not is_simulated(machine)]
    dead = asyncio.run(_dead([facts(machine) for machine in rows])) if rows else []
    return sum(_revive(machine_id) for machine_id in dead)


def look_everywhere() -> int:
    """As revive_dead(), here and on every other node that machines live on; the clock, of which one ticks, calls it."""
    elsewhere = Machine.objects.filter(status=MachineStatus.RUNNING, node__isnull=False).exclude(node=this_node())
    for node in elsewhere.order_by().values_list("node", flat=True).distinct():
        if (
            node and not OrmQ.objects.filter(key=node_key(node)).exists()
        ):  # its workers are busy, or silent: once is enough
            async_task("machines.tasks.look", broker=queue_of(node))
    return revive_dead()


class _Silence:
    """Machines that did not answer at a glance, how often in a row and when last. The clock's own memory: it is no verdict."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], tuple[int, float]] = {}

    def of(self, one: Facts, now: float) -> bool:
        """It was silent again: whether that is to be looked into, by bring_up(), which has the patience that a glance has not."""
        times, last = self._seen.get((one.id, one.restarts), (0, 0.0))
        if now - last >= SILENCES_APART:
            times, last = times + 1, now
        self._seen[one.id, one.restarts] = times, last
        if times < SILENCES:
            return False
        self.over(one)
        return True

    def over(self, one: Facts) -> None:
        self._seen.pop((one.id, one.restarts), None)


_silence = _Silence()


async def _dead(all_facts: list[Facts]) -> list[str]:
    async def is_dead(one: Facts) -> bool:
        if not one.handle:
            return True
        if one.halted:  # it does not answer because it must not
            return not process.is_alive(process.recorded(one.handle))
        try:
            lives = await within(GLANCE_SECONDS, driver_for(one.driver).alive(one.spec, one.handle))
        except (TimeoutError, OSError):
            return _silence.of(one, time.monotonic())  # slow is not dead
        _silence.over(one)
        return not lives

    verdicts = await asyncio.gather(*(is_dead(one) for one in all_facts))
    return [one.id for one, dead in zip(all_facts, verdicts, strict=True) if dead]


def _revive(machine_id: str) -> bool:
    with transaction.atomic(), suppress(InvalidState):
        machine = locked(machine_id)
        if machine.status != MachineStatus.RUNNING:
            return False
        move(machine, MachineStatus.STARTING)
        queue_work(machine)
        return True
    return False


def retry_stuck(after: float = STUCK_SECONDS) -> int:
    """Queue the work of machines whose last change got stuck; how many there were. What waits for a node that is silent is
    queued once."""
    now = timezone.now()
    stuck = Machine.objects.filter(status__in=[*COMING_UP, *GOING_DOWN], status_at__lte=now - timedelta(seconds=after))
    retried = 0
    for machine in stuck:
        waits = _waits_for(machine.node)
        with transaction.atomic():
            if stuck.filter(id=machine.id, status=machine.status).update(status_at=now) and not waits:
                queue_work(machine)
                retried += 1
    return retried


def _waits_for(node: str | None) -> bool:
    return node is not None and not is_here(node) and OrmQ.objects.filter(key=node_key(node)).exists()


def reap() -> int:
    """Terminate the machines whose time is up and that no run drives or reserves; how many. Called by the clock."""
    due = Machine.objects.filter(auto_destroy_at__lte=timezone.now(), current_run_id__isnull=True)
    due = due.exclude(status__in=[MachineStatus.TERMINATING, MachineStatus.TERMINATED])
    return each_due(end_if_expired, due.values_list("id", flat=True))


def start_all() -> int:
    """At start-up: whatever should run and does not is started, and changes cut short by the last end go on.

    Machines in error get one more try: what they lacked may be there by now.
    """
    return reconcile(stuck_after=0) + _retry_errors()


def _retry_errors() -> int:
    retried = 0
    for machine in Machine.objects.filter(_of_here(), status=MachineStatus.ERROR, test=False):
        if is_simulated(machine) or driver_for(driver_kind(machine)).missing():
            continue
        with transaction.atomic(), suppress(InvalidState):
            row = locked(machine.id)
            if row.status == MachineStatus.ERROR:
                move(row, MachineStatus.STARTING)
                queue_work(row)
                retried += 1
    return retried


def stop_all_processes() -> int:
    """End every machine process at once, within 3 s; rows stay as they are, so that start_all() brings them back."""
    rows = Machine.objects.filter(_of_here(), test=False).exclude(
        status__in=[MachineStatus.TERMINATED, MachineStatus.STOPPED]
    )
    all_facts = [facts(machine) for machine in rows if machine.handle and not is_simulated(machine)]
    if all_facts:
        asyncio.run(_stop_all(all_facts))
    for machine in rows:
        if machine.frozen:
            freezing.settle(machine.id)
    return len(all_facts)


async def _stop_all(all_facts: list[Facts]) -> None:
    stops = (driver_for(one.driver).stop(one.spec, one.handle) for one in all_facts)
    limited = [within(QUIT_SECONDS, stop) for stop in stops]
    for one, outcome in zip(all_facts, await asyncio.gather(*limited, return_exceptions=True), strict=True):
        if isinstance(outcome, Exception):
            log.warning("Machine %s did not end: %r", one.id, outcome)
