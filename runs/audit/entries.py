"""One row of the audit in words: who, when, through what, what was done, to what, and what changed by it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.urls import reverse

from accounts.actor import Actor
from accounts.models import AuditEntry
from approvals.models import Comment, Decision
from runs.audit.access import Found, Row
from runs.audit.names import Names, look_up
from runs.audit.values import Change, difference, label, redacted, text_of, without_secrets
from runs.audit.wanted import KINDS
from runs.audit.words import DECIDED, HANDLED_WORDS, KIND_ICONS, LOSSES, THINGS, TRIED, VIA, changed
from runs.models import RunEvent
from web.times import rfc3339

_CHANNELS = {"api_key": "api", "user": "session", "system": "system"}  # where no table says more
_TONES = {"approve": "good", "answer": "good", "submit": "good", "reject": "bad"}
_ICONS = {"reject": "x", "revise": "undo-2", "expired": "timer-off", "cancelled": "ban"}
_PAGES = {"whk": "webhook", "pol": "policy", "grp": "group", "sec": "secret"}  # whose subjects have one of their own
_NAMED = ("name", "display_name", "url", "email", "reference")  # what an entry calls its subject


@dataclass(frozen=True)
class Entry:
    """`action` is for programs (`decision.approve`), `what` for people. `about` is what it was done to."""

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
    def why_lost(self) -> str:
        return LOSSES.get(self.lost, self.lost)

    @property
    def thing(self) -> str:
        """What the subject is, where more entries can be about it."""
        return THINGS.get((self.subject or "").partition("_")[0], "")

    @property
    def details(self) -> list[tuple[str, str]]:
        return [(label(name), text_of(value, name)) for name, value in self.facts.items()]


def entries(actor: Actor, rows: list[Row]) -> list[Entry]:
    """The rows in words, by a fixed number of queries."""
    names = look_up(actor, rows)
    return [_MADE_OF[type(row)](actor, row, names) for _, row in rows]


def _decision(actor: Actor, row: Decision, names: Names) -> Entry:
    asked, lost = row.approval, "" if row.counts else row.loss
    tried = bool(lost) and lost != "UNDONE"
    back = asked.kind == "takeover" and row.verdict == "approve" and not tried
    words = "Gave back control" if back else (TRIED if tried else DECIDED).get(row.verdict, row.verdict)
    return Entry(
        id=row.id, at=row.at, actor=row.actor, via=row.via, kind="decision", action=f"decision.{row.verdict}", what=words,
        about=without_secrets(asked.title), test=row.test, lost=lost, note=_said(row.note), run_id=asked.run_id,
        approval_id=asked.id, subject=asked.id, href=reverse("approval", args=[asked.id]),
        changes=_edited(row), facts=_facts_of(row), tone="lost" if tried else _TONES.get(row.verdict, ""),
        icon="ban" if tried else _ICONS.get(row.verdict, "check"),
    )  # fmt: skip


def _edited(row: Decision) -> list[Change]:
    before, after = row.action_before or {}, row.action_after or {}
    return difference(before.get("params"), after.get("params")) if row.action_after else []


def _facts_of(row: Decision) -> dict[str, Any]:
    action = row.action_after or row.action_before
    facts = {
        "asked": row.approval.message if row.approval.kind != "tool" else None,
        "action": {name: action.get(name) for name in ("name", "params", "host", "machine_id")} if action else None,
        "answers": row.answers, "values": row.values, "remembered_as": row.policy_id if row.remembered else None,
        "outcome": row.outcome, "error": row.error, "effect": None if row.effect == "none" else row.effect,
    }  # fmt: skip
    return {name: redacted(value, name) for name, value in facts.items() if value}


def _handling(actor: Actor, row: RunEvent, names: Names) -> Entry:
    data = row.data
    asked = names.approvals.get(data["approval_id"])
    before, after = ({k: names.of(v) for k, v in (data.get(side) or {}).items()} for side in ("before", "after"))
    why = {"reason": asked.void_reason, "replaced_by": asked.replaced_by} if asked and data["change"] == "void" else {}
    return Entry(
        id=f"{row.run_id}:{row.seq}", at=row.created_at, note=_said(data.get("note")), test=actor.test, run_id=row.run_id,
        changes=difference(before, after), facts={name: value for name, value in why.items() if value},
        **_work(data["approval_id"], data["by"], data["change"], names),
    )  # fmt: skip


def _comment(actor: Actor, row: Comment, names: Names) -> Entry:
    asked = names.approvals.get(row.approval_id)
    return Entry(
        id=f"comment_{row.pk}", at=row.at, note=_said(row.text), test=row.test, run_id=asked.run_id if asked else None,
        **_work(row.approval_id, row.actor, "commented", names),
    )  # fmt: skip


def _work(approval_id: str, by: dict[str, Any], change: str, names: Names) -> dict[str, Any]:
    """What everything that was done with a request but a decision says."""
    asked = names.approvals.get(approval_id)
    return {
        "actor": by, "via": _channel(by), "kind": "request", "action": f"request.{change}", "what": HANDLED_WORDS[change],
        "icon": KIND_ICONS["request"], "approval_id": approval_id, "subject": approval_id,
        "about": without_secrets(asked.title) if asked else approval_id,
        "href": reverse("approval", args=[approval_id]) if asked else "",
    }  # fmt: skip


def _change(actor: Actor, row: AuditEntry, names: Names) -> Entry:
    data = dict(row.data)
    changes = _changes(row.verb, data.pop("before", None), data.pop("after", None))
    named = next((str(data.pop(name)) for name in _NAMED if data.get(name)), None)
    note = data.pop("reason", None) or data.pop("problem", None)
    kind, what = _kind(row.verb), changed(row.verb)
    if row.verb == "policy.created" and data.get("effect"):
        what = f"{what} to {data['effect']}"
    about = "" if row.subject == actor.team_id else without_secrets(named or names.of(row.subject))
    return Entry(
        id=f"audit_{row.pk}", at=row.at, actor=row.actor, via=_channel(row.actor), kind=kind, action=row.verb,
        what=what, about=about, icon=KIND_ICONS.get(kind, "file-text"), test=row.test, changes=changes,
        facts={name: redacted(value, name) for name, value in data.items() if _tells(value)},
        note=_said(note), run_id=data.get("run_id"), subject=row.subject, href=_href(actor, row.subject, names),
    )  # fmt: skip


def _changes(verb: str, before: Any, after: Any) -> list[Change]:
    """Settings have many values before and after, other things one: its name is that of the verb, or it is the status."""
    if isinstance(before, dict) or isinstance(after, dict):
        return difference(before, after)
    if before is None and after is None:
        return []
    kind, _, name = verb.removesuffix("_changed").partition(".")
    moved = kind == "machine" and after is None and isinstance(before, str)
    return difference({"status": before}, {"status": name}) if moved else difference({name: before}, {name: after})


def _kind(verb: str) -> str:
    word = verb.partition(".")[0]
    return next((kind for kind, written in KINDS.items() if word in written), word)


def _channel(actor: dict[str, Any]) -> str:
    return _CHANNELS.get(actor.get("type", ""), "")


def _tells(value: Any) -> bool:
    return value is not None and value is not False and value not in ([], {})


def _said(words: Any) -> str | None:
    return without_secrets(str(words)) if words else None


def _href(actor: Actor, subject: str, names: Names) -> str:
    """Where the subject of a change is shown to this actor; nothing when it is shown nowhere any more."""
    page = _PAGES.get(subject.partition("_")[0])
    if page is not None:
        shown = subject in names.there and (page != "secret" or actor.may("secrets:write"))
        return reverse(page, args=[subject]) if shown else ""
    if subject.startswith("usr_"):
        return f"{reverse('members')}#{subject}" if subject in names.there else ""
    if subject.startswith("mch_"):
        return f"{reverse('machines')}?all=1#machine-{subject}" if subject in names.names else ""
    if subject.startswith("grp_"):
        return reverse("group", args=[subject]) if subject in names.names else ""
    if subject.startswith("key_"):
        return reverse("keys") if actor.may("keys") else ""
    return reverse("ledger") if subject.startswith("led_") and actor.may("usage") else ""


_MADE_OF: dict[type[Found], Callable[[Actor, Any, Names], Entry]] = {
    Decision: _decision, RunEvent: _handling, Comment: _comment, AuditEntry: _change,
}  # fmt: skip


def as_object(entry: Entry) -> dict[str, Any]:
    """The entry for a program."""
    changes = [{"name": c.name, "before": c.before, "after": c.after} for c in entry.changes]
    world = {True: "test", False: "live", None: "both"}[entry.test]
    return {
        "id": entry.id, "at": rfc3339(entry.at), "actor": entry.actor, "via": entry.via, "kind": entry.kind,
        "action": entry.action, "summary": ": ".join(filter(None, (entry.what, entry.about))), "lost": entry.lost or None,
        "changes": changes, "facts": entry.facts, "note": entry.note, "run_id": entry.run_id, "approval_id": entry.approval_id,
        "subject": entry.subject, "world": world,
    }  # fmt: skip
