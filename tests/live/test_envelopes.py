"""Envelopes are a pure fold over the log."""

from datetime import UTC, datetime
from typing import Any

import pytest

from runs.live.envelopes import Enveloper, Row, without_taken_out
from tests.live import logs

AT = datetime(2026, 3, 26, 14, 35, 1, tzinfo=UTC)


def envelopes(*events: logs.Event, kind: str = "agent") -> list[dict[str, Any]]:
    maker = Enveloper("run_1", kind)
    rows = [Row(seq, name, AT, data) for seq, (name, data) in enumerate(events, 1)]
    return [item for item in map(maker.item, rows) if item]


def value(envelope: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = envelope["payload"]["value"]
    return found


def test_T_120_a_whole_run_has_one_envelope_for_each_change() -> None:
    made = envelopes(*logs.WHOLE)
    assert [e["type"] for e in made] == [
        "run.created", "run.worker.started", "run.step.completed", "run.awaiting_input", "run.resumed",
        "run.step.completed", "run.step.completed", "run.worker.succeeded",
    ]  # fmt: skip
    assert [logs.WHOLE[e["seq"] - 1][0] for e in made] == [
        "status", "status", "step", "awaiting_human", "resumed", "step", "step", "done",
    ]  # fmt: skip
    assert {e["timestamp"] for e in made} == {"2026-03-26T14:35:01.000Z"}


def test_T_121_awaiting_input_names_the_request_once() -> None:
    [request] = [e for e in envelopes(*logs.WHOLE) if e["type"] == "run.awaiting_input"]
    assert value(request) == {
        "request_id": "apr_1", "approval_id": "apr_1", "reason_code": "AWAITING_APPROVAL", "input_kind": "approval",
        "kind": "approval", "reason": "Submit the form?", "expires_at": None, "step_id": None,
    }  # fmt: skip
    assert request["payload"]["redacted"] is False


def test_T_122_a_limit_shows_before_the_failure() -> None:
    problem = logs.error("MAX_STEPS_REACHED")
    fatal = ("error", problem | {"fatal": True})
    made = envelopes(logs.status("queued"), logs.status("running"), fatal, *logs.end("failed", problem))
    assert [e["type"] for e in made[-2:]] == ["run.limit_exceeded", "run.worker.failed"]
    assert value(made[-1])["reason_code"] == "max_steps_reached"
    assert value(made[-1])["error"] == problem


@pytest.mark.parametrize("code", ["TASK_FAILED", "AGENT_ERROR", "MACHINE_UNAVAILABLE"])
def test_other_errors_have_no_envelope_of_their_own(code: str) -> None:
    assert envelopes(("error", logs.error(code) | {"fatal": True})) == []


def test_T_123_created_is_redacted_and_says_nothing_of_the_task() -> None:
    created = envelopes(logs.status("queued"))[0]
    assert created["payload"] == {"redacted": True, "value": {"run_id": "run_1", "kind": "agent", "status": "queued"}}


def test_the_second_running_is_no_start() -> None:
    made = envelopes(*logs.WHOLE)
    assert [value(e) for e in made if e["type"] == "run.worker.started"] == [
        {"from_status": "queued", "to_status": "running"}
    ]


def test_a_step_carries_its_own_text() -> None:
    steps = [value(e) for e in envelopes(*logs.WHOLE) if e["type"] == "run.step.completed"]
    assert [s["content"] for s in steps] == ["I do step 1.", "Received: {}\nI do step 2.", "I do step 3."]
    assert value(envelopes(("step", {"steps_completed": 1}))[0]) == {"steps_completed": 1, "content": None}


@pytest.mark.parametrize(
    ("name", "problem", "kind", "reason"),
    [
        ("cancelled", None, "run.cancelled", "cancelled_by_request"),
        ("cancelled", "SIGNAL_TIMEOUT", "run.cancelled", "signal_timeout"),
        ("cancelled", "AWAITING_HUMAN", "run.cancelled", "awaiting_human"),
        ("timed_out", "DEADLINE_EXCEEDED", "run.timed_out", "deadline_exceeded"),
        ("failed", "REJECTED", "run.worker.failed", "rejected"),
    ],
)
def test_an_end_says_why(name: str, problem: str | None, kind: str, reason: str) -> None:
    ended = logs.end(name, logs.error(problem) if problem else None)
    last = envelopes(logs.status("queued"), logs.status("running"), *logs.opening(), *ended)[-1]
    assert last["type"] == kind
    assert value(last)["from_status"] == "awaiting_human"
    assert value(last)["to_status"] == name
    assert value(last)["reason_code"] == reason


def test_a_workflow_run_shows_its_output() -> None:
    done = {"status": "succeeded", "output": {"ok": True}, "error": None, "message": None, "result": None}
    made = envelopes(logs.status("queued"), logs.status("running"), logs.status("succeeded"), ("done", done))
    assert value(made[-1]) == {
        "from_status": "running", "to_status": "succeeded", "result": None, "output": {"ok": True}
    }  # fmt: skip


def test_forbidden_keys_are_taken_out_at_any_depth_and_told() -> None:
    deep = {"output": [{"task": "x", "keep": {"metadata": {}, "also": 1}}], "input": {}}
    assert without_taken_out(deep) == {"output": [{"keep": {"also": 1}}]}
    done = {"status": "succeeded", "result": None, "output": {"task": "x"}, "error": None}
    assert envelopes(("done", done))[0]["payload"]["redacted"] is True


def test_a_secret_that_was_taken_out_is_told() -> None:
    made = envelopes(logs.text('Received: {"password":"[redacted]"}'), ("step", {"steps_completed": 1}))
    assert made[0]["payload"]["redacted"] is True


def test_a_fold_that_starts_late_says_the_same() -> None:
    rows = [Row(seq, name, AT, data) for seq, (name, data) in enumerate(logs.WHOLE, 1)]
    whole = Enveloper("run_1", "agent")
    said = {row.seq: whole.item(row) for row in rows}
    for after in range(len(rows)):
        late = Enveloper("run_1", "agent", rows[:after])
        assert {row.seq: late.item(row) for row in rows[after:]} == {s: e for s, e in said.items() if s > after}


def test_a_block_has_no_line_break_that_any_client_knows() -> None:
    words = "a\nb\r\x85\u2028\u2029\x0b\x0c\x1c ü"
    raw = Row(1, "text", AT, {"text": words}).block.decode()
    assert [line.split(":")[0] for line in raw.splitlines()] == ["id", "event", "data", ""]
    assert "ü" in raw
