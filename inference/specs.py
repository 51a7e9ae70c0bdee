"""Model profiles: which model answers, over which wire, at which address, with which key."""

import hashlib
import itertools
import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from cryptography.fernet import InvalidToken
from django.conf import settings
from django.db.models import QuerySet

from database.sealing import unseal
from database.sql import prepared
from inference import sql
from inference.errors import ModelMisconfigured
from inference.models import Profile

NAME = re.compile(r"[a-z0-9][a-z0-9._:-]{0,63}")
WireName = Literal["anthropic", "openai", "compatible", "gemini"]


@dataclass(frozen=True)
class Spec:
    """A profile as the wires need it, apart from the database. `version` changes with every edit.

    `options`: those of profile_rules.OPTIONS, all optional; docs/models.md says what each does. `prices`: cents
    per million tokens: input, cached, cache_written, output. `limits`: concurrent (calls at once, 8), tokens (of one run, 0 =
    none), depth (calls in a row without a step, 12).
    """

    name: str
    wire: WireName
    model: str
    base_url: str = ""  # "" = the vendor's
    key: str | None = field(default=None, repr=False)
    version: int = 1
    options: dict[str, Any] = field(default_factory=dict)
    prices: dict[str, float] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)

    @property
    def form(self) -> str:
        """What a conversation is written for, in short: one that was begun for another form cannot be gone on with."""
        options = {name: self.options[name] for name in _OF_FORM if self.options.get(name) is not None}
        words = json.dumps([self.wire, self.model, options], sort_keys=True, default=repr)
        return hashlib.sha256(words.encode()).hexdigest()[:16]


# Options that say how calls, results and pictures stand in a conversation.
_OF_FORM = (
    "computer", "dialect", "tools", "coordinates", "factor", "min_pixels", "max_pixels", "max_side", "picture_in_tool",
    "system_notes",
)  # fmt: skip


def spec_of(name: str) -> Spec:
    """The profile of this name. Raises ModelMisconfigured when there is none, or none that works now."""
    row = Profile.objects.filter(name=name).first()
    if row is None:
        raise ModelMisconfigured(f"There is no model profile “{name}” any more.")
    if row.disabled_at is not None:
        raise ModelMisconfigured(f"The model profile “{name}” is disabled.")
    return as_spec(row)


def as_spec(row: Profile) -> Spec:
    """Raises ModelMisconfigured when the key cannot be opened any more."""
    try:
        key = unseal(row.key) if row.key is not None else None
    except InvalidToken:
        raise ModelMisconfigured(
            f"The key of the model profile “{row.name}” cannot be read, because SECRET_KEY has changed: enter it again."
        ) from None
    return Spec(
        row.name,
        cast("WireName", row.wire),
        row.model,
        base_url=row.base_url,
        key=key,
        version=row.version,
        options=row.options,
        prices=row.prices,
        limits=row.limits,
    )


def live_names() -> list[str]:
    """The profiles that work now, the default first, then by name."""
    return list(live_profiles().values_list("name", flat=True))


def live_profiles() -> QuerySet[Profile]:
    return Profile.objects.filter(disabled_at__isnull=True).order_by("-is_default", "name")


def free_name(name: str) -> str:
    """The name, or the first of name-2, name-3, … that no profile has."""
    names = set(Profile.objects.filter(name__startswith=name).values_list("name", flat=True))
    further = (f"{name}-{n}" for n in itertools.count(2))
    return next(each for each in itertools.chain((name,), further) if each not in names)


def default_name() -> str | None:
    """What thinks where nobody chose: the installation's default profile."""
    row = prepared(sql.DEFAULT_PROFILE, {})
    return row[0] if row else None


def is_live(name: str) -> bool:
    """`name` may be any text, also such that the database cannot even compare."""
    return NAME.fullmatch(name) is not None and prepared(sql.LIVE_PROFILE, {"name": name}) is not None


def usual_agent() -> str:
    """The agent of a live run where neither the call nor the team names one (settings.USUAL_AGENT)."""
    return str(settings.DEFAULT_AGENT) or default_name() or "playbook"


def verifier_of(name: str) -> Spec:
    """The profile that judges what `name` did: the one that its options name, else another one, else itself.

    Raises ModelMisconfigured when not even `name` works.
    """
    own = spec_of(name)
    live = live_names()
    others = [other for other in live if other != name]
    verifier = own.options.get("verifier")
    return spec_of(verifier) if verifier in live else spec_of(others[0]) if others else own
