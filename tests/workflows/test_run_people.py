"""People at a workflow run: who may decide, by which call, what is asked, for its own requests and its tasks'."""

from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Group, Team
from approvals import clock
from approvals.models import Approval
from tests.cast import Api, Cast
from tests.runs.driving import begin as begin_agent
from tests.runs.driving import data_of, kinds, request_of, show, simulated, status_of, worker_is_there
from tests.workflows.engine import approval, begin, deliver, ran, task, tasks_of, work
from tests.workflows.test_starting import saved, started

Body = dict[str, Any]
JSON = "application/json"
PAUSED = task("waits", "x [steps:2] [pause]", agent="scripted")
SCHEMA = {
    "type": "object", "required": ["to"],
    "properties": {"to": {"type": "string"}, "pin": {"type": "string", "format": "password"}},
}  # fmt: skip


def decided(cast: Cast, who: str, approval_id: str, verdict: str = "approve", **more: Any) -> tuple[int, Body]:
    answer = cast.browser(who).post(
        f"/v1/approvals/{approval_id}/decide", {"verdict": verdict} | more, content_type=JSON
    )
    return answer.status_code, answer.json()


def group(cast: Cast, name: str, *people: str) -> Group:
    made = Group.objects.create(team=cast.team, name=name)
    made.users.set([cast.people[who] for who in people])
    return made


# --- who may decide


def test_the_approvers_of_a_step_are_a_quorum_of_groups_by_name_and_id(cast: Cast, live: Api) -> None:
    finance, board = group(cast, "finance", "ana", "adam"), group(cast, "board", "olga")
    needs = [{"group": "finance", "count": 1}, {"group": board.id, "count": 1}]
    run = ran(live, [approval("ok", approvers=needs)])
    asked = request_of(live, run)
    assert asked["quorum"] == [need | {"approved": 0} for need in needs]
    assert asked["eligible"] == ["finance", board.id]
    assert live.post(f"/runs/{run['id']}/resume", {"approved": True}).json()["error"]["code"] == "NOT_ELIGIBLE"
    status, first = decided(cast, "ana", asked["id"])
    assert (status, first["resumed"], first["approval"]["status"], first["run"]["status"]) == (
        200, False, "pending", "awaiting_human",
    )  # fmt: skip
    assert [v["group"] for v in first["approval"]["votes"]] == ["finance"]
    assert decided(cast, "adam", asked["id"])[1]["error"]["code"] == "NOT_ELIGIBLE"
    assert decided(cast, "olga", asked["id"])[1]["resumed"] is True
    work()
    assert status_of(run["id"]) == "succeeded"
    assert data_of(run["id"], "approval")[0]["change"] == "vote"
    assert finance.name in asked["eligible"]


def test_one_rejection_decides_a_quorum(cast: Cast, live: Api) -> None:
    group(cast, "finance", "ana", "adam")
    run = ran(live, [approval("ok", approvers=[{"group": "finance", "count": 2}])])
    asked = request_of(live, run)
    decided(cast, "ana", asked["id"])
    assert decided(cast, "adam", asked["id"], "reject", note="no")[0] == 200
    work()
    assert show(live, run["id"])["error"]["message"] == "human_approval 'ok' rejected: no"


@pytest.mark.parametrize("four_eyes", [True, False])
def test_four_eyes_at_a_step_keep_the_starter_from_approving(cast: Cast, four_eyes: bool) -> None:
    mine, also_mine, other = (cast.api(owner=who) for who in ("olga", "olga", "adam"))
    run = ran(mine, [approval("ok", four_eyes=four_eyes)])
    asked = request_of(mine, run)
    assert asked["four_eyes"] is four_eyes
    body: Body
    for path, body in (
        (f"/runs/{run['id']}/resume", {"approved": True}),
        (f"/workflows/runs/{run['id']}/resume", {"approved": True}),
        (f"/runs/{run['id']}/signal", {"action": "approve"}),
        (f"/runs/{run['id']}/approve", {"request_id": asked["id"], "decision": "allow"}),
        (f"/approvals/{asked['id']}/decide", {"verdict": "approve"}),
    ):
        for api in (mine, also_mine) if four_eyes else ():
            answer = api.post(path, body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "SELF_APPROVAL_FORBIDDEN"), path
    if four_eyes:
        assert decided(cast, "olga", asked["id"])[0] == 403
        assert other.post(f"/runs/{run['id']}/resume", {"approved": True}).status_code == 200
    else:
        assert mine.post(f"/runs/{run['id']}/resume", {"approved": True}).status_code == 200


def test_the_starter_may_always_reject(cast: Cast) -> None:
    mine = cast.api()
    run = ran(mine, [approval("ok", four_eyes=True)])
    assert mine.post(f"/runs/{run['id']}/resume", {"approved": False}).status_code == 200


def test_the_starter_of_the_run_is_that_of_what_its_tasks_ask(cast: Cast) -> None:
    Team.objects.filter(id=cast.team.id).update(forbid_self_approval="always")
    mine, other = cast.api(), cast.api(owner="adam")
    run = ran(mine, [PAUSED], machine_id=simulated(mine))
    (child,) = tasks_of(mine, run)
    for target in (run, child):
        answer = mine.post(f"/runs/{target['id']}/resume", {"approved": True})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "SELF_APPROVAL_FORBIDDEN")
    assert other.post(f"/runs/{run['id']}/resume", {"approved": True}).status_code == 200


def test_a_request_of_a_step_is_assigned_as_the_step_says(cast: Cast, live: Api) -> None:
    ana = cast.people["ana"].id
    run = ran(live, [approval("ok", assignee=ana)])
    asked = request_of(live, run)
    assert asked["assignee"] == ana
    assert [a["id"] for a in live.get(f"/approvals?assignee={ana}").json()["data"]] == [asked["id"]]
    assert decided(cast, "adam", asked["id"])[0] == 200  # it narrows nothing


@pytest.mark.parametrize("names", [{"approvers": [{"group": "nobody", "count": 1}]}, {"assignee": "usr_x"}])
def test_a_start_that_names_nobody_is_refused(live: Api, names: Body) -> None:
    answer = live.post("/workflows/runs", {"steps": [approval("ok", **names)]})
    loc = answer.json()["error"]["details"][0]["loc"]
    assert (answer.status_code, loc[:3]) == (422, ["body", "steps", 0])


# --- by which call


def test_the_request_of_a_step_is_like_any_other(test_key: Api) -> None:
    run = ran(test_key, [approval("ok", message="Pay?", timeout_seconds=60, on_timeout="fail")], priority=8)
    asked = request_of(test_key, run)
    shown = {
        "run_id": run["id"], "root_run_id": run["id"], "step_id": "ok", "kind": "approval", "status": "pending",
        "reason_code": "AWAITING_APPROVAL", "input_kind": "approval", "message": "Pay?", "on_reject": "fail_step",
        "on_timeout": "fail", "priority": 8, "allowed_verdicts": ["approve", "reject"], "agent_message": None, "test": True,
    }  # fmt: skip
    assert {name: asked[name] for name in shown} == shown
    assert asked["expires_at"] is not None
    (item,) = test_key.get(f"/workflows/runs/{run['id']}/permissions").json()
    assert (item["id"], item["tool_name"], item["status"]) == (asked["id"], "human_approval", "pending")


@pytest.mark.parametrize(
    ("call", "body", "code"),
    [
        ("signal", {"action": "approve"}, 200),
        ("signal", {"action": "submit_input"}, 409),
        ("answer", {"answers": {"a": "b"}}, 409),
        ("approve", {"decision": "allow"}, 200),
    ],
)
@pytest.mark.parametrize("prefix", ["/runs", "/workflows/runs"])
def test_each_call_reaches_the_request_of_a_step(test_key: Api, prefix: str, call: str, body: Body, code: int) -> None:
    run = ran(test_key, [approval("ok")])
    named = {"request_id": run["open_approvals"][0]} if call == "approve" else {}
    answer = test_key.post(f"{prefix}/{run['id']}/{call}", body | named)
    assert answer.status_code == code
    work()
    assert status_of(run["id"]) == ("succeeded" if code == 200 else "awaiting_human")


@pytest.mark.parametrize("addressed", ["run", "task"])
@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("signal", {"action": "approve"}),
        ("approve", {"decision": "allow"}),
        ("resume", {"approved": True}),
    ],
)
def test_each_call_reaches_what_a_task_asks(test_key: Api, addressed: str, call: str, body: Body) -> None:
    run = ran(test_key, [PAUSED])
    (child,) = tasks_of(test_key, run)
    named = {"request_id": child["open_approvals"][0]} if call == "approve" else {}
    target = run if addressed == "run" else child
    assert test_key.post(f"/runs/{target['id']}/{call}", body | named).status_code == 200
    assert [status_of(each["id"]) for each in (run, child)] == ["running", "running"]
    work()
    assert status_of(run["id"]) == "succeeded"


def test_a_question_of_a_task_is_answered_on_the_run(test_key: Api) -> None:
    run = ran(test_key, [task("asks", "x [steps:2] [question]")], {"said": "{{asks.result}}"})
    answer = test_key.post(f"/workflows/runs/{run['id']}/answer", {"answers": {"q1": "Sales"}})
    assert (answer.status_code, answer.json()["resumed"]) == (200, True)
    work()
    assert '"value":"Sales"' in show(test_key, run["id"])["output"]["said"]


@pytest.mark.parametrize("action", ["reject"])
def test_a_signal_that_rejects_fails_the_step_and_a_task_alone(test_key: Api, action: str) -> None:
    body = {"action": action, "payload": {"reason": "wrong"}}
    again = {"id": "r", "type": "retry", "max_attempts": 2, "body": [approval("ok")]}
    run = ran(test_key, [task("asks", "x [question]"), again], {"was": "{{asks.error.code}}"})
    assert test_key.post(f"/runs/{run['id']}/signal", body).json()["resumed"] is False
    work()
    assert show(test_key, run["id"])["awaiting_step_id"] == "ok"
    assert test_key.post(f"/runs/{run['id']}/signal", body).status_code == 200
    work()
    assert (status_of(run["id"]), Approval.objects.filter(run_id=run["id"]).count()) == ("awaiting_human", 2)
    test_key.post(f"/runs/{run['id']}/signal", {"action": "approve"})
    work()
    assert show(test_key, run["id"])["output"] == {"was": "REJECTED"}


def test_data_that_a_step_asks_for_is_submitted_by_each_call(test_key: Api) -> None:
    values = {"to": "Eva", "pin": "1234"}
    for call, body in (
        ("answer", {"answers": values}),
        ("signal", {"action": "submit_input", "payload": values}),
    ):
        run = ran(
            test_key, [approval("data", input_schema=SCHEMA), task("t", "To {{data.values.to}} {{data.values.pin}}")]
        )
        asked = request_of(test_key, run)
        assert (asked["kind"], asked["reason_code"], asked["on_reject"]) == ("input", "AWAITING_INPUT", "fail_step")
        wrong = test_key.post(f"/runs/{run['id']}/resume", {"approved": True})
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "ANSWER_REQUIRED")
        assert test_key.post(f"/runs/{run['id']}/{call}", body).status_code == 200
        work()
        assert [t["task"] for t in tasks_of(test_key, run)] == ["To Eva [redacted]"]
        everything = [test_key.get(f"/runs/{run['id']}{rest}").content.decode()
                      for rest in ("", "/events?format=json", "/permissions")]  # fmt: skip
        assert not [each for each in everything if "1234" in each]


def test_rejected_data_fails_the_step(test_key: Api) -> None:
    run = ran(test_key, [approval("data", input_schema=SCHEMA)])
    test_key.post(f"/runs/{run['id']}/resume", {"approved": False, "note": "not today"})
    work()
    error = show(test_key, run["id"])["error"]
    assert (error["code"], error["reason_code"]) == ("STEP_FAILED", "approval_rejected")
    assert error["message"] == "human_approval 'data' rejected: not today"


def test_where_nothing_is_open_each_call_says_so(test_key: Api) -> None:
    run = begin(test_key, [task()])
    for state in ("queued", "succeeded"):
        for call, body, code in (
            ("resume", {"approved": True}, "RESUME_CONFLICT" if state == "succeeded" else "NOT_AWAITING_HUMAN"),
            ("signal", {"action": "approve"}, "NOT_AWAITING_HUMAN"),
            ("answer", {"answers": {"a": "b"}}, "NOT_AWAITING_HUMAN"),
        ):
            error = test_key.post(f"/workflows/runs/{run['id']}/{call}", body).json()["error"]
            assert (error["code"], error["current_state"], error["allowed_from"]) == (code, state, ["awaiting_human"])
        work()


@pytest.mark.parametrize("steps", [[approval("ok")], [PAUSED]], ids=["own", "of a task"])
def test_a_resume_that_comes_too_late_names_the_last_decision(test_key: Api, steps: list[Body]) -> None:
    run = ran(test_key, steps)
    asked = request_of(test_key, run)
    decision = test_key.post(f"/approvals/{asked['id']}/decide", {"verdict": "approve"}).json()["decision"]
    work()
    error = test_key.post(f"/runs/{run['id']}/resume", {"approved": True}).json()["error"]
    assert (error["code"], error["current_state"]) == ("RESUME_CONFLICT", "succeeded")
    assert error["last_decision"] == decision["id"]


def test_a_request_of_another_run_is_not_found(test_key: Api) -> None:
    one, two = (ran(test_key, [approval("ok")]) for _ in range(2))
    body = {"approved": True, "approval_id": two["open_approvals"][0]}
    answer = test_key.post(f"/runs/{one['id']}/resume", body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "APPROVAL_NOT_FOUND")


# --- the undo window


@pytest.mark.parametrize("steps", [[approval("ok")], [PAUSED]], ids=["own", "of a task"])
def test_a_decision_may_be_undone_before_it_takes_effect(test_key: Api, cast: Cast, steps: list[Body]) -> None:
    worker_is_there()
    Team.objects.filter(id=cast.team.id).update(undo_window_seconds=30)
    run = ran(test_key, steps)
    (asked,) = run["open_approvals"]
    answer = test_key.post(f"/runs/{run['id']}/resume", {"approved": True}).json()
    assert (answer["status"], answer["open_approvals"]) == ("awaiting_human", [])
    assert answer["waiting_on"]["code"] == "undo_window"
    assert answer["resume_at"] is not None
    assert answer["awaiting_human_reason"] == run["awaiting_human_reason"]
    work()
    assert test_key.post(f"/approvals/{asked}/undo").status_code == 200
    again = show(test_key, run["id"])
    assert (again["open_approvals"], again["waiting_on"]["code"], again["resume_at"]) == ([asked], "human", None)
    test_key.post(f"/runs/{run['id']}/resume", {"approved": True})
    Approval.objects.update(effective_at=timezone.now())
    clock.effects()
    assert show(test_key, run["id"])["resume_at"] is None
    work()
    assert status_of(run["id"]) == "succeeded"
    assert kinds(run["id"]).count("resumed") == 1


@pytest.mark.parametrize("steps", [[approval("ok")], [PAUSED]], ids=["own", "of a task"])
def test_a_cancel_before_it_takes_effect_leaves_a_decision_without_any(
    test_key: Api, cast: Cast, steps: list[Body]
) -> None:
    Team.objects.filter(id=cast.team.id).update(undo_window_seconds=30)
    run = ran(test_key, steps)
    (asked,) = run["open_approvals"]
    test_key.post(f"/runs/{run['id']}/resume", {"approved": True})
    test_key.post(f"/runs/{run['id']}/cancel")
    Approval.objects.update(effective_at=timezone.now())
    clock.effects()
    work()
    assert status_of(run["id"]) == "cancelled"
    decision = test_key.get(f"/approvals/{asked}").json()["decision"]
    assert (decision["verdict"], decision["receipt"]["outcome"]) == ("approve", "not_executed")
    assert kinds(run["id"])[-1] == "done"


# --- why it waits


def test_a_run_says_what_it_waits_for(test_key: Api) -> None:
    run = begin(test_key, [task("a"), approval("ok")])
    assert run["waiting_on"]["code"] == "no_worker"
    worker_is_there()
    assert show(test_key, run["id"])["waiting_on"] is None
    deliver()
    assert show(test_key, run["id"])["waiting_on"] is None
    work()
    shown = show(test_key, run["id"])
    assert (shown["waiting_on"]["code"], shown["waiting_on"]["ref"]) == ("human", shown["open_approvals"][0])
    test_key.post(f"/runs/{run['id']}/cancel")
    assert show(test_key, run["id"])["waiting_on"] is None


def test_what_its_tasks_ask_is_listed_with_the_run(test_key: Api) -> None:
    run = ran(test_key, [PAUSED])
    (child,) = tasks_of(test_key, run)
    (asked,) = run["open_approvals"]
    begin_agent(test_key, "other [pause]")
    work()
    for target in (run, child):
        assert [a["id"] for a in test_key.get(f"/approvals?run_id={target['id']}").json()["data"]] == [asked]
        assert [a["id"] for a in test_key.get(f"/runs/{target['id']}/permissions").json()] == [asked]
    shown = test_key.get(f"/approvals/{asked}").json()
    assert (shown["run_id"], shown["root_run_id"]) == (child["id"], run["id"])


def test_what_is_asked_names_the_workflow(test_key: Api) -> None:
    workflow = saved(test_key, [PAUSED, approval("ok")])
    run = started(test_key, workflow)
    for _ in range(2):
        work()
        assert request_of(test_key, run)["workflow_id"] == workflow["id"]
        test_key.post(f"/runs/{run['id']}/resume", {"approved": True})


def test_reading_and_cancelling_need_a_scope_of_workflows_or_of_runs(test_key: Api, cast: Cast) -> None:
    run = ran(test_key, [approval("ok")])
    for scope, status in (("workflows:read", 200), ("runs:read", 200), ("machines:read", 403)):
        api = cast.api(test=True, scopes=frozenset({scope}))
        for rest in ("", "/events?format=json", "/events/stream?format=json", "/screenshots", "/deliveries"):
            assert api.get(f"/workflows/runs/{run['id']}{rest}").status_code == status, (scope, rest)
    for scope, status in (("workflows:read", 403), ("workflows:write", 200), ("runs:write", 409)):
        api = cast.api(test=True, scopes=frozenset({scope}))
        assert api.post(f"/workflows/runs/{run['id']}/cancel").status_code == status
