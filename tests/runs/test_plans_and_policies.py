"""Plans, policies, edits, bindings and receipts: what stands between an agent's wish and the machine."""

import pytest

from accounts.models import Team
from approvals.models import Approval, Decision
from runs.models import RunEvent
from tests.cast import Api, Cast
from tests.runs.driving import drive_all

pytestmark = pytest.mark.django_db
ASKING = {"human_in_the_loop": True, "permission_mode": "approval"}


def begin(api: Api, task: str, **more: object) -> str:
    answer = api.post("/runs", {"task": task, **more})
    assert answer.status_code == 200, answer.content
    drive_all()
    return str(answer.json()["id"])


def pending(run_id: str) -> Approval:
    return Approval.objects.get(run_id=run_id, status="pending")


def decide(api: Api, approval: Approval, verdict: str = "approve", **more: object) -> dict:
    answer = api.post(f"/approvals/{approval.id}/decide", {"verdict": verdict, **more})
    assert answer.status_code == 200, answer.content
    drive_all()
    return dict(answer.json())


def calls(run_id: str) -> list[dict]:
    return [e.data for e in RunEvent.objects.filter(run_id=run_id, type="tool_call").order_by("seq")]


def status(api: Api, run_id: str) -> str:
    return str(api.get(f"/runs/{run_id}").json()["status"])


def test_T_079_an_edited_action_runs_as_edited(test_key: Api) -> None:
    run_id = begin(test_key, "x [steps:1]", **ASKING)
    first = pending(run_id)
    wrong = test_key.post(
        f"/approvals/{first.id}/decide", {"verdict": "approve", "edited_action": {"name": "move", "params": {}}}
    )
    assert wrong.status_code == 422
    bad = {"name": "click", "params": {"x": -5, "y": 5}}
    assert (
        test_key.post(f"/approvals/{first.id}/decide", {"verdict": "approve", "edited_action": bad}).status_code == 422
    )
    decide(test_key, first, edited_action={"name": "click", "params": {"x": 7, "y": 8}})
    assert status(test_key, run_id) == "succeeded"
    [call] = calls(run_id)
    assert call["edited"] is True
    assert call["params"] == {"x": 7, "y": 8, "button": "left", "count": 1}
    decision = Decision.objects.get(approval=first)
    assert decision.action_before["params"]["x"] == 101
    assert decision.action_after["params"]["x"] == 7


def test_T_092_the_receipt_tells_what_became_of_it(test_key: Api) -> None:
    run_id = begin(test_key, "x [steps:2]", **ASKING)
    first = pending(run_id)
    decide(test_key, first)
    second = pending(run_id)
    decide(test_key, second, "reject", note="no")
    receipts = [test_key.get(f"/approvals/{a.id}").json()["decision"]["receipt"] for a in (first, second)]
    assert [r["outcome"] for r in receipts] == ["executed", "skipped"]
    assert all(r["executed_at"] and r["delivered_at"] for r in receipts)


def test_T_092_delivered_is_what_the_agent_has_read(test_key: Api) -> None:
    """Also when it asks again or ends at once, without a step that comes between."""
    run_id = begin(test_key, "x [steps:1][question:rec][pause]")
    for _ in range(2):
        assert test_key.post(f"/runs/{run_id}/resume").status_code == 200
        row = Decision.objects.filter(approval__run_id=run_id).latest("at")
        assert row.delivered_at is None
        drive_all()
        row.refresh_from_db()
        assert row.delivered_at is not None
    assert status(test_key, run_id) == "succeeded"


def test_T_093_T_095_T_096_a_plan_is_approved_before_anything_is_done(test_key: Api) -> None:
    run_id = begin(test_key, "x [spend]", human_in_the_loop=True, permission_mode="plan")
    first = pending(run_id)
    assert (first.kind, first.plan["revision"], calls(run_id)) == ("plan", 1, [])
    assert test_key.post(f"/approvals/{first.id}/decide", {"verdict": "revise"}).status_code == 422
    decide(test_key, first, "revise", note="shorter")
    second = pending(run_id)
    assert (second.plan["revision"], calls(run_id)) == (2, [])
    assert (second.previous_approval_id, first.plan["text"]) == (first.id, second.plan["text"])
    again = test_key.post(f"/approvals/{first.id}/decide", {"verdict": "approve"})
    assert again.json()["error"]["code"] == "ALREADY_DECIDED"
    decide(test_key, second)
    spend = pending(run_id)
    assert (spend.kind, spend.action["risk"], spend.can_remember) == ("tool", "spend", False)
    assert [c["action_type"] for c in calls(run_id)] == ["click", "type_text"]
    texts = " ".join(e.data["text"] for e in RunEvent.objects.filter(run_id=run_id, type="text"))
    assert "shorter" in texts
    decide(test_key, spend)
    assert status(test_key, run_id) == "succeeded"


def test_plans_sent_back_too_often_end_the_run(test_key: Api, cast: Cast) -> None:
    Team.objects.filter(id=cast.team.id).update(plan_max_revisions=2)
    run_id = begin(test_key, "x", human_in_the_loop=True, permission_mode="plan")
    for _ in range(2):
        decide(test_key, pending(run_id), "reject")
    run = test_key.get(f"/runs/{run_id}").json()
    assert (run["status"], run["error"]["code"]) == ("failed", "PLAN_REVISION_LIMIT")


def test_T_099_T_101_a_remembered_approval_allows_the_next_equal_action(test_key: Api) -> None:
    first = begin(test_key, "x [steps:1]", **ASKING, end_user="A")
    answer = decide(test_key, pending(first), remember=True)
    assert answer["remembered"] is True
    second = begin(test_key, "x [steps:1]", **ASKING, end_user="A")
    assert status(test_key, second) == "succeeded"
    assert calls(second)[0]["policy_id"] == answer["policy_id"]
    other = begin(test_key, "x [steps:1]", **ASKING, end_user="B")
    assert status(test_key, other) == "awaiting_human"
    nobody = begin(test_key, "x [steps:1]", **ASKING)
    assert status(test_key, nobody) == "awaiting_human"
    policy = test_key.get(f"/permissions/{answer['policy_id']}").json()
    assert (policy["uses"], policy["origin"], policy["tool"]) == (1, "remembered", "click")


def test_a_request_keeps_which_policies_asked(test_key: Api) -> None:
    policies = [
        test_key.post("/permissions", {"tool": tool, "effect": "ask"}).json()["id"] for tool in ("*", "click", "scroll")
    ]
    by_rule = begin(test_key, "x [steps:1]", human_in_the_loop=True, permission_mode="autonomous")
    assert pending(by_rule).policy_ids == policies[:2]
    for policy_id in policies:
        test_key.delete(f"/permissions/{policy_id}")
    by_mode = begin(test_key, "x [steps:1]", **ASKING)
    assert pending(by_mode).policy_ids == []


def test_T_100_what_is_not_to_be_remembered_is_not(test_key: Api) -> None:
    run_id = begin(test_key, "x [steps:1]", **ASKING)
    assert decide(test_key, pending(run_id), "reject", remember=True)["remembered"] is False
    spend = begin(test_key, "x [steps:1][spend]", **ASKING)
    assert decide(test_key, pending(spend), remember=True)["remembered"] is False
    assert test_key.get("/permissions").json()["data"] == []


def test_T_102_remembered_for_the_run_holds_inside_it_and_nowhere_else(test_key: Api) -> None:
    run_id = begin(test_key, "x [steps:4]", **ASKING)
    decide(test_key, pending(run_id), remember="run")
    for _ in range(2):
        decide(test_key, pending(run_id))
    assert status(test_key, run_id) == "succeeded"
    assert Approval.objects.filter(run_id=run_id).count() == 3
    other = begin(test_key, "x [steps:1]", **ASKING)
    assert status(test_key, other) == "awaiting_human"


def test_T_103_T_104_deny_skips_and_ask_asks_in_autonomous_mode(test_key: Api) -> None:
    assert test_key.post("/permissions", {"tool": "click", "effect": "deny"}).status_code == 201
    assert test_key.post("/permissions", {"tool": "click", "effect": "allow"}).status_code == 201
    run_id = begin(test_key, "x [steps:1]")
    assert status(test_key, run_id) == "succeeded"
    assert not Approval.objects.filter(run_id=run_id).exists()
    [result] = [e.data for e in RunEvent.objects.filter(run_id=run_id, type="tool_result")]
    assert (result["skipped"], result["success"]) == (True, False)
    assert test_key.post("/permissions", {"tool": "type_text", "effect": "ask"}).status_code == 201
    assert status(test_key, begin(test_key, "x")) == "awaiting_human"
    alone = begin(test_key, "x", human_in_the_loop=False)
    assert test_key.get(f"/runs/{alone}").json()["error"]["code"] == "AWAITING_HUMAN"


def test_T_105_T_106_equal_policies_are_one_and_leave_pending_requests_alone(test_key: Api) -> None:
    run_id = begin(test_key, "x [steps:1]", **ASKING)
    first = test_key.post("/permissions", {"tool": "click", "host": "shop.test"})
    second = test_key.post("/permissions", {"tool": "click", "host": "shop.test"})
    assert (first.status_code, second.status_code, first.json()["id"]) == (201, 200, second.json()["id"])
    test_key.post("/permissions", {"tool": "*"})
    assert status(test_key, run_id) == "awaiting_human"
    gone = test_key.delete("/permissions/pol_nothing")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "POLICY_NOT_FOUND")
    assert test_key.delete(f"/permissions/{first.json()['id']}").status_code == 204


@pytest.mark.parametrize("tool", ["a b", "a,b", "mail*", "*.send", ""])
def test_a_tool_pattern_has_one_form(test_key: Api, tool: str) -> None:
    assert test_key.post("/permissions", {"tool": tool}).status_code == 422
