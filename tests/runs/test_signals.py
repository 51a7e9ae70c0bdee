"""signal, approve, answer, the permissions list and the permission mode."""

import pytest

from approvals.models import Approval
from runs.models import Run, RunEvent
from tests.cast import Api
from tests.conventions.conftest import refused
from tests.runs.driving import drive_all

pytestmark = pytest.mark.django_db
ASKING = {"human_in_the_loop": True, "permission_mode": "approval"}


def begin(api: Api, task: str, **more: object) -> str:
    answer = api.post("/runs", {"task": task, **more})
    assert answer.status_code == 200, answer.content
    drive_all()
    return str(answer.json()["id"])


def post(api: Api, path: str, body: object, status: int = 200) -> dict:
    answer = api.post(path, body)
    assert answer.status_code == status, answer.content
    return dict(answer.json())


def texts(run_id: str) -> str:
    return "\n".join(e.data["text"] for e in RunEvent.objects.filter(run_id=run_id, type="text").order_by("seq"))


def test_T_058_signal_approve_resumes(test_key: Api) -> None:
    run_id = begin(test_key, "x [pause]")
    answer = post(test_key, f"/runs/{run_id}/signal", {"action": "approve"})
    assert (answer["object"], answer["resumed"], answer["status"], answer["state"]) == (
        "signal",
        True,
        "running",
        "running",
    )
    assert answer["id"].startswith("dec_")


def test_T_059_signal_reject_ends_the_run_whatever_the_kind(test_key: Api) -> None:
    for task, more in (("x [pause]", {}), ("x [question]", {}), ("x", ASKING)):
        run_id = begin(test_key, task, **more)
        post(test_key, f"/runs/{run_id}/signal", {"action": "reject", "payload": {"reason": "wrong account"}})
        run = test_key.get(f"/runs/{run_id}").json()
        assert (run["status"], run["error"]["code"], run["error"]["message"]) == ("failed", "REJECTED", "wrong account")
        assert run["result"]["summary"] == "wrong account"


def test_T_060_T_061_signals_that_do_not_fit(test_key: Api) -> None:
    run_id = begin(test_key, "x [input]")
    error = post(test_key, f"/runs/{run_id}/signal", {"action": "yes"}, 422)["error"]
    assert (error["code"], error["reason_code"]) == ("INVALID_SIGNAL_TYPE", "invalid_signal_type")
    error = post(test_key, f"/runs/{run_id}/signal", {"action": "approve"}, 409)["error"]
    assert (error["code"], error["reason_code"]) == ("INVALID_SIGNAL_TYPE", "invalid_signal_type")
    assert error["allowed"] == ["reject", "submit_input"]
    done = begin(test_key, "x")
    error = post(test_key, f"/runs/{done}/signal", {"action": "approve"}, 409)["error"]
    assert error["reason_code"] == "run_not_awaiting_input"
    error = post(test_key, "/runs/run_nothing/signal", {"action": "approve"}, 404)["error"]
    assert error["reason_code"] == "run_not_found"


def test_T_062_signal_submit_input_stores_values_with_defaults(test_key: Api) -> None:
    run_id = begin(test_key, "x [input]")
    post(test_key, f"/runs/{run_id}/signal", {"action": "submit_input", "payload": {"recipient": "ada@shop.test"}})
    drive_all()
    assert '"subject":"Hello"' in texts(run_id)
    assert test_key.get(f"/runs/{run_id}").json()["status"] == "succeeded"


def test_T_024_the_idempotency_keys_of_a_signal_must_agree(test_key: Api) -> None:
    run_id = begin(test_key, "x [pause]")
    body = {"action": "approve", "idempotency_key": "one"}
    wrong = test_key.request("POST", f"/runs/{run_id}/signal", body, Idempotency_Key="two")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "IDEMPOTENCY_KEY_MISMATCH")
    first = test_key.post(f"/runs/{run_id}/signal", body)
    again = test_key.request("POST", f"/runs/{run_id}/signal", {"action": "approve"}, Idempotency_Key="one")
    assert (first.status_code, again.content) == (200, first.content)


def test_T_063_approve_deny_skips_the_action(test_key: Api) -> None:
    run_id = begin(test_key, "x [steps:1]", **ASKING)
    request = Approval.objects.get(run_id=run_id)
    body = {"request_id": request.id, "decision": "deny", "reason": "not this button"}
    answer = post(test_key, f"/runs/{run_id}/approve", body)
    assert (answer["status"], answer["resumed"], answer["remembered"], answer["tool_name"]) == (
        "denied",
        True,
        False,
        "click",
    )
    drive_all()
    assert "not this button" in texts(run_id)
    assert test_key.get(f"/runs/{run_id}").json()["status"] == "succeeded"


def test_T_064_T_065_approving_twice_is_one_decision_and_denying_then_is_late(test_key: Api) -> None:
    run_id = begin(test_key, "x [steps:1]", **ASKING)
    request = Approval.objects.get(run_id=run_id)
    allow = {"request_id": request.id, "decision": "allow"}
    ids = {post(test_key, f"/runs/{run_id}/approve", allow)["decision"]["id"] for _ in range(2)}
    assert len(ids) == 1
    late = post(test_key, f"/runs/{run_id}/approve", allow | {"decision": "deny"}, 409)["error"]
    assert (late["code"], late["verdict"]) == ("ALREADY_DECIDED", "approve")
    assert RunEvent.objects.filter(run_id=run_id, type="resumed").count() == 1


def test_T_066_T_067_answers_need_a_question(test_key: Api) -> None:
    asking = begin(test_key, "x [steps:1]", **ASKING)
    done = begin(test_key, "x")
    waiting = begin(test_key, "x [question]")
    for run_id in (asking, done, waiting):
        assert post(test_key, f"/runs/{run_id}/answer", {"answers": {}}, 422)["error"]["code"] == "VALIDATION_ERROR"
    error = post(test_key, f"/runs/{asking}/answer", {"answers": {"q1": "Sales"}}, 409)["error"]
    assert (error["code"], error["use"]) == ("WRONG_ENDPOINT", "approve")
    assert post(test_key, f"/runs/{done}/answer", {"answers": {"a": "b"}}, 409)["error"]["code"] == "NOT_AWAITING_HUMAN"
    request = Approval.objects.get(run_id=waiting)
    wrong = {"request_id": request.id, "decision": "allow"}
    assert post(test_key, f"/runs/{waiting}/approve", wrong, 409)["error"]["use"] == "answer"


@pytest.mark.parametrize("key", ["q1", "Which inbox?", "Inbox"])
def test_T_068_an_answer_names_its_question_in_three_ways(test_key: Api, key: str) -> None:
    run_id = begin(test_key, "x [question]")
    answer = post(test_key, f"/runs/{run_id}/answer", {"answers": {key: "Sales"}})
    assert (answer["status"], answer["resumed"], answer["run_status"]) == ("ok", True, "running")
    assert answer["approval"]["decision"]["answers"] == {"q1": {"value": "Sales", "custom": False}}


def test_T_071_unknown_answers_are_refused_here_and_kept_there(test_key: Api) -> None:
    run_id = begin(test_key, "x [question]")
    post(test_key, f"/runs/{run_id}/answer", {"answers": {"q1": "Sales", "mood": "fine"}}, 422)
    body = {"action": "submit_input", "payload": {"q1": "Sales", "mood": "fine"}}
    post(test_key, f"/runs/{run_id}/signal", body)
    drive_all()
    assert '"mood":"fine"' in texts(run_id)


def test_T_076_permissions_are_a_bare_array(test_key: Api) -> None:
    run_id = begin(test_key, "x [steps:2]", **ASKING)
    first = Approval.objects.get(run_id=run_id)
    post(test_key, f"/approvals/{first.id}/decide", {"verdict": "approve"})
    drive_all()
    items = test_key.get(f"/runs/{run_id}/permissions").json()
    assert isinstance(items, list)
    assert [(i["status"], i["tool_name"]) for i in items] == [("allowed", "click"), ("pending", "type_text")]


def test_T_094_a_plan_is_approved_by_that_word_alone(test_key: Api) -> None:
    for word in ("No", "Reject"):
        run_id = begin(test_key, "x", human_in_the_loop=True, permission_mode="plan")
        answer = post(test_key, f"/runs/{run_id}/answer", {"answers": {"Plan Approval": word}})
        assert answer["approval"]["status"] == "revised"
    run_id = begin(test_key, "x", human_in_the_loop=True, permission_mode="plan")
    answer = post(test_key, f"/runs/{run_id}/answer", {"answers": {"Plan Approval": " approve "}})
    assert answer["approval"]["status"] == "approved"
    drive_all()
    assert test_key.get(f"/runs/{run_id}").json()["status"] == "succeeded"


def test_T_098_switching_to_autonomous_approves_what_only_the_mode_asked(test_key: Api) -> None:
    run_id = begin(test_key, "x [steps:2]", **ASKING)
    request = Approval.objects.get(run_id=run_id)
    answer = test_key.patch(f"/runs/{run_id}/permission-mode", {"permission_mode": "autonomous"}).json()
    assert answer == {"run_id": run_id, "permission_mode": "autonomous", "resolved": [request.id]}
    drive_all()
    request.refresh_from_db()
    assert request.decisions.get().via == "mode_change"
    assert test_key.get(f"/runs/{run_id}").json()["status"] == "succeeded"
    late = test_key.patch(f"/runs/{run_id}/permission-mode", {"permission_mode": "autonomous"})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "INVALID_STATE")
    question = begin(test_key, "x [question]", **ASKING)
    while Approval.objects.filter(run_id=question, status="pending", kind="tool").exists():
        post(test_key, f"/runs/{question}/resume", {})
        drive_all()
    assert (
        test_key.patch(f"/runs/{question}/permission-mode", {"permission_mode": "autonomous"}).json()["resolved"] == []
    )
    alone = begin(test_key, "x [question]")
    assert test_key.patch(f"/runs/{alone}/permission-mode", {"permission_mode": "approval"}).status_code == 422


@pytest.mark.parametrize(
    ("task", "more"),
    [
        ("x [pause]", {}),
        ("x [takeover]", {}),
        ("x [input]", {}),
        ("x", ASKING | {"permission_mode": "plan"}),
        ("x", {"budget_cents": 5, "on_budget": "ask"}),
        ("x [steps:1][spend]", ASKING),  # the risk floor asked
    ],
)
def test_T_098_whatever_the_mode_did_not_ask_stays_open(test_key: Api, task: str, more: dict[str, object]) -> None:
    run_id = begin(test_key, task, **more)
    body = {"permission_mode": "autonomous"}
    assert test_key.patch(f"/runs/{run_id}/permission-mode", body).json()["resolved"] == []
    assert Approval.objects.get(run_id=run_id).status == "pending"


def test_T_098_what_a_policy_asked_or_the_caller_may_not_decide_stays_open(test_key: Api) -> None:
    body = {"permission_mode": "autonomous"}
    mine = begin(test_key, "x [steps:1]", **ASKING)
    Approval.objects.filter(run_id=mine).update(four_eyes=True)
    refused(test_key.patch(f"/runs/{mine}/permission-mode", body), 403, "SELF_APPROVAL_FORBIDDEN")
    assert Approval.objects.get(run_id=mine).status == "pending"
    test_key.post("/permissions", {"tool": "click", "effect": "ask"})
    ruled = begin(test_key, "x [steps:1]", **ASKING)
    assert test_key.patch(f"/runs/{ruled}/permission-mode", body).json()["resolved"] == []


def test_a_switch_of_a_child_run_leaves_its_siblings_alone(test_key: Api) -> None:
    parent, one, two = (begin(test_key, "x [steps:1]", **ASKING) for _ in range(3))
    Run.objects.filter(id__in=(one, two)).update(parent_id=parent, root_id=parent)
    Approval.objects.filter(run_id__in=(one, two)).update(root_run_id=parent)
    body = {"permission_mode": "autonomous"}
    resolved = test_key.patch(f"/runs/{one}/permission-mode", body).json()["resolved"]
    assert resolved == [Approval.objects.get(run_id=one).id]
    assert Approval.objects.get(run_id=two).status == "pending"


def test_a_switch_to_plan_makes_the_agent_propose_one(test_key: Api) -> None:
    run_id = begin(test_key, "x [steps:2]", **ASKING)
    test_key.patch(f"/runs/{run_id}/permission-mode", {"permission_mode": "plan"})
    post(test_key, f"/runs/{run_id}/resume", {"approved": False})
    drive_all()
    assert [a.kind for a in Approval.objects.filter(run_id=run_id).order_by("seq")] == ["tool", "plan"]
