"""What a decision stores for the next time, and that it may be asked for later (docs/api/approvals.md sections 5 and 11)."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from accounts.models import Team
from approvals.models import Policy
from tests.cast import Api, Cast
from tests.runs.driving import drive_all, status_of, waiting

pytestmark = pytest.mark.django_db
ASKING: dict[str, Any] = {"human_in_the_loop": True, "permission_mode": "approval"}


def decide(api: Api, run: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = api.post(f"/approvals/{run['open_approvals'][0]}/decide", {"verdict": "approve", **body})
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


def policy(api: Api, result: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/permissions/{result['policy_id']}").json()
    return found


def test_remember_may_rise_and_never_falls(test_key: Api) -> None:
    run = waiting(test_key, "x [steps:1]", **ASKING)
    first = decide(test_key, run)
    assert (first["remembered"], first["policy_id"]) == (False, None)
    risen = decide(test_key, run, remember=True)
    assert (risen["remembered"], risen["decision"]["id"]) == (True, first["decision"]["id"])
    again = decide(test_key, run)
    assert (again["remembered"], again["policy_id"]) == (True, risen["policy_id"])
    assert Policy.objects.count() == 1


def test_nothing_is_remembered_for_a_cancelled_run(test_key: Api) -> None:
    run = waiting(test_key, "x [steps:1]", **ASKING)
    decide(test_key, run)
    test_key.post(f"/runs/{run['id']}/cancel")
    assert decide(test_key, run, remember=True)["remembered"] is False
    assert not Policy.objects.exists()


def test_what_is_stored_is_exactly_the_action(test_key: Api) -> None:
    run = waiting(test_key, "x [steps:1]", end_user="A", **ASKING)
    result = decide(test_key, run, remember=True)
    stored = policy(test_key, result)
    assert (stored["tool"], stored["effect"], stored["host"], stored["end_user"]) == ("click", "allow", None, "A")
    assert (stored["origin"], stored["origin_approval_id"]) == ("remembered", run["open_approvals"][0])
    assert (stored["include_end_users"], stored["created_by"]) == (False, result["decision"]["actor"])


@pytest.mark.parametrize(("days", "remember"), [(30, True), (3, True), (None, True), (30, "run")])
def test_how_long_it_is_remembered(test_key: Api, cast: Cast, days: int | None, remember: bool | str) -> None:
    Team.objects.filter(id=cast.team.id).update(remember_days=days)
    run = waiting(test_key, "x [steps:1]", **ASKING)
    stored = policy(test_key, decide(test_key, run, remember=remember))
    if days is None or remember == "run":
        assert stored["expires_at"] is None
        return
    lasts = datetime.fromisoformat(stored["expires_at"]) - datetime.fromisoformat(stored["created_at"])
    assert abs(lasts - timedelta(days=days)) < timedelta(minutes=1)


@pytest.mark.parametrize(("task", "more"), [("x [pause]", {}), ("x [takeover]", {}), ("x [steps:1][spend]", ASKING)])
def test_T_100_other_requests_store_nothing(test_key: Api, task: str, more: dict[str, Any]) -> None:
    result = decide(test_key, waiting(test_key, task, **more), remember=True)
    assert (result["remembered"], result["policy_id"]) == (False, None)
    assert not Policy.objects.exists()


def test_T_099_a_revoked_policy_counts_no_more_in_a_run_under_way(test_key: Api) -> None:
    run = waiting(test_key, "x [steps:4]", **ASKING)
    stored = decide(test_key, run, remember=True)["policy_id"]
    drive_all()
    test_key.delete(f"/permissions/{stored}")
    for _ in range(2):
        test_key.post(f"/runs/{run['id']}/resume")
        drive_all()
    assert status_of(run["id"]) == "awaiting_human", "the second click is asked for"
