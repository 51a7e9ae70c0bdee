"""The playbook agent and people: its own questions, sentences it does not understand, ends."""

import json

import pytest

from runs.agents.base import Ask, Finish, Message
from runs.agents.playbook import parse, unread
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


async def test_an_unknown_sentence_is_asked_about_before_anything_is_done() -> None:
    player = Player("press Enter, then dance a little, then press Tab")
    ask = await player.play()
    assert isinstance(ask, Ask)
    assert not player.actions
    assert ask.message == "I do not understand this instruction: dance a little"
    (question,) = ask.questions
    assert (question["id"], question["header"], question["allow_custom"]) == ("sentence", "Instruction", True)
    *nearest, skip, take_over, stop = [o["label"] for o in question["options"]]
    assert (skip, take_over, stop) == ("Skip", "Take over", "Stop")
    assert len(nearest) == 3
    assert not any(parse(sentence).unknown for sentence in nearest)


@pytest.mark.parametrize(
    ("value", "end", "keys"),
    [
        ("Skip", "Done: 2 instructions. 1 of 3 skipped.", ["enter", "tab"]),
        ("press Escape", "Done: 3 instructions.", ["enter", "escape", "tab"]),
        ("press Escape and press X", "Done: 4 instructions.", ["enter", "escape", "X", "tab"]),
        ("Stop", "Stopped by a person at: dance a little", []),
    ],
)
async def test_a_person_decides_what_an_unknown_sentence_means(value: str, end: str, keys: list[str]) -> None:
    player = Player("press Enter, then dance a little, then press Tab")
    await player.play()
    finish = await player.play(answered(value, "sentence", custom=value.startswith("press")))
    assert isinstance(finish, Finish)
    assert (finish.summary, finish.passed) == (end, value != "Stop")
    assert finish.skipped == (value == "Skip")
    assert [params["key"] for _, params in player.actions] == keys


async def test_one_of_the_nearest_sentences_takes_the_place_of_the_unknown_one() -> None:
    player = Player("press Enter; ls -la", machine_kind="terminal")
    ask = await player.play()
    assert isinstance(ask, Ask)
    first = ask.questions[0]["options"][0]["label"]
    assert first == "run `ls -la`"
    assert await player.play(answered(first, "sentence")) == Finish(True, "Done: 2 instructions.")
    assert player.actions[1] == ("run_line", {"command": "ls -la"})


def several(**values: str) -> Message:
    payload = {"answers": {key: {"value": value, "custom": False} for key, value in values.items()}}
    return Message("question", "answer", payload, payload)


async def test_all_unknown_sentences_are_asked_about_at_once_and_take_their_own_answers() -> None:
    player = Player("press Enter; dance; press Tab; sing; press X; hum")
    ask = await player.play()
    assert isinstance(ask, Ask)
    assert not player.actions
    assert ask.message == "I do not understand 3 instructions: 1. dance; 2. sing; 3. hum"
    assert [q["id"] for q in ask.questions] == ["sentence_1", "sentence_2", "sentence_3"]
    assert len({q["question"] for q in ask.questions}) == len({q["header"] for q in ask.questions}) == 3
    answer = several(sentence_1="press A and press B", sentence_2="Take over", sentence_3="Skip")
    handed = await player.play(answer)
    assert isinstance(handed, Ask)
    assert (handed.kind, handed.message) == ("takeover", "Please take over: sing")
    assert [params["key"] for _, params in player.actions] == ["enter", "A", "B", "tab"]
    end = await player.play(Message("takeover", "approve", {}, {}))
    assert end == Finish(True, "Done: 6 instructions. 1 of 7 skipped.", skipped=1)
    assert player.actions[-1] == ("key_press", {"key": "X"})


async def test_more_than_ten_unknown_sentences_are_asked_about_ten_at_a_time() -> None:
    player = Player("press Enter; " + "; ".join(f"dance number {n}" for n in range(13)))
    ask = await player.play()
    assert isinstance(ask, Ask)
    assert len(ask.questions) == 10
    rest = await player.play(several(**{q["id"]: "Skip" for q in ask.questions}))
    assert isinstance(rest, Ask)
    assert [q["question"].rpartition(" ")[2] for q in rest.questions] == ["10", "11", "12"]
    end = await player.play(several(**{q["id"]: "press Tab" for q in rest.questions}))
    assert end == Finish(True, "Done: 4 instructions. 10 of 14 skipped.", skipped=10)


async def test_what_stands_after_the_end_is_not_asked_about() -> None:
    assert await Player("press Enter, stop, dance").play() == Finish(True, "Done: 1 instruction.")


async def test_words_that_are_unknown_again_are_asked_about_again() -> None:
    player = Player("dance; press Enter")
    await player.play()
    ask = await player.play(answered("sing", "sentence", custom=True))
    assert isinstance(ask, Ask)
    assert ask.message == "I do not understand this instruction: sing"
    assert await player.play(answered("press Tab", "sentence", custom=True)) == Finish(True, "Done: 2 instructions.")


async def test_a_declined_question_about_a_sentence_leaves_it_out() -> None:
    player = Player("dance; press Tab")
    await player.play()
    end = await player.play(Message("question", "reject", {}, {}))
    assert end == Finish(True, "Done: 1 instruction. 1 of 2 skipped.", skipped=1)


async def test_when_everything_is_left_out_nothing_was_done() -> None:
    player = Player("dance; stop; press Tab")
    ask = await player.play()
    assert isinstance(ask, Ask)
    end = await player.play(answered("Skip", "sentence"))
    assert end == Finish(False, "1 of 1 skipped: nothing was done.", skipped=1)


async def test_an_unknown_sentence_fails_a_run_that_may_not_ask() -> None:
    player = Player("press Enter; dance", may_ask=False)
    assert await player.play() == Finish(False, "I do not understand this instruction: dance")
    assert not player.actions


async def test_a_task_of_which_nothing_can_be_read_is_for_a_person() -> None:
    for note, said in (("", ""), ("It is in the tray.", " (It is in the tray.)")):
        player = Player("Tidy up my desk. Then dance.")
        ask = await player.play()
        assert isinstance(ask, Ask)
        assert (ask.kind, ask.message, ask.questions) == ("takeover", unread.NOTHING_READ, [])
        end = await player.play(Message("takeover", "approve", {"note": note}, {"note": note}))
        assert end == Finish(True, f"A person did this task: Tidy up my desk. Then dance.{said}", by_person=True)
        verdict = await player.agent.verify(player.context, player.session, end)
        assert (verdict.passed, verdict.verdict, verdict.summary) == (True, None, end.summary)


async def test_nobody_to_ask_is_a_failure_with_the_same_words() -> None:
    assert await Player("Tidy up my desk", may_ask=False).play() == Finish(False, unread.NOTHING_READ)


async def test_without_an_answer_it_asks_the_same_again() -> None:
    for task in ("dance", "dance; press Tab"):
        player = Player(task)
        assert await player.play() == await player.play()


async def test_messages_of_another_kind_are_no_answer() -> None:
    player = Player("dance; press Tab")
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
