"""A workflow run that nobody answers, or that may not wait (docs/api/approvals.md 9, docs/api/runs.md 3)."""

from typing import Any

import pytest

from approvals import clock
from approvals.models import Approval
from tests.cast import Api
from tests.runs.driving import data_of, kinds, request_of, shift, show
from tests.workflows.engine import approval, ran, task, tasks_of, work

Body = dict[str, Any]
PAUSED = task("waits", "x [steps:2] [pause]", agent="scripted")
SCHEMA = {
    "type": "object", "required": ["to"],
    "properties": {"to": {"type": "string"}, "pin": {"type": "string", "format": "password"}},
}  # fmt: skip


# --- silence


def silence(api: Api, run: Body) -> Body:
    shift(request_of(api, run)["run_id"], 61)
    clock.expiries()
    work()
    return show(api, run["id"])


@pytest.mark.parametrize(
    ("on_timeout", "expected"),
    [
        ("cancel", ("cancelled", "SIGNAL_TIMEOUT", "signal_timeout", None)),
        ("fail", ("failed", "SIGNAL_TIMEOUT", "signal_timeout", None)),
        ("reject", ("failed", "STEP_FAILED", "approval_rejected", "human_approval 'ok' rejected: No answer in time.")),
        ("default_answer", ("failed", "STEP_FAILED", "approval_rejected", "human_approval 'ok' rejected: No answer in time.")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("said_by", ["step", "run"])
def test_silence_at_a_human_approval(test_key: Api, said_by: str, on_timeout: str, expected: tuple[str, ...]) -> None:
    of_step = {"timeout_seconds": 60, "on_timeout": on_timeout} if said_by == "step" else {}
    of_run = {} if of_step else {"awaiting_human_timeout_seconds": 60, "on_timeout": on_timeout}
    run = silence(test_key, ran(test_key, [approval("ok", **of_step)], **of_run))
    status, code, reason, message = expected
    assert (run["status"], run["error"]["code"], run["error"]["reason_code"]) == (status, code, reason)
    assert message in (None, run["error"]["message"])


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"to": {"type": "string", "default": "Eva"}}, ("succeeded", {"to": "Eva"})),
        (SCHEMA["properties"], ("failed", None)),
    ],
)
def test_silence_at_data_takes_the_defaults_where_they_are_enough(
    test_key: Api, properties: Body, expected: tuple[str, Any]
) -> None:
    schema = {"type": "object", "required": ["to"], "properties": properties}
    step = approval("data", input_schema=schema, timeout_seconds=60, on_timeout="default_answer")
    run = silence(test_key, ran(test_key, [step], {"values": "{{data.values}}", "by": "{{data.by.type}}"}))
    status, values = expected
    assert (run["status"], run["output"]) == (status, values and {"values": values, "by": "system"})


@pytest.mark.parametrize(
    ("text", "on_timeout", "expected"),
    [
        ("x [pause]", "cancel", ("cancelled", None)),
        ("x [pause]", "fail", ("failed", None)),
        ("x [pause]", "reject", ("succeeded", {"was": "failed", "code": "REJECTED"})),
        ("x [question]", "reject", ("succeeded", {"was": "succeeded", "code": None})),
        ("x [question:rec]", "default_answer", ("succeeded", {"was": "succeeded", "code": None})),
        ("x [pause]", "default_answer", ("succeeded", {"was": "failed", "code": "REJECTED"})),
    ],
)
def test_silence_at_what_a_task_asks(test_key: Api, text: str, on_timeout: str, expected: tuple[str, Any]) -> None:
    output = {"was": "{{asks.status}}", "code": "{{asks.error.code}}"}
    start = {"awaiting_human_timeout_seconds": 60, "on_timeout": on_timeout}
    run = silence(test_key, ran(test_key, [task("asks", text)], output, **start))
    assert (run["status"], run["output"]) == expected
    (child,) = tasks_of(test_key, run)
    if run["status"] in ("cancelled", "failed"):
        assert (run["error"]["code"], child["status"]) == ("SIGNAL_TIMEOUT", "cancelled")
        assert "expired" in [e["change"] for e in data_of(child["id"], "approval")]


# --- a run that does not wait


@pytest.mark.parametrize(
    ("ends", "status", "was"), [("fail", "failed", "failed"), ("cancel", "cancelled", "cancelled")]
)
def test_a_task_that_may_not_wait_ends_and_the_workflow_goes_on(
    test_key: Api, ends: str, status: str, was: str
) -> None:
    output = {"was": "{{asks.status}}", "code": "{{asks.error.code}}", "passed": "{{asks.passed}}"}
    step = task("asks", "x [pause]", on_awaiting_human=ends)
    run = ran(test_key, [step], output)
    assert (run["status"], run["output"]) == ("succeeded", {"was": was, "code": "AWAITING_HUMAN", "passed": False})
    assert "awaiting_human" not in kinds(run["id"])
    run = ran(test_key, [PAUSED, approval("ok")], on_awaiting_human=ends)
    assert (run["status"], run["error"]["code"]) == (status, "AWAITING_HUMAN")
    assert (run["result"] is None) == (ends == "cancel")


def test_without_people_a_human_approval_fails_the_run(test_key: Api) -> None:
    run = ran(test_key, [task("asks", "x [pause] [steps:1]"), approval("ok")], human_in_the_loop=False)
    assert (run["status"], run["error"]["code"], run["on_awaiting_human"]) == ("failed", "AWAITING_HUMAN", "fail")
    (child,) = tasks_of(test_key, run)
    assert (child["human_in_the_loop"], child["status"]) == (False, "succeeded")  # it has no means of asking
    (asked,) = Approval.objects.all()
    assert (asked.status, asked.decisions.get().via) == ("cancelled", "on_awaiting_human")


def test_without_people_a_task_does_not_wait_either_whatever_its_step_says(test_key: Api) -> None:
    test_key.post("/permissions", {"tool": "click", "effect": "ask"})
    steps = [task("a", "x [steps:1]", on_awaiting_human="pause")]
    run = ran(test_key, steps, {"code": "{{a.error.code}}"}, human_in_the_loop=False)
    assert (run["status"], run["output"]) == ("succeeded", {"code": "AWAITING_HUMAN"})
