"""What steps bind and templates make of it, from the start of a run to its output (contract/workflows.md 4, 5 and 6)."""

from typing import Any

from tests.cast import Api
from tests.runs.driving import data_of, show
from tests.workflows.documents import branch, eq, fail, loop, retry
from tests.workflows.engine import approval, check, ran, task, tasks_of, work

FAILING = task("bad", "x [steps:2] [fail]")


def test_a_task_binds_what_became_of_it_under_its_id_and_save_as(test_key: Api) -> None:
    run = ran(
        test_key,
        [FAILING | {"save_as": "kept"}, task("good")],
        {"bad": "{{bad}}", "kept": "{{kept}}", "good": "{{good}}"},
    )
    bad, good = tasks_of(test_key, run)
    output = run["output"]
    assert output["bad"] == output["kept"]
    assert output["bad"].pop("error") == {"code": "TASK_FAILED", "message": bad["error"]["message"]}
    assert output["bad"] == {
        "status": "failed", "passed": False, "result": bad["result"]["summary"], "run_id": bad["id"], "steps": 2, "cost_cents": 10,
    }  # fmt: skip
    assert output["good"] == {
        "status": "succeeded", "passed": True, "result": good["result"]["summary"], "run_id": good["id"], "steps": 1,
        "error": None, "cost_cents": 5,
    }  # fmt: skip


def test_an_approval_binds_the_decision(test_key: Api) -> None:
    run = ran(test_key, [approval("ok", save_as="kept")], {"ok": "{{ok}}", "kept": "{{kept}}"})
    answer = test_key.post(f"/approvals/{run['open_approvals'][0]}/decide", {"verdict": "approve", "note": "fine"})
    decision = answer.json()["decision"]
    work()
    output = show(test_key, run["id"])["output"]
    assert output["ok"] == output["kept"] == {
        "approved": True, "verdict": "approve", "note": "fine", "by": decision["actor"], "decided_at": decision["at"],
        "values": None,
    }  # fmt: skip


def test_T_146_the_next_if_branches_on_what_a_task_came_to(test_key: Api) -> None:
    steps = [FAILING, branch("i", {"type": "field_equals", "field": "bad.passed", "value": False}, [task("mend")])]
    run = ran(test_key, steps)
    assert (run["status"], [t["status"] for t in tasks_of(test_key, run)]) == ("succeeded", ["failed", "succeeded"])


def test_T_148_T_161_a_failed_assert_bills_the_body_again_and_the_output_sees_the_attempt(test_key: Api) -> None:
    for wanted, status in ((2, "succeeded"), (9, "failed")):
        body = [
            task("t", "try {{vars.attempt}} [steps:1]"),
            check("c", "{{vars.attempt}}", wanted, message="no {{vars.attempt}}"),
        ]
        run = ran(test_key, [retry("r", body)], {"attempt": "{{vars.attempt}}", "iteration": "{{vars.iteration}}"})
        assert (run["status"], run["cost_cents"]) == (status, 10)
        assert [t["task"] for t in tasks_of(test_key, run)] == ["try 1 [steps:1]", "try 2 [steps:1]"]
        assert run["output"] == ({"attempt": 2, "iteration": 0} if wanted == 2 else None)
        assert len(data_of(run["id"], "text")) == (1 if wanted == 2 else 2)
    assert (run["error"]["code"], run["error"]["message"]) == ("STEP_FAILED", "no 2")


def test_T_149_a_fail_step_is_not_caught(test_key: Api) -> None:
    run = ran(test_key, [retry("r", [task("t"), fail(message="{{t.status}}, and yet")])])
    assert (run["error"]["code"], run["error"]["message"], run["cost_cents"]) == (
        "WORKFLOW_FAILED",
        "succeeded, and yet",
        5,
    )


def test_T_150_loops_end_where_they_must(test_key: Api) -> None:
    endless = {"id": "w", "type": "loop", "while": eq(1, 1), "body": []}
    run = ran(test_key, [endless, loop("c", [], count=150)], {"n": "{{vars.iteration}}"})
    assert (run["status"], run["output"], run["iterations_used"]) == ("succeeded", {"n": 150}, 250)


def test_a_task_in_a_loop_sees_its_iteration(test_key: Api) -> None:
    run = ran(test_key, [loop("l", [task("t", "{{vars.iteration}} [steps:0]")], count=2)])
    assert [t["task"] for t in tasks_of(test_key, run)] == ["1 [steps:0]", "2 [steps:0]"]


def test_T_142_T_143_values_reach_tasks_and_the_output(test_key: Api) -> None:
    inputs: dict[str, Any] = {"n": 3, "yes": True, "none": None, "list": [1, {"a": 1.5}], "raw": "{{inputs.n}}"}
    text = "{{inputs.n}}|{{ inputs.yes }}|{{inputs.none}}|{{inputs.gone.x}}|{{inputs.list}}|{{inputs.list.1.a}}|{{inputs.raw}} [steps:0]"
    output = {
        "n": " {{ inputs.n }} ",
        "gone": "{{inputs.gone}}",
        "deep": [{"{{inputs.n}}": "{{inputs.list}}"}],
        "raw": "{{inputs.raw}}",
    }
    run = ran(test_key, [task("t", text)], output, inputs=inputs)
    assert tasks_of(test_key, run)[0]["task"] == '3|true|||[1,{"a":1.5}]|1.5|{{inputs.n}} [steps:0]'
    assert run["output"] == {
        "n": 3, "gone": None, "deep": [{"{{inputs.n}}": [1, {"a": 1.5}]}], "raw": "{{inputs.n}}",
    }  # fmt: skip


def test_a_task_that_comes_out_empty_or_too_long_fails_its_step(test_key: Api) -> None:
    for inputs in ({}, {"a": "x" * 16_001}):
        run = ran(test_key, [task("t", "{{inputs.a}}")], inputs=inputs)
        assert (run["error"]["code"], tasks_of(test_key, run)) == ("STEP_FAILED", [])
