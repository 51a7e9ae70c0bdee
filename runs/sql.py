"""The statements of runs that a benchmark asks for (docs/adr/0007): all else is the ORM.

P3 (steps per second) and P1 (from a decision to the next action): the claim, the two commits of a step, the log.
P5 (a thousand runs that wait): when the clock wakes.
P7 (runs started and read per second): a run by its id, its first row, the room in its team, why it waits.
"""

import functools

from database.sql import changes, insertion
from runs.models import Run

# --- P1, P3: which runs a worker takes, and how it lets go

# Runs that can go on: running without a live lease; queued with a machine that is free (best priority first, then age).
CLAIM = """
WITH free AS (
  SELECT id FROM runs_run r WHERE status = 'running' AND kind = 'agent' AND stopped_at IS NULL
    AND (lease_until IS NULL OR lease_until < now())
    AND (owns_machine OR NOT EXISTS (SELECT 1 FROM machines_machine e WHERE e.id = r.machine_id
      AND (e.node <> %(node)s::text OR e.halted_at IS NOT NULL)))
  ORDER BY created_at LIMIT %(n)s FOR UPDATE SKIP LOCKED
), queued AS (
  SELECT r.id FROM runs_run r LEFT JOIN machines_machine m ON m.id = r.machine_id AND NOT r.owns_machine
  WHERE r.status = 'queued' AND r.kind = 'agent' AND r.stopped_at IS NULL AND (r.lease_until IS NULL OR r.lease_until < now())
    AND (r.owns_machine OR (m.status = 'running' AND m.current_run_id IS NULL AND m.halted_at IS NULL
      AND (m.node IS NULL OR m.node = %(node)s::text) AND NOT EXISTS (
      SELECT 1 FROM runs_run o WHERE o.machine_id = r.machine_id AND o.status = 'queued' AND NOT o.owns_machine AND o.stopped_at IS NULL
        AND (o.priority, r.created_at, r.id) > (r.priority, o.created_at, o.id))
      AND NOT EXISTS (SELECT 1 FROM machines_takeoverlease t WHERE t.machine_id = m.id AND t.ended_at IS NULL)))
  ORDER BY r.priority DESC, r.created_at LIMIT %(n)s FOR UPDATE OF r SKIP LOCKED
)
UPDATE runs_run SET lease_owner = %(owner)s::text, lease_until = now() + make_interval(secs => %(seconds)s),
  lease_epoch = lease_epoch + 1, parked_at = NULL,
  takeovers = takeovers + CASE WHEN status = 'running' AND lease_owner <> %(owner)s::text THEN 1 ELSE 0 END
WHERE id IN (SELECT id FROM free UNION ALL SELECT id FROM queued LIMIT %(n)s) RETURNING id, lease_epoch
"""
LET_GO = """
UPDATE runs_run SET lease_owner = NULL, lease_until = NULL, stop_confirmed_at = CASE
  WHEN status = 'cancelled' AND cancel_requested_at IS NOT NULL THEN coalesce(stop_confirmed_at, %(now)s) ELSE stop_confirmed_at END
WHERE id = %(run)s AND lease_owner = %(owner)s AND lease_epoch = %(epoch)s
"""

# --- P3: a step

# Shared tail: events and pictures of the change, and the bells.
_TAIL = """
e AS (INSERT INTO runs_runevent (run_id, seq, type, data, created_at)
  SELECT r.id, r.next_seq - %(n)s::int + t.ord - 1, t.event->>0, t.event->1, %(now)s::timestamptz
  FROM r, jsonb_array_elements(%(events)s::jsonb) WITH ORDINALITY AS t(event, ord)),
p AS (INSERT INTO runs_screenshot (run_id, index, step, phase, sha256, width, height, text, taken_at)
  SELECT r.id, (s->>'index')::int, %(index)s::int, s->>'phase', s->>'sha256', (s->>'width')::int, (s->>'height')::int,
         s->>'text', %(now)s::timestamptz
  FROM r, jsonb_array_elements(%(pictures)s::jsonb) AS s)
SELECT r.next_seq, pg_notify('run_events', r.id || ':' || (r.next_seq - 1)),
       pg_notify('team_events', r.team_id || ':' || CASE WHEN r.test THEN 'test' ELSE 'live' END) FROM r
"""
# The run's row is locked first, as everywhere, and then held are the rules by which the action was judged: what changed since
# counts (accounts/team/rules_version.py). The mode and the plan are rules too.
INTENT = (
    """
WITH l AS (SELECT id, team_id, test FROM runs_run
  WHERE id = %(run)s AND lease_epoch = %(epoch)s AND status = 'running' AND controlled_by IS NULL AND stopped_at IS NULL
    AND jsonb_array_length(inbox) = jsonb_array_length(%(inbox)s::jsonb)
    AND permission_mode = %(mode)s AND coalesce((plan->>'approved')::boolean, false) = %(plan_approved)s FOR NO KEY UPDATE),
v AS (SELECT l.id FROM l, accounts_rulesversion v
  WHERE v.team_id = l.team_id AND v.test = l.test AND v.version = %(rules)s FOR SHARE OF v),
r AS (UPDATE runs_run SET next_seq = next_seq + %(n)s::int, next_screenshot = %(next_screenshot)s::int,
    inbox = '[]', inbox_secrets = NULL, interrupted = false
  FROM v WHERE runs_run.id = v.id RETURNING runs_run.id, runs_run.next_seq, runs_run.team_id, runs_run.test),
s AS (INSERT INTO runs_step (run_id, index, status, call_id, action, host, text, skipped, cost_cents, inbox, inbox_secrets,
                             approval_id, started_at)
  SELECT r.id, %(index)s::int, 'acting', %(call_id)s::text, %(action)s::jsonb, %(host)s::text, %(text)s::text, %(skipped)s::boolean, 0,
         %(inbox)s::jsonb, %(inbox_secrets)s::bytea, %(approval_id)s::text, %(now)s::timestamptz FROM r),
"""
    + _TAIL
)
# The run's row is locked first, as everywhere, and only then the step's.
OUTCOME = (
    """
WITH l AS (SELECT id FROM runs_run WHERE id = %(run)s AND lease_epoch = %(epoch)s AND status = 'running' FOR UPDATE),
s AS (UPDATE runs_step SET status = 'completed', success = %(success)s, error = %(error)s, skipped = %(skipped)s,
    output = %(output)s::text, exit_code = %(exit_code)s::smallint,
    cost_cents = %(cents)s::int, inbox = '[]', inbox_secrets = NULL, finished_at = %(now)s
  FROM l WHERE run_id = l.id AND call_id = %(call_id)s AND status = 'acting' RETURNING run_id),
r AS (UPDATE runs_run SET next_seq = next_seq + %(n)s::int, next_screenshot = %(next_screenshot)s::int, steps_completed = %(index)s::int,
    cost_cents = cost_cents + %(cents)s::int, memory = %(memory)s, last_result = %(last)s, takeovers = 0
  FROM s WHERE id = s.run_id RETURNING id, next_seq, team_id, test),
"""
    + _TAIL
)
# P1: what people decided has reached the agent.
DELIVERED = """
UPDATE approvals_decision SET delivered_at = coalesce(delivered_at, %(now)s::timestamptz), execution_started_at =
  CASE WHEN approval_id = %(begun)s::text THEN %(now)s::timestamptz ELSE execution_started_at END
WHERE counts AND approval_id = ANY(%(read)s::text[])
"""

# --- P3, P7: the log

# The rows, and the bells that the commit rings: who reads this run's log, and who shows this team's pages.
_EVENTS = """
e AS (INSERT INTO runs_runevent (run_id, seq, type, data, created_at)
  SELECT %(run)s::text, %(first)s::bigint + t.ord - 1, t.event->>0, t.event->1, %(now)s::timestamptz
  FROM jsonb_array_elements(%(events)s::jsonb) WITH ORDINALITY AS t(event, ord))
SELECT pg_notify('run_events', %(log)s), pg_notify('team_events', %(team)s)
"""
BEGIN_RUN = f"""
WITH r AS ({insertion(Run)}),
{_EVENTS.rstrip()}, pg_notify('run_wake', %(run)s)
"""
WAKE = "SELECT pg_notify('run_wake', %(run)s)"


@functools.cache
def record_and_save(names: tuple[str, ...]) -> str:
    """Events, and these fields of their run."""
    return f"WITH u AS (UPDATE runs_run SET {changes(Run, names)} WHERE id = %(run)s), {_EVENTS}"


# --- P1, P3, P7: one run

RUN_OF_ACTOR = "id = %(id)s AND team_id = %(team)s AND test = %(test)s"
RUN = "id = %(id)s"
RUN_LOCKED = "id = %(id)s FOR UPDATE"
ROOT_LOCKED = "id = (SELECT root_id FROM runs_run WHERE id = %(id)s) FOR UPDATE"  # which never changes

# --- P7: starting and reading

LOCK_TEAM = "SELECT max_active_runs FROM accounts_team WHERE id = %(team)s FOR NO KEY UPDATE"
ACTIVE_RUNS = """
SELECT count(*) FROM runs_run WHERE team_id = %(team)s AND test = %(test)s AND parent_id IS NULL AND finished_at IS NULL
"""
# Is there a stop that covers the new run? With the team locked none can come before the run is there.
STOPPED = """
SELECT 1 FROM machines_stop WHERE team_id = %(team)s AND test = %(test)s AND thawed_at IS NULL AND (scope = 'team'
  OR scope = 'workflow' AND target_id = %(workflow)s OR scope = 'machine' AND target_id = %(machine)s) LIMIT 1
"""
LIVING_WORKERS = """
SELECT min(driving), coalesce(bool_or(disk_full), false) FROM runs_worker
WHERE heartbeat_at > %(since)s AND (%(name)s::text IS NULL OR name = %(name)s::text)
"""

# P13: what a request holds up: its root run, and the runs that queue for a machine which its run keeps while it waits. Tasks that
# wait for a budget keep theirs as well.
HELD_UP = """
WITH asked AS (SELECT id, run_id, root_run_id, kind FROM approvals_approval
  WHERE id = ANY(%(ids)s) AND run_id IS NOT NULL)
SELECT asked.id, asked.root_run_id FROM asked
UNION
SELECT asked.id, q.root_id FROM asked
  JOIN runs_run r ON r.root_id = asked.root_run_id AND NOT r.owns_machine AND r.finished_at IS NULL
    AND (r.id = asked.run_id OR asked.kind = 'budget' AND r.status = 'awaiting_human')
  JOIN runs_run q ON q.machine_id = r.machine_id AND NOT q.owns_machine AND q.finished_at IS NULL AND q.status = 'queued'
"""

# --- P5: when the clock has something to do next (config/clock.py)

NEXT_DEADLINE = (
    "SELECT min(deadline_at) FROM runs_run WHERE deadline_at IS NOT NULL AND finished_at IS NULL AND stopped_at IS NULL"
)
NEXT_STOP = """
SELECT least(
  (SELECT min(coalesce(r.lease_until, now())) FROM runs_run r
   WHERE r.status = 'cancelled' AND r.stop_confirmed_at IS NULL AND r.cancel_requested_at IS NOT NULL AND NOT EXISTS (
     SELECT 1 FROM runs_run t WHERE t.parent_id = r.id AND t.status = 'cancelled' AND t.stop_confirmed_at IS NULL
       AND t.cancel_requested_at IS NOT NULL)),
  (SELECT min(lease_until) FROM runs_run WHERE status = 'awaiting_human' AND lease_owner IS NOT NULL))
"""
