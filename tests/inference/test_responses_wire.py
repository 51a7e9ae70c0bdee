"""The wire of OpenAI Responses, through its SDK, against the emulator."""

import copy
import json
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest

from inference.errors import ModelBusy, ModelMisconfigured, ModelProblem, ModelRefused
from inference.specs import Spec
from inference.wires import transport
from inference.wires.base import Answer, Request, Thought, View, Wanted
from inference.wires.responses import ResponsesWire, _wanted
from tests import needs_openai  # noqa: F401 - skips this file without the SDK
from tests.emulator import responses as emulated
from tests.emulator.responses import check
from tests.emulator.server import Emulator
from tests.emulator.story import Fault, Story, Turn
from tests.emulator.strict import BrokenRuleError
from tests.inference.conversing import ACTIONS, ASK, FINISH, KEY, Conversation, screen, spec, web_page
from tests.inference.days import busy_by_silence, left_while_it_hangs, one_outcome, whole

CHECKS = [
    {"id": "sc_1", "code": "malicious_instructions", "message": "The page tries to instruct the model."},
    {"id": "sc_2", "code": "irrelevant_domain", "message": "This has nothing to do with the task."},
]
STORY = [
    Turn([("click", {"x": 100, "y": 200})], text="I open it.", thinking="There is a link."),
    Turn([("type_text", {"text": "hello"}), ("key_press", {"key": "enter"})], thinking="Type."),
    Turn([("key_combo", {"keys": ["ctrl", "s"]})]),
    Turn([("scroll", {"x": 5, "y": 6, "direction": "down", "amount": 3})]),
    Turn([("drag", {"from_x": 1, "from_y": 2, "to_x": 30, "to_y": 40})]),
    Turn([("click", {"x": 9, "y": 9}), ("screenshot", {})]),
    Turn([("ask_human", {"question": "Which inbox?"})]),
    Turn([("click", {"x": 7, "y": 8, "count": 2}), ("wait", {"ms": 1000})]),
    Turn([("open_url", {"url": "https://example.test/"}), ("click", {"x": 1, "y": 1, "button": "right"})]),
    Turn([("finish", {"passed": True, "summary": "Done"})], text="It is done."),
]
EXPECTED = [
    ("act", "click", {"x": 100, "y": 200}),
    ("act", "type_text", {"text": "hello"}),
    ("act", "key_press", {"key": "enter"}),
    ("act", "key_combo", {"keys": ["ctrl", "s"]}),
    ("act", "scroll", {"x": 5, "y": 6, "direction": "down", "amount": 3}),
    ("act", "drag", {"from_x": 1, "from_y": 2, "to_x": 30, "to_y": 40}),
    ("act", "click", {"x": 9, "y": 9}),
    ("look", "screenshot", {}),
    ("tool", "ask_human", {"question": "Which inbox?"}),
    ("act", "click", {"x": 7, "y": 8, "count": 2}),
    ("act", "wait", {"ms": 1000}),
    ("act", "open_url", {"url": "https://example.test/"}),
    ("act", "click", {"x": 1, "y": 1, "button": "right"}),
    ("tool", "finish", {"passed": True, "summary": "Done"}),
]


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator({"ten": STORY}, wires=("openai",)) as emulator:
        yield emulator


def talk(
    emulator: Emulator, task: str = "Refund order 10231", *, size: tuple[int, int] = (1280, 800), **options: Any
) -> Conversation:
    chosen = spec(emulator, "openai", **options)
    return Conversation(lambda: ResponsesWire(chosen), task, size)


@pytest.mark.parametrize("computer", ["computer", "preview"])
async def test_ten_moves_with_a_new_wire_and_memory_through_json_after_each(emulator: Emulator, computer: str) -> None:
    conversation = talk(emulator, computer=computer)
    assert await whole(conversation) == EXPECTED
    assert emulator.refused == []
    assert emulator.requests["openai"] == len(STORY)
    assert conversation.first_bytes == len(STORY)


async def test_what_was_sent_before_is_sent_again_unchanged(emulator: Emulator) -> None:
    await whole(talk(emulator))
    for before, after in pairwise(body.json for body in emulator.bodies):
        assert json.dumps(after["input"][: len(before["input"])]) == json.dumps(before["input"])
        assert {**after, "input": []} == {**before, "input": []}


async def test_nothing_is_kept_at_the_vendor(emulator: Emulator) -> None:
    await whole(talk(emulator))
    for body in emulator.bodies:
        sent = body.json
        assert (sent["store"], sent["include"], sent["truncation"]) == (
            False,
            ["reasoning.encrypted_content"],
            "disabled",
        )
        assert (sent["prompt_cache_key"], sent["instructions"]) == ("run_1", "You drive a computer.")
        assert "previous_response_id" not in sent


async def test_a_call_of_several_actions_has_one_output(emulator: Emulator) -> None:
    conversation = talk(emulator)
    await whole(conversation)
    outputs = [item for item in conversation.log if item.get("type") == "computer_call_output"]
    calls = [item for item in conversation.log if item.get("type") == "computer_call"]
    assert [one["call_id"] for one in outputs] == [one["call_id"] for one in calls]
    assert max(len(call["actions"]) for call in calls) == 2
    assert all(set(one["output"]) == {"type", "image_url"} for one in outputs)
    denied = conversation.log[conversation.log.index(outputs[6]) + 1]
    words = [part["text"] for part in denied["content"]]
    assert words == [
        "click (action 1 of 2): not executed: a person said no", "wait (action 2 of 2): not executed: a person said no",
    ]  # fmt: skip


def test_of_actions_of_one_name_in_one_call_it_is_told_which_was_not_done() -> None:
    wanted = [Wanted("call_1", "act", "click", {"x": x, "y": 2}, extra={"kind": "computer"}) for x in (1, 2, 3)]
    answers = [Answer(wanted[0], True), *(Answer(one, False, "Not executed.") for one in wanted[1:])]
    wire = ResponsesWire(Spec("eye", "openai", "model-1", key=KEY))
    told = [part["text"] for part in wire.results(answers, "a" * 64)[-1]["content"]]
    assert told == ["click (action 2 of 3): Not executed.", "click (action 3 of 3): Not executed."]


async def test_an_answer_tells_its_words_thoughts_tokens_and_number(emulator: Emulator) -> None:
    thought = await talk(emulator).think()
    assert (thought.text, thought.reasoning) == ("I open it.", "There is a link.")
    usage = thought.usage
    assert (usage.input, usage.cached, usage.cache_written, usage.output, usage.reasoning) == (130, 100, 20, 50, 30)
    assert thought.request_id == "req_resp_ten.turns.0"


async def test_reasoning_is_kept_as_it_was_when_it_was_whole(emulator: Emulator) -> None:
    conversation = talk(emulator)
    await conversation.think()
    [reasoning] = [item for item in conversation.log if item.get("type") == "reasoning"]
    assert reasoning["encrypted_content"].startswith("gAAAA")


async def test_the_key_is_sent_in_a_header_and_nothing_of_the_environment_is(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, "http://of-somebody-else")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    await talk(emulator).think()
    [body] = emulator.bodies
    assert KEY not in json.dumps(body.json)
    assert [name for name, value in body.headers.items() if KEY in value] == ["authorization"]
    assert "of-somebody-else" not in json.dumps(body.headers)


async def test_options_of_effort_and_length(emulator: Emulator) -> None:
    conversation = talk(emulator, effort="high", max_tokens=3000, extra_body={"service_tier": "flex"})
    conversation.options = {"longer": True}
    await conversation.think()
    body = emulator.bodies[0].json
    assert (body["reasoning"], body["max_output_tokens"], body["service_tier"]) == ({"effort": "high"}, 6000, "flex")


async def test_the_preview_is_told_the_size_of_its_pictures(emulator: Emulator) -> None:
    await talk(emulator, size=(2560, 1600), max_side=1280, computer="preview").think()
    [tool, *_] = emulator.bodies[0].json["tools"]
    assert tool == {
        "type": "computer_use_preview", "display_width": 1280, "display_height": 800, "environment": "browser",
    }  # fmt: skip
    assert emulator.bodies[0].json["truncation"] == "auto"


async def test_functions_are_strict_only_where_their_schema_is(emulator: Emulator) -> None:
    await talk(emulator).think()
    functions = emulator.bodies[0].json["tools"][1:]
    strict = {tool["name"]: tool["strict"] for tool in functions}
    assert strict == {"open_url": True, "go_back": True, "ask_human": True, "finish": False}


async def test_json_is_asked_for_without_a_computer(emulator: Emulator) -> None:
    schema = {
        "type": "object",
        "properties": {"verdict": {"type": "string"}},
        "required": ["verdict"],
        "additionalProperties": False,
    }
    conversation = talk(emulator)
    conversation.tools, conversation.options = (), {"schema": schema, "computer": False}
    thought = await conversation.think()
    assert (thought.end, json.loads(thought.text)["verdict"]) == ("said", "pass")
    assert "tools" not in emulator.bodies[0].json
    assert emulator.bodies[0].json["text"]["format"]["strict"] is True


async def test_a_screen_that_is_scaled_is_pointed_at_to_the_pixel(emulator: Emulator) -> None:
    thought = await talk(emulator, size=(2560, 1600), max_side=1280).think()
    assert thought.wanted[0].params == {"x": 200, "y": 400}


# --- Calls ---


def read(*actions: Any, size: tuple[int, int] = (1280, 800), **item: Any) -> list[Wanted]:
    """What the wire makes of one computer_call."""
    asked = Request("", [], View(*size, 1280, 800), (ASK, FINISH), ACTIONS)
    return _wanted({"type": "computer_call", "call_id": "call_1", "actions": list(actions), **item}, asked)


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ({"type": "click", "button": "left", "x": 3, "y": 4}, [("click", {"x": 3, "y": 4})]),
        ({"type": "click", "button": "right", "x": 3, "y": 4, "keys": None}, [("click", {"x": 3, "y": 4, "button": "right"})]),
        ({"type": "click", "button": "wheel", "x": 3, "y": 4, "keys": []}, [("click", {"x": 3, "y": 4, "button": "middle"})]),
        ({"type": "click", "button": "back", "x": 3, "y": 4}, [("go_back", {})]),
        ({"type": "double_click", "x": 3, "y": 4, "keys": None}, [("click", {"x": 3, "y": 4, "count": 2})]),
        ({"type": "drag", "path": [{"x": 1, "y": 2}, {"x": 3, "y": 4}]}, [("drag", {"from_x": 1, "from_y": 2, "to_x": 3, "to_y": 4})]),
        ({"type": "drag", "path": [{"x": 0, "y": 0}, {"x": 50, "y": 51}, {"x": 100, "y": 100}]},
         [("drag", {"from_x": 0, "from_y": 0, "to_x": 100, "to_y": 100})]),
        ({"type": "keypress", "keys": ["CTRL", "S"]}, [("key_combo", {"keys": ["ctrl", "s"]})]),
        ({"type": "keypress", "keys": ["ENTER"]}, [("key_press", {"key": "enter"})]),
        ({"type": "keypress", "keys": ["A"]}, [("key_press", {"key": "a"})]),
        ({"type": "keypress", "keys": ["CTRL+SHIFT", "ARROWLEFT"]}, [("key_combo", {"keys": ["ctrl", "shift", "left"]})]),
        ({"type": "keypress", "keys": ["CMD", "+"]}, [("key_combo", {"keys": ["meta", "+"]})]),
        ({"type": "move", "x": 3, "y": 4}, [("move", {"x": 3, "y": 4})]),
        ({"type": "scroll", "x": 3, "y": 4, "scroll_x": 0, "scroll_y": 300},
         [("scroll", {"x": 3, "y": 4, "direction": "down", "amount": 3})]),
        ({"type": "scroll", "x": 3, "y": 4, "scroll_x": 0, "scroll_y": -20},
         [("scroll", {"x": 3, "y": 4, "direction": "up", "amount": 1})]),
        ({"type": "scroll", "x": 3, "y": 4, "scroll_x": -250, "scroll_y": 100},
         [("scroll", {"x": 3, "y": 4, "direction": "down", "amount": 1}), ("scroll", {"x": 3, "y": 4, "direction": "left", "amount": 2})]),
        ({"type": "scroll", "x": 3, "y": 4, "scroll_x": 0, "scroll_y": 10**9},
         [("scroll", {"x": 3, "y": 4, "direction": "down", "amount": 100})]),
        ({"type": "type", "text": "a b"}, [("type_text", {"text": "a b"})]),
        ({"type": "wait"}, [("wait", {"ms": 1000})]),
        ({"type": "screenshot"}, [("screenshot", {})]),
    ],
)  # fmt: skip
def test_every_action(action: Any, expected: Any) -> None:
    wanted = read(action)
    assert [(one.name, one.params) for one in wanted] == expected
    assert {one.kind for one in wanted} == {"look" if action["type"] == "screenshot" else "act"}
    assert [one.last for one in wanted] == [False] * (len(wanted) - 1) + [True]


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ({"type": "click", "button": "left", "x": 1300, "y": 4}, "outside"), ({"type": "click", "button": "left", "y": 4}, "two numbers"),
        ({"type": "click", "button": "left", "x": "3", "y": 4}, "two numbers"),
        ({"type": "click", "button": "forward", "x": 3, "y": 4}, "no button"),
        ({"type": "click", "button": "left", "x": 3, "y": 4, "keys": ["CTRL"]}, "held"),
        ({"type": "scroll", "x": 3, "y": 4, "scroll_x": 0, "scroll_y": 100, "keys": ["CTRL"]}, "held"),
        ({"type": "drag", "path": [{"x": 0, "y": 0}, {"x": 50, "y": 90}, {"x": 100, "y": 100}]}, "straight"),
        ({"type": "drag", "path": [{"x": 0, "y": 0}, {"x": 90, "y": 0}, {"x": 20, "y": 0}, {"x": 100, "y": 0}]}, "straight"),
        ({"type": "drag", "path": [{"x": 0, "y": 0}]}, "two points"), ({"type": "drag"}, "two points"),
        ({"type": "keypress", "keys": []}, "Name the key"), ({"type": "keypress", "keys": "CTRL"}, "list of names"),
        ({"type": "keypress", "keys": ["CTRL"]}, "no key but modifiers"), ({"type": "keypress", "keys": ["A", "B"]}, "more than one key"),
        ({"type": "scroll", "x": 3, "y": 4, "scroll_x": 0, "scroll_y": 0}, "are 0"),
        ({"type": "scroll", "x": 3, "y": 4, "scroll_y": "far"}, "numbers"),
        ({"type": "type"}, "text"), ({"type": "juggle"}, "no action named"), ({}, "no action named"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_so_is_told_to_the_model(action: Any, words: str) -> None:
    [wanted] = read(action)
    assert (wanted.kind, wanted.last) == ("bad", True)
    assert words in wanted.problem


def test_a_single_action_of_the_preview_and_a_call_without_any() -> None:
    asked = Request("", [], View(1280, 800, 1280, 800), (), ACTIONS)
    item = {"type": "computer_call", "call_id": "c", "action": {"type": "wait"}, "pending_safety_checks": []}
    assert [one.name for one in _wanted(item, asked)] == ["wait"]
    [wanted] = _wanted({**item, "action": None}, asked)
    assert (wanted.kind, wanted.problem) == ("bad", "The call holds no action.")


def test_an_action_that_this_machine_cannot_do() -> None:
    asked = Request("", [], View(1280, 800, 1280, 800), (), frozenset({"type_text"}))
    item = {"type": "computer_call", "call_id": "c", "actions": [{"type": "click", "button": "left", "x": 1, "y": 1}]}
    [wanted] = _wanted(item, asked)
    assert "cannot be done on this machine" in wanted.problem


@pytest.mark.parametrize("arguments", ['{"question": "Wh', "[]", '"x"', "null", "[" * 100_000])
def test_arguments_that_are_no_object(arguments: str) -> None:
    asked = Request("", [], View(1280, 800, 1280, 800), (ASK,), ACTIONS)
    item = {"type": "function_call", "call_id": "c", "name": "ask_human", "arguments": arguments}
    [wanted] = _wanted(item, asked)
    assert (wanted.kind, wanted.call) == ("bad", "c")
    assert "JSON" in wanted.problem


def test_a_bad_action_in_a_batch_leaves_the_others_what_they_are() -> None:
    wanted = read({"type": "wait"}, {"type": "juggle"}, {"type": "screenshot"})
    assert [one.kind for one in wanted] == ["act", "bad", "look"]
    assert [one.last for one in wanted] == [False, False, True]


# --- Safety checks ---


async def checked(emulator: Emulator) -> tuple[Conversation, Thought]:
    turns = [
        Turn([("screenshot", {}), ("click", {"x": 1, "y": 2}), ("wait", {"ms": 1000})], checks=CHECKS),
        Turn(text="Done."),
    ]
    emulator.stories["checks"] = Story(turns)
    conversation = talk(emulator, "story:checks")
    return conversation, await conversation.think()


async def test_a_safety_check_is_asked_once_at_the_first_action(emulator: Emulator) -> None:
    _, thought = await checked(emulator)
    assert [len(one.checks) for one in thought.wanted] == [0, 2, 0]
    assert thought.wanted[1].checks[0].code == "malicious_instructions"


async def test_a_safety_check_is_acknowledged_only_when_a_person_did(emulator: Emulator) -> None:
    conversation, thought = await checked(emulator)
    conversation.answer(thought, acknowledged=True)
    assert (await conversation.think()).text == "Done."
    outputs = [item for item in emulator.bodies[-1].json["input"] if item.get("type") == "computer_call_output"]
    assert outputs[0]["acknowledged_safety_checks"] == CHECKS


async def test_what_a_person_refused_is_answered_by_the_unchanged_screen_and_words(emulator: Emulator) -> None:
    conversation, thought = await checked(emulator)
    conversation.answer(thought, failed=(1, 2))
    assert (await conversation.think()).text == "Done."
    [output, words] = emulator.bodies[-1].json["input"][-2:]
    assert "acknowledged_safety_checks" not in output
    assert words["content"][0]["text"] == "click (action 2 of 3): not executed: a person said no"
    assert emulator.refused == []


async def test_a_check_of_a_call_that_only_looks_is_not_acknowledged_by_looking(emulator: Emulator) -> None:
    emulator.stories["look"] = Story([Turn([("screenshot", {})], checks=CHECKS), Turn(text="Done.")])
    conversation = talk(emulator, "story:look")
    thought = await conversation.think()
    assert [len(one.checks) for one in thought.wanted] == [2]
    conversation.answer(thought)
    assert (await conversation.think()).text == "Done."
    assert "acknowledged" not in json.dumps(emulator.bodies[-1].json)
    assert emulator.refused == []


async def test_a_vendor_that_takes_no_refusal_is_told_in_words_alone(emulator: Emulator) -> None:
    emulator.strict_checks = True
    conversation, thought = await checked(emulator)
    conversation.answer(thought, failed=(1, 2))
    after = await conversation.think()  # the same turn again: its answer is no longer in the log
    assert after.notes == ("The vendor did not take back a call whose safety check a person refused; it was left out.",)
    assert [item.get("type") or item["role"] for item in emulator.bodies[-1].json["input"]] == ["user", "user"]
    assert "acknowledged" not in json.dumps([body.json for body in emulator.bodies])


async def test_acknowledging_for_one_action_does_not_acknowledge_another_call(emulator: Emulator) -> None:
    wire = ResponsesWire(spec(emulator, "openai"))
    [one] = read({"type": "wait"}, pending_safety_checks=CHECKS[:1])
    [other] = read({"type": "wait"}, pending_safety_checks=CHECKS[1:], call_id="call_2")
    first, second, *_ = wire.results([Answer(one, True, acknowledged=True), Answer(other, False, "no")], screen(1))
    assert first["acknowledged_safety_checks"] == CHECKS[:1]
    assert "acknowledged_safety_checks" not in second


# --- Ends ---


async def end_of(emulator: Emulator, turn: Turn) -> tuple[Thought, Conversation]:
    emulator.stories["end"] = Story([turn, Turn(text="Afterwards.")])
    conversation = talk(emulator, "story:end")
    return await conversation.think(), conversation


async def test_a_call_that_was_cut_is_not_to_run(emulator: Emulator) -> None:
    thought, conversation = await end_of(
        emulator,
        Turn([("click", {"x": 1, "y": 2}), ("open_url", {"url": "https://example.test/"})], fault=Fault(stop="cut")),
    )
    assert (thought.end, thought.wanted, thought.items) == ("cut", (), ())
    assert thought.usage.output == 50
    again = await conversation.think()
    assert (again.end, len(again.wanted)) == ("calls", 2)


async def test_a_conversation_that_is_too_long(emulator: Emulator) -> None:
    thought, _ = await end_of(emulator, Turn(stop="full"))
    assert (thought.end, thought.items) == ("full", ())


@pytest.mark.parametrize(
    ("stop", "category"),
    [
        ("refusal", "refusal"),
        ("filter", "content_filter"),
        ("failed:misalignment_policy_violation", "misalignment_policy_violation"),
    ],
)
async def test_a_refusal_is_told_with_its_category_and_what_it_cost(
    emulator: Emulator, stop: str, category: str
) -> None:
    with pytest.raises(ModelRefused) as refused:
        await end_of(emulator, Turn(text="This is a weapon.", stop=stop))
    assert refused.value.category == category
    assert refused.value.record
    assert refused.value.record.usage.input == 130


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("server_error", ModelBusy), ("rate_limit_exceeded", ModelBusy), ("image_too_large", ModelMisconfigured),
        ("invalid_prompt", ModelRefused), ("bio_policy", ModelRefused),
    ],
)  # fmt: skip
async def test_a_response_that_failed(emulator: Emulator, code: str, kind: type[ModelProblem]) -> None:
    with pytest.raises(kind):
        await end_of(emulator, Turn(stop=f"failed:{code}"))


# --- Bad days ---


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (Fault(status=401), ModelMisconfigured, "key of eye was refused"),
        (Fault(status=403), ModelMisconfigured, "may not be used"),
        (Fault(status=404), ModelMisconfigured, "no model “model-1”"),
        (Fault(status=400), ModelMisconfigured, "not accepted"),
        (Fault(status=302, headers={"location": "http://127.0.0.1:9/"}), ModelMisconfigured, "leads to another"),
        (Fault(status=408), ModelBusy, "cannot answer now"),
        (Fault(status=409), ModelBusy, "cannot answer now"),
        (Fault(status=429, headers={"retry-after": "3600"}), ModelBusy, "overloaded"),
        (Fault(status=500), ModelBusy, "cannot answer now"),
        (Fault(status=529), ModelBusy, "overloaded"),
        (Fault(cut=True), ModelBusy, "broke off|could not be reached"),
        (Fault(half=True), ModelBusy, "broke off|could not be read"),
    ],
    ids=lambda value: str(getattr(value, "status", "") or "") or None,
)
async def test_a_bad_day_has_one_clear_outcome_and_one_request(
    emulator: Emulator, fault: Fault, kind: type[ModelProblem], words: str
) -> None:
    emulator.stories["bad"] = Story([Turn([("click", {"x": 1, "y": 2})], text="Once upon a time", fault=fault)])
    conversation = talk(emulator, "story:bad")
    params = await one_outcome(emulator, "openai", conversation, fault, kind, words)
    assert params == {"x": 1, "y": 2}


async def test_an_account_without_credit_is_not_busy(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(emulated.KINDS, 429, ("insufficient_quota", "insufficient_quota"))
    with pytest.raises(ModelMisconfigured, match="no credit"):
        await end_of(emulator, Turn(fault=Fault(status=429)))


async def test_an_error_in_the_middle_of_a_stream(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    events = emulated.events

    def broken(response: Any) -> Any:
        yield next(events(response))
        error = {"type": "error", "code": "server_error", "message": "Oops", "param": None, "sequence_number": 1}
        yield f"event: error\ndata: {json.dumps(error)}\n\n".encode()

    monkeypatch.setattr(emulated, "events", broken)
    with pytest.raises(ModelBusy, match="Oops"):
        await talk(emulator).think()


async def test_a_stream_that_ends_before_its_answer_does(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    events = emulated.events
    monkeypatch.setattr(emulated, "events", lambda response: list(events(response))[:-1])
    with pytest.raises(ModelBusy, match="broke off"):
        await talk(emulator).think()


async def test_an_address_where_something_else_answers() -> None:
    async with web_page() as address:
        wire = ResponsesWire(Spec("eye", "openai", "model-1", base_url=address, key=KEY))
        with pytest.raises(ModelMisconfigured, match="is no such model: it sent “text/html"):
            await Conversation(lambda: wire, "x").think()


async def test_an_item_of_a_kind_that_nobody_knows_is_kept_as_it_came(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulated.strict, "problem", lambda kind, value: None)
    odd = {"type": "hologram", "id": "h_1", "depth": {"near": None, "far": 2}, "status": "completed"}
    emulator.stories["odd"] = Story([Turn(raw=[odd])])
    conversation = talk(emulator, "story:odd")
    assert (await conversation.think()).end == "said"
    assert conversation.log[-1] == odd


async def test_a_server_that_is_not_there() -> None:
    wire = ResponsesWire(Spec("eye", "openai", "model-1", base_url="http://127.0.0.1:9/v1", key=KEY))
    with pytest.raises(ModelBusy, match="could not be reached"):
        await Conversation(lambda: wire, "x").think()


async def test_an_address_that_is_none() -> None:
    wire = ResponsesWire(Spec("eye", "openai", "model-1", base_url="ftp://127.0.0.1/v1", key=KEY))
    with pytest.raises(ModelMisconfigured, match="address"):
        await Conversation(lambda: wire, "x").think()


async def test_a_model_that_hangs_is_left_within_two_seconds_and_its_server_sees_it(emulator: Emulator) -> None:
    emulator.stories["hang"] = Story([Turn(text="Never.", fault=Fault(hang=True))])
    await left_while_it_hangs(emulator, "openai", talk(emulator, "story:hang"))


async def test_silence_is_a_busy_model(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator.stories["hang"] = Story([Turn(text="Never.", fault=Fault(hang=True, times=0))])
    await busy_by_silence(monkeypatch, lambda: talk(emulator, "story:hang"))


async def test_a_vendor_that_quotes_the_key(emulator: Emulator) -> None:
    said = Fault(status=401, message=f"Incorrect API key provided: {KEY}, sk-abc**********wxyz.")
    with pytest.raises(ModelMisconfigured) as refused:
        await end_of(emulator, Turn(fault=said))
    assert refused.value.why == "The key of eye was refused (401): Incorrect API key provided: [key], [key]"


def test_no_key_is_told_before_a_request() -> None:
    with pytest.raises(ModelMisconfigured, match="has no key"):
        ResponsesWire(Spec("eye", "openai", "model-1"))


def test_without_the_sdk_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    monkeypatch.setattr(transport, "find_spec", lambda name: None)
    with pytest.raises(ModelMisconfigured, match="make models"):
        ResponsesWire(spec(emulator, "openai"))


# --- The emulator's rules bite ---


def _of(body: Any, kind: str) -> Any:
    return next(item for item in body["input"] if item.get("type") == kind)


def _no_reasoning(body: Any) -> None:
    body["input"].remove(_of(body, "reasoning"))


def _changed_reasoning(body: Any) -> None:
    _of(body, "reasoning")["encrypted_content"] = "gAAAAother"


def _lone_reasoning(body: Any) -> None:
    call, output = _of(body, "computer_call"), _of(body, "computer_call_output")
    body["input"] = [item for item in body["input"] if item not in (call, output) and item.get("type") != "message"]


def _unanswered(body: Any) -> None:
    body["input"].remove(_of(body, "computer_call_output"))


def _twice_answered(body: Any) -> None:
    body["input"].append(_of(body, "computer_call_output"))


def _detail(body: Any) -> None:
    _of(body, "computer_call_output")["output"]["detail"] = "original"


def _no_detail(body: Any) -> None:
    del body["input"][0]["content"][1]["detail"]


def _stored(body: Any) -> None:
    body["previous_response_id"] = "resp_1"


def _unknown_field(body: Any) -> None:
    body["memory"] = True


def _not_strict(body: Any) -> None:
    body["tools"][-1]["strict"] = True


def _no_picture(body: Any) -> None:
    _of(body, "computer_call_output")["output"]["image_url"] = "data:image/png;base64,aGVsbG8="


def _unasked_check(body: Any) -> None:
    _of(body, "computer_call_output")["acknowledged_safety_checks"] = CHECKS


def _bad_button(body: Any) -> None:
    _of(body, "computer_call")["actions"][0]["button"] = "third"


def _wrong_kind(body: Any) -> None:
    output = _of(body, "computer_call_output")
    body["input"][body["input"].index(output)] = {
        "type": "function_call_output",
        "call_id": output["call_id"],
        "output": "x",
    }


def _preview_notshortened(body: Any) -> None:
    body["tools"][0] = {
        "type": "computer_use_preview",
        "display_width": 1,
        "display_height": 1,
        "environment": "browser",
    }


@pytest.mark.parametrize(
    "mutate",
    [
        _no_reasoning, _changed_reasoning, _lone_reasoning, _unanswered, _twice_answered, _detail, _no_detail, _stored, _unknown_field,
        _not_strict, _no_picture, _unasked_check, _bad_button, _wrong_kind, _preview_notshortened,
    ],
)  # fmt: skip
async def test_each_rule_of_the_vendor_bites(emulator: Emulator, mutate: Any) -> None:
    conversation = talk(emulator)
    conversation.answer(await conversation.think())
    await conversation.think()
    sent = emulator.bodies[-1].json
    check(copy.deepcopy(sent), emulator)
    changed = copy.deepcopy(sent)
    mutate(changed)
    with pytest.raises(BrokenRuleError):
        check(changed, emulator)


async def test_a_check_that_nobody_acknowledged_and_nobody_speaks_of_is_refused(emulator: Emulator) -> None:
    conversation, thought = await checked(emulator)
    conversation.answer(thought)
    conversation.log.pop()  # the words
    sent = json.loads(ResponsesWire(spec(emulator, "openai")).body(conversation.request())["content"])
    with pytest.raises(BrokenRuleError, match="Safety checks not acknowledged"):
        check(emulator.shortened(sent), emulator)


async def test_an_answer_that_was_not_asked_for_as_a_stream(emulator: Emulator) -> None:
    import openai

    async with openai.AsyncOpenAI(api_key=KEY, base_url=emulator.url("openai"), max_retries=0) as client:
        response = await client.responses.create(
            model="model-1", input=[{"role": "user", "content": "Refund"}], tools=[{"type": "computer"}]
        )
    assert [item.type for item in response.output] == ["reasoning", "message", "computer_call"]
