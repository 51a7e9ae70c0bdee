"""Machine time: counted by the clock, charged in whole cents, and machines that nobody can pay for
(docs/api/billing.md sections 1 and 2)."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.module_loading import import_string

from database.timers import each_due
from machines.models import Machine
from machines.schemas import BILLED
from machines.services import actor_for, count_time, locked, suspend

CENT = 3600  # cent-seconds
SPARED = timedelta(minutes=60)  # how long a machine that somebody needs outlives the money


def charge_all() -> int:
    """Charge what the machines cost since the last time; how many there were. Called by the clock every minute."""
    rows = Machine.objects.filter(Q(status__in=BILLED) | Q(meter__gte=CENT), test=False).exclude(kind="simulated")
    return each_due(charge, list(rows.values_list("id", flat=True)))


def charge(machine_id: str) -> bool:
    """Count and charge the time of one machine; with an empty wallet it is suspended, never destroyed. Returns True.

    Machines know nothing of money: settings.MACHINE_TILL names a callable(actor, machine_id, cents, words) that takes
    what the wallet has of the cents and tells whether anything is left.
    """
    with transaction.atomic():
        machine, now = locked(machine_id), timezone.now()
        count_time(machine, now)
        cents, machine.meter = divmod(machine.meter, CENT)
        words = f"Machine time of {machine.display_name}"
        left = import_string(settings.MACHINE_TILL)(actor_for(machine), machine.id, cents, words)
        machine.unpaid_since = None if left else machine.unpaid_since or now
        machine.save(update_fields=["metered_at", "meter", "unpaid_since"])
        if machine.unpaid_since is not None and not _spared(machine, now):
            suspend(machine.id)
    return True


def _spared(machine: Machine, now: datetime) -> bool:
    """A machine that a person controls or a run reserves goes last."""
    needed = machine.lease is not None or machine.current_run_id is not None
    return needed and machine.unpaid_since is not None and now - machine.unpaid_since < SPARED
