"""Model profiles of this installation, and one row for each call of a model."""

import functools

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import Team
from database.ids import new_id


class Profile(models.Model):
    """A model that agents can think with. Profiles belong to the installation; its owners keep them."""

    id = models.CharField(primary_key=True, max_length=40, default=functools.partial(new_id, "mdl"))
    name = models.CharField(max_length=64, unique=True)  # what `agent` takes
    wire = models.CharField(max_length=16)  # anthropic, openai, compatible, gemini
    model = models.CharField(max_length=128)
    base_url = models.CharField(max_length=2048, blank=True, default="")
    key = models.BinaryField(null=True)  # sealed
    from_env = models.CharField(max_length=64, null=True)  # the variable that its key is read from at every start
    options = models.JSONField(default=dict)  # inference.specs.Spec
    prices = models.JSONField(default=dict)
    limits = models.JSONField(default=dict)
    is_default = models.BooleanField(default=False)
    disabled_at = models.DateTimeField(null=True)
    tested = models.JSONField(null=True)  # the last test: inference.profiles.trials.Trial
    version = models.PositiveIntegerField(default=1)
    created_by = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("is_default",), name="one_default_profile", condition=Q(is_default=True)),
        )


class Call(models.Model):
    """One call of a model (inference.records.CallRecord): tokens and what the vendor takes for them, beside the step's price."""

    id = models.CharField(primary_key=True, max_length=40, default=functools.partial(new_id, "mca"))
    team = models.ForeignKey(Team, models.PROTECT, related_name="model_calls")
    test = models.BooleanField()
    run_id = models.CharField(max_length=40, null=True)
    step_index = models.PositiveIntegerField(null=True)  # the step that it was made for
    profile = models.CharField(max_length=64)
    wire = models.CharField(max_length=16)
    model = models.CharField(max_length=128)
    purpose = models.CharField(max_length=16)
    status = models.CharField(max_length=16)
    why = models.TextField(null=True)
    request_id = models.CharField(max_length=128, null=True)
    request_hash = models.CharField(max_length=64)
    started_at = models.DateTimeField()
    first_byte_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField()
    input_tokens = models.PositiveIntegerField(null=True)
    cached_tokens = models.PositiveIntegerField(null=True)
    cache_written_tokens = models.PositiveIntegerField(null=True)
    output_tokens = models.PositiveIntegerField(null=True)
    reasoning_tokens = models.PositiveIntegerField(null=True)
    cost_microcents = models.BigIntegerField(null=True)

    class Meta:
        indexes = (
            models.Index(fields=("run_id", "started_at"), name="calls_of_a_run", condition=Q(run_id__isnull=False)),
            models.Index(fields=("team", "-started_at"), name="calls_of_a_team"),
            models.Index(fields=("profile", "started_at"), name="calls_of_a_profile"),
        )


class Session(models.Model):
    """A conversation about one screen that the API's caller keeps up; it ends half an hour after its last use.

    `log`: the conversation in the form of its profile's wire (inference.wires.base) at that time (`form`: specs.Spec.form);
    `pending`: what the model wanted last, and
    whether it was handed out ([Wanted JSON, bool]); `shown`: the pictures that the log names, in order, with the sizes they came in
    ([SHA-256, width, height]); `history`: the steps in words, for when the log begins anew. `busy`: the call that works on it now.
    """

    id = models.CharField(primary_key=True, max_length=40, default=functools.partial(new_id, "sess"))
    team = models.ForeignKey(Team, models.CASCADE, related_name="inference_sessions")
    test = models.BooleanField()
    caller = models.CharField(max_length=96)  # Actor.caller: who is counted for it
    cua_version = models.CharField(max_length=4)
    screen_width = models.PositiveIntegerField()
    screen_height = models.PositiveIntegerField()
    max_trajectory_length = models.PositiveSmallIntegerField()
    system_prompt = models.TextField(null=True)
    instructions = models.TextField(null=True)
    tools = models.JSONField(null=True)
    metadata = models.JSONField(default=dict)
    profile = models.CharField(max_length=64, null=True)
    form = models.CharField(max_length=16, default="")
    log = models.JSONField(default=list)
    pending = models.JSONField(default=list)
    shown = models.JSONField(default=list)
    history = models.JSONField(default=list)
    step_count = models.PositiveIntegerField(default=0)
    total_credits_used = models.PositiveIntegerField(default=0)
    busy = models.CharField(max_length=40, null=True)
    busy_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()

    class Meta:
        indexes = (
            models.Index(fields=("team", "test", "-created_at"), name="sessions_of_a_team"),
            models.Index(fields=("caller", "expires_at"), name="sessions_of_a_caller"),
            models.Index(fields=("expires_at",), name="sessions_that_end"),
        )


class SessionPicture(models.Model):
    """A picture that a session's log names, as it was sent to the model. It goes when the log or the session goes."""

    session = models.ForeignKey(Session, models.CASCADE, related_name="pictures")
    sha256 = models.CharField(max_length=64)
    png = models.BinaryField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("session", "sha256"), name="a_picture_is_kept_once"),)
