"""Workflows, their versions, and where each workflow run stands. The run itself is a row of runs (kind workflow)."""

import functools

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import Team
from database.ids import new_id
from database.kept_json import KeptJSONField
from runs.models import Run

STATUSES = ("active", "archived")


class Document(models.Model):
    """What the author wrote; definition and inputs_schema exactly as sent."""

    version = models.PositiveIntegerField(default=1)
    name = models.CharField(max_length=128)
    declared_version = models.CharField(max_length=64, null=True)
    definition = KeptJSONField()
    inputs_schema = KeptJSONField(null=True)
    description = models.CharField(max_length=2000, null=True)
    metadata = models.JSONField(null=True)

    class Meta:
        abstract = True


class Workflow(Document):
    """A document under a slug: its current version."""

    id = models.CharField(primary_key=True, max_length=40, default=functools.partial(new_id, "wf"))
    team = models.ForeignKey(Team, models.PROTECT, related_name="workflows")
    test = models.BooleanField()
    slug = models.CharField(max_length=63)
    status = models.CharField(max_length=8, choices=[(word, word) for word in STATUSES], default="active")
    budget_cents_month = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("team", "test", "slug"), name="one_workflow_per_slug"),)
        indexes = (models.Index(fields=("team", "test", "-created_at", "-id"), name="workflows_of_a_team"),)

    def __str__(self) -> str:
        return self.slug


class WorkflowVersion(Document):
    """One version of a workflow; never changed."""

    workflow = models.ForeignKey(Workflow, models.CASCADE, related_name="versions")
    created_by = models.JSONField()  # {type, id, name}
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("workflow", "version"), name="one_row_per_version"),)


class Execution(models.Model):
    """Where a workflow run stands: its own copy of the definition and the interpreter's state."""

    run = models.OneToOneField(Run, models.CASCADE, primary_key=True, related_name="execution")
    definition = KeptJSONField()
    inputs_schema = KeptJSONField(null=True)
    state = KeptJSONField(default=dict)  # {} until a worker took the run up
    cut = models.BooleanField(default=False)  # control flow goes on in another transaction
    changed_at = models.DateTimeField(default=timezone.now)
    machine_named = models.BooleanField(default=True)  # by the start; else each task gets one of the kind that it needs

    class Meta:
        indexes = (models.Index(fields=("changed_at",), name="cut_executions", condition=Q(cut=True)),)


class Ticket(models.Model):
    """A child run or a request by the number that the interpreter gave it."""

    execution = models.ForeignKey(Execution, models.CASCADE, related_name="tickets")
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=8, choices=(("task", "task"), ("request", "request")))
    step_id = models.CharField(max_length=64)
    branch = models.PositiveIntegerField(default=0)
    ref = models.CharField(max_length=40, unique=True)  # the child run's or the request's id
    open = models.BooleanField(default=True)  # its outcome has not reached the interpreter
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("execution", "number"), name="one_ticket_per_number"),)
        indexes = (models.Index(fields=("created_at",), name="open_tickets", condition=Q(open=True)),)
