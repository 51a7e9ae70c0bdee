"""What a stop does to all runs in its scope: one statement each, however many they are, so that it is over at once."""

# Does the stop s cover the run r? A workflow run stands still with any of its tasks: its deadline must not go on.
_COVERS = """
s.team_id = r.team_id AND s.test = r.test AND (s.scope = 'team' OR s.scope = 'workflow' AND s.target_id = r.workflow_id
  OR s.scope = 'machine' AND s.target_id = r.machine_id AND r.kind = 'agent' AND NOT r.owns_machine
  OR s.scope = 'machine' AND r.kind = 'workflow' AND EXISTS (SELECT 1 FROM runs_run t WHERE t.parent_id = r.id
    AND t.machine_id = s.target_id AND NOT t.owns_machine AND t.finished_at IS NULL))
"""
_HELD = f"EXISTS (SELECT 1 FROM machines_stop s WHERE s.thawed_at IS NULL AND {_COVERS})"
IS_HELD = f"SELECT {_HELD} FROM runs_run r WHERE r.id = %(run)s"
STOP_OF = f"""
SELECT s.id, s.requested_by->>'name', s.reason, s.requested_at FROM machines_stop s, runs_run r
WHERE r.id = %(run)s AND s.thawed_at IS NULL AND {_COVERS} ORDER BY s.requested_at, s.id LIMIT 1
"""
# Root runs first, as everywhere.
TO_HOLD = f"""
SELECT r.id FROM runs_run r, machines_stop s WHERE s.id = %(stop)s AND {_COVERS} AND r.finished_at IS NULL
  AND r.kind = ANY(%(kinds)s::text[]) ORDER BY r.parent_id IS NOT NULL, r.id FOR NO KEY UPDATE OF r
"""
TO_RELEASE = f"""
SELECT r.id FROM runs_run r WHERE r.team_id = %(team)s AND r.test = %(test)s AND r.stopped_at IS NOT NULL AND NOT {_HELD}
ORDER BY r.parent_id IS NOT NULL, r.id FOR NO KEY UPDATE OF r
"""
MISSED = f"""
SELECT r.id, s.id FROM runs_run r JOIN machines_stop s ON s.lifted_at IS NULL AND {_COVERS}
WHERE r.finished_at IS NULL AND r.stopped_at IS NULL LIMIT 200
"""
# An event in each log, the bells of its readers, and of its worker.
_TELL = """
e AS (INSERT INTO runs_runevent (run_id, seq, type, data, created_at)
  SELECT r.id, r.next_seq - 1, 'text', %(data)s::jsonb, %(now)s::timestamptz FROM r)
SELECT pg_notify('run_events', r.id || ':' || (r.next_seq - 1)), pg_notify('run_wake', r.id) FROM r
"""
HOLD = f"""
WITH r AS (UPDATE runs_run SET stopped_at = coalesce(stopped_at, %(now)s::timestamptz), next_seq = next_seq + 1
  WHERE id = ANY(%(runs)s::text[]) RETURNING id, next_seq),
a AS (UPDATE approvals_approval SET stopped_at = %(now)s::timestamptz
  WHERE run_id = ANY(%(runs)s::text[]) AND (status = 'pending' OR effect_pending) AND stopped_at IS NULL),
l AS (UPDATE machines_takeoverlease SET stopped_at = %(now)s::timestamptz
  WHERE run_id = ANY(%(runs)s::text[]) AND ended_at IS NULL AND stopped_at IS NULL),
{_TELL}
"""
# A worker that still believes in its lease writes nothing more: whoever claims the run next looks anew.
RELEASE = f"""
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
"""
# When each of these has something to do next (config/clock.py). Who asked for a stop has a moment to do it without the clock.
NEXT_ENFORCE = """
SELECT min(requested_at) + interval '1.5 s' FROM machines_stop WHERE lifted_at IS NULL AND confirmed_at IS NULL
"""
NEXT_THAW = (
    "SELECT min(lifted_at) + interval '1 s' FROM machines_stop WHERE thawed_at IS NULL AND lifted_at IS NOT NULL"
)
NEXT_UPHOLD = """
SELECT now() WHERE EXISTS (SELECT 1 FROM machines_stop WHERE lifted_at IS NULL)
  OR EXISTS (SELECT 1 FROM runs_run WHERE stopped_at IS NOT NULL)
  OR EXISTS (SELECT 1 FROM machines_machine WHERE halted_at IS NOT NULL)
"""
