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


# --- no wider than was wanted


def when(path: str, op: str, value: Any) -> dict[str, Any]:
    return {"path": path, "op": op, "value": value}


def test_what_is_remembered_may_be_narrower_than_the_action(test_key: Api) -> None:
    run = waiting(test_key, "x [steps:1]", **ASKING)
    conditions = [when("y", "gt", 5), when("button", "eq", "left"), {"class": "reversible"}]
    shown = test_key.get(f"/approvals/{run['open_approvals'][0]}").json()["action"]
    conditions[2]["class"] = shown["class"]
    result = decide(test_key, run, remember=True, remember_when=conditions)
    stored = policy(test_key, result)
    assert stored["when"] == [conditions[2], conditions[1], conditions[0]]
    assert (stored["tool"], result["remembered"], stored["origin"]) == ("click", True, "remembered")
    drive_all()
    again = waiting(test_key, "x [steps:2]", **ASKING)  # its first click is allowed
    assert test_key.get(f"/permissions/{result['policy_id']}").json()["uses"] == 1
    assert test_key.get(f"/approvals/{again['open_approvals'][0]}").json()["action"]["name"] != "click"


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"remember_when": [when("x", "lt", 0)]}, ["remember_when", 0]),
        ({"remember_when": [when("button", "eq", "left"), when("nothing", "ne", 1)]}, ["remember_when", 1]),
        ({"remember_when": [{"class": "read"}]}, ["remember_when", 0]),
        ({"remember_when": [when("x", "gt", "1")]}, ["remember_when", 0, "value"]),
        ({"remember_when": [when("a..b", "eq", 1)]}, ["remember_when", 0, "path"]),
        ({"remember_when": [when("button", "eq", "left")], "remember": False}, ["remember_when"]),
        ({"remember_when": [when("x", "eq", 101)], "edited_action": {"name": "click", "params": {"x": 7, "y": 8}}}, ["remember_when", 0]),
        ({"remember_when": [], "verdict": "reject"}, ["remember_when"]),
    ],
)  # fmt: skip
def test_T_189_a_narrowing_holds_for_the_action_that_is_approved(
    test_key: Api, body: dict[str, Any], loc: list[Any]
) -> None:
    run = waiting(test_key, "x [steps:1]", **ASKING)
    answer = test_key.post(
        f"/approvals/{run['open_approvals'][0]}/decide", {"verdict": "approve", "remember": True} | body
    )
    assert answer.status_code == 422, answer.content
    assert ["body", *loc] in [detail["loc"] for detail in answer.json()["error"]["details"]]
    assert not Policy.objects.exists()
    assert status_of(run["id"]) == "awaiting_human"


def test_a_narrowing_is_held_against_the_action_as_edited(test_key: Api) -> None:
    run = waiting(test_key, "x [steps:1]", **ASKING)
    edit = {"name": "click", "params": {"x": 7, "y": 8}}
    result = decide(test_key, run, remember=True, remember_when=[when("x", "eq", 7)], edited_action=edit)
    assert policy(test_key, result)["when"] == [when("x", "eq", 7)]


def test_what_was_remembered_narrowly_does_not_widen(test_key: Api) -> None:
    run = waiting(test_key, "x [steps:1]", **ASKING)
    first = decide(test_key, run, remember=True, remember_when=[when("button", "eq", "left")])
    assert decide(test_key, run, remember=True)["policy_id"] == first["policy_id"]
    assert Policy.objects.get().when == [when("button", "eq", "left")]


def test_a_request_that_stores_nothing_stores_nothing_narrow(test_key: Api) -> None:
    run = waiting(test_key, "x [steps:1][spend]", **ASKING)
    action = test_key.get(f"/approvals/{run['open_approvals'][0]}").json()["action"]
    result = decide(test_key, run, remember=True, remember_when=[{"class": action["class"]}])
    assert (result["remembered"], Policy.objects.count()) == (False, 0)
