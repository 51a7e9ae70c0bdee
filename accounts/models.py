"""Teams, people, roles, groups, API keys, webhooks and secrets: every row of the product has a team, every call an actor."""

import functools
from collections.abc import Iterable
from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.fields.json import KT
from django.db.models.functions import Lower
from django.utils import timezone

from database.ids import new_id

# Of an audit entry's verb: `key` of `key.created`.
AUDITED_KIND = Func(F("verb"), Value("."), Value(1), function="split_part", output_field=models.CharField())


def _id(prefix: str) -> functools.partial[str]:
    return functools.partial(new_id, prefix)


class Team(models.Model):
    """A team and its settings (docs/api/README.md section 10; bounds in schemas.TeamPatch)."""

    id = models.CharField(primary_key=True, max_length=40, default=_id("tm"))
    slug = models.SlugField(unique=True, max_length=63)
    name = models.CharField(max_length=128)
    default_machine_id = models.CharField(max_length=40, null=True)
    default_agent = models.CharField(max_length=64, null=True)
    forbid_self_approval = models.CharField(max_length=16, default="four_eyes")
    undo_window_seconds = models.PositiveSmallIntegerField(default=0)
    screen_check = models.BooleanField(default=False)
    screen_check_threshold = models.FloatField(default=0.05)
    risk_floor = ArrayField(
        models.CharField(max_length=16), default=functools.partial(list, ("spend", "access", "destroy"))
    )
    # In which permission modes the floor asks: autonomous, approval, plan.
    risk_floor_modes = ArrayField(
        models.CharField(max_length=16), default=functools.partial(list, ("approval", "plan"))
    )
    remember_days = models.PositiveSmallIntegerField(null=True, default=30)
    claim_minutes = models.PositiveSmallIntegerField(default=10)
    hot_window_seconds = models.PositiveSmallIntegerField(default=75)
    plan_max_revisions = models.PositiveSmallIntegerField(default=10)
    max_active_runs = models.PositiveIntegerField(default=1000)
    budget_cents_month = models.PositiveIntegerField(default=0)
    event_retention_days = models.PositiveSmallIntegerField(default=90)
    # Whether every member sees balance, ledger and usage, or the admins alone.
    usage_for_all = models.BooleanField(default=False, db_default=False)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.name


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email__iexact=username)

    def create_user(self, email: str, password: str | None, name: str = "") -> "User":
        user = self.model(email=self.normalize_email(email).lower(), name=name or email.split("@", maxsplit=1)[0])
        user.set_password(password)
        user.save()
        return user


class User(AbstractBaseUser):
    """A person. Rights come from memberships, never from the account itself."""

    id = models.CharField(primary_key=True, max_length=40, default=_id("usr"))
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=128)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now)

    USERNAME_FIELD = "email"
    objects: ClassVar[UserManager] = UserManager()

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"
    OWNER = "owner"

    @classmethod
    def highest_first(cls, roles: Iterable[str]) -> list[str]:
        """Each known role once, the mightiest first: how roles are stored and shown."""
        unordered = set(roles)
        return [role for role in reversed(cls.values) if role in unordered]


class Membership(models.Model):
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    team = models.ForeignKey(Team, models.CASCADE, related_name="memberships")
    roles = ArrayField(models.CharField(max_length=16, choices=Role.choices))
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("user", "team"), name="one_membership_per_team"),)


class Group(models.Model):
    """A named set of people, used for quorum and assignment. `next_group` is told when this one lets the time run
    out, and then votes in its place."""

    id = models.CharField(primary_key=True, max_length=40, default=_id("grp"))
    team = models.ForeignKey(Team, models.CASCADE, related_name="groups")
    name = models.CharField(max_length=64)
    users = models.ManyToManyField(User, related_name="groups")
    next_group = models.ForeignKey("self", models.SET_NULL, null=True, related_name="+")

    class Meta:
        constraints = (models.UniqueConstraint(fields=("team", "name"), name="one_group_name_per_team"),)


class Invitation(models.Model):
    """A way into the team for one e-mail address. Its link is kept as a hash; only the newest of its `links` opens it."""

    id = models.CharField(primary_key=True, max_length=40, default=_id("inv"))
    team = models.ForeignKey(Team, models.CASCADE, related_name="invitations")
    email = models.EmailField()
    roles = ArrayField(models.CharField(max_length=16, choices=Role.choices))
    groups = models.ManyToManyField(Group, related_name="+")
    hash = models.CharField(max_length=64, unique=True)
    links = models.PositiveSmallIntegerField(default=1)
    invited_by = models.JSONField()  # {type, id, name}
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)
    accepted_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    revoked_at = models.DateTimeField(null=True)
    mailed_at = models.DateTimeField(null=True)
    mail_problem = models.TextField(null=True)  # why the mail with the newest link did not go out

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("team", "email"),
                name="one_open_invitation_per_address",
                condition=Q(accepted_at__isnull=True, revoked_at__isnull=True),
            ),
            models.CheckConstraint(
                name="invitation_ends_once", condition=Q(accepted_at__isnull=True) | Q(revoked_at__isnull=True)
            ),
        )

    @property
    def expired(self) -> bool:
        return self.expires_at <= timezone.now()


class ApiKey(models.Model):
    """A key is stored as its SHA-256 and a prefix of 16 characters; `test` names its world."""

    id = models.CharField(primary_key=True, max_length=40, default=_id("key"))
    team = models.ForeignKey(Team, models.CASCADE, related_name="api_keys")
    test = models.BooleanField()
    name = models.CharField(max_length=100)
    hash = models.CharField(max_length=64, unique=True)
    prefix = models.CharField(max_length=16)
    scopes = ArrayField(models.CharField(max_length=32))
    owner = models.ForeignKey(User, models.SET_NULL, null=True, related_name="api_keys")
    created_by = models.JSONField()  # {type, id, name}
    budget_cents_month = models.PositiveIntegerField(default=0)
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = (models.Index(fields=("team", "test", "-created_at"), name="keys_of_a_team"),)

    @property
    def kind(self) -> str:
        return "test" if self.test else "live"


class IdempotencyRecord(models.Model):
    """The stored answer of one POST; written in the transaction of its effect (docs/api/README.md section 7)."""

    team = models.ForeignKey(Team, models.CASCADE)
    caller = models.CharField(max_length=60)  # key or user id, and for users the team and world
    method = models.CharField(max_length=8)
    path = models.CharField(max_length=512)
    key = models.CharField(max_length=128)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)  # null while in flight
    body = models.BinaryField(null=True)  # sealed: it may hold a secret that is shown once
    headers = models.JSONField(default=dict)
    request_id = models.CharField(max_length=40)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("caller", "method", "path", "key"), name="one_answer_per_idempotency_key"),
        )
        indexes = (models.Index(fields=("expires_at",), name="idempotency_expiry"),)


class RateWindow(models.Model):
    """Requests of one caller in one minute; rows of past minutes are swept by the clock."""

    caller = models.CharField(max_length=100)
    bucket = models.CharField(max_length=32)
    minute = models.BigIntegerField()  # unix minute
    count = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("caller", "bucket", "minute"), name="one_rate_window"),)


class AuditEntry(models.Model):
    """Who changed what outside of runs: keys, settings, machines, wallet. Append-only (a trigger sees to it).

    The part of `verb` before the dot names the kind of thing changed. `test` is null for what concerns both worlds.
    """

    team = models.ForeignKey(Team, models.CASCADE, related_name="audit")
    test = models.BooleanField(null=True)
    actor = models.JSONField()  # {type, id, name}
    verb = models.CharField(max_length=64)
    subject = models.CharField(max_length=80)
    data = models.JSONField(default=dict)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = (
            models.Index(fields=("team", "-at", "-id"), name="audit_of_a_team"),
            models.Index("team", AUDITED_KIND, F("at").desc(), F("id").desc(), name="audit_by_kind"),
            models.Index("team", KT("actor__id"), F("at").desc(), F("id").desc(), name="audit_by_actor"),
            models.Index(fields=("team", "subject", "-at", "-id"), name="audit_by_subject"),
            models.Index(
                KT("data__run_id"), F("at").desc(), name="audit_of_a_run", condition=Q(data__has_key="run_id")
            ),
        )
        constraints = (models.CheckConstraint(condition=~Q(verb=""), name="audit_entry_has_a_verb"),)


class WebhookEndpoint(models.Model):
    """An address of a team that hears of its events (docs/api/events-and-webhooks.md section 6)."""

    id = models.CharField(primary_key=True, max_length=40, default=_id("whk"))
    team = models.ForeignKey(Team, models.CASCADE, related_name="webhooks")
    test = models.BooleanField()
    url = models.CharField(max_length=2048)
    events = ArrayField(models.CharField(max_length=40))
    description = models.CharField(max_length=200, null=True)
    active = models.BooleanField(default=True)
    disabled_reason = models.TextField(null=True)  # why the installation, not a person, switched it off
    secret = models.BinaryField()  # sealed
    previous_secret = models.BinaryField(null=True)  # sealed; signs beside the new one until previous_until
    previous_until = models.DateTimeField(null=True)
    created_by = models.JSONField()  # {type, id, name}
    created_at = models.DateTimeField(default=timezone.now)
    deleted_at = models.DateTimeField(null=True)  # the row stays for the log of its deliveries

    class Meta:
        indexes = (
            models.Index(
                fields=("team", "test", "-created_at"), name="webhooks_of_a_team", condition=Q(deleted_at__isnull=True)
            ),
        )


class WebhookEvent(models.Model):
    """What happened, in the very words that are sent: all attempts and redeliveries carry the same id and body."""

    id = models.CharField(primary_key=True, max_length=40, default=_id("evt"))
    team = models.ForeignKey(Team, models.CASCADE)
    test = models.BooleanField()
    type = models.CharField(max_length=40)
    run_id = models.CharField(max_length=40, null=True)
    body = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = (
            models.Index(fields=("run_id",), name="webhook_events_of_a_run", condition=Q(run_id__isnull=False)),
            models.Index(fields=("created_at",), name="webhook_event_age"),
        )


class DeliveryStatus(models.TextChoices):
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class WebhookDelivery(models.Model):
    """One event on its way to one address. `endpoint` is null for the webhook_url of a run, whose secret stands here.

    `attempts` counts the attempts begun, so it also tells which of two workers may write the outcome.
    """

    id = models.CharField(primary_key=True, max_length=40, default=_id("whd"))
    event = models.ForeignKey(WebhookEvent, models.CASCADE, related_name="deliveries")
    endpoint = models.ForeignKey(WebhookEndpoint, models.CASCADE, null=True, related_name="deliveries")
    url = models.CharField(max_length=2048)
    secret = models.BinaryField(null=True)  # sealed
    status = models.CharField(max_length=16, choices=DeliveryStatus.choices, default=DeliveryStatus.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    response_status = models.PositiveSmallIntegerField(null=True)
    reason = models.TextField(null=True)
    next_attempt_at = models.DateTimeField(null=True)
    queued_until = models.DateTimeField(null=True)  # until then a task for it waits or works
    redelivery_of = models.CharField(max_length=40, null=True)
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = (
            models.Index(fields=("next_attempt_at",), name="due_deliveries", condition=Q(status="pending")),
            models.Index(fields=("endpoint", "-created_at", "-id"), name="deliveries_of_a_webhook"),
        )
        constraints = (
            models.CheckConstraint(
                name="pending_delivery_has_a_next_attempt",
                condition=Q(status="pending", next_attempt_at__isnull=False, finished_at__isnull=True)
                | (~Q(status="pending") & Q(next_attempt_at__isnull=True, finished_at__isnull=False)),
            ),
        )


class RulesVersion(models.Model):
    """Counts the changes of what rules a team's actions in one world (accounts/team/rules_version.py)."""

    team = models.ForeignKey(Team, models.CASCADE, related_name="+")
    test = models.BooleanField()
    version = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("team", "test"), name="one_rules_version_per_world"),)


class TeamSecret(models.Model):
    """A value that runs of the team put in and nobody reads again (docs/api/runs.md section 11).

    `sealed`: the value, or the seed of its codes as base32. `hosts`: whose pages may get it. `machines`: terminals that may.
    """

    id = models.CharField(primary_key=True, max_length=40, default=_id("sec"))
    team = models.ForeignKey(Team, models.CASCADE, related_name="secrets")
    test = models.BooleanField()
    name = models.CharField(max_length=64)
    kind = models.CharField(max_length=8, choices=[("value", "value"), ("totp", "totp")])
    sealed = models.BinaryField()
    hosts = ArrayField(models.CharField(max_length=255))
    machines = ArrayField(models.CharField(max_length=128), default=list)
    created_by = models.JSONField()  # {type, id, name}
    created_at = models.DateTimeField(default=timezone.now)
    replaced_at = models.DateTimeField(null=True)  # when its value was last replaced
    last_used_at = models.DateTimeField(null=True)
    last_used_run_id = models.CharField(max_length=40, null=True)

    class Meta:
        constraints = (models.UniqueConstraint("team", "test", Lower("name"), name="one_secret_of_a_name"),)
