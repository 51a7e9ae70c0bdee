"""The scripted agent: every marker of docs/api/runs.md section 8."""

import time
from typing import Any

import pytest

from machines.actions.canonical import Screen, canonical
from runs.agents.base import Act, Ask, Finish, Message
from runs.agents.registry import agent_for
from runs.agents.scripted import PLAN_TEXT, ScriptedAgent
from tests.agents.machines import FakeSession, Player, context


def scripted(task: str, **changes: Any) -> Player:
    return Player(task, agent=ScriptedAgent(), **changes)


def test_the_profiles_are_known_by_name() -> None:
    assert isinstance(agent_for("scripted"), ScriptedAgent)


async def test_it_does_three_steps_and_says_what_its_task_was() -> None:
    player = scripted("File it")
    assert await player.play() == Finish(True, "Scripted run finished: File it")
    assert player.actions == [
        ("click", {"x": 101, "y": 200, "button": "left", "count": 1}),
        ("type_text", {"text": "hello"}),
        ("key_press", {"key": "enter"}),
    ]


@pytest.mark.parametrize(("task", "steps"), [("[steps:0]", 0), ("[steps:7]", 7), ("[steps:2000]", 1000)])
async def test_steps_sets_how_many_and_the_cycle_goes_on(task: str, steps: int) -> None:
    player = scripted(task)
    assert isinstance(await player.play(), Finish)
    assert len(player.actions) == steps
    for k, (name, params) in enumerate(player.actions, 1):
        assert name == ("click", "type_text", "key_press")[(k - 1) % 3]
        assert canonical(name, params, Screen(1280, 720)) == (name, params)
        assert name != "click" or params["x"] == 100 + k


async def test_slow_takes_its_time() -> None:
    began = time.monotonic()
    await scripted("[slow:30] [steps:3]").play()
    assert time.monotonic() - began >= 0.09


async def test_fail_declares_failure() -> None:
    assert await scripted("[fail]").play() == Finish(False, "Scripted run finished: [fail]")


@pytest.mark.parametrize(("task", "verdict"), [("x", "pass"), ("x [unverified]", "fail")])
async def test_the_verifier_agrees_unless_told_otherwise(task: str, verdict: str) -> None:
    found = await ScriptedAgent().verify(context(task), FakeSession(), Finish(True, ""))
    assert (found.passed, found.verdict) == (verdict == "pass", verdict)


ASKS = [
    ("[pause]", "approval", 1),
    ("[pause:2]", "approval", 2),
    ("[question]", "question", 1),
    ("[question:rec]", "question", 1),
    ("[question:multi]", "question", 1),
    ("[questions:2]", "question", 1),
    ("[questions:same]", "question", 1),
    ("[input]", "input", 1),
    ("[secret]", "input", 1),
    ("[takeover]", "takeover", 1),
]


@pytest.mark.parametrize(("task", "kind", "after"), ASKS)
async def test_it_asks_once_after_the_right_step(task: str, kind: str, after: int) -> None:
    player = scripted(task)
    ask = await player.play()
    assert isinstance(ask, Ask)
    assert ask.kind == kind
    assert ask.message
    assert len(player.actions) == after
    assert isinstance(await player.play(), Finish)
    assert len(player.actions) == 3


@pytest.mark.parametrize("task", [task for task, _, _ in ASKS])
async def test_it_never_asks_when_it_may_not(task: str) -> None:
    assert isinstance(await scripted(task, may_ask=False).play(), Finish)


async def test_several_pauses_are_asked_one_after_the_other() -> None:
    player = scripted("[pause:3] [pause:1] [question]")
    kinds = []
    while isinstance(ask := await player.play(), Ask):
        kinds.append((ask.kind, len(player.actions)))
    assert kinds == [("approval", 1), ("question", 1), ("approval", 3)]


async def asked(task: str) -> Ask:
    ask = await scripted(task).play()
    assert isinstance(ask, Ask)
    return ask


async def test_the_questions_are_as_the_contract_says() -> None:
    (inbox,) = (await asked("[question]")).questions
    assert (inbox["id"], inbox["header"], inbox["question"]) == ("q1", "Inbox", "Which inbox?")
    assert [o["label"] for o in inbox["options"]] == ["Sales", "Support"]
    assert not any(o["recommended"] for o in inbox["options"])
    (inbox,) = (await asked("[question:rec]")).questions
    assert [o["recommended"] for o in inbox["options"]] == [False, True]
    (inbox,) = (await asked("[question:multi]")).questions
    assert inbox["multi_select"]
    _, tone = (await asked("[questions:2]")).questions
    assert (tone["id"], tone["header"], tone["question"]) == ("q2", "Tone", "Which tone?")
    assert [o["label"] for o in tone["options"]] == ["Formal", "Friendly"]
    same = (await asked("[questions:same]")).questions
    assert [(q["id"], q["header"], q["question"]) for q in same] == [
        ("q1", "A", "Which one?"),
        ("q2", "B", "Which one?"),
    ]


async def test_the_wanted_values_are_as_the_contract_says() -> None:
    mail = (await asked("[input]")).input_schema
    assert mail is not None
    assert mail["required"] == ["recipient"]
    assert mail["properties"]["subject"]["default"] == "Hello"
    secret = (await asked("[secret]")).input_schema
    assert secret is not None
    assert secret["properties"]["password"]["format"] == "password"


async def test_spend_makes_the_last_step_a_purchase() -> None:
    decision = await scripted("[spend] [steps:2]", step_index=2).next()
    assert isinstance(decision.move, Act)
    assert (decision.move.action.name, decision.move.risk, decision.move.host) == ("click", "spend", "shop.test")


async def test_type_makes_the_last_step_long() -> None:
    player = scripted("[type:60000]")
    await player.play()
    assert player.actions[-1] == ("type_text", {"text": "x" * 60000})


async def test_what_people_send_is_repeated_in_text_and_summary() -> None:
    player = scripted("[secret] [pause:2]")
    await player.play()
    await player.play(Message("input", "submit", {"values": {"password": "p"}}, {"values": {"password": "[redacted]"}}))
    assert player.said[2].startswith('Received: {"values":{"password":"[redacted]"}}')
    end = await player.play(Message("approval", "approve", {"note": "gut ✓"}, {"note": "gut ✓"}))
    said = 'Received: {"values":{"password":"[redacted]"}} Received: {"note":"gut ✓"}'
    assert end == Finish(True, f"Scripted run finished: [secret] [pause:2] {said}")


async def test_an_approval_without_words_is_not_repeated() -> None:
    player = scripted("[pause]")
    await player.play()
    assert await player.play(Message("approval", "approve", {}, {})) == Finish(True, "Scripted run finished: [pause]")


async def test_a_declined_question_does_not_stop_it() -> None:
    player = scripted("[question]")
    await player.play()
    end = await player.play(Message("question", "reject", {"reason": "no"}, {"reason": "no"}))
    assert end == Finish(True, 'Scripted run finished: [question] Received: {"reason":"no"}')


@pytest.mark.parametrize("step", [1, 2, 3])
async def test_drift_differs_once_after_a_tool_approval(step: int) -> None:
    approval = Message("tool", "approve", {}, {})
    player = scripted("[drift]", step_index=step)
    proposed = (await player.next()).move
    drifted = await player.next(approval)
    assert drifted.move != proposed
    assert (await player.next(approval, approval)).move == drifted.move, "the second approval is of the new action"
    assert (await player.next(approval, memory=drifted.memory)).move == proposed


async def test_the_same_context_gives_the_same_decision() -> None:
    player = scripted("[pause] [drift]", step_index=2)
    assert await player.next() == await player.next()
    assert PLAN_TEXT.splitlines()[0] == "1. click"
