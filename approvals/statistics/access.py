"""Reading how people are asked, of one team and world."""

import json
from datetime import datetime

from approvals import sql
from approvals.statistics.figures import QUICK_SECONDS, Figures, Statistics
from approvals.subjects import subjects
from database.sql import prepared, prepared_all

MOST = 20_000  # requests that are looked at: the newest of the days


def statistics_of(team_id: str, test: bool, since: datetime, until: datetime) -> Statistics:
    """Of the requests opened from `since` on and before `until`; of more than MOST the newest, and the days begin with them."""
    days = {"team": team_id, "test": test, "since": since, "until": until, "most": MOST}
    oldest = prepared(sql.OLDEST_ASK, days)
    statistics = Statistics(max(since, oldest[0]) if oldest else since, until, is_cut=oldest is not None)
    rows = prepared_all(sql.ASKS, days | {"since": statistics.since, "quick": QUICK_SECONDS})
    for policy_ids, actor_type, actor_id, name, *counts in rows:
        decider = {"type": actor_type, "id": actor_id, "name": name} if actor_id else None
        statistics.add(json.loads(policy_ids), decider, Figures(*counts))
    statistics.ended_runs = sum(subject.ended(team_id, test, statistics.since, until) for subject in subjects())
    return statistics
