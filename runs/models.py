"""Runs, their steps and their log. The allowed moves of a run stand here; runs.services.move() is the only writer."""

import functools
from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.fields.json import KT
from django.utils import timezone

from accounts.models import Team
from database.ids import new_id
from database.kept_json import KeptJSONField


class RunStatus(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    AWAITING_HUMAN = "awaiting_human"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"


ACTIVE = ("queued", "running", "awaiting_human")
TERMINAL = ("succeeded", "failed", "cancelled", "timed_out")
MOVES: dict[str, frozenset[str]] = {
    "queued": frozenset({"running", "failed", "cancelled", "timed_out"}),
    "running": frozenset({"awaiting_human", "succeeded", "failed", "cancelled", "timed_out"}),
    "awaiting_human": frozenset({"running", "failed", "cancelled", "timed_out"}),
} | {status: frozenset() for status in TERMINAL}


class Run(models.Model):
    """One agent working on one task (kind agent), or one execution of a workflow (kind workflow)."""

    id = models.CharField(primary_key=True, max_length=40, default=functools.partial(new_id, "run"))
    team = models.ForeignKey(Team, models.PROTECT, related_name="runs")
    test = models.BooleanField()
    kind = models.CharField(max_length=16, default="agent")
    parent = models.ForeignKey("self", models.PROTECT, null=True, related_name="children")
    root_id = models.CharField(max_length=40)
    status = models.CharField(max_length=16, choices=RunStatus.choices, default=RunStatus.QUEUED)

    # what was asked for
    machine_id = models.CharField(
        max_length=128, null=True
    )  # as named by the caller; test runs may name none that exists
    machine_kind = models.CharField(max_length=16, default="simulated")
    # needs no turn at a machine: it has a simulated one of its own, or is a workflow run, which drives none
    owns_machine = models.BooleanField(default=False)
    task = models.TextField(null=True)
    bound = models.JSONField(default=list)  # where values stand in the task: [at, length, name of the secret or null]
    input = models.JSONField(null=True)
    cua_version = models.CharField(max_length=4, default="v3")
    agent = models.CharField(max_length=64)
    instructions = models.TextField(null=True)
    system_prompt = models.TextField(null=True)
    output_schema = KeptJSONField(null=True)  # what result.output has to fit
    max_steps = models.PositiveIntegerField(default=50)
    deadline_seconds = models.PositiveIntegerField(null=True)
    deadline_clock = models.CharField(max_length=8, default="active")
    on_awaiting_human = models.CharField(max_length=8, default="pause")
    awaiting_human_timeout_seconds = models.PositiveIntegerField(null=True)
    on_timeout = models.CharField(max_length=16, default="cancel")
    budget_cents = models.PositiveIntegerField(default=0)
    on_budget = models.CharField(max_length=8, default="fail")
    human_in_the_loop = models.BooleanField(null=True)
    permission_mode = models.CharField(max_length=16, default="autonomous")
    end_user = models.CharField(max_length=128, null=True)
    priority = models.PositiveSmallIntegerField(default=5)
    metadata = models.JSONField(null=True)
    webhook_url = models.CharField(max_length=2048, null=True)
    webhook_secret = models.BinaryField(null=True)  # sealed
    created_by = models.JSONField()  # {type, id, name}
    owner_id = models.CharField(max_length=40, null=True)  # the person behind created_by
    request_id = models.CharField(max_length=40)

    # what belongs to workflows; `name` is that of the document, `step_id` that of a task in its workflow run
    name = models.CharField(max_length=128, null=True)
    workflow_id = models.CharField(max_length=40, null=True)
    workflow_version = models.PositiveIntegerField(null=True)
    step_id = models.CharField(max_length=64, null=True)
    inputs = KeptJSONField(null=True)
    output = KeptJSONField(null=True)  # of an agent run: what it handed over
    max_iterations = models.PositiveIntegerField(null=True)
    iterations_used = models.PositiveIntegerField(default=0)
    awaiting_step_id = models.CharField(max_length=64, null=True)
    rerun_of = models.CharField(max_length=40, null=True)

    # where it stands
    steps_completed = models.PositiveIntegerField(default=0)
    cost_cents = models.PositiveIntegerField(default=0)
    awaiting_human_reason = models.TextField(null=True)
    awaiting_human_since = models.DateTimeField(null=True)
    waited_ms = models.BigIntegerField(default=0)  # finished waits for people, in all; without the time of stops
    stopped_at = models.DateTimeField(null=True)  # since when a stop holds it (runs/stops/)
    stopped_ms = models.BigIntegerField(null=True)  # stops that were lifted, in all
    parked_at = models.DateTimeField(null=True)
    resume_at = models.DateTimeField(null=True)
    deadline_at = models.DateTimeField(null=True)  # null while the clock stands still
    result = models.JSONField(null=True)
    error = models.JSONField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)
    stop_confirmed_at = models.DateTimeField(null=True)

    # what drives it
    next_seq = models.BigIntegerField(default=1)
    next_screenshot = models.PositiveIntegerField(default=0)
    lease_owner = models.CharField(max_length=64, null=True)
    lease_until = models.DateTimeField(null=True)
    lease_epoch = models.PositiveIntegerField(default=0)
    takeovers = models.PositiveSmallIntegerField(default=0)  # in a row, without a completed step
    memory = models.JSONField(default=dict)  # the agent's
    plan = models.JSONField(null=True)  # mode plan: {text, revision, approved}
    inbox = models.JSONField(default=list)  # what people sent and the agent has not read yet
    inbox_secrets = models.BinaryField(null=True)  # sealed: readable values of the inbox
    secrets = models.BinaryField(null=True)  # sealed: values given in confidence, by name; they end with the run
    last_result = models.JSONField(null=True)  # of the step before, for the agent
    controlled_by = models.CharField(
        max_length=40, null=True
    )  # the takeover lease that bars the agent from its machine
    machine_restarts = models.PositiveIntegerField(default=0)  # the machine's count when the agent last looked
    interrupted = models.BooleanField(
        default=False
    )  # what its last action did is not known, and the agent has not read that
    model_wait = models.JSONField(null=True)  # its model is busy: {since, until, why}; turn: others are asking it

    class Meta:
        indexes = (
            models.Index(
                fields=("team", "test", "-created_at", "-id"), name="top_runs", condition=Q(parent__isnull=True)
            ),
            models.Index(
                fields=("team", "test", "status"), name="unfinished_runs", condition=Q(finished_at__isnull=True)
            ),
            models.Index(fields=("-priority", "created_at"), name="queued_runs", condition=Q(status="queued")),
            models.Index(fields=("lease_until",), name="running_runs", condition=Q(status="running")),
            models.Index(fields=("lease_owner",), name="leased_runs", condition=Q(lease_owner__isnull=False)),
            models.Index(fields=("deadline_at",), name="run_deadlines", condition=Q(deadline_at__isnull=False)),
            models.Index(
                fields=("lease_until",),
                name="stops_to_confirm",
                condition=Q(status="cancelled", stop_confirmed_at__isnull=True, cancel_requested_at__isnull=False),
            ),
            models.Index(fields=("machine_id",), name="runs_of_a_machine", condition=Q(finished_at__isnull=True)),
            models.Index(fields=("team", "test"), name="stopped_runs", condition=Q(stopped_at__isnull=False)),
            models.Index(fields=("root_id",), name="runs_of_a_root"),
            models.Index(
                fields=("workflow_id", "-created_at", "-id"),
                name="runs_of_a_workflow",
                condition=Q(parent__isnull=True),
            ),
            models.Index(fields=("rerun_of",), name="reruns_of_a_run", condition=Q(rerun_of__isnull=False)),
        )
        constraints = (
            models.CheckConstraint(
                name="terminal_run_has_finished_at",
                condition=Q(status__in=TERMINAL, finished_at__isnull=False)
                | (~Q(status__in=TERMINAL) & Q(finished_at__isnull=True)),
            ),
            models.CheckConstraint(
                name="waiting_run_has_a_reason",
                condition=Q(status="awaiting_human", awaiting_human_reason__isnull=False)
                | (~Q(status="awaiting_human") & Q(awaiting_human_reason__isnull=True)),
            ),
        )

    def __str__(self) -> str:
        return self.id

    @property
    def title(self) -> str:
        """What pages call it; written by people and agents."""
        return self.name or self.task or self.id

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL

    def waited_seconds(self, now: datetime) -> float:
        """Time spent waiting for people so far, the present wait included; not what a stop took of it."""
        since = self.awaiting_human_since
        if self.status != RunStatus.AWAITING_HUMAN or since is None:
            return self.waited_ms / 1000
        return self.waited_ms / 1000 + max(0.0, ((self.stopped_at or now) - since).total_seconds())

    def stopped_seconds(self, now: datetime) -> float:
        """Time during which a stop held it so far, the present one included."""
        present = (now - self.stopped_at).total_seconds() if self.stopped_at else 0
        return (self.stopped_ms or 0) / 1000 + present

    def active_seconds(self, now: datetime) -> int:
        """What the deadline's clock `active` counts: all time, queueing included, but waiting for people and stops."""
        end = self.finished_at or now
        total = (end - self.created_at).total_seconds()
        return max(0, int(total - self.waited_seconds(end) - self.stopped_seconds(end)))

    def clocks(self, now: datetime) -> dict[str, Any]:
        """Seconds worked and waited, in the queue or for people, and which of the two goes on."""
        end = self.finished_at or now
        queued = ((self.started_at or end) - self.created_at).total_seconds()
        # A stop that met it in the queue is in `queued` already.
        waited = queued + self.waited_seconds(end) + max(0.0, self.stopped_seconds(end) - queued)
        works = self.status == RunStatus.RUNNING and self.stopped_at is None
        return {
            "worked": max(0, int((end - self.created_at).total_seconds() - waited)),
            "waited": waited,
            "works": works,
            "waits": not self.is_terminal and not works,
        }


class StepStatus(models.TextChoices):
    ACTING = "acting"  # the intent is written; the outcome is not known yet
    COMPLETED = "completed"
    INTERRUPTED = "interrupted"  # the worker died between intent and outcome
    DROPPED = "dropped"  # the run ended meanwhile: not billed, result dropped


class Step(models.Model):
    """One model decision with its action. The intent is committed before acting, the outcome after."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="steps")
    index = models.PositiveIntegerField()  # from 1
    status = models.CharField(max_length=16, choices=StepStatus.choices)
    call_id = models.CharField(max_length=40)
    action = models.JSONField()  # {name, params}
    host = models.CharField(max_length=255, null=True)
    text = models.TextField(blank=True, default="")
    skipped = models.BooleanField(default=False)
    success = models.BooleanField(null=True)
    error = models.TextField(null=True)
    output = models.TextField(null=True)  # what a terminal's command wrote: at most 4 KiB, [...] where it was cut
    exit_code = models.PositiveSmallIntegerField(null=True)
    cost_cents = models.PositiveIntegerField(default=0)
    inbox = models.JSONField(default=list)  # messages this step consumed: given back when it is interrupted
    inbox_secrets = models.BinaryField(null=True)
    approval_id = models.CharField(max_length=40, null=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("run", "index"), name="one_completed_step_per_index", condition=Q(status="completed")
            ),
            models.UniqueConstraint(fields=("run",), name="one_open_intent_per_run", condition=Q(status="acting")),
        )
        indexes = (models.Index(fields=("run", "index"), name="steps_of_a_run"),)


class RunEvent(models.Model):
    """One row of a run's log: committed with the change it reports, never rewritten (a trigger sees to it)."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="events")
    seq = models.BigIntegerField()
    type = models.CharField(max_length=24)
    data = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("run", "seq"), name="one_event_per_seq"),)
        indexes = (  # what was done with requests, for the audit: by time, of a run, by a person
            models.Index(fields=("created_at", "id"), name="handling_by_time", condition=Q(type="approval")),
            models.Index(fields=("run", "created_at"), name="handling_of_a_run", condition=Q(type="approval")),
            models.Index(KT("data__by__id"), "created_at", name="handling_by", condition=Q(type="approval")),
        )


class Screenshot(models.Model):
    """A picture taken for a step; the file is content-addressed (machines/pictures.py)."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="screenshots")
    index = models.PositiveIntegerField()  # from 0
    step = models.PositiveIntegerField()
    phase = models.CharField(max_length=8)  # before, after
    sha256 = models.CharField(max_length=64)
    width = models.PositiveSmallIntegerField()
    height = models.PositiveSmallIntegerField()
    text = models.TextField(null=True)  # of a terminal: what it showed, as lines
    taken_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("run", "index"), name="one_screenshot_per_index"),)
        indexes = (models.Index(fields=("sha256",), name="screenshots_of_a_picture"),)


class Look(models.Model):
    """A picture that a model was shown besides those of the steps (agents.base.Look): looking is no step."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="looks")
    number = models.PositiveIntegerField()  # from 0
    step = models.PositiveIntegerField()  # the step that it was made for
    sha256 = models.CharField(max_length=64)
    width = models.PositiveSmallIntegerField()
    height = models.PositiveSmallIntegerField()
    region = models.JSONField(null=True)  # of a zoom: [x1, y1, x2, y2] in pixels of the screen
    taken_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("run", "number"), name="one_look_per_number"),)
        indexes = (models.Index(fields=("sha256",), name="looks_of_a_picture"),)


class Worker(models.Model):
    """A worker process that hosts a run loop; its heartbeat tells that runs can be driven."""

    name = models.CharField(primary_key=True, max_length=64)  # host:pid:start
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField(db_index=True)
    driving = models.PositiveIntegerField(default=0)
    node = models.CharField(max_length=64, null=True)  # where it is (machines/processes/nodes.py)
    disk_full = models.BooleanField(default=False, db_default=False)  # its steps wait for room
