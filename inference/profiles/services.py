"""Changes to model profiles."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.access import installation_team
from accounts.actor import Actor
from accounts.audit.services import audit
from accounts.models import Team
from database.sealing import seal
from inference.models import Profile
from inference.profiles.access import ever_used, get_profile, require_owner
from inference.profiles.profile_rules import server_of, violations
from web.errors import Invalid, InvalidState

FIELDS = ("model", "base_url", "options", "prices", "limits")  # what an edit may change, the key apart


def create_profile(actor: Actor, values: Mapping[str, Any], *, from_env: str | None = None) -> Profile:
    """A new profile, not tested yet. `values`: name, wire, key (None = none) and FIELDS. Raises InstallationOwnersOnly, Invalid.

    `from_env`: the variable that its key is taken from at every start.
    """
    if wrong := violations(values):
        raise Invalid(*wrong)
    with transaction.atomic():
        actor = _locked(actor)
        if Profile.objects.filter(name=values["name"]).exists():
            raise Invalid((("body", "name"), "There is a model of this name already.", "value_error"))
        row = Profile.objects.create(
            **{name: values[name] for name in ("name", "wire", *FIELDS)},
            from_env=from_env,
            created_by=actor.ref(),
            key=seal(values["key"]) if values.get("key") else None,
        )
        audit(actor, "model.created", row.id, **_shown(row))
    return row


def update_profile(actor: Actor, profile_id: str, changes: Mapping[str, Any]) -> Profile:
    """Change FIELDS and the key (None = unchanged, "" = taken away). Its name and wire stay: runs and teams name it.

    Any change makes a new version, which no test has passed yet. Raises InstallationOwnersOnly, NotFound, Invalid.
    """
    with changing(actor, profile_id) as (owner, row):
        values = {name: changes.get(name, getattr(row, name)) for name in FIELDS}
        key = changes.get("key")
        if wrong := violations({"name": row.name, "wire": row.wire, "key": key} | values):
            raise Invalid(*wrong)
        if key is not None and row.from_env and actor.kind != "system":
            raise Invalid((("body", "key"), f"The key is taken from {row.from_env} at every start.", "value_error"))
        moves = actor.kind != "system" and server_of(values["base_url"]) != server_of(row.base_url)
        if row.key and key is None and moves:  # else who never saw the key could have it sent to a server of their own
            words = "Enter the key again: at this address it goes to another server."
            if row.from_env:
                words = f"Its key, from {row.from_env}, would go to another server: say the address in the environment, too."
            raise Invalid((("body", "base_url" if row.from_env else "key"), words, "value_error"))
        before = {name: getattr(row, name) for name in FIELDS if getattr(row, name) != values[name]}
        if not before and key is None:
            return row
        for name in before:
            setattr(row, name, values[name])
        if key is not None:
            row.key = seal(key) if key else None
        row.version += 1
        row.save(update_fields=[*before, "key", "version"])
        after = {name: values[name] for name in before}
        audit(owner, "model.updated", row.id, name=row.name, before=before, after=after, new_key=key is not None)
    return row


def set_default(actor: Actor, profile_id: str, *, anyway: bool = False) -> Profile:
    """What thinks where nobody chose. `anyway`: although this version has passed no test.

    Raises InstallationOwnersOnly, NotFound, InvalidState.
    """
    with changing(actor, profile_id) as (owner, row):
        if row.disabled_at is not None:
            raise InvalidState("A disabled model cannot be the default.", current_state="disabled", allowed_from=["on"])
        if not anyway and not passed(row):
            raise InvalidState(
                "This model has not passed its test. Test it, or say that it is to be used anyway.",
                current_state="untested",
                allowed_from=["tested"],
            )
        if not row.is_default:
            Profile.objects.filter(is_default=True).update(is_default=False)
            _set(row, is_default=True)
            audit(owner, "model.default_set", row.id, name=row.name, tested=passed(row))
    return row


def clear_default(actor: Actor, profile_id: str) -> Profile:
    """Runs for which nobody chose an agent have the playbook again. Raises InstallationOwnersOnly, NotFound."""
    with changing(actor, profile_id) as (owner, row):
        if row.is_default:
            _set(row, is_default=False)
            audit(owner, "model.default_cleared", row.id, name=row.name)
    return row


def disable_profile(actor: Actor, profile_id: str) -> Profile:
    """New runs cannot have it, runs that do ask people. Raises InstallationOwnersOnly, NotFound."""
    with changing(actor, profile_id) as (owner, row):
        if row.disabled_at is None:
            was_default = row.is_default
            _set(row, disabled_at=timezone.now(), is_default=False)
            audit(owner, "model.disabled", row.id, name=row.name, was_default=was_default)
    return row


def enable_profile(actor: Actor, profile_id: str) -> Profile:
    """Raises InstallationOwnersOnly, NotFound."""
    with changing(actor, profile_id) as (owner, row):
        if row.disabled_at is not None:
            _set(row, disabled_at=None)
            audit(owner, "model.enabled", row.id, name=row.name)
    return row


def delete_profile(actor: Actor, profile_id: str) -> None:
    """Only what no run ever used: the others are named in the records of runs. Raises InstallationOwnersOnly, NotFound, InvalidState."""
    with changing(actor, profile_id) as (owner, row):
        if ever_used(row.name):
            raise InvalidState(
                "Runs have used this model, so it stays in the records. Disable it instead.",
                current_state="used",
                allowed_from=["unused"],
            )
        audit(owner, "model.deleted", row.id, **_shown(row))
        row.delete()


def passed(row: Profile) -> bool:
    """Whether the version as it is now has passed the test on the page."""
    tested = row.tested or {}
    return bool(tested.get("passed")) and tested.get("version") == row.version


@contextmanager
def changing(actor: Actor, profile_id: str) -> Iterator[tuple[Actor, Profile]]:
    """A transaction that changes this profile; the actor as the audit names it. Raises InstallationOwnersOnly, NotFound."""
    with transaction.atomic():
        actor = _locked(actor)
        yield actor, get_profile(actor, profile_id, lock=True)


def _locked(actor: Actor) -> Actor:
    """Changes of profiles come one after the other, and who waited may have lost rights. The entry is the first team's.

    The caller is inside atomic(). Raises InstallationOwnersOnly.
    """
    team = installation_team()
    if team is None:
        raise InvalidState("There is no team yet: start once.", current_state="empty", allowed_from=["started"])
    Team.objects.select_for_update(no_key=True).get(id=team.id)
    require_owner(actor)
    return replace(actor, team_id=team.id)


def _set(row: Profile, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(row, name, value)
    row.save(update_fields=list(fields))


def _shown(row: Profile) -> dict[str, Any]:
    shown = {name: getattr(row, name) for name in ("name", "wire", *FIELDS) if getattr(row, name)}
    return shown | ({"key_from": row.from_env} if row.from_env else {"has_key": row.key is not None})
