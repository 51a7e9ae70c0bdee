"""What live pages and streams read (docs/adr/0007): P6, the log as it grows; P13, the queue that changes."""

_COLUMNS = "seq, type, created_at, data FROM runs_runevent WHERE run_id = %s"
NEWEST = f"SELECT {_COLUMNS} ORDER BY seq DESC LIMIT %s"
AFTER = f"SELECT {_COLUMNS} AND seq > %s ORDER BY seq LIMIT %s"
NEWS = """
SELECT (SELECT count(*) FROM approvals_approval WHERE team_id = %s AND test = %s AND status = 'pending'),
  ARRAY(SELECT id::text FROM approvals_approval WHERE team_id = %s AND test = %s
    AND status <> 'pending' AND resolved_at > now() - make_interval(secs => %s) ORDER BY resolved_at DESC LIMIT %s)
"""
LOOKS = "SELECT pg_notify('team_looks', %s)"
