"""Statements that are written out, each with the benchmark that asks for it (docs/performance.md); all others are the ORM's."""

# P15: who waits for the request is rung by the commit; and what they look at then.
NOTIFY = "SELECT pg_notify('approval_events', %(id)s)"
EVENTS = """
SELECT seq, type, created_at, data FROM approvals_approvalevent WHERE approval_id = %s AND seq > %s ORDER BY seq LIMIT %s
"""
LOG = """
INSERT INTO approvals_approvalevent (approval_id, seq, type, data, created_at)
SELECT %(id)s::text, coalesce(max(seq), 0) + 1, %(type)s::text, %(data)s::jsonb, %(now)s::timestamptz
FROM approvals_approvalevent WHERE approval_id = %(id)s
"""  # the next of its request
STATES = "SELECT id, status, effect_pending FROM approvals_approval WHERE id = ANY(%s)"

# P1: what a decision reads. The ends of statements for database.sql.fetch().
OF_TEAM = "id = %(id)s AND team_id = %(team)s AND test = %(test)s"
LOCKED = "id = %(id)s FOR UPDATE"
DECISION = "approval_id = %(id)s AND counts"

# P3, P4: most teams have no policy at all, and every step asks. Whether there is one to look at comes first.
ANY_POLICY = """
SELECT 1 FROM approvals_policy WHERE team_id = %(team)s AND test = %(test)s AND revoked_at IS NULL
  AND (run_id IS NULL OR run_id = %(run)s) LIMIT 1
"""

# P5, P9: when the clock has something to do next; it asks all tables in one statement (config/clock.py).
NEXT_NOTICE = "SELECT min(greatest(next_attempt_at, queued_until)) FROM approvals_notice WHERE status = 'pending'"
NEXT_REMINDER = """
SELECT min(remind_at) FROM approvals_approval WHERE status = 'pending' AND remind_at IS NOT NULL AND stopped_at IS NULL
"""
NEXT_EXPIRY = """
SELECT expires_at FROM approvals_approval WHERE status = 'pending' AND stopped_at IS NULL
ORDER BY coalesce(expires_at, '9999-12-31 00:00:00+00'::timestamptz) LIMIT 1
"""  # as the index pending_by_due has them
NEXT_EFFECT = "SELECT min(effective_at) FROM approvals_approval WHERE effect_pending AND stopped_at IS NULL"

# P19: what a program asks. The end of a statement for database.sql.fetch(); and whether it has as many open as it may.
BY_EXTERNAL_ID = """team_id = %(team)s AND test = %(test)s AND asker_id = %(asker)s AND external_id = %(external_id)s
FOR UPDATE"""
NO_ROOM = """
SELECT 1 FROM approvals_approval
WHERE asker_id = %(asker)s AND status = 'pending' AND external_request_id IS DISTINCT FROM %(earlier)s::text
OFFSET %(most)s - 1 LIMIT 1
"""
# Pages that show the queue are told of what changes there without an event of a run, which tells them itself (runs/sql.py).
TELL_PAGES = "SELECT pg_notify('team_events', %(team)s)"

# P18: how people are asked (approvals/statistics). Of a million requests a page reads the newest, by the index of the list; each
# decision is looked up by itself, for a join of all of them reads the whole table. What a policy or the run decided in
# their place was asked of nobody.
OLDEST_ASK = """
SELECT created_at FROM approvals_approval
WHERE team_id = %(team)s AND test = %(test)s AND created_at >= %(since)s AND created_at < %(until)s
ORDER BY created_at DESC, id DESC OFFSET %(most)s LIMIT 1
"""
ASKS = """
SELECT coalesce(a.policy_ids, '[]'), d.actor->>'type', d.actor->>'id', max(d.actor->>'name'), count(*), count(a.run_id), count(d.actor),
  count(d.actor) FILTER (WHERE d.verdict IN ('approve', 'answer', 'submit')),
  count(d.actor) FILTER (WHERE d.at < a.created_at + %(quick)s::int * interval '1 second')
FROM (
  SELECT id, created_at, run_id, policy_ids FROM approvals_approval
  WHERE team_id = %(team)s AND test = %(test)s AND created_at >= %(since)s AND created_at < %(until)s
  ORDER BY created_at DESC, id DESC LIMIT %(most)s
) a LEFT JOIN LATERAL (
  SELECT verdict, via, at, CASE WHEN via IN ('api', 'dashboard', 'link') THEN actor END AS actor
  FROM approvals_decision WHERE approval_id = a.id AND counts LIMIT 1
) d ON true
WHERE d.via IS NULL OR d.via NOT IN ('policy', 'on_awaiting_human')
GROUP BY 1, 2, 3
"""

# P17: a policy is replayed on the newest actions that people were asked about. Of their parameters only what its conditions look
# into is read: null stays null, and what is missing stays missing.
PAST_ACTIONS = """
SELECT id, run_id, action->>'name', action->>'host', action->>'risk', action->>'class', (action->>'read_only')::boolean,
  context->>'end_user', context->'started_by', context->>'starter_owner_id',
  CASE WHEN context->'started_by'->>'type' = 'api_key' THEN asker_id END,
  (SELECT jsonb_object_agg(each.key, each.value) FROM jsonb_each(action->'params') each WHERE each.key = ANY(%(keys)s::text[]))
FROM (SELECT id, run_id, asker_id, action, context FROM approvals_approval
  WHERE team_id = %(team)s AND test = %(test)s AND action IS NOT NULL AND created_at > %(since)s
  ORDER BY created_at DESC, id DESC LIMIT %(most)s) newest
WHERE starts_with(action->>'name', %(prefix)s) AND (%(names)s::text[] IS NULL OR action->>'name' = ANY(%(names)s::text[]))
"""
# As P17: how people decided what one policy asked, and what they approved.
APPROVED_BY_POLICY = """
WITH asked AS (SELECT a.id, a.status, a.action, a.edited_action, a.created_at, d.verdict, d.actor->>'type' AS by
  FROM approvals_approval a LEFT JOIN approvals_decision d ON d.approval_id = a.id AND d.counts
  WHERE a.team_id = %(team)s AND a.test = %(test)s AND a.created_at > %(since)s AND a.policy_ids @> %(policy)s::jsonb
    AND a.status <> 'pending')
SELECT sums.approved, sums.others, action->'params' FROM asked, (
  SELECT count(*) FILTER (WHERE verdict = 'approve' AND by IN ('user', 'api_key')) AS approved,
    count(*) FILTER (WHERE verdict = 'reject' OR edited_action IS NOT NULL OR status = 'expired') AS others FROM asked) sums
WHERE verdict = 'approve' ORDER BY created_at DESC LIMIT %(most)s
"""
