"""The wire of chat completions, through the SDK of OpenAI, against the emulator: every language, every bad day."""

import copy
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.errors import ModelBusy, ModelMisconfigured, ModelProblem, ModelRefused
from inference.specs import Spec
from inference.wires.base import Answer, Request, Thought, View, Wanted
from inference.wires.chat import LEFT_OUT, NO_ANSWER, ChatWire, _Message, _name_calls
from tests import needs_openai  # noqa: F401 - skips this file without the SDK
from tests.chance import TRIED
from tests.emulator.chat import check
from tests.emulator.server import Emulator
from tests.emulator.story import Fault, Story, Turn
from tests.emulator.strict import BrokenRuleError
from tests.inference.conversing import ACTIONS, ASK, FINISH, KEY, Conversation, screen, spec, web_page
from tests.inference.days import busy_by_silence, left_while_it_hangs, one_outcome, whole

TEN = [
    Turn([("click", {"x": 640, "y": 200})], text="I open it.", thinking="There is a link."),
    Turn([("type_text", {"text": "it's “hello”"}), ("key_press", {"key": "Return"})], thinking="Type."),
    Turn([("key_combo", {"keys": ["ctrl", "s"]})]),
    Turn([("scroll", {"x": 320, "y": 400, "direction": "down", "amount": 5})]),
    Turn([("drag", {"from_x": 128, "from_y": 80, "to_x": 640, "to_y": 400})]),
    Turn([("zoom", {"region": [0, 0, 640, 400]})]),
    Turn([("ask_human", {"question": "Which inbox?"})]),
    Turn([("click", {"x": 640, "y": 400, "count": 2}), ("wait", {"ms": 5000})]),
    Turn([("open_url", {"url": "https://example.test/"})]),
    Turn([("finish", {"passed": True, "summary": "Done"})], text="It is done."),
]
EXPECTED = [
    ("act", "click", {"x": 640, "y": 200}),
    ("act", "type_text", {"text": "it's “hello”"}),
    ("act", "key_press", {"key": "enter"}),
    ("act", "key_combo", {"keys": ["ctrl", "s"]}),
    ("act", "scroll", {"x": 320, "y": 400, "direction": "down", "amount": 5}),
    ("act", "drag", {"from_x": 128, "from_y": 80, "to_x": 640, "to_y": 400}),
    ("look", "zoom", {"region": [0, 0, 640, 400]}),
    ("tool", "ask_human", {"question": "Which inbox?"}),
    ("act", "click", {"x": 640, "y": 400, "count": 2}),
    ("act", "wait", {"ms": 5000}),
    ("act", "open_url", {"url": "https://example.test/"}),
    ("tool", "finish", {"passed": True, "summary": "Done"}),
]
# json_point says one thing at a time.
SINGLE = [Turn([want], text=turn.text) for turn in TEN for want in turn.wants]


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator({"ten": Story(TEN), "single": Story(SINGLE)}, "ten", wires=("compatible",)) as emulator:
        yield emulator


def talk(
    emulator: Emulator, task: str = "Refund order 10231", *, size: tuple[int, int] = (1280, 800), model: str = "model-1",
    **options: Any,
) -> Conversation:  # fmt: skip
    chosen = spec(emulator, "compatible", model, **options)
    return Conversation(lambda: ChatWire(chosen), task, size)


def story(emulator: Emulator, *turns: Turn) -> str:
    emulator.stories["it"] = Story(turns)
    return "story:it"


def near(one: Any, other: Any) -> bool:
    """Equal but for what a grid of a thousand cannot carry."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(near(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(near, one, other))
    return abs(one - other) <= 2 if isinstance(one, int) and not isinstance(one, bool) else one == other


def same(wanted: Sequence[Any], expected: Sequence[Any]) -> bool:
    plain = [
        (k, n, {key: v for key, v in p.items() if (key, v) not in (("button", "left"), ("count", 1))})
        for k, n, p in map(tuple, wanted)
    ]
    return len(plain) == len(expected) and all(
        one[:2] == other[:2] and near(one[2], other[2]) for one, other in zip(plain, expected, strict=True)
    )


LANGUAGES = [
    {"tools": "native"}, {"tools": "json_schema"}, {"tools": "text"}, {"dialect": "qwen"}, {"dialect": "qwen", "tools": "text"},
    {"dialect": "qwen", "tools": "json_schema"}, {"dialect": "uitars"}, {"dialect": "pyautogui"}, {"dialect": "json_point"},
]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "coordinates"),
    [
        *((options, "thousand") for options in LANGUAGES),
        ({}, "pixels"),
        ({}, "resized"),
        ({"dialect": "pyautogui"}, "resized"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value.values()) or "native",
)
async def test_ten_moves_with_a_new_wire_and_memory_through_json_after_each(
    emulator: Emulator, options: dict[str, Any], coordinates: str
) -> None:
    """On a screen of which none is sent as it is."""
    single = options.get("dialect") == "json_point"
    conversation = talk(
        emulator,
        f"story:{'single' if single else 'ten'}",
        size=(2560, 1600),
        coordinates=coordinates,
        max_side=1280,
        **options,
    )
    moves = len(SINGLE) if single else len(TEN)
    wanted = await whole(conversation, moves)
    view = conversation.view()
    expected = [(kind, name, _larger(params, view)) for kind, name, params in EXPECTED]
    assert same(wanted, expected), wanted
    assert emulator.refused == []
    assert emulator.requests["compatible"] == moves


def _larger(params: dict[str, Any], view: View) -> dict[str, Any]:
    across, down = view.width / view.sent_width, view.height / view.sent_height
    larger = {
        key: round(value * (across if key.endswith("x") else down))
        if key.endswith(("x", "y")) and isinstance(value, int)
        else value
        for key, value in params.items()
    }
    if "region" in params:
        larger["region"] = [
            round(side * (down if place % 2 else across)) for place, side in enumerate(params["region"])
        ]
    return larger


@pytest.mark.parametrize("model", ["never-streams", "counts-nothing", "sees-in-tools", "thinks-back"])
async def test_servers_of_every_kind(emulator: Emulator, model: str) -> None:
    options = {"sees-in-tools": {"picture_in_tool": True}, "thinks-back": {"reasoning_back": True}}.get(model, {})
    conversation = talk(emulator, model=model, **options)
    assert same(await whole(conversation), EXPECTED)
    assert emulator.refused == []
    messages = emulator.bodies[-1].json["messages"]
    assert ("reasoning_content" in json.dumps(messages)) is (model == "thinks-back")
    pictures = [message["role"] for message in messages if "image_url" in json.dumps(message)]
    assert ("tool" in pictures) is (model == "sees-in-tools")


async def test_what_was_sent_before_is_sent_again_unchanged(emulator: Emulator) -> None:
    await whole(talk(emulator))
    for before, after in zip(emulator.bodies, emulator.bodies[1:], strict=False):
        sent = len(before.json["messages"])
        assert after.json["messages"][:sent] == before.json["messages"]
        assert after.json["tools"] == before.json["tools"]


async def test_an_answer_tells_its_words_thoughts_tokens_and_number(emulator: Emulator) -> None:
    conversation = talk(emulator)
    thought = await conversation.think()
    assert (thought.text, thought.reasoning) == ("I open it.", "There is a link.")
    usage = thought.usage
    assert (usage.input, usage.cached, usage.cache_written, usage.output, usage.reasoning) == (130, 100, None, 50, 30)
    assert thought.request_id == "chatcmpl-ten_0"
    assert conversation.log[-1]["reasoning_content"] == "There is a link."
    unknown = await talk(emulator, model="counts-nothing").think()
    assert (unknown.usage.input, unknown.usage.output) == (None, None)


async def test_the_key_is_sent_in_a_header_and_nowhere_else_and_none_is_none(emulator: Emulator) -> None:
    await talk(emulator).think()
    [body] = emulator.bodies
    assert KEY not in json.dumps(body.json)
    assert [name for name, value in body.headers.items() if KEY in value] == ["authorization"]
    keyless = Spec("eye", "compatible", "model-1", base_url=emulator.url("compatible"))
    await Conversation(lambda: ChatWire(keyless), "x").think()
    assert "authorization" not in emulator.bodies[-1].headers


async def test_names_of_the_environment_do_not_go_with_another_key(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-mine")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    await talk(emulator).think()
    assert "mine" not in json.dumps(emulator.bodies[0].headers)


async def test_options_of_length_stops_effort_and_whatever_a_server_wants(emulator: Emulator) -> None:
    extra = {"temperature": 0.1, "stream_options": None}
    conversation = talk(emulator, max_tokens=300, stop=["</tool_call>"], effort="low", extra_body=extra)
    conversation.options = {"longer": True}
    await conversation.think()
    body = emulator.bodies[0].json
    assert (body["max_tokens"], body["stop"], body["reasoning_effort"]) == (600, ["</tool_call>"], "low")
    assert body["temperature"] == 0.1
    assert "stream_options" not in body
    vendor = ChatWire(Spec("eye", "compatible", "m")).body(Request("s", [], View(1, 1, 1, 1)))
    assert json.loads(vendor["content"])["max_completion_tokens"] == 4096


async def test_only_the_newest_pictures_are_sent_and_the_log_keeps_all(emulator: Emulator) -> None:
    conversation = talk(emulator, keep_images=2)
    await whole(conversation)
    for body in emulator.bodies:
        assert json.dumps(body.json).count('"image_url": {') <= 2
    last = json.dumps(emulator.bodies[-1].json["messages"])
    assert last.count(LEFT_OUT) == json.dumps(conversation.log).count("$img") - 2
    assert json.dumps(emulator.bodies[-1].json["messages"][-2:]).count('"image_url": {') >= 1


async def test_only_what_the_machine_can_do_is_offered(emulator: Emulator) -> None:
    conversation = talk(emulator)
    conversation.options = {"actions": frozenset({"type_text", "run_line"})}
    await conversation.think()
    names = [tool["function"]["name"] for tool in emulator.bodies[0].json["tools"]]
    assert names == ["screenshot", "zoom", "type_text", "run_line", "ask_human", "finish"]


@pytest.mark.parametrize("tools", ["native", "text"])
async def test_json_is_asked_for_without_a_computer(emulator: Emulator, tools: str) -> None:
    schema = {"type": "object", "properties": {"verdict": {"type": "string"}}, "required": ["verdict"]}
    emulator.stories["ten"] = Story([], schema=[Turn(text='<think>Hm.</think>\n```json\n{"verdict": "pass"}\n```')])
    conversation = talk(emulator, tools=tools)
    conversation.tools, conversation.options = (), {"schema": schema, "computer": False}
    thought = await conversation.think()
    assert (thought.end, thought.text, thought.reasoning) == ("said", '{"verdict": "pass"}', "Hm.")
    body = emulator.bodies[0].json
    assert "tools" not in body
    assert ("response_format" in body) is (tools == "native")
    assert ("verdict" in body["messages"][0]["content"]) is (tools == "text")


async def test_words_are_an_answer_where_nothing_can_be_called(emulator: Emulator) -> None:
    conversation = talk(emulator)
    conversation.tools, conversation.options = (), {"computer": False}
    thought = await conversation.think()
    assert (thought.end, thought.text, thought.wanted) == ("said", "This is what happened so far.", ())


# --- What cannot be used ---


def native(name: Any = "click", arguments: Any = '{"x": 1, "y": 2}', call_id: Any = "c1") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"finish_reason": "tool_calls", "message": {"role": "assistant", "content": None, "tool_calls": [
        {"id": call_id, "type": "function", "function": function}
    ]}}  # fmt: skip


def words(text: Any, **more: Any) -> dict[str, Any]:
    return {"finish_reason": "stop", "message": {"role": "assistant", "content": text, **more}}


@pytest.mark.parametrize("model", ["model-1", "never-streams"])
@pytest.mark.parametrize(
    ("options", "answer", "problem"),
    [
        ({}, native("type_text", '{"text": "hel'), "not valid JSON"),
        ({}, native("click", '{"x": "left", "y": 2}'), "numbers"),
        ({}, native("click", "{}"), None),
        ({}, native("click", '{"x": 5000, "y": 2}'), "outside of the picture"),
        ({}, native("juggle"), "no function “juggle”"),
        ({}, native("run_line", '{"command": "ls"}'), "no function “run_line”"),
        ({}, native(""), "names no function"),
        ({}, native("key_press", '{"key": "Hyper_R"}'), "no key named"),
        ({}, native("key_press", '{"key": "a", "keys": ["a"]}'), "name the key"),
        ({}, native("zoom", '{"x1": 1, "y1": 1, "x2": 1, "y2": 1}'), "zoom needs"),
        ({}, words("I think I should scroll."), "calls no function"),
        ({}, words(""), "calls no function"),
        ({}, words("<think>I should"), "calls no function"),
        ({}, words('<tool_call>{"name": "click", "arguments": {"x": 1, "y": 2}}</tool_call>'), "into the text"),
        ({"tools": "text"}, words('<tool_call>{"name": "click", </tool_call>'), "not valid JSON"),
        ({"tools": "text"}, words("Scroll!"), "calls no function"),
        ({"tools": "json_schema"}, words('{"thought": "x", "calls": ['), "not valid JSON"),
        ({"dialect": "qwen"}, native("computer_use", '{"action": "fly"}'), "no action 'fly'"),
        ({"dialect": "uitars"}, words("Action: fly()"), "no action of the action space"),
        ({"dialect": "uitars"}, words("Thought: I wonder."), "calls no function"),
        ({"dialect": "pyautogui"}, words("```python\nos.system('x')\n```"), "literal arguments"),
        ({"dialect": "json_point"}, words("(1, 2) or (3, 4)"), "more than one point"),
    ],
)  # fmt: skip
async def test_what_cannot_be_used_is_told_and_the_conversation_goes_on(
    emulator: Emulator, options: dict[str, Any], answer: dict[str, Any], problem: str | None, model: str
) -> None:
    done = Turn([("finish", {"passed": True, "summary": "ok"})])
    conversation = talk(emulator, story(emulator, Turn(raw=answer), done), model=model, **options)
    thought = await conversation.think()
    assert thought.end == "calls"
    if problem is None:  # the agent knows where the pointer is
        assert thought.wanted[0] == Wanted("c1", "act", "click")
    else:
        [wanted] = thought.wanted
        assert wanted.kind == "bad"
        assert problem in wanted.problem
    conversation.answer(thought)
    after = await conversation.think()
    assert [one.name for one in after.wanted] == ["finish"]
    assert emulator.refused == []
    assert problem is None or problem.split("“")[0] in json.dumps(
        emulator.bodies[-1].json["messages"], ensure_ascii=False
    ).replace('\\"', '"')


async def test_thoughts_before_a_call_are_kept_for_people_and_not_sent_back(emulator: Emulator) -> None:
    answer = native()
    answer["message"]["content"] = "<think>Secret plan</think>I click."
    conversation = talk(emulator, story(emulator, Turn(raw=answer), TEN[-1]))
    thought = await conversation.think()
    assert (thought.text, thought.reasoning) == ("I click.", "Secret plan")
    assert "Secret plan" in json.dumps(conversation.log)
    conversation.answer(thought)
    await conversation.think()
    assert "Secret plan" not in json.dumps(emulator.bodies[-1].json)
    assert "I click." in json.dumps(emulator.bodies[-1].json)


async def test_an_empty_answer_is_sent_back_as_none(emulator: Emulator) -> None:
    conversation = talk(emulator, story(emulator, Turn(raw=words(None)), TEN[-1]))
    thought = await conversation.think()
    conversation.answer(thought)
    await conversation.think()
    assert emulator.bodies[-1].json["messages"][2] == {"role": "assistant", "content": NO_ANSWER}


async def test_several_calls_are_answered_one_by_one_in_order(emulator: Emulator) -> None:
    conversation = talk(emulator)
    conversation.answer(await conversation.think())
    thought = await conversation.think()
    conversation.answer(thought, failed=(1,))
    tail = conversation.log[-3:]
    assert [item["role"] for item in tail] == ["tool", "tool", "user"]
    assert [item["content"] for item in tail[:2]] == ["Done.", "not executed: a person said no"]
    assert json.dumps(tail[2]).count("$img") == 1


async def test_a_look_shows_its_own_picture_before_the_screen(emulator: Emulator) -> None:
    conversation = talk(emulator, story(emulator, Turn([("zoom", {"region": [0, 0, 9, 9]})])))
    thought = await conversation.think()
    own, now = screen(1, 640, 400), screen(2)
    items = ChatWire(spec(emulator, "compatible")).results([Answer(thought.wanted[0], True, "", own)], now)
    assert [part["image_url"]["url"]["$img"] for part in items[-1]["content"] if part["type"] == "image_url"] == [
        own,
        now,
    ]
    once = ChatWire(spec(emulator, "compatible")).results([Answer(thought.wanted[0], True, "", now)], now)
    assert json.dumps(once).count("$img") == 1, "the screen itself"


async def test_servers_that_leave_ids_out_or_give_them_twice(emulator: Emulator) -> None:
    one, two = (
        native(call_id="")["message"]["tool_calls"][0],
        native("wait", '{"ms": 1}', "")["message"]["tool_calls"][0],
    )
    raw = words(None, tool_calls=[one, two])
    conversation = talk(emulator, story(emulator, Turn(raw=raw), TEN[-1]), model="never-streams")
    thought = await conversation.think()
    assert [wanted.call for wanted in thought.wanted] == ["call_1_0", "call_1_1"]
    conversation.answer(thought)
    await conversation.think()
    assert emulator.refused == []


def taken(*parts: Any) -> list[Any]:
    message = _Message(None)
    for part in parts:
        message.take({"choices": [{"index": 0, "delta": {"tool_calls": [part]}}]})
    _name_calls(message.message, 0)
    return [
        (call["id"], call["function"]["name"], call["function"]["arguments"]) for call in message.message["tool_calls"]
    ]


def test_parts_of_calls_as_servers_number_them() -> None:
    """By index as it should be; all of index 0 with ids of their own; without an index."""
    right = [
        {"index": 0, "id": "a", "function": {"name": "click", "arguments": ""}},
        {"index": 1, "id": "b", "function": {"name": "wait"}},
        {"index": 0, "function": {"arguments": '{"x": 1'}},
        {"index": 1, "function": {"arguments": "{}"}},
        {"index": 0, "function": {"arguments": "}"}},
    ]
    assert taken(*right) == [("a", "click", '{"x": 1}'), ("b", "wait", "{}")]
    zero = [{"index": 0, "id": i, "function": {"name": "wait", "arguments": {"ms": 1}}} for i in ("a", "b")]
    assert taken(*zero) == [("a", "wait", '{"ms": 1}'), ("b", "wait", '{"ms": 1}')]
    bare = [{"id": i, "function": {"name": "wait", "arguments": "{}"}} for i in ("a", "a")]
    assert taken(*bare) == [("a", "wait", "{}{}")]
    again = [
        {"index": 0, "id": "a", "function": {"name": "wait", "arguments": ""}},
        {"index": 0, "id": "a", "function": {"name": "wait", "arguments": "{}"}},
    ]
    assert taken(*again) == [("a", "wait", "{}")]


FIELDS = [
    "delta",
    "message",
    "tool_calls",
    "function",
    "name",
    "arguments",
    "id",
    "index",
    "content",
    "text",
    "type",
    "refusal",
]
PIECE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), one),
    max_leaves=10,
)


@TRIED
@given(
    st.dictionaries(st.sampled_from(["content", "tool_calls", "reasoning", "reasoning_details", "refusal", "x"]), PIECE)
)
def test_whatever_a_server_sends_is_an_answer_or_a_problem(message: dict[str, Any]) -> None:
    wire = ChatWire(Spec("eye", "compatible", "m"))
    answer = _Message(None)
    request = Request("s", [], View(10, 10, 10, 10), (ASK, FINISH), ACTIONS)
    answer.take({"choices": [{"message": message, "finish_reason": "stop"}], "usage": message})
    try:
        thought = wire._thought(answer, request)
    except ModelRefused:
        return
    assert thought.wanted
    items = json.loads(
        json.dumps([*thought.items, *wire.results([Answer(one, False) for one in thought.wanted], None)])
    )
    wire.body(Request("s", items, View(10, 10, 10, 10), (ASK, FINISH), ACTIONS))


# --- Ends ---


async def end_of(emulator: Emulator, turn: Turn, **more: Any) -> tuple[Thought, Conversation]:
    conversation = talk(emulator, story(emulator, turn, Turn(text="Afterwards.")), **more)
    return await conversation.think(), conversation


async def test_a_call_that_was_cut_is_not_to_run(emulator: Emulator) -> None:
    turn = Turn(
        [("click", {"x": 1, "y": 2}), ("type_text", {"text": "rm -rf / tmp"})], text="Now.", fault=Fault(stop="cut")
    )
    thought, conversation = await end_of(emulator, turn)
    assert (thought.end, thought.wanted, thought.items) == ("cut", (), ())
    assert thought.usage.output == 50
    conversation.options = {"longer": True}
    again = await conversation.think()
    assert (again.end, len(again.wanted)) == ("calls", 2)


async def test_a_conversation_that_is_too_long(emulator: Emulator) -> None:
    thought, _ = await end_of(emulator, Turn(stop="full"))
    assert (thought.end, thought.items) == ("full", ())
    for message in (
        "the request exceeds the available context size, try increasing it", "This model's maximum context length is 8192 tokens",
        "prompt is too long",
    ):  # fmt: skip
        thought, _ = await end_of(emulator, Turn(fault=Fault(status=400, message=message)))
        assert (thought.end, thought.items) == ("full", ())
        emulator.faults.clear()


async def test_a_refusal_is_told_with_what_it_cost(emulator: Emulator) -> None:
    with pytest.raises(ModelRefused, match="This is a weapon") as refused:
        await end_of(emulator, Turn(text="This is a weapon.", stop="refusal"))
    assert refused.value.category == "refusal"
    assert refused.value.record
    assert refused.value.record.usage.input == 130
    with pytest.raises(ModelRefused) as filtered:
        await end_of(emulator, Turn(text="…", stop="filter"))
    assert filtered.value.category == "content_filter"


async def test_a_router_whose_server_broke_down(emulator: Emulator) -> None:
    with pytest.raises(ModelBusy, match="broke off"):
        await end_of(
            emulator,
            Turn(raw={"message": {"role": "assistant", "content": "So"}, "finish_reason": "error"}),
            model="never-streams",
        )


# --- Bad days ---


@pytest.mark.parametrize(
    ("fault", "kind", "why"),
    [
        (Fault(status=401), ModelMisconfigured, "key of eye was refused"),
        (Fault(status=403), ModelMisconfigured, "may not be used"),
        (Fault(status=404), ModelMisconfigured, "no model “model-1”"),
        (Fault(status=400), ModelMisconfigured, "not accepted"),
        (Fault(status=422), ModelMisconfigured, "not accepted"),
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
@pytest.mark.parametrize("model", ["model-1", "never-streams"])
async def test_a_bad_day_has_one_clear_outcome_and_one_request(
    emulator: Emulator, fault: Fault, kind: type[ModelProblem], why: str, model: str
) -> None:
    turn = Turn([("click", {"x": 640, "y": 400})], text="Once upon a time", fault=fault)
    conversation = talk(emulator, story(emulator, turn), model=model)
    params = await one_outcome(emulator, "compatible", conversation, fault, kind, why.replace("model-1", model))
    assert params == {"x": 640, "y": 400}


@pytest.mark.parametrize(
    ("body", "kind", "why"),
    [
        ({"error": {"message": "Provider returned error", "code": 429}}, ModelBusy, "overloaded"),
        ({"error": {"message": "No such key", "code": 401}}, ModelMisconfigured, "key of eye"),
        ({"error": {"message": "Overloaded", "type": "server_error"}}, ModelBusy, "overloaded"),
        ({"error": {"message": "boom", "type": ["odd"], "code": {"a": 1}}}, ModelMisconfigured, "boom"),
    ],
)
async def test_an_error_in_the_middle_of_a_stream(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, body: Any, kind: type[ModelProblem], why: str
) -> None:
    from tests.emulator import chat as emulated

    first = next(emulated.events({**WHOLE, "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}, {}))
    monkeypatch.setattr(emulated, "events", lambda whole, asked: [first, f"data: {json.dumps(body)}\n\n".encode()])
    with pytest.raises(kind, match=why):
        await talk(emulator).think()


WHOLE = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}


@pytest.mark.parametrize("text", ["", "<html>Bad gateway</html>", "[]", '{"choices": []}', '{"choices": null}', "{"])
async def test_an_answer_that_is_none(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    from tests.emulator import server

    async def whole_answer(self: Any, content: bytes, fault: Any, headers: Any) -> Any:
        return server.web.Response(text=text, content_type="application/json")

    monkeypatch.setattr(server.Call, "_whole", whole_answer)
    with pytest.raises(ModelBusy, match=r"could not be read|broke off"):
        await talk(emulator, model="never-streams").think()


async def test_a_web_page_is_no_model() -> None:
    async with web_page() as address:
        wire = ChatWire(Spec("eye", "compatible", "model-1", base_url=address, key=KEY))
        with pytest.raises(ModelMisconfigured, match="text/html"):
            await Conversation(lambda: wire, "x").think()


async def test_a_server_that_is_not_there() -> None:
    wire = ChatWire(Spec("eye", "compatible", "model-1", base_url="http://127.0.0.1:9", key=KEY))
    with pytest.raises(ModelBusy, match="could not be reached"):
        await Conversation(lambda: wire, "x").think()


@pytest.mark.parametrize("address", ["ftp://127.0.0.1/v1", "http://[::1", "nonsense"])
async def test_an_address_that_is_none(address: str) -> None:
    wire = ChatWire(Spec("eye", "compatible", "model-1", base_url=address, key=KEY))
    with pytest.raises(ModelMisconfigured):
        await Conversation(lambda: wire, "x").think()


@pytest.mark.parametrize("model", ["model-1", "never-streams"])
async def test_a_model_that_hangs_is_left_within_two_seconds_and_its_server_sees_it(
    emulator: Emulator, model: str
) -> None:
    task = story(emulator, Turn(text="Never.", fault=Fault(hang=True)))
    await left_while_it_hangs(emulator, "compatible", talk(emulator, task, model=model))


async def test_silence_is_a_busy_model(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    task = story(emulator, Turn(text="Never.", fault=Fault(hang=True, times=0)))
    await busy_by_silence(monkeypatch, lambda: talk(emulator, task))


async def test_a_key_that_was_revoked_and_one_that_is_quoted(emulator: Emulator) -> None:
    conversation = talk(emulator)
    conversation.answer(await conversation.think())
    emulator.keys = {"another"}
    with pytest.raises(ModelMisconfigured, match="refused"):
        await conversation.think()
    emulator.keys = None
    said = Fault(status=401, message=f"Incorrect key {KEY} or sk-proj-abcdefghijklmnop.")
    with pytest.raises(ModelMisconfigured) as refused:
        await end_of(emulator, Turn(text="x", fault=said))
    assert refused.value.why == "The key of eye was refused (401): Incorrect key [key] or [key]"


def test_without_the_sdk_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from inference.wires import transport

    monkeypatch.setattr(transport, "find_spec", lambda name: None)
    with pytest.raises(ModelMisconfigured, match="make models"):
        ChatWire(Spec("eye", "compatible", "m"))


# --- The emulator's rules bite ---


def _unanswered(body: Any) -> None:
    del body["messages"][3]


def _twice_answered(body: Any) -> None:
    body["messages"].insert(4, body["messages"][3])


def _another_id(body: Any) -> None:
    body["messages"][3]["tool_call_id"] = "call_other"


def _half_arguments(body: Any) -> None:
    body["messages"][2]["tool_calls"][0]["function"]["arguments"] = '{"x": 1'


def _reasoning(body: Any) -> None:
    body["messages"][2]["reasoning_content"] = "Hm."


def _picture_in_tool(body: Any) -> None:
    body["messages"][3]["content"] = body["messages"][4]["content"]


def _two_users(body: Any) -> None:
    body["messages"].append(body["messages"][-1])


def _empty(body: Any) -> None:
    body["messages"][4]["content"] = []


def _late_system(body: Any) -> None:
    body["messages"].append(body["messages"][0])


def _twice_a_picture(body: Any) -> None:
    body["messages"][4]["content"].append(body["messages"][4]["content"][-1])


def _no_picture(body: Any) -> None:
    body["messages"][4]["content"][-1]["image_url"]["url"] = "data:image/png;base64,aGVsbG8="


def _detail(body: Any) -> None:
    body["messages"][4]["content"][-1]["image_url"]["detail"] = "enormous"


def _colour(body: Any) -> None:
    body["colour"] = "red"


def _bad_schema(body: Any) -> None:
    body["tools"][0]["function"]["parameters"] = {"type": "thing"}


def _last_is_the_model(body: Any) -> None:
    body["messages"].append({"role": "assistant", "content": "So."})


@pytest.mark.parametrize(
    "mutate",
    [
        _unanswered, _twice_answered, _another_id, _half_arguments, _reasoning, _picture_in_tool, _two_users, _empty, _late_system,
        _twice_a_picture, _no_picture, _detail, _colour, _bad_schema, _last_is_the_model,
    ],
)  # fmt: skip
async def test_each_rule_of_the_servers_bites(emulator: Emulator, mutate: Any) -> None:
    conversation = talk(emulator)
    conversation.answer(await conversation.think())
    await conversation.think()
    sent = emulator.bodies[-1].json
    check(copy.deepcopy(sent), emulator)
    changed = copy.deepcopy(sent)
    mutate(changed)
    with pytest.raises(BrokenRuleError):
        check(changed, emulator)


def test_a_note_without_words_has_no_empty_text(emulator: Emulator) -> None:
    wire = ChatWire(spec(emulator, "compatible"))
    assert wire.note("", "a") == [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": {"$img": "a"}}}]}
    ]
