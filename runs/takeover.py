"""Taking control of a machine and giving it back, with what that does to its run: one transaction each.

Locks: root run, run, then the machine and its lease or the request.
"""

from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from accounts.actor import Actor, system
from approvals import deciding
from approvals.answers.answer import Answer
from database.timers import each_due
from machines import services as machines
from machines.access import get_machine
from machines.actions import by_hand
from machines.errors import MachineBusy
from machines.models import TakeoverLease
from machines.sql import open_lease
from machines.stops import require_unstopped
from machines.takeover import leases
from runs import control
from runs.models import Run
from runs.services import lock_run
from runs.subject import LockedRun, take_late_effects

TRIES = 5  # to find the machine with the run it had a moment before


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
            run = lock_run(run_id) if run_id else None
            machine = machines.locked(machine_id)
            if machine.current_run_id != run_id:
                continue
            kept = _kept(actor, machine_id, run)
            if kept is not None:
                return kept
            by_hand.require_running(machine)
            require_unstopped(machine)
            lease = leases.take(actor, machine, run_id, private=private, note=note)
            if run is not None:
                control.bar(run, lease)
            return lease
    raise MachineBusy(run_id=run_id)


def _kept(actor: Actor, machine_id: str, run: Run | None) -> TakeoverLease | None:
    """The actor's own lease, if it lives; one that is overdue lapses now. Raises MachineInTakeover."""
    lease = open_lease(machine_id)
    if lease is None:
        return None
    if not lease.lives:
        _lapse(run if run is not None and run.id == lease.run_id else None, lease)
        return None
    if not leases.is_holder(actor, lease):
        raise leases.in_takeover(lease)
    return lease


def release(
    actor: Actor, machine_id: str, lease_id: str, *, note: str | None = None, resume: bool = True, via: str = "api"
) -> Released:
    """Give control back. With `resume` the takeover request is approved; the agent's own needs the right to decide.

    Raises MachineNotFound, InvalidState, MachineInTakeover, and as deciding.decide().
    """
    machine = get_machine(actor, machine_id)
    with deciding.settling_expiry(), transaction.atomic():
        run_id = TakeoverLease.objects.filter(id=lease_id, machine=machine).values_list("run_id", flat=True).first()
        run = lock_run(run_id) if run_id else None
        lease = leases.held(actor, machine.id, lease_id)
        asked = control.request_of(lease) if resume else None
        control.lift(run, lease, "released", note, resumes=resume)
        if run is not None and not run.is_terminal:
            if asked is not None:
                made = Answer("approve", note=note)
                deciding.settle_locked(actor, LockedRun(run), asked, made, via, entitled=lease.opened_request)
            elif run.status == "awaiting_human":
                control.tell(run, note)
            take_late_effects(run)
        return Released(run.id if run else None, run.status if run else None)


# --- silence


def lapses() -> int:
    """End leases whose holder fell silent; called by the clock."""
    return each_due(lapse, leases.due(timezone.now()))


def lapse(lease_id: str) -> bool:
    """A run that stood only because control was taken goes on. False when the lease lives or has ended."""
    seen = TakeoverLease.objects.get(id=lease_id)
    with transaction.atomic():
        run = lock_run(seen.run_id) if seen.run_id else None
        lease = leases.still_due(lease_id)
        if lease is None:
            return False
        _lapse(run, lease)
        return True


def _lapse(run: Run | None, lease: TakeoverLease) -> None:
    asked = control.request_of(lease) if lease.opened_request else None
    control.lift(run, lease, "lapsed")
    if run is None or run.is_terminal:
        return
    if asked is not None:
        deciding.settle_locked(system(run.team_id, run.test), LockedRun(run), asked, Answer("approve"), "lease_expired")
    take_late_effects(run)
