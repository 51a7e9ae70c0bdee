"""The log of a run: rows appended in the transaction of the change they report, and the bells that wake their readers."""

from collections.abc import Mapping
from typing import Any

from django.utils import timezone
from psycopg.types.json import Jsonb

from database.messages import publish
from database.sql import as_json, inserted, prepared, values_of
from runs import sql
from runs.models import Run

Event = tuple[str, dict[str, Any]]
OF_THE_QUEUE = frozenset({"awaiting_human", "resumed", "approval", "takeover"})  # what the queue's pages show


def record(run: Run, *events: Event, save: tuple[str, ...] = ()) -> None:
    """Append events and save the named fields of the run in one statement. The caller holds the lock of the run's row."""
    first = _number(run, events)
    names = tuple(dict.fromkeys(("next_seq", *save)))
    _append(run, first, events, sql.record_and_save(names), values_of(run, names))


def begin(run: Run, *events: Event) -> None:
    """Insert the run with its first events and wake the workers, in one statement."""
    first = _number(run, events)
    _append(run, first, events, sql.BEGIN_RUN, {"row": as_json(run)})
    inserted(run)


def _number(run: Run, events: tuple[Event, ...]) -> int:
    """Take the next numbers of the log; returns the first of them."""
    first = run.next_seq
    run.next_seq += len(events)
    return first


def _append(run: Run, first: int, events: tuple[Event, ...], statement: str, more: Mapping[str, Any]) -> None:
    log, team = f"{run.id}:{run.next_seq - 1}", f"{run.team_id}:{'test' if run.test else 'live'}"
    team += "/queue" if any(kind in OF_THE_QUEUE for kind, _ in events) else ""
    rows = {"run": run.id, "first": first, "events": Jsonb([list(e) for e in events]), "now": timezone.now()}
    prepared(statement, {**rows, "log": log, "team": team, **more})
    for kind, data in events:
        publish(f"run.{kind}" if kind != "status" else f"run.{data['status']}", run.id)


def wake_workers(run_id: str) -> None:
    """NOTIFY the run loops, sent by the commit: this run can go on, or has ended."""
    prepared(sql.WAKE, {"run": run_id})
