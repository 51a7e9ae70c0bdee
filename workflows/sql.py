"""Statements that are written out, each with the benchmark that asks for it (docs/performance.md); all others are the ORM's."""

# P9: each slice of control flow reads where its run stands. The end of a statement for database.sql.fetch().
OF_RUN = "run_id = %(run)s"

# P5, P9: when the clock has something to do next; it asks all tables in one statement (config/clock.py).
NEXT_LATE_BEGIN = """
SELECT min(created_at) + interval '3 s' FROM runs_run WHERE status = 'queued' AND kind = 'workflow' AND stopped_at IS NULL
"""
NEXT_LATE_CUT = """
SELECT min(e.changed_at) + interval '3 s' FROM workflows_execution e JOIN runs_run r ON r.id = e.run_id
WHERE e.cut AND r.finished_at IS NULL AND r.stopped_at IS NULL
"""
NEXT_LATE_TELL = """
SELECT min(coalesce(t.finished_at, a.effective_at)) + interval '3 s' FROM workflows_ticket o
JOIN runs_run r ON r.id = o.execution_id AND r.finished_at IS NULL AND r.stopped_at IS NULL
LEFT JOIN runs_run t ON o.kind = 'task' AND t.id = o.ref
LEFT JOIN approvals_approval a ON o.kind = 'request' AND a.id = o.ref AND NOT a.effect_pending
  AND a.status NOT IN ('pending', 'void')
WHERE o.open
"""
