"""A run as the occupant of machines: what it does about a person's control (machines/occupants.py is the port)."""

from dataclasses import dataclass

from django.urls import reverse

from accounts.actor import Actor
from approvals import deciding
from approvals.answers.answer import Answer
from machines.models import Machine, TakeoverLease
from machines.occupants import LastPicture
from runs import control
from runs.models import Run, Screenshot
from runs.services import lock_run
from runs.subject import LockedRun, take_late_effects


class RunOccupant:
    """Runs, as machines.occupants.Occupant."""

    def lock(self, occupant_id: str) -> "ControlledRun":
        return ControlledRun(lock_run(occupant_id))

    def workflow_of(self, occupant_id: str) -> str | None:
        return Run.objects.filter(id=occupant_id).values_list("workflow_id", flat=True).first()

    def last_picture(self, machine: Machine) -> LastPicture | None:
        runs = Run.objects.filter(team_id=machine.team_id, test=machine.test, machine_id=machine.id)
        run = runs.filter(started_at__isnull=False).order_by("-created_at", "-id").first()
        shot = Screenshot.objects.filter(run=run).order_by("-index").first() if run else None
        if shot is None:
            return None
        return LastPicture(
            reverse("run-picture", args=(shot.run_id, shot.index)), shot.width, shot.height, shot.taken_at
        )


@dataclass(frozen=True)
class ControlledRun:
    """A run, locked after its root, as machines.occupants.Locked."""

    run: Run

    @property
    def id(self) -> str:
        return self.run.id

    @property
    def status(self) -> str:
        return self.run.status

    def bar(self, lease: TakeoverLease) -> None:
        control.bar(self.run, lease)

    def free(self, lease: TakeoverLease, actor: Actor, via: str) -> None:
        """Raises as deciding.decide(). A request that the run's agent opened stays open when control only lapses."""
        control.lift(self.run, lease)
        if self.run.is_terminal:
            return
        goes_on = lease.opened_request if lease.end == "lapsed" else lease.resumes
        request = control.request_of(lease) if goes_on else None
        if request is not None:
            answer = Answer("approve", note=lease.end_note)
            with deciding.settling_expiry():
                deciding.settle_locked(actor, LockedRun(self.run), request, answer, via, entitled=lease.opened_request)
        elif self.run.status == "awaiting_human":
            control.tell(self.run, lease.end_note)
        take_late_effects(self.run)
