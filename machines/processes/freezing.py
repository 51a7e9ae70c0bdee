"""Machines stand still: what an agent left behind while a person controls the machine, everything while it is stopped.

Why is in the rows: an open lease, `Machine.halted_at`. `Machine.frozen` records which processes were made to stand for that,
written before they are, so that whoever comes by after a crash puts it right: settle() compares what should stand with what
does. It asks no worker, no guest and no shell; it has to run on the machine's host, and the clock calls it while there is a
reason, since a process that stands can be woken from inside.
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, Self

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django_q.models import OrmQ
from django_q.tasks import async_task

from machines.drivers import guest_link, process
from machines.drivers.base import MachineGone
from machines.drivers.freezing import freezer, processes
from machines.drivers.freezing.processes import Inside
from machines.drivers.places import recorded_places
from machines.drivers.process import Identity
from machines.errors import MachineElsewhere
from machines.models import Machine, TakeoverLease
from machines.processes.nodes import is_here, node_key, queue_of
from machines.processes.turns import turn
from machines.sql import halt

log = logging.getLogger(__name__)
Why = Literal["takeover", "stop"]

LOOKS = 50  # at most, until two of them show nothing that still has to be made to stand
PAGES_SECONDS = 20.0
TURN_SECONDS = 2.0  # to wait for somebody who is at the same machine; he may stand still himself
# When settle_all() has something to do next (config/clock.py).
NEXT_SETTLE = """
SELECT CASE WHEN EXISTS (
  SELECT 1 FROM machines_machine m WHERE m.handle ? 'pid' AND (m.halted_at IS NOT NULL OR m.frozen IS NOT NULL OR EXISTS (
    SELECT 1 FROM machines_takeoverlease l WHERE l.machine_id = m.id AND l.ended_at IS NULL))
) THEN now() END
"""


def freeze_machine(machine_id: str, why: Why, stop_id: str | None = None) -> None:
    """See that the machine stands still: for "takeover" what was in it before and nobody works with, for "stop" all.

    Idempotent, outside of transactions. "takeover" holds as long as a lease is open, "stop" until thaw_machine(). When it
    returns, nothing of it runs any more, but what was woken since. Raises MachineElsewhere on another node than the machine's,
    which is told, for "stop" until it is so there. With `stop_id` only while that stop stands; after its lift this changes nothing.
    """
    if stop_id is not None:
        halt(machine_id, stop_id)
    elif why == "stop":
        Machine.objects.filter(id=machine_id, halted_at__isnull=True).update(halted_at=timezone.now())
    _settle_or_tell(machine_id, why, stands=True)


def thaw_machine(machine_id: str, why: Why) -> None:
    """This reason is over; what no other reason holds runs on. As freeze_machine()."""
    if why == "stop":
        Machine.objects.filter(id=machine_id).update(halted_at=None)
    _settle_or_tell(machine_id, why, stands=False)


def _settle_or_tell(machine_id: str, why: Why, *, stands: bool) -> None:
    machine = Machine.objects.filter(id=machine_id).first()
    if machine is None or is_here(machine.node):
        settle(machine_id)
        return
    node = str(machine.node)
    _tell(node)
    if why == "stop" and bool((machine.frozen or {}).get("halted")) != stands:
        raise MachineElsewhere(node=node)


def _tell(node: str) -> None:
    """The node of a machine looks itself."""
    if not OrmQ.objects.filter(key=node_key(node)).exists():  # its workers are busy, or silent: once is enough
        async_task("machines.tasks.settle", broker=queue_of(node))


def settle_all() -> int:
    """Put right what stands still and what does not, on every node; how many machines of this one there were to look at.
    Called by the clock.
    """
    for node in {node for _, node in _to_look_at() if not is_here(node)}:
        _tell(str(node))
    return settle_here()


def settle_here() -> int:
    ids = [machine_id for machine_id, node in _to_look_at() if is_here(node)]
    for machine_id in ids:
        try:
            settle(machine_id)
        except OSError:
            log.exception("Machine %s could not be looked into", machine_id)
    return len(ids)


def _to_look_at() -> list[tuple[str, str | None]]:
    held = Q(halted_at__isnull=False) | Q(frozen__isnull=False) | Exists(_open_leases(OuterRef("id")))
    return list(Machine.objects.filter(held, handle__has_key="pid").values_list("id", "node"))


def _open_leases(machine: str | OuterRef) -> QuerySet[TakeoverLease]:
    return TakeoverLease.objects.filter(machine_id=machine, ended_at__isnull=True)


@dataclass
class _Record:
    """`Machine.frozen`. `holder`: the process of the handle; what is said of another one is over.

    `lease`: whose takeover `left` was noted for: everything that was inside when it began, and what came of that.
    `stands`: what was made to stand and will have to go on. `group`: where the kernel holds it, if it does.
    """

    holder: Identity
    lease: str | None = None
    halted: bool = False
    group: str = ""
    left: set[Identity] = field(default_factory=set)
    stands: list[Identity] = field(default_factory=list)

    @classmethod
    def of(cls, machine: Machine, holder: Identity) -> Self:
        row = machine.frozen or {}
        record = cls(holder, row.get("lease"))
        if row.get("holder") == _pair(holder):
            record.left = {Identity(*pair) for pair in row["left"]}
            record.stands = [Identity(*pair) for pair in row["stands"]]
            record.group = row["group"]
        elif row.get("group"):
            freezer.remove(row["group"])
        return record

    def will_stand(self, rows: Iterable[Identity]) -> None:
        """Noted before it is done."""
        self.stands += [one for one in rows if one not in self.stands]

    def save(self, machine: Machine) -> None:
        row = None
        if self.lease or self.stands or self.halted:
            pairs = {"left": sorted(map(_pair, self.left)), "stands": list(map(_pair, self.stands))}
            row = {
                "holder": _pair(self.holder),
                "lease": self.lease,
                "halted": self.halted,
                "group": self.group,
                **pairs,
            }
        if row != machine.frozen:
            machine.frozen = row
            Machine.objects.filter(id=machine.id).update(frozen=row)


def _pair(one: Identity) -> list[int]:
    return [one.pid, one.starttime]


def settle(machine_id: str) -> None:
    """Make the machine stand still as far as its reasons demand, and no further. Nothing to do for simulated ones. On the
    machine's node.
    """
    # Who has the turn may stand still himself, and this must not wait for him.
    with turn("frozen", machine_id, TURN_SECONDS):
        machine = Machine.objects.filter(id=machine_id).first()
        holder = process.recorded(machine.handle) if machine else None
        if machine is None or holder is None:
            return
        lease = _open_leases(machine_id).values_list("id", flat=True).first()
        _settle(machine, _Record.of(machine, holder), lease)


def _settle(machine: Machine, record: _Record, lease: str | None) -> None:
    begins = machine.kind != "browser" and lease not in (None, record.lease)
    inside, targets, sent = _stopped_one_by_one(machine, record, lease)
    if inside is None:
        _note_nothing(machine, record, lease)
        return
    if machine.isolation == "bubblewrap" and (begins or (machine.halted_at and sent)):
        inside, targets = _stopped_at_once(machine, record, lease, inside)
    if record.group and (held := [one for one in record.stands if one in targets]):
        freezer.hold(record.group, held)
    _let_go_on(machine, record, inside, targets)
    record.halted = machine.halted_at is not None
    record.save(machine)
    if begins and not machine.halted_at:
        processes.drop_unread(inside)
    if machine.kind == "browser" and not machine.halted_at and (lease or record.lease):
        _hold_pages(machine, record, lease)


def _stopped_one_by_one(
    machine: Machine, record: _Record, lease: str | None
) -> tuple[Inside | None, set[Identity], set[Identity]]:
    """Until two looks show nothing new. The last look, what has to stand, and what was made to."""
    targets: set[Identity] = set()
    sent: set[Identity] = set()
    quiet = 0
    for _ in range(LOOKS):
        inside = processes.look(record.holder, machine.isolation)
        if inside is None:
            return None, targets, sent
        targets = _targets(machine, record, lease, inside)
        fresh = [row.identity for row in inside.rows if row.identity in targets - sent and not row.stands]
        record.group = record.group or freezer.group_of(inside.guest.pid, machine.id)
        record.will_stand(fresh)
        record.save(machine)
        processes.stop(fresh)
        sent.update(fresh)
        quiet = 0 if fresh else quiet + 1
        if quiet == 2 or (quiet and not sent):  # a second look, for what was born behind the back of the first
            break
    return inside, targets, sent


def _stopped_at_once(
    machine: Machine, record: _Record, lease: str | None, inside: Inside
) -> tuple[Inside, set[Identity]]:
    """Also what forks and ends faster than anybody looks. What a person works with stands for a moment, too; it is noted before."""
    in_use = set() if machine.halted_at else processes.in_use(inside)
    slept = {row.identity for row in inside.rows if row.stands}
    record.will_stand(row.identity for row in inside.rows if not row.stands)
    record.save(machine)
    if not processes.stop_at_once(inside):
        log.warning("Machine %s cannot be stopped at one moment: what forks without end may go on", machine.id)
    inside = processes.look(record.holder, machine.isolation) or inside
    record.will_stand(row.identity for row in inside.rows if row.identity not in slept)
    if lease and machine.kind != "browser":
        record.left |= {row.identity for row in inside.rows} - processes.core(inside)
    record.save(machine)
    return inside, _targets(machine, record, lease, inside) - in_use


def _hold_pages(machine: Machine, record: _Record, lease: str | None) -> None:
    """The keeper of a browser holds the pages that are not in view; it is outside of the sandbox, and of our own code.

    What is not at rest after that, or not let go, stays unrecorded, and the clock tries again.
    """
    places = recorded_places(machine.spec, machine.handle)
    try:
        answer = asyncio.run(guest_link.ask(places.keeper, "hold" if lease else "let_go", PAGES_SECONDS, 1 << 20))
    except MachineGone as error:
        log.warning("The pages of machine %s could not be held or let go: %s", machine.id, error)
        return
    if "held" not in answer and lease != record.lease:
        log.warning(
            "The browser of machine %s is of an older release: it holds no pages until it is restarted", machine.id
        )
    if answer.get("held", bool(lease)) == bool(lease):
        record.lease = lease
        record.save(machine)


def _note_nothing(machine: Machine, record: _Record, lease: str | None) -> None:
    """The machine has ended, and what it will be started with is not the agent's."""
    if process.is_alive(record.holder):
        log.warning("Machine %s cannot be looked into", machine.id)
    else:
        if record.group:
            freezer.remove(record.group)
        _Record(record.holder, lease).save(machine)


def _targets(machine: Machine, record: _Record, lease: str | None, inside: Inside) -> set[Identity]:
    """What has to stand now; notes what was there when the takeover began."""
    everything = {row.identity for row in inside.rows}
    if machine.kind != "browser":  # there the programs are the person's; see _hold_pages()
        if lease is None:
            record.left = set()
        elif record.lease != lease:
            record.left = everything
        record.left = (record.left & everything) | _born_of(record.left, inside)
        record.left -= processes.core(inside)
        record.lease = lease
    if machine.halted_at:
        return everything
    return record.left - processes.in_use(inside) if record.left else set()


def _born_of(parents: set[Identity], inside: Inside) -> set[Identity]:
    """All that descends from these."""
    pids = {one.pid for one in parents}
    born = set()
    for row in inside.rows:  # nearest first
        if row.parent in pids:
            pids.add(row.pid)
            born.add(row.identity)
    return born


def _let_go_on(machine: Machine, record: _Record, inside: Inside, targets: set[Identity]) -> None:
    free = [one for one in record.stands if one not in targets]
    order = {row.identity: place for place, row in enumerate(inside.rows)}
    free = sorted((one for one in free if one in order), key=order.__getitem__)
    if record.group:
        freezer.let_go(record.group, free)
    processes.go_on(free)
    record.stands = [one for one in record.stands if one in targets]
    record.save(machine)
