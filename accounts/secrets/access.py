"""Reading secrets, the actor first: everything but their values."""

from collections.abc import Iterable

from django.db.models import QuerySet

from accounts.actor import Actor
from accounts.errors import SecretNotFound
from accounts.models import AuditEntry, TeamSecret


def secrets_of(actor: Actor) -> QuerySet[TeamSecret]:
    return TeamSecret.objects.filter(team_id=actor.team_id, test=actor.test)


def get_secret(actor: Actor, name: str, *, lock: bool = False) -> TeamSecret:
    """Raises SecretNotFound, also for another team's or world's. With `lock` the caller is inside atomic()."""
    rows = secrets_of(actor).select_for_update() if lock else secrets_of(actor)
    row = rows.filter(name=name).first() if "\0" not in name else None
    if row is None:
        raise SecretNotFound
    return row


def unknown_names(actor: Actor, names: Iterable[str]) -> list[str]:
    """Those of the names that no secret of the actor's team and world has, each once, in their order."""
    each = list(dict.fromkeys(names))
    possible = [name for name in each if "\0" not in name]
    there = set(secrets_of(actor).filter(name__in=possible).values_list("name", flat=True)) if possible else set()
    return [name for name in each if name not in there]


def uses_of(row: TeamSecret) -> QuerySet[AuditEntry]:
    """When it was put in, and when it was refused to a page, the newest first."""
    verbs = ("secret.used", "secret.withheld")
    return AuditEntry.objects.filter(team_id=row.team_id, subject=row.id, verb__in=verbs).order_by("-at", "-id")


def get_secret_by_id(actor: Actor, secret_id: str) -> TeamSecret:
    """As get_secret(), for pages: a name may look like another page's address."""
    row = secrets_of(actor).filter(id=secret_id).first()
    if row is None:
        raise SecretNotFound
    return row
