"""Statements that are written out, each with the benchmark that asks for it (docs/performance.md); all others are the ORM's."""

# P1: what a decision reads. The ends of statements for database.sql.fetch().
OF_TEAM = "id = %(id)s AND team_id = %(team)s AND test = %(test)s"
LOCKED = "id = %(id)s FOR UPDATE"
DECISION = "approval_id = %(id)s AND counts"

# P3, P4: most teams have no policy at all, and every step asks. Whether there is one to look at comes first.
ANY_POLICY = """
SELECT 1 FROM approvals_policy WHERE team_id = %(team)s AND test = %(test)s AND revoked_at IS NULL
  AND (run_id IS NULL OR run_id = %(run)s) LIMIT 1
"""

# P13: what each request holds up: its root run, and the runs that queue for a machine which its run keeps while it waits.
# Tasks that wait for a budget keep theirs as well. Tables of `runs` are read here, one floor up, since only rows are counted.
HELD_UP = """
WITH asked AS (SELECT id, run_id, root_run_id, kind FROM approvals_approval WHERE id = ANY(%(ids)s))
SELECT asked.id, asked.root_run_id FROM asked
UNION
SELECT asked.id, q.root_id FROM asked
  JOIN runs_run r ON r.root_id = asked.root_run_id AND NOT r.owns_machine AND r.finished_at IS NULL
    AND (r.id = asked.run_id OR asked.kind = 'budget' AND r.status = 'awaiting_human')
  JOIN runs_run q ON q.machine_id = r.machine_id AND NOT q.owns_machine AND q.finished_at IS NULL AND q.status = 'queued'
"""

# P5, P9: when the clock has something to do next; it asks all tables in one statement (config/clock.py).
NEXT_NOTICE = "SELECT min(greatest(next_attempt_at, queued_until)) FROM approvals_notice WHERE status = 'pending'"
NEXT_REMINDER = """
SELECT min(remind_at) FROM approvals_approval WHERE status = 'pending' AND remind_at IS NOT NULL AND stopped_at IS NULL
"""
