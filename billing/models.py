"""The wallet and its ledger. Every transaction moves one amount from one account to another, so it sums to zero by
its shape; rows are never changed or deleted (a trigger sees to it)."""

import functools

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import Team
from database.ids import new_id


class Account(models.TextChoices):
    WALLET = "wallet"
    HELD = "held"
    USAGE = "usage"
    FUNDING = "funding"
    ADJUSTMENT = "adjustment"


class TransactionType(models.TextChoices):
    TOPUP = "topup"
    GRANT = "grant"
    HOLD = "hold"
    CAPTURE = "capture"
    RELEASE = "release"
    MACHINE_TIME = "machine_time"
    ADJUSTMENT = "adjustment"
    REFUND = "refund"


class Wallet(models.Model):
    """What the team may still spend: its row is the lock under which holds are taken."""

    team = models.OneToOneField(Team, models.PROTECT, primary_key=True, related_name="wallet")
    available_cents = models.BigIntegerField(default=0)

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(available_cents__gte=0), name="wallet_never_below_zero"),)


class Transaction(models.Model):
    """`amount_cents` moves from the account `source` to the account `target`."""

    id = models.CharField(primary_key=True, max_length=40, default=functools.partial(new_id, "led"))
    team = models.ForeignKey(Team, models.PROTECT, related_name="transactions")
    type = models.CharField(max_length=16, choices=TransactionType.choices)
    source = models.CharField(max_length=16, choices=Account.choices)
    target = models.CharField(max_length=16, choices=Account.choices)
    amount_cents = models.BigIntegerField()
    available_after_cents = models.BigIntegerField()
    run_id = models.CharField(max_length=40, null=True)
    step_index = models.PositiveIntegerField(null=True)
    machine_id = models.CharField(max_length=40, null=True)
    key_id = models.CharField(max_length=40, null=True)
    workflow_id = models.CharField(max_length=40, null=True)
    endpoint = models.CharField(max_length=24, null=True)  # of a direct call, by its name in settings.PRICE_CALL_CENTS
    hold_id = models.CharField(max_length=40, null=True)  # of a capture or release: the hold it ends
    reference = models.CharField(max_length=128, null=True)
    description = models.CharField(max_length=255, blank=True, default="")
    created_by = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "billing_transaction"
        constraints = (
            models.UniqueConstraint(
                fields=("run_id", "step_index"),
                name="one_capture_per_step",
                condition=Q(type="capture", run_id__isnull=False),
            ),
            models.UniqueConstraint(fields=("hold_id",), name="a_hold_ends_once", condition=Q(hold_id__isnull=False)),
            models.UniqueConstraint(
                fields=("team", "reference"), name="one_funding_per_reference", condition=Q(reference__isnull=False)
            ),
            models.CheckConstraint(condition=Q(amount_cents__gt=0), name="amount_is_positive"),
            models.CheckConstraint(condition=~Q(source=models.F("target")), name="two_different_accounts"),
        )
        indexes = (
            models.Index(fields=("team", "-created_at", "-id"), name="ledger_of_a_team"),
            models.Index(fields=("run_id", "created_at"), name="ledger_of_a_run"),
            models.Index(fields=("key_id", "created_at"), name="ledger_of_a_key", condition=Q(type="capture")),
            models.Index(
                fields=("workflow_id", "created_at"), name="ledger_of_a_workflow", condition=Q(type="capture")
            ),
        )


class WorkflowBudget(models.Model):
    """What the live runs of a workflow may cost in a UTC month. Workflows without a limit have no row."""

    workflow_id = models.CharField(primary_key=True, max_length=40)
    team = models.ForeignKey(Team, models.CASCADE, related_name="workflow_budgets")
    limit_cents = models.PositiveIntegerField()


class CallInHand(models.Model):
    """A direct call whose hold has not ended yet. If its process dies nobody ends it, so it lapses by the clock."""

    hold_id = models.CharField(primary_key=True, max_length=40)
    caller = models.CharField(max_length=96)  # Actor.caller
    lapses_at = models.DateTimeField()

    class Meta:
        indexes = (models.Index(fields=("lapses_at",), name="calls_that_lapse"),)
