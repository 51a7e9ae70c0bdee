"""Permission mode approval: one tool request before every action that is not read-only (docs/api/runs.md section 3)."""

from typing import Any

import pytest

from approvals.models import Approval
from machines.drivers.base import Action
from runs.agents import action_summary
from runs.agents.base import Act
from runs.driving import guard
from runs.models import Run, Step
from tests.cast import Api
from tests.runs.driving import begin, data_of, drive_all, ended, kinds, log, request_of, show, status_of, waiting
from tests.runs.invariants import check_run

pytestmark = pytest.mark.django_db
ASKING: dict[str, Any] = {"human_in_the_loop": True, "permission_mode": "approval"}


def test_T_097_three_steps_three_requests(test_key: Api) -> None:
    run = waiting(test_key, "x", **ASKING)
    for _ in range(3):
        assert request_of(test_key, run)["kind"] == "tool"
        test_key.post(f"/runs/{run['id']}/resume")
        drive_all()
    done = show(test_key, run["id"])
    assert (done["status"], done["steps_completed"], done["cost_cents"]) == ("succeeded", 3, 15)
    assert list(Approval.objects.order_by("seq").values_list("kind", "step_index")) == [
        ("tool", 1),
        ("tool", 2),
        ("tool", 3),
    ]
    asked = list(Approval.objects.order_by("seq").values_list("id", flat=True))
    assert [d["approval_id"] for d in data_of(run["id"], "tool_result")] == asked
    check_run(run["id"])


def test_the_request_shows_the_action_whole(test_key: Api) -> None:
    request = request_of(test_key, waiting(test_key, "x [steps:1] [type:60000]", **ASKING))
    assert len(request["action"]["params"]["text"]) == 60_000
    assert request["title"] == "Type 60000 characters"
    assert request["message"] == "Permission mode approval asks before every action."
    assert request["agent_message"].startswith("Step 1 of 1")
    assert (request["on_reject"], request["can_remember"]) == ("skip_action", True)


def test_a_risk_is_in_the_title(test_key: Api) -> None:
    request = request_of(test_key, waiting(test_key, "x [steps:1] [spend]", **ASKING))
    assert (request["action"]["risk"], request["action"]["host"]) == ("spend", "shop.test")
    assert request["title"] == "Click at 101, 200 on shop.test (spends money)"


@pytest.mark.parametrize("by", ["resume", "decide"])
def test_T_063_a_denied_action_is_skipped_and_billed(test_key: Api, by: str) -> None:
    run = waiting(test_key, "x [steps:2]", **ASKING)
    if by == "resume":
        answer = test_key.post(f"/runs/{run['id']}/resume", {"approved": False, "note": "not that one"})
    else:
        answer = test_key.post(
            f"/approvals/{run['open_approvals'][0]}/decide", {"verdict": "reject", "note": "not that one"}
        )
        assert answer.json()["resumed"] is True
    assert answer.status_code == 200
    drive_all()
    (resumed,) = data_of(run["id"], "resumed")
    assert (resumed["approved"], resumed["effect"], resumed["note"]) == (False, "skip_action", "not that one")
    after = log(run["id"])[kinds(run["id"]).index("resumed") :]
    assert "not that one" in next(d["text"] for k, d in after if k == "text")
    (result,) = data_of(run["id"], "tool_result")
    assert (result["skipped"], result["success"], result["error"]) == (True, False, "not that one")
    assert result["approval_id"] == run["open_approvals"][0]
    test_key.post(f"/runs/{run['id']}/resume")
    drive_all()
    done = show(test_key, run["id"])
    assert (done["status"], done["steps_completed"], done["cost_cents"]) == ("succeeded", 2, 10)
    assert list(Step.objects.filter(run_id=run["id"]).order_by("index").values_list("skipped", flat=True)) == [
        True,
        False,
    ]
    check_run(run["id"])


def test_answers_are_not_lost_behind_a_tool_request(test_key: Api) -> None:
    """The agent reads an answer, proposes an action, a person allows it: the answer must still be known then."""
    run = waiting(test_key, "x [steps:2] [question]", **ASKING)
    test_key.post(f"/runs/{run['id']}/resume")  # step 1
    drive_all()
    assert request_of(test_key, run)["kind"] == "question"
    test_key.post(f"/runs/{run['id']}/resume", {"note": "Sales"})
    drive_all()
    assert request_of(test_key, run)["kind"] == "tool"
    test_key.post(f"/runs/{run['id']}/resume")
    drive_all()
    done = show(test_key, run["id"])
    assert done["status"] == "succeeded"
    assert '"value":"Sales"' in done["result"]["summary"]
    check_run(run["id"])


def test_T_083_an_approval_is_used_for_one_execution(test_key: Api) -> None:
    run = waiting(test_key, "x [steps:4]", **ASKING)
    hashes = []
    for _ in range(4):
        hashes.append(request_of(test_key, run)["action"]["name"])
        test_key.post(f"/runs/{run['id']}/resume")
        drive_all()
    assert hashes == ["click", "type_text", "key_press", "click"]
    assert status_of(run["id"]) == "succeeded"


def test_T_082_a_huge_action_opens_no_request(test_key: Api) -> None:
    run = ended(test_key, "x [steps:1] [type:65536]", **ASKING)
    assert (run["status"], run["steps_completed"]) == ("succeeded", 1)
    assert not Approval.objects.exists()
    (result,) = data_of(run["id"], "tool_result")
    assert (result["skipped"], result["error"]) == (True, "action_too_large")


def test_where_nobody_is_asked_it_may_be_huge(test_key: Api) -> None:
    run = ended(test_key, "x [steps:1] [type:65536]")
    assert data_of(run["id"], "tool_result")[0]["success"] is True


@pytest.mark.parametrize("mode", ["autonomous", "approval", "plan"])
def test_read_only_actions_run_unasked(test_key: Api, mode: str) -> None:
    run = Run.objects.get(id=begin(test_key, human_in_the_loop=True, permission_mode=mode)["id"])
    for name in ("screenshot", "wait", "move", "scroll"):
        assert guard.rule(run, Act(Action(name, {}), risk="spend")).verdict == "allow"
    assert (guard.rule(run, Act(Action("click", {}))).verdict == "allow") is (mode == "autonomous")


def test_an_agent_may_raise_a_risk_but_not_lower_it() -> None:
    assert action_summary.risk_of(Act(Action("click", {}))) == "write"
    assert action_summary.risk_of(Act(Action("click", {}), risk="read")) == "write"
    assert action_summary.risk_of(Act(Action("click", {}), risk="destroy")) == "destroy"
    assert action_summary.risk_of(Act(Action("scroll", {}), risk="destroy")) == "read"
