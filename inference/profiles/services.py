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
        profile = Profile.objects.create(
            **{name: values[name] for name in ("name", "wire", *FIELDS)},
            from_env=from_env,
            created_by=actor.ref(),
            key=seal(values["key"]) if values.get("key") else None,
        )
        audit(actor, "model.created", profile.id, **_shown(profile))
    return profile


def update_profile(actor: Actor, profile_id: str, changes: Mapping[str, Any]) -> Profile:
    """Change FIELDS and the key (None = unchanged, "" = taken away). Its name and wire stay: runs and teams name it.

    Any change makes a new version, which no test has passed yet. Raises InstallationOwnersOnly, NotFound, Invalid.
    """
    with changing(actor, profile_id) as (owner, profile):
        values = {name: changes.get(name, getattr(profile, name)) for name in FIELDS}
        key = changes.get("key")
        if wrong := violations({"name": profile.name, "wire": profile.wire, "key": key} | values):
            raise Invalid(*wrong)
        if key is not None and profile.from_env and actor.kind != "system":
            raise Invalid((("body", "key"), f"The key is taken from {profile.from_env} at every start.", "value_error"))
        moves = actor.kind != "system" and server_of(values["base_url"]) != server_of(profile.base_url)
        if (
            profile.key and key is None and moves
        ):  # else who never saw the key could have it sent to a server of their own
            words = "Enter the key again: at this address it goes to another server."
            if profile.from_env:
                words = f"Its key, from {profile.from_env}, would go to another server: say the address in the environment, too."
            raise Invalid((("body", "base_url" if profile.from_env else "key"), words, "value_error"))
        before = {name: getattr(profile, name) for name in FIELDS if getattr(profile, name) != values[name]}
        if not before and key is None:
            return profile
        for name in before:
            setattr(profile, name, values[name])
        if key is not None:
            profile.key = seal(key) if key else None
        profile.version += 1
        profile.save(update_fields=[*before, "key", "version"])
        after = {name: values[name] for name in before}
        audit(
            owner, "model.updated", profile.id, name=profile.name, before=before, after=after, new_key=key is not None
        )
    return profile


def set_default(actor: Actor, profile_id: str, *, anyway: bool = False) -> Profile:
    """What thinks where nobody chose. `anyway`: although this version has passed no test.

    Raises InstallationOwnersOnly, NotFound, InvalidState.
    """
    with changing(actor, profile_id) as (owner, profile):
        if profile.disabled_at is not None:
            raise InvalidState("A disabled model cannot be the default.", current_state="disabled", allowed_from=["on"])
        if not anyway and not passed(profile):
            raise InvalidState(
                "This model has not passed its test. Test it, or say that it is to be used anyway.",
                current_state="untested",
                allowed_from=["tested"],
            )
        if not profile.is_default:
            Profile.objects.filter(is_default=True).update(is_default=False)
            _set(profile, is_default=True)
            audit(owner, "model.default_set", profile.id, name=profile.name, tested=passed(profile))
    return profile


def clear_default(actor: Actor, profile_id: str) -> Profile:
    """Runs for which nobody chose an agent have the playbook again. Raises InstallationOwnersOnly, NotFound."""
    with changing(actor, profile_id) as (owner, profile):
        if profile.is_default:
            _set(profile, is_default=False)
            audit(owner, "model.default_cleared", profile.id, name=profile.name)
    return profile


def disable_profile(actor: Actor, profile_id: str) -> Profile:
    """New runs cannot have it, runs that do ask people. Raises InstallationOwnersOnly, NotFound."""
    with changing(actor, profile_id) as (owner, profile):
        if profile.disabled_at is None:
            was_default = profile.is_default
            _set(profile, disabled_at=timezone.now(), is_default=False)
            audit(owner, "model.disabled", profile.id, name=profile.name, was_default=was_default)
    return profile


def enable_profile(actor: Actor, profile_id: str) -> Profile:
    """Raises InstallationOwnersOnly, NotFound."""
    with changing(actor, profile_id) as (owner, profile):
        if profile.disabled_at is not None:
            _set(profile, disabled_at=None)
            audit(owner, "model.enabled", profile.id, name=profile.name)
    return profile


def delete_profile(actor: Actor, profile_id: str) -> None:
    """Only what no run ever used: the others are named in the records of runs. Raises InstallationOwnersOnly, NotFound, InvalidState."""
    with changing(actor, profile_id) as (owner, profile):
        if ever_used(profile.name):
            raise InvalidState(
                "Runs have used this model, so it stays in the records. Disable it instead.",
                current_state="used",
                allowed_from=["unused"],
            )
        audit(owner, "model.deleted", profile.id, **_shown(profile))
        profile.delete()


def passed(profile: Profile) -> bool:
    """Whether the version as it is now has passed the test on the page."""
    tested = profile.tested or {}
    return bool(tested.get("passed")) and tested.get("version") == profile.version


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


def _set(profile: Profile, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(profile, name, value)
    profile.save(update_fields=list(fields))


def _shown(profile: Profile) -> dict[str, Any]:
    shown = {name: getattr(profile, name) for name in ("name", "wire", *FIELDS) if getattr(profile, name)}
    return shown | ({"key_from": profile.from_env} if profile.from_env else {"has_key": profile.key is not None})
