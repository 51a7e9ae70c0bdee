"""How long the log of a run is kept (docs/api/events-and-webhooks.md section 3)."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Team
from runs import clock
from runs.models import Run, RunEvent
from tests.cast import Api, Cast
from tests.runs.driving import ended, shift, show, waiting

pytestmark = pytest.mark.django_db


def _ended_days_ago(api: Api, days: int) -> str:
    run = str(ended(api)["id"])
    Run.objects.filter(id=run).update(finished_at=timezone.now() - timedelta(days=days))
    return run


def _kept(run: str) -> bool:
    return RunEvent.objects.filter(run_id=run).exists()


def test_T_124_the_log_of_a_finished_run_goes_after_the_teams_days_and_the_run_stays(test_key: Api) -> None:
    old, young = _ended_days_ago(test_key, 91), _ended_days_ago(test_key, 89)
    waits = waiting(test_key)["id"]
    shift(waits, 1000 * 86_400)
    before = show(test_key, old)
    assert clock.retention() > 0
    assert [_kept(run) for run in (old, young, waits)] == [False, True, True]
    assert show(test_key, old) == before
    assert clock.retention() == 0
    page = test_key.get(f"/runs/{old}/events?format=json").json()
    assert [(row["type"], row["data"]["after"]) for row in page["data"]] == [("resync", 0)]
    assert page["data"][0]["data"]["run"] == before


def test_each_team_has_its_own_days(test_key: Api, cast: Cast, strangers: Cast) -> None:
    Team.objects.filter(id=cast.team.id).update(event_retention_days=1)
    mine, theirs = _ended_days_ago(test_key, 2), _ended_days_ago(strangers.api(test=True), 2)
    clock.retention()
    assert (_kept(mine), _kept(theirs)) == (False, True)
