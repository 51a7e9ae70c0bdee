"""Which runs stops hold, and what it does to their rows to be held and to be let go. Whoever calls holds the runs' locks.

`stopped_at` of a run bars it: the intent's statement tests it, and every other write of an agent. While it stands all clocks of the
run stand still; release() gives their time back. A run is held as long as any stop covers it, which each does until it was lifted
and its machines run again.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from database.sql import prepared, prepared_all
from machines.models import Stop
from runs.models import Run
from runs.stops import sql
from web.times import read_time, rfc3339

STOPPED_GRACE = 1.0  # seconds that an action which was sent before a stop may take; then its worker lets go


def is_held(run: Run) -> bool:
    """Does a stop cover the run, whether or not its row says so by now?"""
    row = prepared(sql.IS_HELD, {"run": run.id})
    return bool(row and row[0])


def stop_of(run_id: str) -> dict[str, Any] | None:
    """The oldest stop that covers the run: {id, by, reason, at}; None without one."""
    row = prepared(sql.STOP_OF, {"run": run_id})
    return None if row is None else dict(zip(("id", "by", "reason", "at"), row, strict=True))


def to_hold(stop: Stop, *kinds: str) -> list[str]:
    """The unfinished runs in the stop's scope, locked."""
    return [row[0] for row in prepared_all(sql.TO_HOLD, {"stop": stop.id, "kinds": list(kinds)})]


def to_release(team_id: str, test: bool) -> list[str]:
    """The held runs that no stop covers any more, locked."""
    return [row[0] for row in prepared_all(sql.TO_RELEASE, {"team": team_id, "test": test})]


def missed() -> list[tuple[str, str]]:
    """Runs that a stop covers and that do not stand still yet, as (run id, stop id): they were made at the very moment of it."""
    return [(run_id, stop_id) for run_id, stop_id in prepared_all(sql.MISSED, {})]


def hold(run_ids: Sequence[str], now: datetime, words: str) -> None:
    """These runs stand still from now on. Of one that another stop holds the log tells it, and no more."""
    _each(sql.HOLD, run_ids, now, words)


def hold_at_once(run: Run, now: datetime) -> None:
    """A run that is about to start although a stop covers it: it was made at the very moment of the stop."""
    stop = stop_of(run.id)
    if stop is not None:
        hold([run.id], now, f"Stopped by {stop['by']}: {stop['reason']}")


def release(run_ids: Sequence[str], now: datetime, words: str) -> None:
    """These runs may go on, and have their time back: deadlines, timeouts, claims, undo windows, control by hand, models."""
    for run in Run.objects.filter(id__in=run_ids, model_wait__isnull=False).only("model_wait", "stopped_at"):
        assert run.stopped_at is not None
        assert run.model_wait is not None
        Run.objects.filter(id=run.id).update(model_wait=_later(run.model_wait, now - run.stopped_at))
    _each(sql.RELEASE, run_ids, now, words)


def _each(statement: str, run_ids: Sequence[str], now: datetime, words: str) -> None:
    data = Jsonb({"text": words, "by": "system"})
    if run_ids:
        prepared_all(statement, {"runs": list(run_ids), "now": now, "data": data})


def _later(wait: dict[str, Any], by: timedelta) -> dict[str, Any]:
    """The patience with a model does not run while nobody may ask it."""
    moved = {name: read_time(wait[name]) for name in ("since", "until")}
    return wait | {name: rfc3339(at + by) for name, at in moved.items() if at is not None}
