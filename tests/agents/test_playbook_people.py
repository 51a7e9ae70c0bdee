"""The playbook agent and people: its own questions, sentences it does not understand, ends."""

import json

import pytest

from runs.agents.base import Ask, Finish, Message
from tests.agents.machines import Player, answered, context


@pytest.mark.parametrize(
    ("task", "kind", "message"),
    [
        ('ask "Which?"', "question", "Which?"),
        ('ask "Which?" with the options "A", "B"', "question", "Which?"),
        ("ask for approval", "approval", "Approval is needed to go on."),
        ('ask for approval to "send it"', "approval", "Approval is needed to send it."),
        ("ask for the invoice number", "input", "Please give the invoice number."),
        ('hand over to a person because "captcha"', "takeover", "Please take over: captcha"),
        ("hand over", "takeover", "Please take over."),
    ],
)
async def test_it_asks_and_goes_on_with_the_answer(task: str, kind: str, message: str) -> None:
    player = Player(f"{task} and press Enter")
    ask = await player.play()
    assert isinstance(ask, Ask)
    assert (ask.kind, ask.message) == (kind, message)
    verdict = {"question": "answer", "input": "submit"}.get(kind, "approve")
    end = await player.play(Message(kind, verdict, {"values": {"a": "b"}}, {"values": {"a": "[redacted]"}}))
    assert end == Finish(True, "Done: 2 instructions.")
    assert player.actions == [("key_press", {"key": "enter"})]
    assert player.said[1].startswith('Received: {"values":{"a":"[redacted]"}}')
    remembered = player.context.memory["answers"]
    assert remembered == [{"at": 0, "answer": {"values": {"a": "[redacted]"}}}]
    json.dumps(player.context.memory)


async def test_a_question_carries_its_options_and_takes_other_words() -> None:
    ask = await Player('ask "Which?" with the options "A", "B"').play()
    assert isinstance(ask, Ask)
    (question,) = ask.questions
    assert [o["label"] for o in question["options"]] == ["A", "B"]
    assert question["allow_custom"]


async def test_a_value_is_asked_for_by_its_name() -> None:
    ask = await Player("ask for the invoice number").play()
    assert isinstance(ask, Ask)
    assert ask.input_schema == {
        "type": "object",
        "properties": {"invoice number": {"type": "string"}},
        "required": ["invoice number"],
    }
    ask = await Player("ask for the admin password").play()
    assert isinstance(ask, Ask)
    assert ask.input_schema is not None
    assert ask.input_schema["properties"]["admin password"]["format"] == "password"


async def test_a_declined_question_is_no_reason_to_stop() -> None:
    player = Player('ask "Which?" and press Enter')
    await player.play()
    end = await player.play(Message("question", "reject", {"reason": "no"}, {"reason": "no"}))
    assert end == Finish(True, "Done: 2 instructions.")


@pytest.mark.parametrize("task", ['ask "Which?"', "ask for approval", "ask for the name", "hand over to a person"])
async def test_a_run_that_may_not_ask_fails_there(task: str) -> None:
    player = Player(f"press Enter, {task}", may_ask=False)
    assert await player.play() == Finish(False, f"This needs a person, and the run may not ask: {task}")
    assert len(player.actions) == 1


async def test_an_unknown_sentence_is_asked_about_when_it_is_reached() -> None:
    player = Player("press Enter, then dance a little, then press Tab")
    ask = await player.play()
    assert isinstance(ask, Ask)
    assert len(player.actions) == 1
    assert ask.message == "I do not understand this instruction: dance a little"
    (question,) = ask.questions
    assert (question["id"], question["header"], question["allow_custom"]) == ("sentence", "Instruction", True)
    assert [o["label"] for o in question["options"]] == ["Skip", "Take over", "Stop"]


@pytest.mark.parametrize(
    ("value", "end", "keys"),
    [
        ("Skip", "Done: 2 instructions, 1 skipped.", ["enter", "tab"]),
        ("press Escape", "Done: 3 instructions.", ["enter", "escape", "tab"]),
        ("press Escape and press X", "Done: 4 instructions.", ["enter", "escape", "X", "tab"]),
        ("Stop", "Stopped by a person at: dance a little", ["enter"]),
    ],
)
async def test_a_person_decides_what_an_unknown_sentence_means(value: str, end: str, keys: list[str]) -> None:
    player = Player("press Enter, then dance a little, then press Tab")
    await player.play()
    finish = await player.play(answered(value, "sentence", custom=value.startswith("press")))
    assert isinstance(finish, Finish)
    assert (finish.summary, finish.passed) == (end, value != "Stop")
    assert [params["key"] for _, params in player.actions] == keys


async def test_words_that_are_unknown_again_are_asked_about_again() -> None:
    player = Player("dance")
    await player.play()
    ask = await player.play(answered("sing", "sentence", custom=True))
    assert isinstance(ask, Ask)
    assert ask.message == "I do not understand this instruction: sing"
    assert await player.play(answered("press Tab", "sentence", custom=True)) == Finish(True, "Done: 1 instruction.")


async def test_a_declined_question_about_a_sentence_leaves_it_out() -> None:
    player = Player("dance and press Tab".replace(" and ", "; "))
    await player.play()
    assert await player.play(Message("question", "reject", {}, {})) == Finish(True, "Done: 1 instruction, 1 skipped.")


async def test_an_unknown_sentence_fails_a_run_that_may_not_ask() -> None:
    end = await Player("dance", may_ask=False).play()
    assert end == Finish(False, "I do not understand this instruction: dance")


async def test_without_an_answer_it_asks_the_same_again() -> None:
    player = Player("dance")
    assert await player.play() == await player.play()


async def test_messages_of_another_kind_are_no_answer() -> None:
    player = Player("dance")
    await player.play()
    assert isinstance(await player.play(Message("takeover", "approve", {}, {})), Ask)


@pytest.mark.parametrize(
    ("task", "end"),
    [
        ("stop", Finish(True, "Done: 0 instructions.")),
        ("press Enter and stop. press Tab", Finish(True, "Done: 1 instruction.")),
        ("press Enter", Finish(True, "Done: 1 instruction.")),
        ('succeed with "ok"', Finish(True, "ok")),
        ("succeed", Finish(True, "Done: 0 instructions.")),
        ('fail because "no"', Finish(False, "no")),
        ("fail", Finish(False, "The task says to fail here.")),
    ],
)
async def test_the_ends(task: str, end: Finish) -> None:
    assert await Player(task).play() == end


async def test_instructions_and_system_prompt_are_mentioned_once_and_not_obeyed() -> None:
    player = Player("press Enter and press Tab", instructions="Press Escape.", system_prompt="You are a pirate.")
    await player.play()
    assert player.said[0].startswith("This run came with instructions and a system prompt:")
    assert not any("came with" in text for text in player.said[1:])
    assert len(player.actions) == 2


async def test_memory_is_json_and_any_worker_can_go_on() -> None:
    player = Player("press Enter, press Tab, press Escape")
    decision = await player.next()
    memory = json.loads(json.dumps(decision.memory))
    second = Player(player.context.task, memory=memory, step_index=2)
    assert await second.play() == Finish(True, "Done: 3 instructions.")
    assert [params["key"] for _, params in second.actions] == ["tab", "escape"]


async def test_a_decision_leaves_the_given_memory_alone() -> None:
    given = {"at": 0, "here": {"again": 1}}
    await Player("press Enter", memory=given).next()
    assert given == {"at": 0, "here": {"again": 1}}
    assert context("x").memory == {}
