"""Which machines an actor may see: those of the team and world."""

from django.db.models import Prefetch, QuerySet

from accounts.actor import Actor
from machines.errors import MachineNotFound
from machines.models import Machine, MachineStatus, TakeoverLease
from machines.schemas import BILLED
from machines.sql import machine_of_team
from web.errors import InvalidState

ENDED = frozenset({MachineStatus.TERMINATING, MachineStatus.TERMINATED})


def machines_of(actor: Actor) -> QuerySet[Machine]:
    leases = Prefetch("takeovers", TakeoverLease.objects.filter(ended_at__isnull=True), to_attr="open_takeovers")
    rows = Machine.objects.filter(team_id=actor.team_id, test=actor.test)
    return rows.select_related("team").prefetch_related(leases)


def costing(actor: Actor) -> QuerySet[Machine]:
    """Those of the actor's that cost money now, oldest first; nothing is billed in the test world."""
    rows = machines_of(actor).filter(test=False, status__in=BILLED).exclude(kind="simulated")
    return rows.order_by("created_at", "id")


def get_machine(actor: Actor, machine_id: str) -> Machine:
    """Raises MachineNotFound, also for a machine of another team or world."""
    machine = machine_of_team(machine_id.replace("\0", "\ufffd"), actor.team_id, test=actor.test)
    if machine is None:
        raise MachineNotFound
    return machine


def require_default(actor: Actor, machine_id: str) -> None:
    """Live runs can have this machine without naming it. Raises MachineNotFound, InvalidState for one that ends."""
    machine = get_machine(actor, machine_id)
    if machine.test:
        raise MachineNotFound
    if machine.status in ENDED:
        raise InvalidState(current_state=machine.status, allowed_from=[s for s in MachineStatus if s not in ENDED])
