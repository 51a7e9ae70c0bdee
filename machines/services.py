"""Changes to machines: rows and their statuses. Processes are started and ended by lifecycle.py, from tasks.

Every change locks the row, tests it, writes, records and queues in one transaction. Nothing here talks to a driver.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.module_loading import import_string
from django_q.tasks import async_task

from accounts.actor import Actor, system
from accounts.audit.services import audit
from database.messages import publish
from database.sql import save
from machines.access import ENDED
from machines.actions import typed_secrets
from machines.drivers.base import Action
from machines.drivers.registry import KINDS as DRIVER_KINDS
from machines.drivers.registry import driver_for
from machines.errors import MachineBusy, NoMachine
from machines.models import MACHINE_MOVES, Machine, MachineStatus, TakeoverLease
from machines.processes import capacity
from machines.processes.nodes import queue_of
from machines.schemas import MachineCreate, cents_per_hour
from machines.sql import free_machine, machine_of_run, open_lease
from machines.takeover import control_leases
from web.errors import Invalid, InvalidState

STARTABLE = (MachineStatus.STOPPED, MachineStatus.SUSPENDED)
LOGGED_COMMAND = 1000  # characters
UNSEEN_SECONDS = 300  # the longest time between two looks of the clock that counts
WORK = {"creating": "start", "starting": "start", "stopping": "stop", "suspended": "stop", "terminating": "terminate"}


def driver_kind(machine: Machine) -> str:
    """The kind of driver that serves it: test keys keep the kind they asked for, but nothing real is started."""
    return "simulated" if machine.test else machine.kind


def is_simulated(machine: Machine) -> bool:
    return driver_kind(machine) == "simulated"


def actor_for(machine: Machine) -> Actor:
    return system(machine.team_id, machine.test)


def locked(machine_id: str) -> Machine:
    """The machine's row, locked until the transaction ends."""
    return Machine.objects.select_for_update().get(id=machine_id)


def move(machine: Machine, to: MachineStatus, actor: Actor | None = None, *, problem: str = "") -> None:
    """The only writer of a machine's status. `machine` must be locked by the caller's transaction.

    Publishes machine.ready (id) when it runs, and machine.gone (id, run id or "") when it will not again by itself.
    Raises InvalidState for a move that MACHINE_MOVES does not know.
    """
    before = machine.status
    if to not in MACHINE_MOVES[before]:
        raise InvalidState(current_state=before, allowed_from=[s for s, after in MACHINE_MOVES.items() if to in after])
    now = timezone.now()
    count_time(machine, now)
    machine.status, machine.status_at, machine.problem = to, now, problem
    if to == MachineStatus.RUNNING:
        machine.started_at = now
    if to == MachineStatus.TERMINATED:
        machine.terminated_at = now
        typed_secrets.forget(machine.id)
    changed = ("status", "status_at", "problem", "started_at", "terminated_at", "metered_at", "meter")
    machine.save(update_fields=changed)
    reason = {"problem": problem} if problem else {}
    audit(actor or actor_for(machine), f"machine.{to}", machine.id, before=before, **reason)
    if to == MachineStatus.RUNNING:
        publish("machine.ready", machine.id)
    if to in {MachineStatus.TERMINATING, MachineStatus.ERROR}:
        publish("machine.gone", machine.id, machine.current_run_id or "")


def count_time(machine: Machine, now: datetime) -> None:
    """Count the time since the last look at the price of the present status. The caller saves `meter` and `metered_at`.

    Only what a clock saw: while the installation was switched off no machine ran, whatever its row says.
    """
    seconds = int((now - machine.metered_at).total_seconds())
    machine.meter += cents_per_hour(machine) * min(max(seconds, 0), UNSEEN_SECONDS)
    machine.metered_at = now


def queue_work(machine: Machine) -> None:
    """Queue the task that brings the machine out of its present status, for a worker of its node; tasks may run twice."""
    async_task(f"machines.tasks.{WORK[machine.status]}", machine.id, broker=queue_of(machine.node))


def wallet_gate(actor: Actor) -> None:
    """Ask settings.MACHINE_GATE, a dotted path to `callable(actor)`, whether the wallet allows one more machine.

    Machines know nothing of money: config names who does. Raises whatever it raises (InsufficientCredits).
    """
    if settings.MACHINE_GATE and not actor.test:
        import_string(settings.MACHINE_GATE)(actor)


def create_machine(actor: Actor, body: MachineCreate, *, gate: Callable[[Actor], None] = wallet_gate) -> Machine:
    """A new machine: simulated ones run at once, others are `creating` until a worker has started them.

    Raises NoMachine or Invalid for what cannot be made here, and what `gate` raises.
    """
    _check_kind(actor, body)
    fields = body.model_dump() if actor.test or body.kind == "simulated" else capacity.fitted(body)
    now = timezone.now()
    with transaction.atomic():
        gate(actor)
        machine = Machine(
            team_id=actor.team_id,
            test=actor.test,
            created_by=actor.ref(),
            created_at=now,
            status_at=now,
            auto_destroy_at=_end_of(body.ttl_minutes, now),
            **fields,
        )
        if is_simulated(machine):
            machine.handle, machine.restarts = {"simulated": True}, 1
        machine.save(force_insert=True)
        audit(actor, "machine.created", machine.id, display_name=machine.display_name, kind=machine.kind)
        if is_simulated(machine):
            move(machine, MachineStatus.RUNNING, actor)
        else:
            queue_work(machine)
    return machine


def _check_kind(actor: Actor, body: MachineCreate) -> None:
    if body.os == "windows" and body.kind != "desktop":
        raise Invalid((("body", "os"), "Only machines of kind desktop run windows.", "value_error"))
    if actor.test:
        return
    if body.kind == "simulated" and not settings.ALLOW_SCRIPTED_LIVE:
        message = f"Machines of kind simulated cannot be made here. Kinds that work: {', '.join(_real_kinds())}."
        raise Invalid((("body", "kind"), message, "value_error"))
    if lacks := lacks_of(body.kind):
        raise NoMachine(no_machine_words(f"No machine of kind {body.kind}", lacks), "kind")
    if body.os == "windows":
        raise Invalid((("body", "os"), "This installation has no windows machines.", "value_error"))


def _real_kinds() -> list[str]:
    return [kind for kind in DRIVER_KINDS if kind != "simulated"]


def lacks_of(kind: str) -> list[str]:
    """What keeps this computer from running machines of a kind, with the fix of each; empty when nothing does."""
    if kind not in DRIVER_KINDS:
        return [f"this version has no driver for it (it has {' and '.join(_real_kinds())})."]
    return driver_for(kind).missing()


def no_machine_words(what: str, lacks: Sequence[str]) -> str:
    """Why no machine can be made, and the way on."""
    return f"{what} can be made on this computer yet: {' '.join(lacks)} See manage.py doctor, or use the test key."


def _end_of(ttl_minutes: int | None, start: datetime) -> datetime | None:
    return start + timedelta(minutes=ttl_minutes) if ttl_minutes else None


def set_ttl(actor: Actor, machine_id: str, ttl_minutes: int) -> Machine:
    """The machine ends `ttl_minutes` from now; 0 = never."""
    with transaction.atomic():
        machine = locked(machine_id)
        before = machine.ttl_minutes
        machine.ttl_minutes = ttl_minutes or None
        machine.auto_destroy_at = _end_of(ttl_minutes, timezone.now())
        machine.save(update_fields=["ttl_minutes", "auto_destroy_at"])
        audit(actor, "machine.ttl", machine.id, before=before, after=machine.ttl_minutes)
    return machine


def start(actor: Actor, machine_id: str) -> Machine:
    """Raises InvalidState unless it is stopped or suspended."""
    with transaction.atomic():
        machine = locked(machine_id)
        _require(machine, *STARTABLE)
        move(machine, MachineStatus.STARTING, actor)
        _work(machine, MachineStatus.RUNNING, actor)
    return machine


def stop(actor: Actor, machine_id: str) -> Machine:
    """Raises InvalidState unless it runs, MachineBusy while a run drives or reserves it, MachineInTakeover."""
    with transaction.atomic():
        machine = locked(machine_id)
        _require(machine, MachineStatus.RUNNING)
        if machine.current_run_id:
            raise MachineBusy(run_id=machine.current_run_id)
        control_leases.require_no_other(actor, machine)
        move(machine, MachineStatus.STOPPING, actor)
        _work(machine, MachineStatus.STOPPED, actor)
    return machine


def stop_full(machine_id: str, size: int, problem: str) -> bool:
    """The installation's own stop: its home holds too much. Whoever drives it is told. False when it does not run."""
    with transaction.atomic():
        machine = locked(machine_id)
        if machine.status != MachineStatus.RUNNING:
            return False
        machine.home_bytes, machine.full_at = size, timezone.now()
        machine.save(update_fields=["home_bytes", "full_at"])
        move(machine, MachineStatus.STOPPING, problem=problem)
        queue_work(machine)
        return True


def suspend(machine_id: str) -> bool:
    """The installation's own stop (empty wallet): no process, home kept. False when it does not run."""
    with transaction.atomic():
        machine = locked(machine_id)
        if machine.status != MachineStatus.RUNNING:
            return False
        move(machine, MachineStatus.SUSPENDED)
        queue_work(machine)
        return True


def terminate(actor: Actor, machine_id: str) -> Machine:
    """`terminated` at once for simulated machines, else when the driver has confirmed it. A run that drives it is told.

    Raises InvalidState for a machine that is terminated or about to be.
    """
    with transaction.atomic():
        machine = locked(machine_id)
        _require(machine, *(s for s in MachineStatus if s not in ENDED))
        _terminate(machine, actor)
    return machine


def _terminate(machine: Machine, actor: Actor) -> None:
    move(machine, MachineStatus.TERMINATING, actor)
    _work(machine, MachineStatus.TERMINATED, actor)


def _work(machine: Machine, goal: MachineStatus, actor: Actor) -> None:
    """Simulated machines are where they should be at once; for others a worker does it."""
    if is_simulated(machine):
        move(machine, goal, actor)
    else:
        queue_work(machine)


def _require(machine: Machine, *statuses: str) -> None:
    if machine.status not in statuses:
        raise InvalidState(current_state=machine.status, allowed_from=[str(s) for s in statuses])


def reserve(machine_id: str, run_id: str) -> bool:
    """Give the machine to the run, waits included, until release(). False: it does not run, or somebody else has it.

    The leases are read once the machine is locked: taking control locks it too.
    """
    with transaction.atomic():
        machine = free_machine(machine_id, run_id)
        if machine is None or open_lease(machine_id) is not None:
            return False
        machine.current_run_id = run_id
        save(machine, ["current_run_id"])
        return True


def release(machine_id: str, run_id: str) -> None:
    """The run is over: the next one may have the machine, or it ends if its time has passed."""
    with transaction.atomic():
        machine = machine_of_run(machine_id, run_id)
        if machine is None:
            return
        machine.current_run_id = None
        save(machine, ["current_run_id"])
        if _time_is_up(machine) and machine.status not in ENDED and machine.lease is None:
            _terminate(machine, actor_for(machine))
        elif machine.status == MachineStatus.RUNNING:
            publish("machine.ready", machine.id)


def _time_is_up(machine: Machine) -> bool:
    return machine.auto_destroy_at is not None and machine.auto_destroy_at <= timezone.now()


def end_if_expired(machine_id: str) -> bool:
    """Terminate a machine whose ttl has ended, unless a run drives or reserves it or a person controls it."""
    with transaction.atomic():
        machine = locked(machine_id)
        if machine.current_run_id or machine.lease or machine.status in ENDED or not _time_is_up(machine):
            return False
        _terminate(machine, actor_for(machine))
    return True


def remember_picture(machine_id: str, sha: str, at: datetime) -> None:
    """The last picture of the screen, as the machines page shows it; a file of machines.pictures.

    A picture of a private takeover is not remembered.
    """
    hidden = TakeoverLease.objects.filter(machine_id=machine_id, private=True, taken_at__lte=at)
    if not hidden.filter(Q(ended_at__isnull=True) | Q(ended_at__gte=at)).exists():
        Machine.objects.filter(id=machine_id).update(picture=sha, picture_at=at)


def log_actions(actor: Actor, machine: Machine, actions: list[Action], lease: TakeoverLease | None = None) -> None:
    """Who asked for what by hand. What is typed may be a secret: only its length is kept.

    Of a private takeover only the commands are.
    """
    hidden = lease is not None and lease.private
    steps = [{"command": action.name, "params": {} if hidden else _without_text(action.params)} for action in actions]
    of_lease = {"lease_id": lease.id} if lease else {}
    audit(actor, "machine.action", machine.id, actions=steps, **of_lease)


def log_input(actor: Actor, machine_id: str, counts: Mapping[str, int], lease: TakeoverLease) -> None:
    """What was done at the live screen since it was last written down: how much of it, and never what."""
    params = {} if lease.private else dict(counts)
    audit(actor, "machine.action", machine_id, actions=[{"command": "input", "params": params}], lease_id=lease.id)


def _without_text(params: dict[str, Any]) -> dict[str, Any]:
    """A command as the terminal's own log has it."""
    text = {"text": f"({len(params['text'])} characters)"} if isinstance(params.get("text"), str) else {}
    command = {"command": params["command"][:LOGGED_COMMAND]} if "command" in params else {}
    return params | text | command


def log_command(actor: Actor, machine: Machine, command: str, lease: TakeoverLease | None = None) -> None:
    hidden = lease is not None and lease.private
    audit(actor, "machine.terminal", machine.id, command=None if hidden else command[:LOGGED_COMMAND])
