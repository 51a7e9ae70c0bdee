"""A machine: a resource with a life longer than a run. Its process is reached by the driver's handle."""

import functools
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import Team
from database.ids import new_id
from machines.drivers.base import MachineSpec
from machines.drivers.isolation import sandbox


class MachineStatus(models.TextChoices):
    CREATING = "creating"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    SUSPENDED = "suspended"
    TERMINATING = "terminating"
    TERMINATED = "terminated"
    ERROR = "error"


# Where each status may go; machines.services.move() is the only writer.
MACHINE_MOVES: dict[str, frozenset[str]] = {
    "creating": frozenset({"starting", "running", "error", "terminating", "terminated"}),
    "starting": frozenset({"running", "error", "stopping", "terminating"}),
    "running": frozenset({"stopping", "starting", "terminating", "error", "suspended"}),
    "stopping": frozenset({"stopped", "terminating", "error"}),
    "stopped": frozenset({"starting", "terminating"}),
    "suspended": frozenset({"starting", "terminating"}),
    "terminating": frozenset({"terminated"}),
    "terminated": frozenset(),
    "error": frozenset({"starting", "terminating"}),
}


class Machine(models.Model):
    id = models.CharField(primary_key=True, max_length=40, default=functools.partial(new_id, "mch"))
    team = models.ForeignKey(Team, models.PROTECT, related_name="machines")
    test = models.BooleanField()
    display_name = models.CharField(max_length=64)
    kind = models.CharField(max_length=16)  # browser, desktop, terminal, simulated
    os = models.CharField(max_length=16, default="linux")
    status = models.CharField(max_length=16, choices=MachineStatus.choices, default=MachineStatus.CREATING)
    status_at = models.DateTimeField(default=timezone.now)  # when the status came, or its work was last queued again
    problem = models.TextField(blank=True, default="")  # why it is in error, in one sentence
    cpu_cores = models.PositiveSmallIntegerField(default=2)
    memory_gb = models.PositiveSmallIntegerField(default=4)
    screen_width = models.PositiveSmallIntegerField(default=1280)
    screen_height = models.PositiveSmallIntegerField(default=800)
    ttl_minutes = models.PositiveIntegerField(null=True)
    auto_destroy_at = models.DateTimeField(null=True)
    metadata = models.JSONField(default=dict)
    handle = models.JSONField(default=dict)  # the driver's; never leaves the server
    node = models.CharField(max_length=64, null=True)  # where its process lives (processes/nodes.py); null: nowhere yet
    restarts = models.PositiveIntegerField(default=0)  # how often its process was started
    failed_starts = models.PositiveSmallIntegerField(default=0)  # in a row; the third one is an error
    metered_at = models.DateTimeField(default=timezone.now)  # until when its time is counted
    meter = models.PositiveBigIntegerField(default=0)  # cent-seconds not charged yet: 3600 are one cent
    unpaid_since = models.DateTimeField(null=True)  # the wallet is empty, and the machine is spared for a while
    current_run_id = models.CharField(max_length=40, null=True)  # the run that drives or reserves it
    halted_at = models.DateTimeField(null=True)  # since when all that is in it stands still, because people stopped it
    frozen = models.JSONField(null=True)  # which of its processes were made to stand still (processes/freezing.py)
    begun_for = models.CharField(max_length=40, null=True)  # the run, or its workflow's, it was made ready for last
    home_bytes = models.BigIntegerField(null=True)  # on disk, when it was measured last
    full_at = models.DateTimeField(null=True)  # stopped because its home held too much, until it holds less
    picture = models.CharField(max_length=64, blank=True, default="")  # SHA-256 of the last picture
    picture_at = models.DateTimeField(null=True)
    created_by = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    terminated_at = models.DateTimeField(null=True)

    class Meta:
        indexes = (
            models.Index(fields=("team", "test", "created_at"), name="machines_of_a_team"),
            models.Index(
                fields=("auto_destroy_at",), name="machines_by_end", condition=Q(auto_destroy_at__isnull=False)
            ),
        )
        constraints = (
            models.CheckConstraint(
                name="terminated_machine_has_a_time",
                condition=~Q(status="terminated") | Q(terminated_at__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return self.display_name

    @property
    def lease(self) -> "TakeoverLease | None":
        """The takeover that lives; loaded before where machines.access gives many."""
        loaded: list[TakeoverLease] | None = getattr(self, "open_takeovers", None)
        if loaded is None:
            loaded = list(TakeoverLease.objects.filter(machine_id=self.id, ended_at__isnull=True))
        return next((lease for lease in loaded if lease.lives), None)

    @property
    def isolation(self) -> str:
        """bubblewrap, fence or none: of its process, or of the one that a start would make now."""
        return sandbox.of_machine("simulated" if self.test else self.kind, self.handle)

    @property
    def spec(self) -> MachineSpec:
        return MachineSpec(
            id=self.id,
            kind=self.kind,
            folder=Path(settings.MACHINES_DIR) / self.id,
            width=self.screen_width,
            height=self.screen_height,
            memory_gb=self.memory_gb,
            cpu_cores=self.cpu_cores,
        )


class PutIn(models.Model):
    """A secret that was typed on a machine (machines/actions/typed_secrets.py). `digest`: keyed, so that each is kept once."""

    machine = models.ForeignKey(Machine, models.CASCADE, related_name="+")
    digest = models.CharField(max_length=64)
    sealed = models.BinaryField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("machine", "digest"), name="a_secret_of_a_machine_once"),)

    def __str__(self) -> str:
        return f"a secret that was typed on {self.machine_id}"


class TakeoverLease(models.Model):
    """Exclusive control of a machine by one person or key, from `taken_at` until it is released or lapses."""

    id = models.CharField(primary_key=True, max_length=40, default=functools.partial(new_id, "tko"))
    machine = models.ForeignKey(Machine, models.CASCADE, related_name="takeovers")
    holder = models.JSONField()  # {type, id, name}
    private = models.BooleanField(default=False)  # nothing of that time is stored, streamed or sent to a model
    note = models.TextField(null=True)  # why it was taken
    run_id = models.CharField(max_length=40, null=True)  # the run that drove the machine then
    approval_id = models.CharField(max_length=40, null=True)  # that run's takeover request
    opened_request = models.BooleanField(default=False)  # by taking control; else the agent had asked for hands
    taken_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()  # moved by heartbeats
    idle_expires_at = models.DateTimeField()  # moved by input
    ended_at = models.DateTimeField(null=True)
    end = models.CharField(max_length=8, null=True)  # released or lapsed
    end_note = models.TextField(null=True)  # what the person changed, for the agent
    resumes = models.BooleanField(default=True)  # whether giving back lets the run go on
    stopped_at = models.DateTimeField(null=True)  # since when its clocks stand still, because of a stop

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("machine",), name="one_open_takeover_per_machine", condition=Q(ended_at__isnull=True)
            ),
            models.CheckConstraint(
                name="ended_takeover_says_how",
                condition=Q(ended_at__isnull=True, end__isnull=True)
                | Q(ended_at__isnull=False, end__in=("released", "lapsed")),
            ),
        )
        indexes = (models.Index(fields=("run_id",), name="takeovers_of_a_run"),)

    def __str__(self) -> str:
        return self.id

    @property
    def lives(self) -> bool:
        """False from the moment it is due to lapse, whether or not the clock came by."""
        return self.ended_at is None and min(self.expires_at, self.idle_expires_at) > self.now

    @property
    def now(self) -> datetime:
        """The time by which it lapses: during a stop it stands still."""
        return self.stopped_at or timezone.now()


class StopScope(models.TextChoices):
    TEAM = "team"
    MACHINE = "machine"
    WORKFLOW = "workflow"


class Stop(models.Model):
    """Nothing in its scope acts, from its commit until it is lifted (runs/stops/). Several may hold the same run."""

    id = models.CharField(primary_key=True, max_length=40, default=functools.partial(new_id, "stp"))
    team = models.ForeignKey(Team, models.PROTECT, related_name="+")
    test = models.BooleanField()
    scope = models.CharField(max_length=8, choices=StopScope.choices)
    target_id = models.CharField(max_length=40, null=True)  # the machine or workflow
    reason = models.CharField(max_length=500)
    runs = models.PositiveIntegerField(default=0)  # how many it held when it came
    requested_by = models.JSONField()
    requested_at = models.DateTimeField(default=timezone.now)
    confirmed_at = models.DateTimeField(null=True)  # since when no worker has an action in hand
    lifted_by = models.JSONField(null=True)
    lifted_at = models.DateTimeField(null=True)
    frozen = models.JSONField(default=list)  # ids of machines that were frozen for it
    thawed_at = models.DateTimeField(null=True)  # since when they run again, or are another stop's

    class Meta:
        indexes = (
            models.Index(fields=("team", "test"), name="stops_in_force", condition=Q(lifted_at__isnull=True)),
            models.Index(fields=("lifted_at",), name="stops_to_thaw", condition=Q(thawed_at__isnull=True)),
            models.Index(fields=("team", "test", "-requested_at", "-id"), name="stops_of_a_team"),
        )
        constraints = (
            models.CheckConstraint(
                name="a_stop_of_less_than_all_names_what",
                condition=Q(scope="team", target_id__isnull=True) | (~Q(scope="team") & Q(target_id__isnull=False)),
            ),
        )

    def __str__(self) -> str:
        return self.id
