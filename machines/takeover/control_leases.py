"""Leases: one person or key controls a machine, nobody else acts on it. runs/control.py says what that does to a run.

A lease lives by heartbeats and by input; `manage.py clock` ends what fell silent. Who takes or ends one holds the lock
of the machine's run.
"""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.actor import Actor
from accounts.audit.services import audit
from accounts.models import AuditEntry
from database.messages import publish
from machines.errors import MachineBusy, MachineInTakeover
from machines.models import Machine, MachineStatus, TakeoverLease
from machines.processes.freezing import freeze_machine, thaw_machine
from machines.sql import open_lease
from web.errors import InvalidState
from web.times import rfc3339

HEARTBEAT = timedelta(seconds=30)
IDLE = timedelta(minutes=10)
NO_INPUT = frozenset({"screenshot", "wait", "done", "fail"})  # commands that do not keep a lease from idling
# When due() has something to tell next (config/clock.py).
NEXT_LAPSE = """
SELECT min(CASE WHEN m.status IN ('terminating', 'terminated') THEN now() ELSE least(l.expires_at, l.idle_expires_at) END)
FROM machines_takeoverlease l JOIN machines_machine m ON m.id = l.machine_id
WHERE l.ended_at IS NULL AND (l.stopped_at IS NULL OR m.status IN ('terminating', 'terminated'))
"""
_GONE = (MachineStatus.TERMINATING, MachineStatus.TERMINATED)


def take(actor: Actor, machine: Machine, run_id: str | None, *, private: bool, note: str | None) -> TakeoverLease:
    """A new lease on the locked machine, which has no open one. From its commit on what was left running there stands still."""
    now = timezone.now()
    lease = TakeoverLease.objects.create(
        machine=machine,
        holder=actor.ref(),
        private=private,
        note=note,
        run_id=run_id,
        taken_at=now,
        expires_at=now + HEARTBEAT,
        idle_expires_at=now + IDLE,
    )
    audit(actor, "machine.takeover_taken", machine.id, lease_id=lease.id, private=private, run_id=run_id)
    transaction.on_commit(partial(freeze_machine, machine.id, "takeover"), robust=True)
    return lease


def held(actor: Actor, machine_id: str, lease_id: str) -> TakeoverLease:
    """The actor's own living lease, locked. Raises InvalidState when it is not the current one, MachineInTakeover."""
    lease = open_lease(machine_id)
    if lease is None or lease.id != lease_id or not lease.lives:
        raise not_current(lease_id)
    if not is_holder(actor, lease):
        raise in_takeover(lease)
    return lease


def heartbeat(actor: Actor, machine_id: str, lease_id: str) -> TakeoverLease:
    """Raises as held(); the caller is inside atomic()."""
    lease = held(actor, machine_id, lease_id)
    lease.expires_at = lease.now + HEARTBEAT
    lease.save(update_fields=["expires_at"])
    return lease


def end(lease: TakeoverLease, how: str, note: str | None = None, *, resumes: bool = True) -> None:
    """Released or lapsed; whoever waits for the machine may have it, and what stood still in it goes on. The lease is locked."""
    lease.ended_at, lease.end, lease.end_note, lease.resumes = timezone.now(), how, note, resumes
    lease.save(update_fields=["ended_at", "end", "end_note", "resumes"])
    machine = lease.machine
    holder = lease.holder
    actor = Actor(machine.team_id, machine.test, holder["type"], holder["id"], holder["name"], frozenset())
    audit(actor, f"machine.takeover_{how}", machine.id, lease_id=lease.id, private=lease.private, run_id=lease.run_id)
    transaction.on_commit(partial(thaw_machine, machine.id, "takeover"), robust=True)
    if machine.status == MachineStatus.RUNNING and machine.current_run_id is None:
        publish("machine.ready", machine.id)


def due(now: datetime) -> list[str]:
    """Leases that fell silent, had no input for too long, or lost their machine."""
    silent = Q(stopped_at__isnull=True) & (Q(expires_at__lte=now) | Q(idle_expires_at__lte=now))
    over = silent | Q(machine__status__in=_GONE)
    return list(TakeoverLease.objects.filter(over, ended_at__isnull=True).values_list("id", flat=True))


def still_due(lease_id: str) -> TakeoverLease | None:
    """The lease, locked, unless it ended or a heartbeat came since due() looked."""
    lease = TakeoverLease.objects.select_for_update(of=("self",)).select_related("machine").filter(id=lease_id).first()
    if lease is None or lease.ended_at is not None or (lease.lives and lease.machine.status not in _GONE):
        return None
    return lease


# --- what others may do meanwhile


def admit(
    actor: Actor, machine: Machine, lease_id: str | None = None, *, is_input: bool = True
) -> TakeoverLease | None:
    """The actor may act on the machine by hand; returns its lease, which input keeps from idling.

    Raises MachineInTakeover, MachineBusy while a run drives it and the actor has not taken control, InvalidState when
    `lease_id` is over.
    """
    lease = machine.lease
    if lease is not None and not is_holder(actor, lease):
        raise in_takeover(lease)
    if lease is None and machine.current_run_id:
        raise MachineBusy(run_id=machine.current_run_id)
    if lease_id is not None and (lease is None or lease.id != lease_id):
        raise not_current(lease_id)
    if lease is not None and is_input:
        lease.idle_expires_at = lease.now + IDLE
        TakeoverLease.objects.filter(id=lease.id, ended_at__isnull=True).update(idle_expires_at=lease.idle_expires_at)
    return lease


def controls(actor: Actor, machine: Machine) -> bool:
    """Whether the actor holds the machine's living lease."""
    lease = machine.lease
    return lease is not None and is_holder(actor, lease)


def require_visible(actor: Actor, machine_id: str, since: datetime | None = None) -> None:
    """Raises MachineInTakeover while another's private takeover hides the screen, or did at some moment since then."""
    hides = Q(ended_at__isnull=True) if since is None else Q(ended_at__isnull=True) | Q(ended_at__gte=since)
    for lease in TakeoverLease.objects.filter(hides, machine_id=machine_id, private=True):
        if (lease.lives or since is not None) and not is_holder(actor, lease):
            raise in_takeover(lease)


def hidden_since(machine_id: str, since: datetime) -> bool:
    """Whether a private takeover hides the machine, or did at some moment since then."""
    hides = Q(ended_at__isnull=True) | Q(ended_at__gte=since)
    return TakeoverLease.objects.filter(hides, machine_id=machine_id, private=True).exists()


def require_no_other(actor: Actor, machine: Machine) -> None:
    """Raises MachineInTakeover while somebody else controls the machine."""
    lease = machine.lease
    if lease is not None and not is_holder(actor, lease):
        raise in_takeover(lease)


def is_holder(actor: Actor, lease: TakeoverLease) -> bool:
    return bool(lease.holder["type"] == actor.kind and lease.holder["id"] == actor.id)


def in_takeover(lease: TakeoverLease) -> MachineInTakeover:
    ends = min(lease.expires_at, lease.idle_expires_at)
    return MachineInTakeover(holder=lease.holder, lease_expires_at=rfc3339(ends))


def not_current(lease_id: str) -> InvalidState:
    end = TakeoverLease.objects.filter(id=lease_id).values_list("end", flat=True).first()
    message = "This lease is not the machine's current one."
    return InvalidState(message, current_state=end or "lapsed", allowed_from=["taken"])


def actions_of(lease: TakeoverLease) -> list[dict[str, Any]]:
    """What the holder did by hand, oldest first, as the audit has it: {command, params, at}, typed text as its length."""
    since = AuditEntry.objects.filter(team_id=lease.machine.team_id, at__gte=lease.taken_at)
    rows = since.filter(verb="machine.action", subject=lease.machine_id, data__lease_id=lease.id)
    return [step | {"at": at} for at, data in rows.order_by("id").values_list("at", "data") for step in data["actions"]]
