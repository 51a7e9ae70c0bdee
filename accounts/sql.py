"""Statements that are written out, each with the benchmark that asks for it (docs/performance.md); all others are the ORM's."""

_COUNT_ONE_MORE = """
INSERT INTO accounts_ratewindow (caller, bucket, minute, count) {rows} ON CONFLICT (caller, bucket, minute)
DO UPDATE SET count = accounts_ratewindow.count + 1 RETURNING count
"""  # the table is unlogged, so its commit waits for no disk

# P7: the calls of a caller in this minute, of one bucket.
COUNT_CALL = _COUNT_ONE_MORE.format(rows="VALUES (%(caller)s, %(bucket)s, %(minute)s, 1)")

_ALIVE = (
    "k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > %(now)s) AND (k.owner_id IS NULL OR u.is_active)"
)

# P7: the living key with this hash, and its calls of this minute with this one. Every call of the API asks for both.
KEY = f"""
WITH k AS (
  SELECT k.id, k.team_id, k.test, k.name, k.scopes, k.owner_id, k.last_used_at
  FROM accounts_apikey k LEFT JOIN accounts_user u ON u.id = k.owner_id
  WHERE k.hash = %(hash)s AND {_ALIVE}
), c AS ({_COUNT_ONE_MORE.format(rows="SELECT id, %(bucket)s::text, %(minute)s::bigint, 1 FROM k")})
SELECT k.*, c.count FROM k, c
"""

# P15: what a key may do whose call has waited, if it is still alive.
SCOPES_OF_KEY = f"""
SELECT k.scopes FROM accounts_apikey k LEFT JOIN accounts_user u ON u.id = k.owner_id WHERE k.id = %(id)s AND {_ALIVE}
"""

# P1, P3: settings that runs and requests ask for again and again; {name} is one of access.Setting.
TEAM_SETTING = "SELECT {name} FROM accounts_team WHERE id = %(team)s"

# P3: the version of a team's rules, when an action is judged and when its intent is written.
RULES = """
SELECT v.version, t.risk_floor, %(mode)s = ANY (t.risk_floor_modes) FROM accounts_team t
LEFT JOIN accounts_rulesversion v ON v.team_id = t.id AND v.test = %(test)s WHERE t.id = %(team)s
"""
HOLD_VERSION = """
SELECT 1 FROM accounts_rulesversion WHERE team_id = %(team)s AND test = %(test)s AND version = %(version)s FOR SHARE
"""

# P1, P3, P7: every change of a run asks, and most teams have no webhook.
ANY_WEBHOOK = """
SELECT 1 FROM accounts_webhookendpoint WHERE team_id = %(team)s AND test = %(test)s AND active AND deleted_at IS NULL LIMIT 1
"""

# P19: who may hear of a request, by name: everything that is asked looks for them.
PEOPLE_WITH = """
SELECT u.id, coalesce(nullif(u.name, ''), u.email), m.roles, t.usage_for_all FROM accounts_membership m
JOIN accounts_user u ON u.id = m.user_id AND u.is_active JOIN accounts_team t ON t.id = m.team_id
WHERE m.team_id = %(team)s AND m.roles && %(roles)s::varchar[] ORDER BY u.name, m.id
"""

# P5: when the clock has something to send (config/clock.py).
NEXT_DELIVERY = (
    "SELECT min(greatest(next_attempt_at, queued_until)) FROM accounts_webhookdelivery WHERE status = 'pending'"
)
