"""Which runs stops hold, and what it does to their rows to be held and to be let go. Whoever calls holds the runs' locks.

`stopped_at` of a run bars it: the intent's statement tests it, and every other write of an agent. While it stands all clocks of the
run stand still; release() gives their time back. A run is held as long as any stop covers it, which each does until it was lifted
and its machines run again.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from psycopg.types.json import Jsonb

from database.sql import prepared, prepared_all
from machines.models import Stop
from runs.models import Run
from web.times import read_time, rfc3339

# Does the stop s cover the run r? A workflow run stands still with any of its tasks: its deadline must not go on.
_COVERS = """
s.team_id = r.team_id AND s.test = r.test AND (s.scope = 'team' OR s.scope = 'workflow' AND s.target_id = r.workflow_id
  OR s.scope = 'machine' AND s.target_id = r.machine_id AND r.kind = 'agent' AND NOT r.owns_machine
  OR s.scope = 'machine' AND r.kind = 'workflow' AND EXISTS (SELECT 1 FROM runs_run t WHERE t.parent_id = r.id
    AND t.machine_id = s.target_id AND NOT t.owns_machine AND t.finished_at IS NULL))
"""
_HELD = f"EXISTS (SELECT 1 FROM machines_stop s WHERE s.thawed_at IS NULL AND {_COVERS})"  # noqa: S608  our own words
_IS_HELD = f"SELECT {_HELD} FROM runs_run r WHERE r.id = %(run)s"  # noqa: S608  our own words
_STOP_OF = f"""
SELECT s.id, s.requested_by->>'name', s.reason, s.requested_at FROM machines_stop s, runs_run r
WHERE r.id = %(run)s AND s.thawed_at IS NULL AND {_COVERS} ORDER BY s.requested_at, s.id LIMIT 1
"""  # noqa: S608  our own words
# Root runs first, as everywhere.
_TO_HOLD = f"""
SELECT r.id FROM runs_run r, machines_stop s WHERE s.id = %(stop)s AND {_COVERS} AND r.finished_at IS NULL
  AND r.kind = ANY(%(kinds)s::text[]) ORDER BY r.parent_id IS NOT NULL, r.id FOR NO KEY UPDATE OF r
"""  # noqa: S608  our own words
_TO_RELEASE = f"""
SELECT r.id FROM runs_run r WHERE r.team_id = %(team)s AND r.test = %(test)s AND r.stopped_at IS NOT NULL AND NOT {_HELD}
ORDER BY r.parent_id IS NOT NULL, r.id FOR NO KEY UPDATE OF r
"""  # noqa: S608  our own words
_MISSED = f"""
SELECT r.id, s.id FROM runs_run r JOIN machines_stop s ON s.lifted_at IS NULL AND {_COVERS}
WHERE r.finished_at IS NULL AND r.stopped_at IS NULL LIMIT 200
"""  # noqa: S608  our own words
# An event in each log, the bells of its readers, and of its worker.
_TELL = """
e AS (INSERT INTO runs_runevent (run_id, seq, type, data, created_at)
  SELECT r.id, r.next_seq - 1, 'text', %(data)s::jsonb, %(now)s::timestamptz FROM r)
SELECT pg_notify('run_events', r.id || ':' || (r.next_seq - 1)), pg_notify('run_wake', r.id) FROM r
"""
_HOLD = f"""
WITH r AS (UPDATE runs_run SET stopped_at = coalesce(stopped_at, %(now)s::timestamptz), next_seq = next_seq + 1
  WHERE id = ANY(%(runs)s::text[]) RETURNING id, next_seq),
a AS (UPDATE approvals_approval SET stopped_at = %(now)s::timestamptz
  WHERE run_id = ANY(%(runs)s::text[]) AND (status = 'pending' OR effect_pending) AND stopped_at IS NULL),
l AS (UPDATE machines_takeoverlease SET stopped_at = %(now)s::timestamptz
  WHERE run_id = ANY(%(runs)s::text[]) AND ended_at IS NULL AND stopped_at IS NULL),
{_TELL}
"""  # noqa: S608  our own words
# A worker that still believes in its lease writes nothing more: whoever claims the run next looks anew.
_RELEASE = f"""
WITH r AS (UPDATE runs_run SET
    deadline_at = deadline_at + (%(now)s::timestamptz - stopped_at), resume_at = resume_at + (%(now)s::timestamptz - stopped_at),
    stopped_ms = coalesce(stopped_ms, 0) + (extract(epoch FROM %(now)s::timestamptz - stopped_at) * 1000)::bigint,
    waited_ms = waited_ms - CASE WHEN status <> 'awaiting_human' OR awaiting_human_since IS NULL THEN 0 ELSE
      (extract(epoch FROM %(now)s::timestamptz - greatest(stopped_at, awaiting_human_since)) * 1000)::bigint END,
    parked_at = CASE WHEN status = 'awaiting_human' THEN coalesce(parked_at, %(now)s::timestamptz) ELSE parked_at END,
    stopped_at = NULL, lease_epoch = lease_epoch + 1, lease_owner = NULL, lease_until = NULL, next_seq = next_seq + 1
  WHERE id = ANY(%(runs)s::text[]) RETURNING id, next_seq),
a AS (UPDATE approvals_approval SET expires_at = expires_at + (%(now)s::timestamptz - stopped_at),
    remind_at = remind_at + (%(now)s::timestamptz - stopped_at),
    claim_expires_at = claim_expires_at + (%(now)s::timestamptz - stopped_at),
    undo_until = undo_until + (%(now)s::timestamptz - stopped_at),
    effective_at = CASE WHEN effect_pending THEN effective_at + (%(now)s::timestamptz - stopped_at) ELSE effective_at END,
    stopped_at = NULL
  WHERE run_id = ANY(%(runs)s::text[]) AND stopped_at IS NOT NULL),
l AS (UPDATE machines_takeoverlease SET expires_at = expires_at + (%(now)s::timestamptz - stopped_at),
    idle_expires_at = idle_expires_at + (%(now)s::timestamptz - stopped_at), stopped_at = NULL
  WHERE run_id = ANY(%(runs)s::text[]) AND stopped_at IS NOT NULL),
{_TELL}
"""  # noqa: S608  our own words


def is_held(run: Run) -> bool:
    """Does a stop cover the run, whether or not its row says so by now?"""
    row = prepared(_IS_HELD, {"run": run.id})
    return bool(row and row[0])


def stop_of(run_id: str) -> dict[str, Any] | None:
    """The oldest stop that covers the run: {id, by, reason, at}; None without one."""
    row = prepared(_STOP_OF, {"run": run_id})
    return None if row is None else dict(zip(("id", "by", "reason", "at"), row, strict=True))


def to_hold(stop: Stop, *kinds: str) -> list[str]:
    """The unfinished runs in the stop's scope, locked."""
    return [row[0] for row in prepared_all(_TO_HOLD, {"stop": stop.id, "kinds": list(kinds)})]


def to_release(team_id: str, test: bool) -> list[str]:
    """The held runs that no stop covers any more, locked."""
    return [row[0] for row in prepared_all(_TO_RELEASE, {"team": team_id, "test": test})]


def missed() -> list[tuple[str, str]]:
    """Runs that a stop covers and that do not stand still yet, as (run id, stop id): they were made at the very moment of it."""
    return [(run_id, stop_id) for run_id, stop_id in prepared_all(_MISSED, {})]


def hold(run_ids: Sequence[str], now: datetime, words: str) -> None:
    """These runs stand still from now on. Of one that another stop holds the log tells it, and no more."""
    _each(_HOLD, run_ids, now, words)


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
    _each(_RELEASE, run_ids, now, words)


def _each(statement: str, run_ids: Sequence[str], now: datetime, words: str) -> None:
    data = Jsonb({"text": words, "by": "system"})
    if run_ids:
        prepared_all(statement, {"runs": list(run_ids), "now": now, "data": data})


def _later(wait: dict[str, Any], by: timedelta) -> dict[str, Any]:
    """The patience with a model does not run while nobody may ask it."""
    moved = {name: read_time(wait[name]) for name in ("since", "until")}
    return wait | {name: rfc3339(at + by) for name, at in moved.items() if at is not None}


def world_changed(team_id: str, test: bool) -> None:
    """Who shows the team's pages looks again."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify('team_events', %s)", [f"{team_id}:{'test' if test else 'live'}/queue"])
