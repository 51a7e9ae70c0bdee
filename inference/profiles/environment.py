"""Profiles that the environment asks for: looked at when the installation starts (`manage.py up`), never while it runs."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.db import transaction

from accounts.access import installation_team
from accounts.actor import system
from inference.errors import ModelMisconfigured
from inference.models import Profile
from inference.profiles.services import create_profile, set_default, update_profile
from inference.profiles.vendors import VENDORS, Vendor, usual_prices
from inference.specs import as_spec, free_name
from web.errors import Invalid

KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "MODEL_API_KEY")


@dataclass(frozen=True)
class FromVariable:
    """What one variable came to. `problem`: why it made no profile, in words without the key."""

    variable: str
    profile: str = ""
    model: str = ""
    new: bool = False
    changed: bool = False
    problem: str = ""


def take_over(environ: Mapping[str, str]) -> list[FromVariable]:
    """One profile for each variable that is set, the default if there is none. What has changed there is taken over.

    A profile that was disabled stays so; what was edited on the page stays, but for the key, and for address and model
    where the environment names them.
    """
    if installation_team() is None:
        return []
    return [_take(vendor, environ) for vendor in VENDORS.values() if environ.get(vendor.variable, "").strip()]


def _take(vendor: Vendor, environ: Mapping[str, str]) -> FromVariable:
    row = Profile.objects.filter(from_env=vendor.variable).order_by("created_at").first()
    try:
        if row is None:
            row = _make(vendor, _asked_for(vendor.wire, environ))
            return FromVariable(vendor.variable, row.name, row.model, new=True)
        before = row.version
        row = _renew(row, _asked_for(vendor.wire, environ))
        return FromVariable(vendor.variable, row.name, row.model, changed=row.version != before)
    except Invalid as wrong:
        words = " ".join(detail["msg"] for detail in wrong.facts["details"])
        return FromVariable(vendor.variable, problem=words)


def _asked_for(wire: str, environ: Mapping[str, str]) -> dict[str, str]:
    """key, base_url and model as far as the environment says them."""
    variables: dict[str, str | None] = {
        "anthropic": {"key": environ.get("ANTHROPIC_API_KEY"), "base_url": environ.get("ANTHROPIC_BASE_URL")},
        "openai": {"key": environ.get("OPENAI_API_KEY"), "base_url": environ.get("OPENAI_BASE_URL")},
        "gemini": {"key": environ.get("GEMINI_API_KEY")},
        "compatible": {
            "base_url": environ.get("MODEL_BASE_URL"),
            "key": environ.get("MODEL_API_KEY"),
            "model": environ.get("MODEL_NAME"),
        },
    }[wire]
    return {name: text.strip() for name, text in variables.items() if text and text.strip()}


def _make(vendor: Vendor, settings: Mapping[str, str]) -> Profile:
    team = installation_team()
    assert team is not None
    actor, model = system(team.id, False), settings.get("model", vendor.model)
    values = {
        "name": free_name(vendor.name),
        "wire": vendor.wire,
        "model": model,
        "base_url": settings.get("base_url", ""),
        "key": settings.get("key"),
        "options": {},
        "prices": usual_prices(vendor.wire, model),
        "limits": {},
    }
    with transaction.atomic():
        row = create_profile(actor, values, from_env=vendor.variable)
        if not Profile.objects.filter(is_default=True).exists():
            row = set_default(actor, row.id, anyway=True)
    return row


def _renew(row: Profile, settings: Mapping[str, str]) -> Profile:
    team = installation_team()
    assert team is not None
    changes = {name: text for name, text in settings.items() if name != "key" and text != getattr(row, name)}
    if "key" in settings and not _has_key(row, settings["key"]):
        changes["key"] = settings["key"]
    return update_profile(system(team.id, False), row.id, changes) if changes else row


def _has_key(row: Profile, key: str) -> bool:
    """A key that cannot be opened any more is not this one."""
    try:
        return as_spec(row).key == key
    except ModelMisconfigured:
        return False
