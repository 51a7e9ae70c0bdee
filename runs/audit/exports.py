"""The audit as a file: every entry that the filter lets through, part by part."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from django.utils import timezone

from accounts.actor import Actor
from runs.audit.access import parts_of
from runs.audit.entries import Entry, as_object, entries
from runs.audit.wanted import Wanted
from web.exports import csv_parts, json_parts
from web.times import rfc3339

HEAD = [
    "at", "actor_type", "actor_id", "actor", "via", "kind", "action", "what", "about", "lost", "changes", "note", "facts",
    "run_id", "approval_id", "subject", "world", "id",
]  # fmt: skip


def as_csv(actor: Actor, wanted: Wanted) -> Iterator[bytes]:
    return csv_parts(HEAD, ([_line(entry) for entry in part] for part in _parts(actor, wanted)))


def as_json(actor: Actor, wanted: Wanted) -> Iterator[bytes]:
    """What was asked for stands at the top, so that the file explains itself."""
    asked = {
        "who": wanted.who, "kind": wanted.kind, "verdict": wanted.verdict, "run": wanted.run, "subject": wanted.subject,
        "from": rfc3339(wanted.start), "before": rfc3339(wanted.end),
    }  # fmt: skip
    head = {
        "object": "audit", "world": "test" if actor.test else "live", "exported_at": rfc3339(timezone.now()),
        "filter": {name: value for name, value in asked.items() if value},
    }  # fmt: skip
    return json_parts(head, "entries", ([as_object(entry) for entry in part] for part in _parts(actor, wanted)))


def _parts(actor: Actor, wanted: Wanted) -> Iterable[list[Entry]]:
    return (entries(actor, rows) for rows in parts_of(actor, wanted))


def _line(entry: Entry) -> list[Any]:
    row, by = as_object(entry), entry.actor
    changes = "; ".join(f"{c.label}: {c.was} → {c.now}" for c in entry.changes)
    facts = json.dumps(entry.facts, ensure_ascii=False) if entry.facts else ""
    return [
        row["at"], by.get("type"), by.get("id"), by.get("name"), entry.via, entry.kind, entry.action, entry.what, entry.about,
        entry.lost, changes, entry.note, facts, entry.run_id, entry.approval_id, entry.subject, row["world"], entry.id,
    ]  # fmt: skip
