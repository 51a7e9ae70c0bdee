"""Changes to secrets, and handing them out to runs."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from cryptography.fernet import InvalidToken
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.actor import Actor, system
from accounts.audit.services import audit
from accounts.models import TeamSecret
from accounts.secrets.access import get_secret, secrets_of
from accounts.secrets.schemas import SecretChange, SecretCreate
from database.sealing import seal, unseal
from web.errors import EmptyUpdate, Invalid
from web.json_values import Detail

MOST = 1000  # of a team and world


def create_secret(actor: Actor, body: SecretCreate) -> TeamSecret:
    """A new secret of the actor's world. Raises Invalid, also for a name that is taken, whatever its case."""
    if wrong := _two_kinds(body, needed=True):
        raise Invalid(*wrong)
    row = TeamSecret(
        team_id=actor.team_id,
        test=actor.test,
        name=body.name,
        hosts=body.hosts,
        machines=body.machines,
        created_by=actor.ref(),
        **_content(body),
    )
    try:
        with transaction.atomic():
            if secrets_of(actor).count() >= MOST:
                raise Invalid((("body", "name"), f"A team has at most {MOST} secrets.", "value_error"))
            row.save(force_insert=True)
            audit(actor, "secret.created", row.id, **_facts(row))
    except IntegrityError as error:
        if "one_secret_of_a_name" not in str(error):
            raise
        raise Invalid((("body", "name"), "There is a secret of this name.", "value_error")) from error
    return row


def change_secret(actor: Actor, name: str, body: SecretChange) -> TeamSecret:
    """Replace what is given; runs under way get what is new. Raises SecretNotFound, EmptyUpdate, Invalid."""
    if not body.model_dump(exclude_none=True):
        raise EmptyUpdate
    if wrong := _two_kinds(body, needed=False):
        raise Invalid(*wrong)
    with transaction.atomic():
        row = get_secret(actor, name, lock=True)
        before, content = _facts(row), _content(body)
        fields = content | body.model_dump(include={"hosts", "machines"}, exclude_none=True)
        if content:
            fields["replaced_at"] = timezone.now()
        for field, value in fields.items():
            setattr(row, field, value)
        row.save(update_fields=list(fields))
        audit(actor, "secret.changed", row.id, before=before, after=_facts(row), name=row.name, replaced=bool(content))
    return row


def delete_secret(actor: Actor, name: str) -> None:
    """Runs that would put it in fail to. Raises SecretNotFound."""
    with transaction.atomic():
        row = get_secret(actor, name, lock=True)
        audit(actor, "secret.deleted", row.id, **_facts(row))
        row.delete()


def _two_kinds(body: SecretCreate | SecretChange, *, needed: bool) -> list[Detail]:
    names = [name for name in ("value", "totp_seed") if getattr(body, name) is not None]
    if len(names) == 2 or (needed and not names):
        kind = "value_error" if names else "missing"
        return [(("body", "value"), "Give exactly one of value and totp_seed.", kind)]
    return []


def _content(body: SecretCreate | SecretChange) -> dict[str, object]:
    if body.value is not None:
        return {"kind": "value", "sealed": seal(body.value)}
    return {} if body.totp_seed is None else {"kind": "totp", "sealed": seal(body.totp_seed)}


def _facts(row: TeamSecret) -> dict[str, object]:
    return {"name": row.name, "kind": row.kind, "hosts": row.hosts, "machines": row.machines}


# --- for runs


@dataclass(frozen=True)
class Handed:
    """A secret in the hands of a run that is about to put it in. `text`: its value, or the seed of its codes; empty when it was
    sealed with another SECRET_KEY."""

    id: str
    name: str
    kind: str
    text: str
    hosts: tuple[str, ...]
    machines: frozenset[str]


def readable(team_id: str, test: bool, names: Collection[str]) -> dict[str, Handed]:
    """Those of the names that are there. The caller is inside atomic(): none is changed or deleted until it has ended."""
    rows = TeamSecret.objects.filter(team_id=team_id, test=test, name__in=names).order_by("id").select_for_update()
    return {
        row.name: Handed(row.id, row.name, row.kind, _opened(row), tuple(row.hosts), frozenset(row.machines))
        for row in rows
    }


def _opened(row: TeamSecret) -> str:
    try:
        return str(unseal(row.sealed))
    except InvalidToken:
        return ""


def used(team_id: str, test: bool, run_id: str, secrets: Iterable[Handed], action: str, host: str | None) -> None:
    """Write down that a run is about to put them in. The caller is inside atomic() and has them from readable()."""
    for secret in secrets:
        TeamSecret.objects.filter(id=secret.id).update(last_used_at=timezone.now(), last_used_run_id=run_id)
        facts = {"name": secret.name, "run_id": run_id, "action": action, "host": host}
        audit(system(team_id, test), "secret.used", secret.id, **facts)


def withheld(team_id: str, test: bool, run_id: str, names: Collection[str], why: str) -> None:
    """Write down that they were not put in after all."""
    with transaction.atomic():
        for row in TeamSecret.objects.filter(team_id=team_id, test=test, name__in=names):
            facts = {"name": row.name, "run_id": run_id, "why": why}
            audit(system(team_id, test), "secret.withheld", row.id, **facts)
