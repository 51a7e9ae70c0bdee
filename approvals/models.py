"""Approval requests and decisions. A request names its run by id only: approvals know nothing of runs. A program that asks
without a run has a row of its own, ExternalRequest."""

import functools
from datetime import UTC, datetime
from typing import Any

from django.db import models
from django.db.models import F, Q
from django.db.models.fields.json import KT
from django.db.models.functions import MD5, Cast, Coalesce
from django.utils import timezone

from accounts.models import Team, User
from approvals.kinds import KINDS, SPEAKERS, Kind, Speaker, Traits
from database.ids import new_id

NEVER = datetime(9999, 12, 31, tzinfo=UTC)  # when a request without expiry is due


class ApprovalStatus(models.TextChoices):
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    ANSWERED = "answered"
    REVISED = "revised"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    VOID = "void"


# A request leaves pending once; approvals.services.move() is the only writer. Undo and void are the two ways on.
APPROVAL_MOVES: dict[str, frozenset[str]] = {
    "pending": frozenset({"approved", "rejected", "answered", "revised", "expired", "cancelled", "void"}),
    "approved": frozenset({"pending", "void"}),
    "rejected": frozenset({"pending"}),
    "answered": frozenset({"pending"}),
    "revised": frozenset({"pending"}),
    "expired": frozenset(),
    "cancelled": frozenset(),
    "void": frozenset(),
}


class ExternalRequest(models.Model):
    """What a program outside asks about, without a run: the subject of one request, and of those that replace it.

    `asker_id`: the key, or the person signed in, that asks. `content_hash`: of what people are shown now; asked again with the
    same is the same request (docs/api/approvals.md section 13).
    """

    id = models.CharField(primary_key=True, max_length=40, default=functools.partial(new_id, "ext"))
    team = models.ForeignKey(Team, models.PROTECT, related_name="+", db_index=False)
    test = models.BooleanField()
    asker_id = models.CharField(max_length=40)
    asker = models.JSONField()  # {type, id, name}
    owner_id = models.CharField(max_length=40, null=True)  # of the key that asks
    external_id = models.CharField(max_length=200, null=True)  # the caller's own name for it
    content_hash = models.CharField(max_length=64)
    source = models.JSONField()  # {name, url, ref}: which program, in its own words
    end_user = models.CharField(max_length=128, null=True)
    metadata = models.JSONField(default=dict)
    webhook_url = models.TextField(null=True)
    webhook_secret = models.BinaryField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("team", "test", "asker_id", "external_id"),
                name="one_request_per_external_id",
                condition=Q(external_id__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return self.id

    @property
    def asked_by(self) -> str:
        """Who asks, in one line: the program in its own words, and the key or person that it asked with."""
        asker = f"key {self.asker['name']}" if self.asker["type"] == "api_key" else str(self.asker["name"])
        return f"“{self.source['name']}”, with {asker}" if self.is_named else asker

    @property
    def is_named(self) -> bool:
        """Whether the program calls itself other than its key is called."""
        return bool(self.source["name"] != self.asker["name"])


class Approval(models.Model):
    """One open question to people (docs/api/approvals.md section 2)."""

    id = models.CharField(primary_key=True, max_length=40, default=functools.partial(new_id, "apr"))
    team = models.ForeignKey(Team, models.PROTECT, related_name="approvals")
    test = models.BooleanField()
    external_request = models.ForeignKey(ExternalRequest, models.PROTECT, null=True, related_name="approvals")
    asker_id = models.CharField(max_length=40, null=True)  # that of the external request
    run_id = models.CharField(max_length=40, null=True)
    root_run_id = models.CharField(max_length=40, null=True)
    workflow_id = models.CharField(max_length=40, null=True)
    step_id = models.CharField(max_length=64, null=True)
    step_index = models.PositiveIntegerField(null=True)  # the step it stands before; null when none follows from it
    seq = models.PositiveIntegerField(null=True)  # of the run's requests, from 1
    kind = models.CharField(max_length=16, choices=Kind.choices)
    status = models.CharField(max_length=16, choices=ApprovalStatus.choices, default=ApprovalStatus.PENDING)
    title = models.TextField()
    message = models.TextField()
    agent_message = models.TextField(null=True)
    action = models.JSONField(null=True)
    action_hash = models.CharField(max_length=64, null=True)
    edited_action = models.JSONField(null=True)
    questions = models.JSONField(default=list)
    plan = models.JSONField(null=True)
    input_schema = models.JSONField(null=True)
    budget = models.JSONField(null=True)
    on_reject = models.CharField(max_length=16)
    on_timeout = models.CharField(max_length=16)
    timeout_seconds = models.PositiveIntegerField(null=True)
    can_remember = models.BooleanField(default=False)
    remember_default = models.BooleanField(default=False)
    priority = models.PositiveSmallIntegerField(default=5)
    expires_at = models.DateTimeField(null=True)
    quorum = models.JSONField(default=list)
    four_eyes = models.BooleanField(default=False)
    assignee = models.CharField(max_length=40, null=True)
    claimed_by = models.JSONField(null=True)
    claim_expires_at = models.DateTimeField(null=True)
    evidence = models.JSONField(default=dict)
    previous_approval_id = models.CharField(max_length=40, null=True)
    replaced_by = models.CharField(max_length=40, null=True)
    void_reason = models.CharField(max_length=32, null=True)
    context = models.JSONField(default=dict)  # what the card shows of the subject as it was then
    created_at = models.DateTimeField(default=timezone.now)
    resolved_at = models.DateTimeField(null=True)
    effective_at = models.DateTimeField(null=True)
    undo_until = models.DateTimeField(null=True)
    effect_pending = models.BooleanField(default=False)  # decided, but its effect waits for the end of the undo window
    by_rule = models.BooleanField(default=False)  # a policy or the risk floor asks: no change of mode lifts it
    policy_ids = models.JSONField(null=True, default=list)  # of the policies that ask; null: of an earlier release
    reminders = models.PositiveSmallIntegerField(default=0)  # 1 after half of the time, 2 after nine tenths
    remind_at = models.DateTimeField(null=True)  # the next one; approvals.mail.reminders keeps it
    went_on = models.BooleanField(default=False)  # to the next groups of those it waits for: they vote in their place
    version = models.PositiveIntegerField(default=1)
    stopped_at = models.DateTimeField(null=True)  # since when all its clocks stand still, because of a stop

    class Meta:
        indexes = (
            models.Index(
                Coalesce("expires_at", models.Value(NEVER), output_field=models.DateTimeField()),
                models.F("priority").desc(),
                models.F("created_at").asc(),
                name="pending_by_due",
                condition=Q(status="pending"),
            ),
            models.Index(fields=("team", "test", "-created_at", "-id"), name="approvals_of_a_team"),
            models.Index(fields=("team", "test"), name="pending_of_a_team", condition=Q(status="pending")),
            models.Index(
                fields=("team", "test", "-resolved_at"), name="closed_of_a_team", condition=~Q(status="pending")
            ),
            models.Index(fields=("run_id", "seq"), name="approvals_of_a_run"),
            models.Index(fields=("root_run_id",), name="approvals_of_a_root", condition=Q(status="pending")),
            models.Index(
                fields=("asker_id",), name="open_of_an_asker", condition=Q(status="pending", asker_id__isnull=False)
            ),
            models.Index(fields=("effective_at",), name="effects_to_come", condition=Q(effect_pending=True)),
            models.Index(
                fields=("remind_at",), name="reminders_to_come", condition=Q(status="pending", remind_at__isnull=False)
            ),
        )
        constraints = (
            models.UniqueConstraint(
                fields=("run_id",),
                name="one_pending_request_per_agent_run",
                condition=Q(status="pending", step_id__isnull=True),
            ),
            models.CheckConstraint(
                name="request_has_one_subject",
                condition=Q(run_id__isnull=False, root_run_id__isnull=False, seq__isnull=False, external_request=None)
                | Q(run_id=None, root_run_id=None, external_request__isnull=False, asker_id__isnull=False),
            ),
            models.CheckConstraint(
                name="resolved_request_has_a_time",
                condition=Q(status="pending", resolved_at__isnull=True)
                | (~Q(status="pending") & Q(resolved_at__isnull=False)),
            ),
        )

    def __str__(self) -> str:
        return self.id

    @property
    def traits(self) -> Traits:
        return KINDS[self.kind]

    @property
    def subject_type(self) -> str:
        """What it is about: one of approvals.subjects.TYPES."""
        return "run" if self.external_request_id is None else "external"

    @property
    def of_step(self) -> bool:
        """Did a step of a workflow ask, and not an agent?"""
        return self.step_id is not None and not self.traits.lifts_budget

    @property
    def of_program(self) -> bool:
        """Did a program outside ask, without a run? Then its title, message and action are that program's words."""
        return self.subject_type == "external"

    @property
    def speaker(self) -> Speaker:
        return SPEAKERS["program" if self.of_program else "workflow" if self.of_step else "agent"]

    @property
    def words(self) -> str:
        """What the agent, the workflow or the program says, in words that nobody has checked; "" for nothing."""
        return self.message if self.of_step else self.agent_message or ""

    @property
    def why(self) -> str:
        """Why the action needs an approval, in words of the server's; "" where only who asks says why."""
        if self.of_program:
            return str(self.context.get("why", "")) if self.by_rule else ""
        return self.message if self.traits.runs_action else ""

    @property
    def asks(self) -> str:
        """What it asks, in the words of who asks; "" where the title says it all."""
        if self.traits.is_named_by_title:
            return ""
        if self.questions:
            return " ".join(dict.fromkeys(str(q["question"]) for q in self.questions))
        if self.of_program:
            return ""
        return str((self.plan or {}).get("text") or self.words)

    @property
    def shown_title(self) -> str:
        """The title, as a quotation where a program chose it."""
        return f"“{self.title}”" if self.of_program else self.title

    @property
    def headline(self) -> str:
        """What lists, tabs and mails call it: the title, with what is asked where that is not in it. One line of text."""
        asks = " ".join(self.asks.split())
        return f"{self.shown_title}: “{asks}”" if asks and asks != self.title else self.shown_title

    @property
    def outcome(self) -> str:
        """Its status in words, as pages say it."""
        return self.traits.approved_word if self.status == "approved" else self.get_status_display()

    @property
    def reason(self) -> str:
        """Why the run waits, in one sentence of the server's or of who asks."""
        return self.title if self.traits.runs_action else self.message

    @property
    def subject_title(self) -> str:
        """What pages call its subject: the workflow's name, the agent's task, or the program that asks."""
        if self.external_request is not None:
            return self.external_request.asked_by
        return self.context.get("name") or self.context.get("task") or self.run_id or self.id

    def is_late(self, now: datetime) -> bool:
        """Its time is over, whether or not the clock came by."""
        return self.expires_at is not None and self.expires_at <= self.clock(now)

    def clock(self, now: datetime) -> datetime:
        """The time by which it expires, is claimed and can be undone: during a stop it stands still."""
        return self.stopped_at or now

    @property
    def is_open(self) -> bool:
        """It can still be decided."""
        return self.status == ApprovalStatus.PENDING and not self.is_late(timezone.now())

    @property
    def is_unsettled(self) -> bool:
        """People are asked, or can still take back what they said."""
        return self.status == ApprovalStatus.PENDING or self.effect_pending

    @property
    def holder(self) -> dict[str, Any] | None:
        """Whose claim on it has not run out, as {type, id, name}."""
        alive = self.claim_expires_at is not None and self.claim_expires_at > self.clock(timezone.now())
        return self.claimed_by if alive else None

    @property
    def action_now(self) -> dict[str, Any] | None:
        """The action as an approval would run it: the proposed one, with the parameters that a vote has changed."""
        action: dict[str, Any] | None = self.action
        return action | {"params": self.edited_action["params"]} if action and self.edited_action else action


# What the log of a subject says was done with a request and stands in no other table, for the audit.
HANDLINGS = ("vote", "claimed", "released", "assigned", "extended", "undone", "void", "result")


class ApprovalEvent(models.Model):
    """One entry of the log of an external request (GET /v1/approvals/{id}/events); a run's requests stand in the run's log."""

    approval = models.ForeignKey(Approval, models.CASCADE, related_name="events", db_index=False)
    seq = models.PositiveIntegerField()  # from 1
    type = models.CharField(max_length=16)  # requested, comment, claimed, decided, expired, cancelled, result, …
    data = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("approval", "seq"), name="one_event_per_number"),)
        indexes = (  # what was done with requests, for the audit
            models.Index(
                fields=("created_at", "id"), name="external_handling_by_time", condition=Q(type__in=HANDLINGS)
            ),
        )


class Decision(models.Model):
    """What somebody decided, or tried to: losing attempts are kept for the audit. Append-only but for the receipt."""

    id = models.CharField(primary_key=True, max_length=40, default=functools.partial(new_id, "dec"))
    approval = models.ForeignKey(Approval, models.CASCADE, related_name="decisions")
    team = models.ForeignKey(Team, models.PROTECT, related_name="+", db_index=False)  # as `test`: those of the request
    test = models.BooleanField()
    counts = models.BooleanField(default=True)  # False: a losing attempt
    loss = models.CharField(max_length=32, blank=True, default="")  # code of the refusal a losing attempt got
    verdict = models.CharField(max_length=16)
    effect = models.CharField(max_length=16)
    actor = models.JSONField()
    via = models.CharField(max_length=20)
    note = models.TextField(null=True)
    answers = models.JSONField(null=True)  # secrets redacted
    values = models.JSONField(null=True)  # secrets redacted
    sealed = models.BinaryField(null=True)  # what reaches the agent, secrets readable, until it has taken effect
    payload_hash = models.CharField(max_length=64)  # of verdict, answers, values, edit with secrets, keyed
    action_before = models.JSONField(null=True)
    action_after = models.JSONField(null=True)
    remembered = models.BooleanField(default=False)
    policy_id = models.CharField(max_length=40, null=True)
    at = models.DateTimeField(default=timezone.now)
    delivered_at = models.DateTimeField(null=True)
    execution_started_at = models.DateTimeField(null=True)
    executed_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=16, null=True)
    error = models.TextField(null=True)

    class Meta:
        indexes = (
            models.Index(fields=("team", "test", "-at", "-id"), name="decisions_of_a_team"),
            models.Index(fields=("team", "test", "verdict", "-at", "-id"), name="decisions_by_verdict"),
            models.Index("team", "test", KT("actor__id"), F("at").desc(), F("id").desc(), name="decisions_by_actor"),
            models.Index(
                fields=("team", "test", "-at", "-id"), name="lost_decisions_of_a_team", condition=Q(counts=False)
            ),
        )
        constraints = (
            models.UniqueConstraint(fields=("approval",), name="one_decision_per_request", condition=Q(counts=True)),
        )


class Vote(models.Model):
    """One person's approval towards a quorum; one person counts once."""

    approval = models.ForeignKey(Approval, models.CASCADE, related_name="votes")
    voter = models.CharField(max_length=40)  # user or key id
    actor = models.JSONField()
    group = models.CharField(max_length=64)  # the quorum's name for the group it counts for
    note = models.TextField(null=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("approval", "voter"), name="one_vote_per_person"),)


class Comment(models.Model):
    """Words beside a request; never a decision."""

    approval = models.ForeignKey(Approval, models.CASCADE, related_name="comments")
    team = models.ForeignKey(Team, models.PROTECT, related_name="+", db_index=False)  # as `test`: those of the request
    test = models.BooleanField()
    actor = models.JSONField()
    text = models.TextField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = (models.Index(fields=("team", "test", "-at", "-id"), name="comments_of_a_team"),)


class Effect(models.TextChoices):
    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


class Policy(models.Model):
    """A standing answer for actions (docs/api/approvals.md section 11). `run_id`: remembered for that run only."""

    id = models.CharField(primary_key=True, max_length=40, default=functools.partial(new_id, "pol"))
    team = models.ForeignKey(Team, models.PROTECT, related_name="policies")
    test = models.BooleanField()
    tool = models.CharField(max_length=128)
    effect = models.CharField(max_length=8, choices=Effect.choices, default=Effect.ALLOW)
    host = models.CharField(max_length=255, null=True)
    end_user = models.CharField(max_length=128, null=True)
    include_end_users = models.BooleanField(default=False)
    run_id = models.CharField(max_length=40, null=True)
    expires_at = models.DateTimeField(null=True)
    quorum = models.JSONField(default=list)
    four_eyes = models.BooleanField(default=False)
    when = models.JSONField(default=list, db_default=models.Value([], models.JSONField()))  # conditions; all must hold
    max_uses = models.PositiveSmallIntegerField(null=True)  # an allow ends after so many actions
    note = models.CharField(max_length=500, null=True)
    origin = models.CharField(max_length=16, default="api")  # api, dashboard, remembered
    origin_approval_id = models.CharField(max_length=40, null=True)
    created_by = models.JSONField()
    allowed_by = models.JSONField(null=True)  # of an allow, who stands behind it: approvals/policies/allowances.py
    created_at = models.DateTimeField(default=timezone.now)
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    uses = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                *("team", "test", "tool", "effect", "host", "end_user", "run_id", "max_uses"),
                MD5(Cast("when", models.TextField())),  # the conditions themselves may be too long for an index
                name="one_active_policy",
                condition=Q(revoked_at__isnull=True),
                nulls_distinct=False,
            ),
        )
        indexes = (models.Index(fields=("team", "test", "-created_at", "-id"), name="policies_of_a_team"),)

    def __str__(self) -> str:
        return f"{self.effect} {self.tool}"


class NoticeStatus(models.TextChoices):
    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"
    DROPPED = "dropped"  # no longer wanted when its turn came


class Notice(models.Model):
    """One thing to tell one person about one request by mail; several may go into one letter (approvals.mail.outbox)."""

    approval = models.ForeignKey(Approval, models.CASCADE, related_name="notices", db_index=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="+", db_index=False)
    occasion = models.CharField(max_length=64)  # names one opening, assignment or reminder of the request
    words = models.CharField(max_length=200)  # what happened, for example "Half of the time is over"
    status = models.CharField(max_length=8, choices=NoticeStatus.choices, default=NoticeStatus.PENDING)
    letter = models.CharField(max_length=40, null=True)  # the letter that carries it, anew for each attempt
    attempts = models.PositiveSmallIntegerField(default=0)
    reason = models.TextField(null=True)  # why the last attempt failed, in words
    next_attempt_at = models.DateTimeField(null=True)
    queued_until = models.DateTimeField(null=True)  # until then a task for it waits
    begun_at = models.DateTimeField(null=True)  # the last attempt
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = (
            models.Index(fields=("next_attempt_at",), name="due_notices", condition=Q(status="pending")),
            models.Index(fields=("user", "-begun_at"), name="letters_of_a_person"),
            models.Index(fields=("letter",), name="notices_under_way", condition=Q(status="pending")),
        )
        constraints = (
            models.UniqueConstraint(fields=("approval", "user", "occasion"), name="one_notice_per_occasion"),
            models.CheckConstraint(
                name="pending_notice_has_a_next_attempt",
                condition=Q(status="pending", next_attempt_at__isnull=False, finished_at__isnull=True)
                | (~Q(status="pending") & Q(next_attempt_at__isnull=True, finished_at__isnull=False)),
            ),
        )


class MailSwitches(models.Model):
    """What a person wants to be mailed about in one team. Who never chose gets everything."""

    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    team = models.ForeignKey(Team, models.CASCADE, related_name="+")
    waiting = models.BooleanField(default=True)  # something waits for them
    reminders = models.BooleanField(default=True)
    only_mine = models.BooleanField(default=False)  # only what is meant for them or for a group of theirs

    class Meta:
        constraints = (models.UniqueConstraint(fields=("user", "team"), name="one_set_of_switches_per_team"),)
