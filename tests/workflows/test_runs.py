"""Workflow runs against the database: child runs, people, money and the log."""

from typing import Any

import pytest
from django_q.models import OrmQ

from approvals import clock as approvals_clock
from approvals.models import Approval
from billing import access
from runs import clock as run_clock
from runs import services
from runs.driving import leases
from runs.models import Run
from tests.cast import Api, Cast
from tests.runs.driving import data_of, drive_all, kinds, request_of, shift, show, simulated, status_of
from tests.workflows.engine import approval, begin, check, deliver, ran, task, tasks_of, work
from workflows import clock
from workflows.models import Execution, Ticket


def test_a_run_of_two_tasks_goes_to_its_end(test_key: Api) -> None:
    run = ran(test_key, [task("a"), check("passed", "{{a.passed}}", True), task("b")], {"cost": "{{b.cost_cents}}"})
    assert (run["status"], run["object"], run["output"]) == ("succeeded", "workflow.run", {"cost": 5})
    assert (run["steps_completed"], run["cost_cents"], run["spent_cents"]) == (2, 10, 10)
    assert [t["status"] for t in tasks_of(test_key, run)] == ["succeeded", "succeeded"]
    assert kinds(run["id"]) == [
        "queued", "running", "step", "billing", "step", "step", "billing", "succeeded", "done",
    ]  # fmt: skip
    assert data_of(run["id"], "billing")[-1] == {"spent_cents": 10, "cost_cents": 10, "credits_charged": 5}
    assert data_of(run["id"], "done") == [
        {
            "status": "succeeded",
            "error": None,
            "message": None,
            "output": {"cost": 5},
            "result": {
                "passed": True,
                "status": "succeeded",
                "summary": "",
                "verdict": None,
                "output": {"cost": 5},
                "output_text": None,
                "skipped": 0,
            },
        }
    ]


def test_a_task_has_from_its_run_what_its_step_does_not_say(test_key: Api) -> None:
    steps = [task("a"), task("b", "x [steps:1]", max_steps=7, agent="playbook", on_awaiting_human="fail")]
    start = {"max_steps": 9, "priority": 8, "end_user": "eva", "instructions": "gently", "human_in_the_loop": True}
    run = begin(test_key, steps, **start, permission_mode="approval")
    deliver()
    (first,) = tasks_of(test_key, run)
    assert first["parent_id"] == first["root_id"] == run["id"]
    assert {k: first[k] for k in start} == start
    assert first["permission_mode"] == "approval"
    assert first["webhook_url"] is None


# --- people


def test_T_154_while_waiting_the_step_and_the_templated_reason_are_set_and_afterwards_null(test_key: Api) -> None:
    run = ran(test_key, [task("a"), approval("ok", message="Is {{a.status}} right?"), task("b")])
    assert (run["status"], run["awaiting_step_id"]) == ("awaiting_human", "ok")
    assert run["awaiting_human_reason"] == "Is succeeded right?"
    asked = request_of(test_key, run)
    assert (asked["kind"], asked["step_id"], asked["on_reject"]) == ("approval", "ok", "fail_step")
    answer = test_key.post(f"/workflows/runs/{run['id']}/resume", {"approved": True, "note": "fine"}).json()
    assert (answer["status"], answer["awaiting_step_id"], answer["awaiting_human_reason"]) == ("running", None, None)
    work()
    assert show(test_key, run["id"])["status"] == "succeeded"
    assert kinds(run["id"])[4:9] == ["awaiting_human", "awaiting_human", "resumed", "running", "step"]


def test_T_153_a_rejected_approval_fails_the_run_with_the_note_and_nothing_follows(test_key: Api) -> None:
    run = ran(test_key, [approval("ok"), task("never")])
    test_key.post(f"/runs/{run['id']}/resume", {"approved": False, "note": "wrong account"})
    work()
    ended = show(test_key, run["id"])
    assert (ended["status"], ended["error"]["code"]) == ("failed", "STEP_FAILED")
    assert ended["error"]["reason_code"] == "approval_rejected"
    assert ended["error"]["message"] == "human_approval 'ok' rejected: wrong account"
    assert tasks_of(test_key, run) == []


def test_T_155_resume_of_a_workflow_run_needs_approved_on_its_own_path_only(test_key: Api) -> None:
    run = ran(test_key, [approval("ok")])
    refused = test_key.post(f"/workflows/runs/{run['id']}/resume", {})
    assert (refused.status_code, refused.json()["error"]["details"][0]["loc"]) == (422, ["body", "approved"])
    assert status_of(run["id"]) == "awaiting_human"
    assert test_key.post(f"/runs/{run['id']}/resume").json()["status"] == "running"
    work()
    assert status_of(run["id"]) == "succeeded"


@pytest.mark.parametrize("decided_on", ["parent", "child"])
def test_T_156_a_task_that_asks_makes_its_run_wait_and_deciding_either_resumes_both(
    test_key: Api, decided_on: str
) -> None:
    run = ran(test_key, [task("first", "x [steps:1]"), task("asks", "y [steps:2] [pause]")])
    child = tasks_of(test_key, run)[1]
    assert (run["status"], run["awaiting_step_id"]) == ("awaiting_human", "asks")
    assert run["awaiting_human_reason"] == child["awaiting_human_reason"]
    assert run["open_approvals"] == child["open_approvals"] != []
    event = data_of(run["id"], "awaiting_human")
    assert [(e["step_id"], e["awaiting_step_id"], e["approval_id"]) for e in event] == [
        ("asks", "asks", run["open_approvals"][0])
    ]
    target = run if decided_on == "parent" else child
    answer = test_key.post(f"/runs/{target['id']}/resume", {"approved": True})
    assert (answer.json()["id"], answer.json()["status"]) == (target["id"], "running")
    assert (status_of(run["id"]), status_of(child["id"])) == ("running", "running")
    assert len(data_of(run["id"], "resumed")) == len(data_of(child["id"], "resumed")) == 1
    work()
    ended = show(test_key, run["id"])
    assert (ended["status"], ended["cost_cents"]) == ("succeeded", 15)
    assert kinds(run["id"])[4:8] == ["awaiting_human", "awaiting_human", "resumed", "running"]


def test_a_rejection_inside_a_task_fails_the_task_only(test_key: Api) -> None:
    run = ran(test_key, [task("asks", "y [pause]"), task("after", "z [steps:1]")], {"code": "{{asks.error.code}}"})
    test_key.post(f"/runs/{run['id']}/resume", {"approved": False})
    work()
    ended = show(test_key, run["id"])
    assert (ended["status"], ended["output"]) == ("succeeded", {"code": "REJECTED"})


def test_T_163_on_awaiting_human_fail_ends_the_run_at_an_approval_step(test_key: Api) -> None:
    run = ran(test_key, [approval("ok"), task("never")], on_awaiting_human="fail")
    assert (run["status"], run["error"]["code"]) == ("failed", "AWAITING_HUMAN")
    assert "awaiting_human" not in kinds(run["id"])
    (asked,) = Approval.objects.filter(run_id=run["id"])
    assert (asked.status, asked.decisions.get().via) == ("cancelled", "on_awaiting_human")


@pytest.mark.parametrize("inside_retry", [False, True])
@pytest.mark.parametrize(("on_timeout", "status"), [({}, "cancelled"), ({"on_timeout": "fail"}, "failed")])
def test_T_158_an_approval_that_nobody_answers_ends_the_run(
    test_key: Api, inside_retry: bool, on_timeout: dict[str, str], status: str
) -> None:
    step: dict[str, Any] = approval("ok", timeout_seconds=60, **on_timeout)
    steps = [{"id": "again", "type": "retry", "max_attempts": 3, "body": [step]}] if inside_retry else [step]
    run = ran(test_key, steps)
    shift(run["id"], 61)
    approvals_clock.expiries()
    work()
    ended = show(test_key, run["id"])
    assert (ended["status"], ended["error"]["code"]) == (status, "SIGNAL_TIMEOUT")
    assert [a.status for a in Approval.objects.filter(run_id=run["id"])] == ["expired"]


def test_an_expiry_that_rejects_can_be_caught_by_retry(test_key: Api) -> None:
    step = approval("ok", timeout_seconds=60, on_timeout="reject")
    run = ran(test_key, [{"id": "again", "type": "retry", "max_attempts": 2, "body": [step]}])
    shift(run["id"], 61)
    approvals_clock.expiries()
    work()
    assert status_of(run["id"]) == "awaiting_human"
    test_key.post(f"/runs/{run['id']}/resume", {"approved": True})
    work()
    assert status_of(run["id"]) == "succeeded"


def test_silence_inside_a_task_ends_the_whole_run(test_key: Api) -> None:
    run = ran(test_key, [task("asks", "y [pause]")], awaiting_human_timeout_seconds=60)
    (child,) = tasks_of(test_key, run)
    shift(child["id"], 61)
    approvals_clock.expiries()
    ended = show(test_key, run["id"])
    assert (ended["status"], ended["error"]["code"]) == ("cancelled", "SIGNAL_TIMEOUT")
    assert status_of(child["id"]) == "cancelled"


def test_an_input_step_binds_values_without_their_secrets(test_key: Api) -> None:
    schema = {"properties": {"name": {"type": "string"}, "pin": {"type": "string", "format": "password"}}}
    run = ran(
        test_key, [approval("data", input_schema=schema)], {"values": "{{data.values}}", "by": "{{data.by.type}}"}
    )
    asked = request_of(test_key, run)
    assert asked["kind"] == "input"
    test_key.post(f"/approvals/{asked['id']}/decide", {"verdict": "submit", "values": {"name": "Eva", "pin": "1234"}})
    work()
    ended = show(test_key, run["id"])
    assert ended["output"] == {"values": {"name": "Eva", "pin": "[redacted]"}, "by": "api_key"}
    assert "1234" not in str(Execution.objects.get(run_id=run["id"]).state)


def test_T_075_two_open_requests_are_ambiguous_and_the_run_waits_for_both(test_key: Api) -> None:
    both = [[task("a", "x [pause] [steps:1]")], [task("b", "y [pause] [steps:1]")]]
    run = ran(test_key, [{"id": "p", "type": "parallel", "branches": both}])
    first, second = run["open_approvals"]
    unnamed = test_key.post(f"/runs/{run['id']}/resume", {"approved": True})
    assert (unnamed.status_code, unnamed.json()["error"]["open"]) == (409, [first, second])
    assert run["awaiting_step_id"] == "a"
    assert kinds(run["id"]).count("awaiting_human") == 3  # one status, two requests
    test_key.post(f"/runs/{run['id']}/resume", {"approved": True, "approval_id": first})
    between = show(test_key, run["id"])
    assert (between["status"], between["awaiting_step_id"]) == ("awaiting_human", "b")
    work()
    assert status_of(run["id"]) == "awaiting_human"
    test_key.post(f"/runs/{run['id']}/resume", {"approved": True})
    work()
    assert status_of(run["id"]) == "succeeded"


# --- ends


def test_T_157_cancelling_the_run_cancels_the_waiting_task(test_key: Api) -> None:
    run = ran(test_key, [task("asks", "x [pause]"), task("after")])
    answer = test_key.post(f"/workflows/runs/{run['id']}/cancel", {"reason": "enough"})
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    (child,) = tasks_of(test_key, run)
    assert (child["status"], child["open_approvals"]) == ("cancelled", [])
    assert Approval.objects.filter(status="pending").count() == 0
    work()
    assert len(tasks_of(test_key, run)) == 1
    assert kinds(run["id"])[-2:] == ["cancelled", "done"]


def test_T_157_cancelling_the_task_alone_lets_the_workflow_go_on(test_key: Api) -> None:
    run = ran(test_key, [task("asks", "x [pause]"), task("after", "y [steps:1]")], {"was": "{{asks.status}}"})
    (child,) = tasks_of(test_key, run)
    test_key.post(f"/runs/{child['id']}/cancel")
    work()
    ended = show(test_key, run["id"])
    assert (ended["status"], ended["output"]) == ("succeeded", {"was": "cancelled"})


def test_a_deadline_ends_the_run_and_what_it_started(test_key: Api) -> None:
    run = begin(test_key, [task("slow")], deadline_seconds=60)
    deliver()
    shift(run["id"], 61)
    run_clock.deadlines()
    ended = show(test_key, run["id"])
    assert (ended["status"], ended["error"]["code"]) == ("timed_out", "DEADLINE_EXCEEDED")
    (child,) = tasks_of(test_key, run)
    assert child["status"] == "cancelled"


def test_T_159_a_failing_branch_cancels_the_task_of_the_other(test_key: Api) -> None:
    other = [task("waits", "x [pause]")]
    failing = [task("quick", "y [steps:1]"), check("no", 1, 2, message="one is not two")]
    run = ran(test_key, [{"id": "p", "type": "parallel", "branches": [other, failing]}])
    assert (run["status"], run["error"]["message"]) == ("failed", "one is not two")
    assert {t["status"] for t in tasks_of(test_key, run)} == {"cancelled", "succeeded"}
    assert Approval.objects.filter(status="pending").count() == 0


def test_a_branch_given_up_inside_retry_lets_the_run_go_on(test_key: Api) -> None:
    branches = [[task("waits", "x [pause]")], [check("no", "{{vars.attempt}}", 2)]]
    inner = {"id": "p", "type": "parallel", "branches": branches}
    run = ran(test_key, [{"id": "again", "type": "retry", "max_attempts": 2, "body": [inner]}])
    assert (run["status"], run["awaiting_step_id"]) == ("awaiting_human", "waits")
    assert sorted(t["status"] for t in tasks_of(test_key, run)) == ["awaiting_human", "cancelled"]


# --- money


def test_T_147_two_failing_attempts_of_a_bare_task_are_billed_and_the_workflow_goes_on(live: Api) -> None:
    failing = task("bad", "x [steps:1] [fail]", agent="scripted")
    steps = [{"id": "again", "type": "retry", "max_attempts": 2, "body": [failing]}]
    run = ran(live, steps, {"passed": "{{bad.passed}}"}, machine_id=simulated(live))
    assert (run["status"], run["output"], run["cost_cents"]) == ("succeeded", {"passed": False}, 10)
    assert live.get("/billing/balance").json()["ledger_ok"] is True


@pytest.mark.parametrize(
    ("budget", "status", "spent"), [(9, "failed", 5), (10, "succeeded", 10), (4, "failed", 0), (0, "succeeded", 10)]
)
@pytest.mark.parametrize("world", ["live", "test"])
def test_T_152_a_budget_of_the_run_covers_its_tasks(
    request: pytest.FixtureRequest, world: str, budget: int, status: str, spent: int
) -> None:
    api: Api = request.getfixturevalue("live" if world == "live" else "test_key")
    machine = {"machine_id": simulated(api)} if world == "live" else {}
    steps = [task("a", agent="scripted"), task("b", agent="scripted")]
    run = ran(api, steps, budget_cents=budget, **machine)
    assert (run["status"], run["spent_cents"], run["budget_cents"]) == (status, spent, budget)
    if status == "failed":
        assert (run["error"]["code"], run["error"]["reason_code"]) == ("GUARD_EXCEEDED", "budget_cents")
        assert run["error"]["details"] == {"guard": "budget_cents", "scope": "run", "limit": budget, "used": spent}


def test_branches_that_reach_the_budget_together_ask_once_and_go_on_together(test_key: Api) -> None:
    branches = [[task("a", "x [steps:2]")], [task("b", "y [steps:2]")]]
    run = ran(test_key, [{"id": "p", "type": "parallel", "branches": branches}], budget_cents=10, on_budget="ask")
    assert (run["status"], run["cost_cents"]) == ("awaiting_human", 10)
    asked = request_of(test_key, run)
    assert (asked["kind"], asked["run_id"]) == ("budget", run["id"])
    answer = test_key.post(f"/approvals/{asked['id']}/decide", {"verdict": "approve"})
    assert (answer.json()["resumed"], answer.json()["run"]["status"]) == (True, "running")
    work()
    ended = show(test_key, run["id"])
    assert (ended["status"], ended["cost_cents"], ended["budget_cents"]) == ("succeeded", 20, 20)
    assert kinds(run["id"]).count("resumed") == 1


def test_a_budget_that_people_do_not_lift_ends_the_run(test_key: Api) -> None:
    run = ran(test_key, [task("a", "x [steps:3]")], budget_cents=10, on_budget="ask")
    asked = request_of(test_key, run)
    test_key.post(f"/approvals/{asked['id']}/decide", {"verdict": "reject", "note": "too dear"})
    ended = show(test_key, run["id"])
    assert (ended["status"], ended["error"]["reason_code"]) == ("failed", "budget_cents")
    assert [t["status"] for t in tasks_of(test_key, run)] == ["cancelled"]


def test_an_empty_wallet_ends_the_whole_run(cast: Cast, live: Api) -> None:
    machine = simulated(live)
    steps = [task("a", "x [steps:3]", agent="scripted"), task("b", agent="scripted")]
    run = begin(live, steps, machine_id=machine)
    from billing.models import Wallet

    Wallet.objects.filter(team=cast.team).update(available_cents=12)
    work()
    ended = show(live, run["id"])
    assert (ended["status"], ended["error"]["code"], ended["cost_cents"]) == ("failed", "WALLET_EXHAUSTED", 10)
    assert access.held(cast.team.id) == 0


def test_a_start_needs_money_for_one_step_of_the_cheapest_task(cast: Cast, live: Api) -> None:
    machine = simulated(live)
    from billing.models import Wallet

    Wallet.objects.filter(team=cast.team).update(available_cents=4)
    body = {"machine_id": machine, "steps": [task("a", cua_version="v1"), task("b")]}
    refused = live.post("/workflows/runs", body)
    assert (refused.status_code, refused.json()["error"]["required"]) == (402, 5)
    assert live.post("/workflows/runs", {"steps": [check("c", 1, 1)]}).status_code == 200
    assert Run.objects.count() == 1


# --- machines


def test_a_live_task_without_a_machine_fails_the_start(live: Api) -> None:
    refused = live.post("/workflows/runs", {"steps": [task("a")]})
    assert (refused.status_code, refused.json()["error"]["details"][0]["loc"]) == (422, ["body", "machine_id"])
    assert live.post("/workflows/runs", {"steps": [task("a", machine_id="mch_x")]}).status_code == 200


@pytest.mark.parametrize("named", ["mch_nowhere", "{{inputs.where}}"])
def test_a_machine_that_is_not_there_ends_the_run(live: Api, named: str) -> None:
    run = ran(live, [task("a", machine_id=named)])
    assert (run["status"], run["error"]["code"]) == ("failed", "MACHINE_UNAVAILABLE")


def test_tasks_on_the_same_machine_take_turns(live: Api) -> None:
    branches = [[task("a", agent="scripted")], [task("b", agent="scripted")]]
    run = ran(live, [{"id": "p", "type": "parallel", "branches": branches}], machine_id=simulated(live))
    assert (run["status"], run["cost_cents"]) == ("succeeded", 10)


# --- lists


def test_T_049_both_kinds_are_listed_without_child_runs(test_key: Api) -> None:
    run = ran(test_key, [task("a"), task("b")])
    alone = test_key.post("/runs", {"task": "alone"}).json()
    listed = test_key.get("/runs").json()["data"]
    assert [r["id"] for r in listed] == [alone["id"], run["id"]]
    for path in ("/runs?kind=workflow", "/workflows/runs"):
        assert [r["id"] for r in test_key.get(path).json()["data"]] == [run["id"]]
    assert [t["task"] for t in tasks_of(test_key, run)] == ["do it [steps:1]"] * 2
    assert test_key.get("/runs?parent_id=wfr_x").status_code == 404


def test_the_log_of_a_workflow_run_is_enveloped_too(test_key: Api) -> None:
    run = ran(test_key, [check("c", 1, 1)], {"a": 1})
    found = test_key.get(f"/workflows/runs/{run['id']}/events/stream?format=json").json()["data"]
    assert [e["type"] for e in found][-1] == "run.worker.succeeded"
    assert found[-1]["payload"]["value"]["output"] == {"a": 1}


# --- messages that come late, twice or never


def test_every_message_may_come_twice(test_key: Api) -> None:
    run = begin(test_key, [task("a"), task("b")])
    for _ in range(12):
        messages = [(row.func(), row.task["args"]) for row in OrmQ.objects.order_by("id")]
        deliver()
        for name, args in messages:
            if name.startswith("workflows."):
                from importlib import import_module

                module, function = name.rsplit(".", 1)
                getattr(import_module(module), function)(*args)
        drive_all()
    ended = show(test_key, run["id"])
    assert (ended["status"], ended["cost_cents"], len(tasks_of(test_key, run))) == ("succeeded", 10, 2)


def test_what_was_lost_with_a_worker_is_done_by_the_clock(test_key: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = {"id": "many", "type": "loop", "count": 2000, "body": []}
    run = begin(test_key, [task("a"), loop, approval("ok"), task("b")])
    for _ in range(20):
        drive_all()
        OrmQ.objects.filter().delete()
        Run.objects.update(created_at=services.timezone.now() - 2 * clock.LATE)
        Run.objects.exclude(finished_at=None).update(finished_at=services.timezone.now() - 2 * clock.LATE)
        Execution.objects.update(changed_at=services.timezone.now() - 2 * clock.LATE)
        Approval.objects.exclude(effective_at=None).update(effective_at=services.timezone.now() - 2 * clock.LATE)
        clock.begin_late()
        clock.go_on_late()
        clock.tell_late()
        if status_of(run["id"]) == "awaiting_human":
            test_key.post(f"/runs/{run['id']}/resume", {"approved": True})
    ended = show(test_key, run["id"])
    assert (ended["status"], ended["cost_cents"], ended["iterations_used"]) == ("succeeded", 10, 2000)
    assert not Ticket.objects.filter(open=True).exists()


def test_a_stop_is_confirmed_when_the_worker_of_the_task_has_let_go(test_key: Api) -> None:
    run = begin(test_key, [task("a")])
    deliver()
    ((child, epoch),) = leases.claim("somewhere", 1)
    assert test_key.post(f"/runs/{run['id']}/cancel").json()["stop_confirmed_at"] is None
    run_clock.stops()
    assert show(test_key, run["id"])["stop_confirmed_at"] is None
    leases.let_go(child, "somewhere", epoch)
    run_clock.stops()
    assert show(test_key, run["id"])["stop_confirmed_at"] is not None
