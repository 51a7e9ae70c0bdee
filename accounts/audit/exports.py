"""The audit as a file: every entry that the filter lets through, part by part."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from django.utils import timezone

from accounts.actor import Actor
from accounts.audit.access import entries, parts_of
from accounts.audit.entries import Entry, as_object
from accounts.audit.query import Query
from web.exports import csv_parts, json_parts
from web.times import rfc3339

HEAD = [
    "at", "actor_type", "actor_id", "actor", "via", "kind", "action", "what", "about", "lost", "changes", "note", "facts",
    "run_id", "approval_id", "subject", "world", "id",
]  # fmt: skip


def as_csv(actor: Actor, query: Query) -> Iterator[bytes]:
    return csv_parts(HEAD, ([_line(entry) for entry in part] for part in _parts(actor, query)))


def as_json(actor: Actor, query: Query) -> Iterator[bytes]:
    """What was asked for stands at the top, so that the file explains itself."""
    parameters = {
        "who": query.who,
        "kind": query.kind,
        "verdict": query.verdict,
        "run": query.run,
        "subject": query.subject,
        "from": rfc3339(query.start),
        "before": rfc3339(query.end),
    }
    head = {
        "object": "audit",
        "world": "test" if actor.test else "live",
        "exported_at": rfc3339(timezone.now()),
        "filter": {name: value for name, value in parameters.items() if value},
    }
    return json_parts(head, "entries", ([as_object(entry) for entry in part] for part in _parts(actor, query)))


def _parts(actor: Actor, query: Query) -> Iterable[list[Entry]]:
    return (entries(actor, rows) for rows in parts_of(actor, query))


def _line(entry: Entry) -> list[Any]:
    row, by = as_object(entry), entry.actor
    changes = "; ".join(f"{c.label}: {c.was} → {c.now}" for c in entry.changes)
    facts = json.dumps(entry.facts, ensure_ascii=False) if entry.facts else ""
    cells = row | {
        "actor_type": by.get("type"),
        "actor_id": by.get("id"),
        "actor": by.get("name"),
        "what": entry.what,
        "about": entry.about,
        "lost": entry.lost,
        "changes": changes,
        "facts": facts,
    }
    return [cells[name] for name in HEAD]
