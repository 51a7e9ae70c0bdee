"""Timers: what cannot be done for one run does not stop the clock for the others."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Team
from approvals import clock
from approvals.models import Approval, Decision
from tests.cast import Api
from tests.runs.driving import status_of, waiting

pytestmark = pytest.mark.django_db


def test_a_decision_that_cannot_be_read_any_more_keeps_no_other_waiting(test_key: Api) -> None:
    """Sealed with another SECRET_KEY, for example. It is due first, and stays due."""
    runs = [waiting(test_key, "x [input]") for _ in "12"]
    Team.objects.update(undo_window_seconds=10)
    for run in runs:
        body = {"verdict": "submit", "values": {"recipient": "zoe@example.com"}}
        assert test_key.post(f"/approvals/{run['open_approvals'][0]}/decide", body).status_code == 200
    Approval.objects.update(effective_at=timezone.now())
    Approval.objects.filter(run_id=runs[0]["id"]).update(effective_at=timezone.now() - timedelta(minutes=1))
    Decision.objects.filter(approval__run_id=runs[0]["id"]).update(sealed=b"of another key")
    assert clock.effects() == 1
    assert clock.effects() == 0
    assert [status_of(run["id"]) for run in runs] == ["awaiting_human", "running"]


def test_a_request_that_cannot_expire_keeps_no_other_waiting(test_key: Api) -> None:
    runs = [waiting(test_key, "x [pause]", awaiting_human_timeout_seconds=60) for _ in "12"]
    for run, minutes in zip(runs, (2, 1), strict=True):
        Approval.objects.filter(run_id=run["id"]).update(expires_at=timezone.now() - timedelta(minutes=minutes))
    Approval.objects.filter(run_id=runs[0]["id"]).update(run_id="run_that_is_not_there")
    assert clock.expiries() == 1
    assert clock.expiries() == 0
    assert status_of(runs[1]["id"]) == "cancelled"
