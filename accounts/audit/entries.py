"""One row of the audit in words: who, when, through what, what was done, to what, and what changed by it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from accounts.audit.values import Change, label, text_of, without_secrets
from accounts.audit.words import THINGS, VIA
from web.times import rfc3339

_CHANNELS = {"api_key": "api", "user": "session", "system": "system"}  # where no table says more


@dataclass(frozen=True)
class Entry:
    """`action` is for programs (`decision.approve`), `what` for people. `about` is what it was done to.

    `lost`: the code of the refusal that an attempt got; `why_lost`: the same in words.
    """

    id: str
    at: datetime
    actor: dict[str, Any]
    via: str
    kind: str
    action: str
    what: str
    about: str
    test: bool | None
    lost: str = ""
    why_lost: str = ""
    changes: list[Change] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    note: str | None = None
    run_id: str | None = None
    approval_id: str | None = None
    subject: str | None = None
    href: str = ""
    tone: str = ""  # good, bad, lost
    icon: str = "file-text"

    @property
    def through(self) -> str:
        return VIA.get(self.via, self.via)

    @property
    def thing(self) -> str:
        """What the subject is, where more entries can be about it."""
        return THINGS.get((self.subject or "").partition("_")[0], "")

    @property
    def details(self) -> list[tuple[str, str]]:
        return [(label(name), text_of(value, name)) for name, value in self.facts.items()]


def channel(actor: dict[str, Any]) -> str:
    return _CHANNELS.get(actor.get("type", ""), "")


def note_of(words: Any) -> str | None:
    return without_secrets(str(words)) if words else None


def as_object(entry: Entry) -> dict[str, Any]:
    """The entry for a program."""
    world = {True: "test", False: "live", None: "both"}[entry.test]
    return {
        "id": entry.id,
        "at": rfc3339(entry.at),
        "actor": entry.actor,
        "via": entry.via,
        "kind": entry.kind,
        "action": entry.action,
        "summary": ": ".join(filter(None, (entry.what, entry.about))),
        "lost": entry.lost or None,
        "changes": [{"name": c.name, "before": c.before, "after": c.after} for c in entry.changes],
        "facts": entry.facts,
        "note": entry.note,
        "run_id": entry.run_id,
        "approval_id": entry.approval_id,
        "subject": entry.subject,
        "world": world,
    }
