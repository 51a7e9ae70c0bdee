"""Waiting for people at human_approval steps (docs/api/workflows.md 6)."""

from typing import Any

import pytest

from tests.workflows.documents import FALSE, approval, check, loop, retry, task
from tests.workflows.play import ANA, AT, Play
from workflows.interpreter.effects import Finish, OpenRequest, Write
from workflows.interpreter.triggers import RequestDecided

SCHEMA = {"type": "object", "properties": {"iban": {"type": "string"}}, "required": ["iban"]}


def opened(**more: Any) -> OpenRequest:
    """The effect of a human_approval step without any field."""
    plain: dict[str, Any] = {
        "ticket": 1, "step_id": "gate", "kind": "approval", "message": "Human approval required", "approvers": None, "four_eyes": False,
        "assignee": None, "timeout_seconds": None, "on_timeout": "cancel", "input_schema": None,
    }  # fmt: skip
    return OpenRequest(**plain | more)


NEED = [{"group": "finance", "count": 2}]
FIELDS: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({}, {}, {}),
    ({"message": "Pay {{inputs.n}}?"}, {}, {"message": "Pay 3?"}),
    ({"instruction": "Look at {{inputs.n}}"}, {}, {"message": "Look at 3"}),
    ({"message": "m", "instruction": "i"}, {}, {"message": "m"}),
    ({"message": None, "instruction": "i"}, {}, {"message": "i"}),
    ({"message": "", "instruction": "i"}, {}, {}),
    ({"message": "{{inputs.gone}}"}, {}, {}),
    ({"message": "{{inputs.long}}"}, {}, {"message": "x" * 16_000}),
    ({"timeout_seconds": 60}, {"awaiting_human_timeout_seconds": 30}, {"timeout_seconds": 60}),
    ({"timeout_seconds": 60.0}, {}, {"timeout_seconds": 60}),
    ({}, {"awaiting_human_timeout_seconds": 30}, {"timeout_seconds": 30}),
    ({"on_timeout": "reject"}, {"on_timeout": "fail"}, {"on_timeout": "reject"}),
    ({}, {"on_timeout": "fail"}, {"on_timeout": "fail"}),
    (
        {"approvers": NEED, "four_eyes": True, "assignee": "usr_1"},
        {},
        {"approvers": NEED, "four_eyes": True, "assignee": "usr_1"},
    ),
    ({"input_schema": SCHEMA}, {}, {"kind": "input", "input_schema": SCHEMA}),
    ({"input_schema": {}}, {}, {"kind": "input", "input_schema": {}}),
]


@pytest.mark.parametrize(("step", "start", "expected"), FIELDS, ids=lambda value: str(value)[:50])
def test_a_human_approval_opens_a_request(
    step: dict[str, Any], start: dict[str, Any], expected: dict[str, Any]
) -> None:
    play = Play([approval(**step)], inputs={"n": 3, "long": "x" * 20_000}, **start)
    assert play.effects == [opened(**expected)]


def test_T_141_the_reason_of_an_approval_is_its_instruction() -> None:
    assert Play([approval(instruction="Look at it")]).asked == [("gate", "Look at it")]


def test_an_approval_binds_the_decision_and_the_run_goes_on() -> None:
    play = Play(
        [approval("gate", save_as="ok"), task(text="Pay as {{ok.by.name}} said: {{gate.note}}")],
        output={"ok": "{{ok}}"},
    )
    play.decide(note="Fine")
    assert play.effects[1] == Write(
        "step", {"step_id": "gate", "type": "human_approval", "approved": True, "note": "Fine", "by": ANA}
    )
    assert play.ran == ["Pay as Ana said: Fine"]
    play.end()
    assert play.ending.output == {
        "ok": {"approved": True, "verdict": "approve", "note": "Fine", "by": ANA, "decided_at": AT, "values": None}
    }


def test_submitted_values_are_bound() -> None:
    play = Play([approval(input_schema=SCHEMA), task(text="Pay to {{gate.values.iban}}")])
    play.decide("submit", values={"iban": "DE00"})
    assert play.ran == ["Pay to DE00"]


@pytest.mark.parametrize(
    ("note", "message"),
    [("Wrong account", "human_approval 'gate' rejected: Wrong account"), (None, "human_approval 'gate' rejected")],
)
def test_T_153_a_rejection_fails_the_step(note: str | None, message: str) -> None:
    play = Play([approval(), task()])
    play.decide("reject", note=note)
    assert play.steps == [{"step_id": "gate", "type": "human_approval", "approved": False, "note": note, "by": ANA}]
    assert play.ran == []
    assert play.error == ("STEP_FAILED", "approval_rejected", message)
    assert not play.ending.fatal


def test_a_rejection_is_caught_by_retry_which_asks_again() -> None:
    play = Play([retry("r", [approval(message="Try {{vars.attempt}}?"), task(text="go {{gate.approved}}")], 3)])
    play.decide("reject", note="No")
    assert play.texts == ["Attempt 1 of 3 of 'r' failed: human_approval 'gate' rejected: No"]
    assert play.asked == [("gate", "Try 2?")]
    play.decide()
    assert play.ran == ["go true"]
    play.end()
    assert play.ending == Finish("succeeded")


def test_after_the_last_attempt_the_rejection_ends_the_run() -> None:
    play = Play([retry("r", [approval()], 2)])
    play.decide("reject", note="No")
    play.decide("reject", note="Never")
    assert play.error == ("STEP_FAILED", "approval_rejected", "human_approval 'gate' rejected: Never")


def test_an_approval_in_a_loop_waits_in_every_iteration() -> None:
    play = Play([loop("l", [approval(message="{{vars.iteration}}?")], count=3)])
    for n in (1, 2, 3):
        assert play.asked == [("gate", f"{n}?")]
        play.decide()
    assert play.ending == Finish("succeeded")


@pytest.mark.parametrize(("ends", "status"), [("fail", "failed"), ("cancel", "cancelled")])
@pytest.mark.parametrize("around", [lambda steps: steps, lambda steps: [retry("r", steps, 3)]], ids=["bare", "retry"])
def test_T_163_on_awaiting_human_ends_the_run_at_a_human_approval(around: Any, ends: Any, status: str) -> None:
    play = Play(around([approval(message="Pay?"), task()]), on_awaiting_human=ends)
    assert play.effects[0] == opened(message="Pay?", closed=True)
    assert play.ending.status == status
    assert play.error == ("AWAITING_HUMAN", "awaiting_human", "A person was needed: Pay?")
    assert len(play.effects) == 2
    assert play.asked == []


def test_a_decision_counts_once_and_only_for_its_own_request() -> None:
    play = Play([approval("a"), approval("b")])
    assert play.tell(RequestDecided(2, "approve")) == []
    play.decide()
    assert play.tell(RequestDecided(1, "reject")) == []
    assert play.asked == [("b", "Human approval required")]


def test_an_approval_follows_a_retry_of_tasks_that_failed() -> None:
    play = Play([retry("r", [task(), check("c", FALSE)], 1), approval()])
    play.end()
    assert play.requests == {}
    assert play.ending.status == "failed"
