"""Taking control of a machine and giving it back, with what that does to its occupant: one transaction each.

Locks: the occupant (for a run: root run, run), then the machine and its lease, then what waits for the lease.
"""

from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from accounts.actor import Actor
from database.timers import each_due
from machines import occupants, services
from machines.access import get_machine
from machines.actions import by_hand
from machines.errors import MachineBusy
from machines.models import TakeoverLease
from machines.sql import open_lease
from machines.stops import require_unstopped
from machines.takeover import control_leases

TRIES = 5  # to find the machine with the occupant it had a moment before


@dataclass(frozen=True)
class Released:
    """What is true after the commit; both None when no run had to do with it."""

    run_id: str | None
    status: str | None


def take(actor: Actor, machine_id: str, *, private: bool = False, note: str | None = None) -> TakeoverLease:
    """Control of the machine; its holder gets the same lease. What the agent left running there stands still from then on.

    Raises MachineNotFound, InvalidState, Stopped, MachineInTakeover, MachineBusy (it changes hands too quickly).
    """
    for _ in range(TRIES):
        with transaction.atomic():
            run_id = get_machine(actor, machine_id).current_run_id
            occupant = occupants.lock(run_id)
            machine = services.locked(machine_id)
            if machine.current_run_id != run_id:
                continue
            lease = _own_lease(actor, machine_id, occupant)
            if lease is not None:
                return lease
            by_hand.require_running(machine)
            require_unstopped(machine)
            lease = control_leases.take(actor, machine, run_id, private=private, note=note)
            if occupant is not None:
                occupant.bar(lease)
            return lease
    raise MachineBusy(run_id=run_id)


def _own_lease(actor: Actor, machine_id: str, occupant: occupants.Locked | None) -> TakeoverLease | None:
    """The actor's own lease, if it lives; one that is overdue lapses now. Raises MachineInTakeover."""
    lease = open_lease(machine_id)
    if lease is None:
        return None
    if not lease.lives:
        _lapse(occupant if occupant is not None and occupant.id == lease.run_id else None, lease)
        return None
    if not control_leases.is_holder(actor, lease):
        raise control_leases.in_takeover(lease)
    return lease


def release(
    actor: Actor, machine_id: str, lease_id: str, *, note: str | None = None, resume: bool = True, via: str = "api"
) -> Released:
    """Give control back. With `resume` the takeover request is approved; the agent's own needs the right to decide.

    Raises MachineNotFound, InvalidState, MachineInTakeover, and as Locked.free().
    """
    machine = get_machine(actor, machine_id)
    with transaction.atomic():
        run_id = TakeoverLease.objects.filter(id=lease_id, machine=machine).values_list("run_id", flat=True).first()
        occupant = occupants.lock(run_id)
        lease = control_leases.held(actor, machine.id, lease_id)
        control_leases.end(lease, "released", note, resumes=resume)
        if occupant is None:
            return Released(None, None)
        occupant.free(lease, actor, via)
        return Released(occupant.id, occupant.status)


def lapses() -> int:
    """End leases whose holder fell silent; called by the clock."""
    return each_due(lapse, control_leases.due(timezone.now()))


def lapse(lease_id: str) -> bool:
    """A run that stood only because control was taken goes on. False when the lease lives or has ended."""
    run_id = TakeoverLease.objects.values_list("run_id", flat=True).get(id=lease_id)
    with transaction.atomic():
        occupant = occupants.lock(run_id)
        lease = control_leases.still_due(lease_id)
        if lease is None:
            return False
        _lapse(occupant, lease)
        return True


def _lapse(occupant: occupants.Locked | None, lease: TakeoverLease) -> None:
    control_leases.end(lease, "lapsed")
    if occupant is not None:
        occupant.free(lease, services.actor_for(lease.machine), "lease_expired")
