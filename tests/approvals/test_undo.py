"""The undo window: what is decided, taken back, or overtaken by the end of the run (docs/api/approvals.md section 8)."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Team
from approvals import clock as approvals_clock
from approvals.models import Approval, Decision, Policy
from runs import clock
from tests.approvals.test_handling import decide_as, group
from tests.cast import Api, Cast
from tests.runs.driving import data_of, drive_all, kinds, request_of, shift, show, status_of, waiting
from tests.runs.invariants import check_run

pytestmark = pytest.mark.django_db
ASKING: dict[str, Any] = {"human_in_the_loop": True, "permission_mode": "approval"}


@pytest.fixture(autouse=True)
def _window(cast: Cast) -> None:
    Team.objects.filter(id=cast.team.id).update(undo_window_seconds=10)


def decided(api: Api, run: dict[str, Any], verdict: str = "approve", **body: Any) -> dict[str, Any]:
    answer = api.post(f"/approvals/{run['open_approvals'][0]}/decide", {"verdict": verdict, **body})
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


def undo(api: Api, run: dict[str, Any]) -> Any:
    return api.post(f"/approvals/{run['open_approvals'][0]}/undo")


def pass_window() -> None:
    Approval.objects.filter(effect_pending=True).update(effective_at=timezone.now() - timedelta(seconds=1))
    approvals_clock.effects()
    drive_all()


def refused(answer: Any) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["reason_code"]


def test_T_090_after_the_window_the_run_goes_on_and_undo_is_too_late(test_key: Api) -> None:
    run = waiting(test_key)
    answer = decided(test_key, run)
    shown = show(test_key, run["id"])
    assert (answer["resumed"], shown["status"], shown["waiting_on"]["code"]) == (False, "awaiting_human", "undo_window")
    assert shown["resume_at"] == answer["approval"]["undo_until"] == answer["approval"]["effective_at"]
    assert kinds(run["id"])[-1] == "approval"
    assert approvals_clock.effects() == 0
    pass_window()
    assert status_of(run["id"]) == "succeeded"
    assert refused(undo(test_key, run)) == (409, "UNDO_NOT_POSSIBLE", "already_effective")
    check_run(run["id"])


def test_T_090_without_a_window_nothing_is_undone(test_key: Api, cast: Cast) -> None:
    Team.objects.filter(id=cast.team.id).update(undo_window_seconds=0)
    run = waiting(test_key)
    assert decided(test_key, run)["resumed"] is True
    assert refused(undo(test_key, run)) == (409, "UNDO_NOT_POSSIBLE", "undo_disabled")


def test_when_its_time_is_over_the_clock_need_not_have_come(test_key: Api) -> None:
    run = waiting(test_key)
    decided(test_key, run)
    past = timezone.now() - timedelta(seconds=1)
    Approval.objects.update(undo_until=past, effective_at=past)
    assert refused(undo(test_key, run)) == (409, "UNDO_NOT_POSSIBLE", "undo_expired")


def test_the_timeout_starts_anew(test_key: Api) -> None:
    run = waiting(test_key, awaiting_human_timeout_seconds=60)
    before = request_of(test_key, run)["expires_at"]
    decided(test_key, run)
    shift(run["id"], 50)
    again = undo(test_key, run).json()
    assert (again["status"], again["decision"], again["undo_until"]) == ("pending", None, None)
    assert again["expires_at"] > before
    assert show(test_key, run["id"])["resume_at"] is None


def test_only_who_decided_and_admins_take_it_back(test_key: Api, cast: Cast) -> None:
    run = waiting(test_key)
    decided(test_key, run)
    assert refused(undo(cast.api(test=True, owner="ana"), run))[:2] == (403, "NOT_ELIGIBLE")
    olga = cast.browser("olga")
    path = f"/v1/approvals/{run['open_approvals'][0]}/undo"
    answer = olga.post(path, {}, content_type="application/json", headers={"X-Team-Mode": "test"})
    assert answer.status_code == 200, answer.content


@pytest.mark.parametrize("how", ["cancel", "deadline"])
def test_a_run_that_ends_inside_the_window_is_not_changed_by_undo(test_key: Api, how: str) -> None:
    more = {"deadline_seconds": 60, "deadline_clock": "wall"} if how == "deadline" else {}
    run = waiting(test_key, "x [steps:1]", **ASKING, **more)
    decided(test_key, run, remember=True)
    if how == "cancel":
        test_key.post(f"/runs/{run['id']}/cancel")
    else:
        shift(run["id"], 61)
        assert clock.deadlines() == 1
    ended, log = show(test_key, run["id"]), kinds(run["id"])
    assert refused(undo(test_key, run)) == (409, "UNDO_NOT_POSSIBLE", "undo_expired")
    pass_window()
    assert (show(test_key, run["id"]), kinds(run["id"])) == (ended, log)
    assert data_of(run["id"], "resumed") == []
    approval = test_key.get(f"/approvals/{run['open_approvals'][0]}").json()
    receipt = approval["decision"]["receipt"]
    assert (approval["status"], receipt["effective_at"], receipt["outcome"]) == ("approved", None, "not_executed")
    assert not Policy.objects.filter(revoked_at__isnull=True).exists(), "the decision had no effect"
    assert not Decision.objects.exclude(sealed=None).exists()
    assert decided(test_key, run, remember=True)["resumed"] is False
    assert not Policy.objects.filter(revoked_at__isnull=True).exists()
    check_run(run["id"])


def test_undo_removes_the_policy_that_the_decision_stored_and_no_other(test_key: Api) -> None:
    run = waiting(test_key, "x [steps:1]", **ASKING)
    stored = decided(test_key, run, remember=True)["policy_id"]
    undo(test_key, run)
    assert Policy.objects.get(id=stored).revoked_at is not None
    older = test_key.post("/permissions", {"tool": "click"}).json()["id"]
    assert decided(test_key, run, remember=True)["policy_id"] == older
    undo(test_key, run)
    assert Policy.objects.get(id=older).revoked_at is None


def test_an_undone_edit_is_forgotten(test_key: Api) -> None:
    run = waiting(test_key, "x [steps:1]", **ASKING)
    decided(test_key, run, edited_action={"name": "click", "params": {"x": 1, "y": 2}})
    assert undo(test_key, run).json()["edited_action"] is None
    decided(test_key, run)
    pass_window()
    (call,) = data_of(run["id"], "tool_call")
    assert (call["edited"], call["params"]["x"]) == (False, 101)


def test_an_undone_vote_takes_its_edit_along(test_key: Api, cast: Cast) -> None:
    need = [{"group": "anyone", "count": 1}]
    test_key.post("/permissions", {"tool": "click", "effect": "ask", "quorum": need})
    run = waiting(test_key, "x [steps:1]")
    proposed = request_of(test_key, run)["action_hash"]
    edited = decided(test_key, run, edited_action={"name": "click", "params": {"x": 1, "y": 2}})["approval"]
    assert edited["action_hash"] != proposed
    again = undo(test_key, run).json()
    assert (again["edited_action"], again["action_hash"], again["votes"]) == (None, proposed, [])


def test_after_undo_a_quorum_lacks_the_vote_that_completed_it(test_key: Api, cast: Cast) -> None:
    group(cast, "finance", "ana")
    group(cast, "owners", "olga")
    quorum = [{"group": "finance", "count": 1}, {"group": "owners", "count": 1}]
    test_key.post("/permissions", {"tool": "click", "effect": "ask", "quorum": quorum})
    run = waiting(test_key, "x [steps:1]")
    approval = Approval.objects.get(run_id=run["id"])
    edit = {"name": "click", "params": {"x": 7, "y": 8}}
    assert decide_as(cast, "ana", approval, edited_action=edit)[1]["approval"]["status"] == "pending"
    assert decide_as(cast, "olga", approval)[1]["approval"]["status"] == "approved"
    path = f"/v1/approvals/{approval.id}/undo"
    again = cast.browser("olga").post(path, {}, content_type="application/json", headers={"X-Team-Mode": "test"}).json()
    assert [(q["group"], q["approved"]) for q in again["quorum"]] == [("finance", 1), ("owners", 0)]
    assert again["edited_action"]["params"]["x"] == 7, "the vote that is left stands for it"
    assert decide_as(cast, "olga", approval)[1]["approval"]["status"] == "approved"
    pass_window()
    assert status_of(run["id"]) == "succeeded"
