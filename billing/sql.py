"""Statements that are written out, each with the benchmark that asks for it (docs/performance.md); all others are the ORM's."""

# P3, the quick way of a hold: one statement, when neither the team, the key nor the workflow has a budget to look at.
HOLD = """
WITH b AS (SELECT 1 FROM accounts_team WHERE id = %(team)s::text AND budget_cents_month > 0
           UNION ALL SELECT 1 FROM accounts_apikey WHERE id = %(key)s::text AND budget_cents_month > 0
           UNION ALL SELECT 1 FROM billing_workflowbudget WHERE workflow_id = %(workflow)s::text),
w AS (UPDATE billing_wallet SET available_cents = available_cents - %(cents)s::int
      WHERE team_id = %(team)s::text AND available_cents >= %(cents)s::int AND (%(checked)s::bool OR NOT EXISTS (SELECT 1 FROM b))
      RETURNING available_cents)
INSERT INTO billing_transaction (id, team_id, type, source, target, amount_cents, available_after_cents, run_id, step_index,
                                 machine_id, key_id, workflow_id, endpoint, description, created_by, created_at)
SELECT %(id)s::text, %(team)s::text, 'hold', 'wallet', 'held', %(cents)s::int, w.available_cents, %(run)s::text, %(step)s::int,
       NULL, %(key)s::text, %(workflow)s::text, %(endpoint)s::text,
       %(description)s::text, %(by)s::jsonb, clock_timestamp() FROM w RETURNING id
"""

# P3: the step completed.
CAPTURE = """
INSERT INTO billing_transaction (id, team_id, type, source, target, amount_cents, available_after_cents, run_id, step_index,
                                 machine_id, key_id, workflow_id, endpoint, hold_id, description, created_by, created_at)
SELECT %(id)s::text, h.team_id, 'capture', 'held', 'usage', h.amount_cents,
       (SELECT available_cents FROM billing_wallet WHERE team_id = h.team_id), h.run_id, h.step_index,
       NULL, h.key_id, h.workflow_id, h.endpoint, h.id, h.description, h.created_by, clock_timestamp()
FROM billing_transaction h WHERE h.id = %(hold)s::text RETURNING id
"""

# P7: what a live run is asked before it starts.
AVAILABLE = "SELECT available_cents FROM billing_wallet WHERE team_id = %(team)s"
KEY_BUDGET = "SELECT budget_cents_month FROM accounts_apikey WHERE id = %(key)s"

# P3, where there are budgets: cents that steps cost this month, and cents still held. One statement: a capture that commits between
# two would be counted in neither.
SPENT_AND_HELD = """
SELECT coalesce(sum(amount_cents) FILTER (WHERE type = 'capture' AND created_at >= %(since)s), 0)::bigint,
       coalesce(sum(amount_cents) FILTER (WHERE type = 'hold' AND NOT EXISTS (
         SELECT 1 FROM billing_transaction e WHERE e.hold_id = t.id)), 0)::bigint
FROM billing_transaction t WHERE team_id = %(team)s AND (%(key)s::text IS NULL OR key_id = %(key)s)
  AND (%(workflow)s::text IS NULL OR workflow_id = %(workflow)s) AND type IN ('capture', 'hold')
"""

# The proof: what the accounts hold by their entries, what the wallet says, and what holds without an end add up to. One statement for
# the same reason.
PROOF = """
WITH t AS (SELECT * FROM billing_transaction WHERE team_id = %(team)s),
a AS (SELECT account, sum(cents) AS cents FROM (
  SELECT target AS account, amount_cents AS cents FROM t UNION ALL SELECT source, -amount_cents FROM t) e GROUP BY account)
SELECT coalesce((SELECT available_cents FROM billing_wallet WHERE team_id = %(team)s), 0)::bigint,
       coalesce((SELECT sum(amount_cents) FROM t WHERE type = 'hold' AND NOT EXISTS (
         SELECT 1 FROM billing_transaction e WHERE e.hold_id = t.id)), 0)::bigint,
       coalesce((SELECT cents FROM a WHERE account = 'wallet'), 0)::bigint,
       coalesce((SELECT cents FROM a WHERE account = 'held'), 0)::bigint,
       coalesce((SELECT sum(cents) FROM a), 0)::bigint
"""
