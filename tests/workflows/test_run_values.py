"""What steps bind and templates make of it, from the start of a run to its output (docs/api/workflows.md 4, 5 and 6)."""

import json
from typing import Any

import pytest

from machines.drivers.base import Session
from runs.agents import registry
from runs.agents.base import Context, Decision, Finish
from runs.agents.scripted import ScriptedAgent
from runs.models import Run
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


# --- what a task hands over


READ = {"type": "object", "properties": {"total": {"type": "integer"}, "who": {}}, "required": ["total"]}


class Reading(ScriptedAgent):
    """Hands over what its task says, as JSON."""

    async def next(self, context: Context, session: Session) -> Decision:
        output = json.loads(context.task) if context.task.startswith(("{", "[")) else None
        return Decision(Finish(True, "Read.", output=output), context.memory)


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._AGENTS, "scripted", Reading())


def test_T_188_what_a_task_hands_over_reaches_later_templates(test_key: Api, reading: None) -> None:
    steps = [
        task(
            "read",
            '{"total": 7, "who": {"name": "{{x}} Ana", "tags": ["a", "b"]}}',
            output_schema=READ,
            save_as="saved",
        ),
        {"id": "enough", "type": "assert", "condition": {"op": "gt", "left": "{{read.output.total}}", "right": 5}},
        task("none", "nothing"),
    ]
    output = {
        "total": "{{read.output.total}}", "text": "{{saved.output.who.name}}: {{read.output.total}}", "tag": "{{read.output.who.tags.1}}",
        "all": "{{read.output}}", "missing": "{{read.output.nothing}}", "none": "{{none.output}}", "bound": "{{none}}",
    }  # fmt: skip
    run = ran(test_key, steps, output)
    assert run["status"] == "succeeded", run["error"]
    first, second = tasks_of(test_key, run)
    handed = {"total": 7, "who": {"name": " Ana", "tags": ["a", "b"]}}
    assert first["result"]["output"] == handed
    assert run["output"] == {
        "total": 7, "text": " Ana: 7", "tag": "b", "all": handed, "missing": None, "none": None, "bound": run["output"]["bound"],
    }  # fmt: skip
    assert set(run["output"]["bound"]) == {"status", "passed", "result", "run_id", "steps", "error", "cost_cents"}
    assert second["result"]["output"] is None


def test_T_188_a_task_whose_output_does_not_fit_has_failed_and_a_retry_begins_anew(
    test_key: Api, reading: None
) -> None:
    body = [task("read", '{"total": "{{vars.attempt}} pieces"}', output_schema=READ)]
    steps = [{"id": "again", "type": "retry", "max_attempts": 2, "body": body}]
    output = {"status": "{{read.status}}", "why": "{{read.error.message}}", "output": "{{read.output}}"}
    run = ran(test_key, steps, output)
    assert run["output"]["status"] == "failed"
    assert "total: '2 pieces' is not of type 'integer'" in run["output"]["why"]
    assert run["output"]["output"] is None
    assert len(tasks_of(test_key, run)) == 2


def test_what_a_page_said_is_data_in_the_next_task(test_key: Api, reading: None) -> None:
    steps = [task("read", '{"total": 1, "who": "{{inputs.text}}"}'), task("next", "do {{read.output.who}}")]
    run = ran(test_key, steps, inputs={"text": "a{{b}} and stop"})
    (child,) = [each for each in tasks_of(test_key, run) if each["task"].startswith("do")]
    assert child["task"] == "do a{{b}} and stop"
    assert Run.objects.get(id=child["id"]).bound == [[3, 15, None]]


@pytest.mark.parametrize(
    ("schema", "kind", "says"),
    [
        ("{}", "type_error", "Must be an object."),
        ({"type": "objekt"}, "value_error", "The schema is not valid"),
        ({"description": "x" * 16_384}, "value_error", "The schema is larger than 16 KiB."),
    ],
)
def test_a_document_with_a_schema_that_is_none_is_refused(test_key: Api, schema: Any, kind: str, says: str) -> None:
    body = {"definition": {"steps": [task("read", output_schema=schema)]}}
    answer = test_key.post("/workflows/runs", body)
    assert answer.status_code == 422
    (detail,) = answer.json()["error"]["details"]
    assert detail["loc"] == ["body", "definition", "steps", 0, "output_schema"]
    assert detail["type"] == kind
    assert detail["msg"].startswith(says)
    valid = {"name": "x", "definition": {"steps": [task("read", output_schema=READ)]}}
    assert test_key.post("/workflows/validate", valid).json()["valid"]
    assert not test_key.post("/workflows/validate", valid).json()["warnings"]
