"""What the homes of machines hold on disk: measured by the clock, one after the other; a machine with too much is stopped.

Nothing else bounds it: a home is a folder of ours, and one machine that fills the disk stops the whole installation.
"""

import time
from datetime import timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from machines.drivers.home_folder import Measurement
from machines.models import Machine, MachineStatus
from machines.processes.nodes import this_node
from machines.services import is_simulated, stop_full

GIGABYTE = 1 << 30
EVERY = 10.0  # seconds from one round through the homes to the next
ROOM = timedelta(minutes=15)  # after a start, for people to make room in a home that is too full
MORE = GIGABYTE // 4  # that it may grow by meanwhile


class _Round:
    """The clock's place in its round; of no worth to anybody else."""

    def __init__(self) -> None:
        self.waiting: list[str] = []
        self.measured: tuple[str, Measurement] | None = None
        self.next_at = 0.0

    def give_up(self) -> None:
        if self.measured is not None:
            self.measured[1].give_up()
        self.__init__()  # type: ignore[misc]


_round = _Round()


def look() -> int:
    """Take up what was measured, and begin to measure the next; how many machines were stopped. Never waits."""
    stopped = 0
    if _round.measured is not None:
        machine_id, measurement = _round.measured
        size = measurement.result()
        if size is None:
            return 0
        _round.measured = None
        stopped = judge(machine_id, size)
    if not _round.waiting and time.monotonic() >= _round.next_at:
        _round.waiting, _round.next_at = _running(), time.monotonic() + EVERY
    if _round.waiting:
        machine_id = _round.waiting.pop()
        machine = Machine.objects.filter(id=machine_id).first()
        if machine is not None:
            _round.measured = machine_id, Measurement(machine.spec.folder / "home")
    return stopped


def _running() -> list[str]:
    if not settings.MACHINE_HOME_GB:
        return []
    here = Q(node__isnull=True) | Q(node=this_node())
    rows = Machine.objects.filter(here, status=MachineStatus.RUNNING, test=False)
    return [machine.id for machine in rows if not is_simulated(machine)]


def judge(machine_id: str, size: int) -> bool:
    """Note what the home of a machine holds (bytes; -1: nobody knows, it is too much); whether it was stopped for that."""
    machine = Machine.objects.filter(id=machine_id, status=MachineStatus.RUNNING).first()
    if machine is None:
        return False
    limit = round(settings.MACHINE_HOME_GB * GIGABYTE)
    if 0 <= size <= limit:
        Machine.objects.filter(id=machine_id).update(home_bytes=size, full_at=None)
        return False
    if 0 <= size <= _for_now(machine):
        Machine.objects.filter(id=machine_id).update(home_bytes=size)
        return False
    return stop_full(machine_id, max(size, 0), words(size))


def _for_now(machine: Machine) -> int:
    """A machine that was started again to make room: what it may hold meanwhile."""
    begun = machine.started_at
    if machine.full_at is None or machine.home_bytes is None or begun is None or begun + ROOM < timezone.now():
        return 0
    return machine.home_bytes + MORE


def words(size: int) -> str:
    holds = f"{size / GIGABYTE:.1f} GB" if size >= 0 else "more files than can be counted"
    return f"Its home holds {holds} and may hold {settings.MACHINE_HOME_GB:g} GB, so it was stopped."
