"""The wire of Anthropic Messages, through its SDK, against the emulator."""

import copy
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest

from inference.errors import ModelBusy, ModelMisconfigured, ModelProblem, ModelRefused
from inference.wires.anthropic import AnthropicWire
from inference.wires.base import Answer, Request, Thought, View, Wanted
from tests import needs_anthropic  # noqa: F401 - skips this file without the SDK
from tests.emulator.anthropic import check
from tests.emulator.server import Emulator
from tests.emulator.story import Fault, Turn
from tests.emulator.strict import BrokenRuleError
from tests.inference.conversing import ACTIONS, ASK, FINISH, KEY, Conversation, screen, spec, web_page
from tests.inference.days import busy_by_silence, left_while_it_hangs, one_outcome, whole

STORY = [
    Turn([("click", {"x": 100, "y": 200})], text="I open it.", thinking="There is a link."),
    Turn([("type_text", {"text": "hello"}), ("key_press", {"key": "Return"})], thinking="Type."),
    Turn([("key_combo", {"keys": ["ctrl", "s"]})], thinking="Save."),
    Turn([("scroll", {"x": 5, "y": 6, "direction": "down", "amount": 3})], thinking="Scroll."),
    Turn([("drag", {"from_x": 1, "from_y": 2, "to_x": 30, "to_y": 40})], thinking="Drag."),
    Turn([("screenshot", {}), ("zoom", {"region": [0, 0, 100, 100]})], thinking="Look."),
    Turn([("ask_human", {"question": "Which inbox?"})], thinking="Ask."),
    Turn([("click", {"x": 7, "y": 8, "count": 2}), ("wait", {"ms": 2000})], thinking="Denied."),
    Turn([("open_url", {"url": "https://example.test/"})], thinking="Go."),
    Turn([("finish", {"passed": True, "summary": "Done"})], thinking="End.", text="It is done."),
]


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator({"ten": STORY}, wires=("anthropic",)) as emulator:
        yield emulator


def talk(
    emulator: Emulator, task: str = "Refund order 10231", *, size: tuple[int, int] = (1280, 800), **options: Any
) -> Conversation:
    chosen = spec(emulator, "anthropic", **options)
    return Conversation(lambda: AnthropicWire(chosen), task, size)


EXPECTED = [
    ("act", "click", {"x": 100, "y": 200}),
    ("act", "type_text", {"text": "hello"}),
    ("act", "key_press", {"key": "enter"}),
    ("act", "key_combo", {"keys": ["ctrl", "s"]}),
    ("act", "scroll", {"x": 5, "y": 6, "direction": "down", "amount": 3}),
    ("act", "drag", {"from_x": 1, "from_y": 2, "to_x": 30, "to_y": 40}),
    ("look", "screenshot", {}),
    ("look", "zoom", {"region": [0, 0, 100, 100]}),
    ("tool", "ask_human", {"question": "Which inbox?"}),
    ("act", "click", {"x": 7, "y": 8, "count": 2}),
    ("act", "wait", {"ms": 2000}),
    ("act", "open_url", {"url": "https://example.test/"}),
    ("tool", "finish", {"passed": True, "summary": "Done"}),
]


@pytest.mark.parametrize("computer", ["toolset", "older"])
async def test_ten_moves_with_a_new_wire_and_memory_through_json_after_each(emulator: Emulator, computer: str) -> None:
    conversation = talk(emulator, computer=computer)
    assert await whole(conversation) == EXPECTED
    assert emulator.refused == []
    assert emulator.requests["anthropic"] == len(STORY)
    assert conversation.first_bytes == len(STORY)


async def test_what_was_sent_before_is_sent_again_unchanged(emulator: Emulator) -> None:
    await whole(talk(emulator))
    unmarked = [json.loads(json.dumps(body.json), object_hook=_unmarked) for body in emulator.bodies]
    for before, after in pairwise(unmarked):
        sent = len(before["messages"])
        assert json.dumps(after["messages"][:sent]) == json.dumps(before["messages"])
        assert [after["system"], after["tools"]] == [before["system"], before["tools"]]


def _unmarked(value: dict[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in value.items() if name != "cache_control"}


async def test_an_answer_tells_its_words_thoughts_tokens_and_number(emulator: Emulator) -> None:
    thought = await talk(emulator).think()
    assert (thought.text, thought.reasoning) == ("I open it.", "There is a link.")
    usage = thought.usage
    assert (usage.input, usage.cached, usage.cache_written, usage.output, usage.reasoning) == (130, 100, 20, 50, 30)
    assert thought.request_id == "req_msg_ten_0"


async def test_the_key_is_sent_in_a_header_and_nowhere_else(emulator: Emulator) -> None:
    await talk(emulator).think()
    [body] = emulator.bodies
    assert KEY not in json.dumps(body.json)
    assert [name for name, value in body.headers.items() if KEY in value] == ["authorization"]


async def test_marks_of_the_cache_move_with_the_conversation(emulator: Emulator) -> None:
    await whole(talk(emulator, cache_ttl="1h"))
    marks = [
        json.dumps(body.json).count('"cache_control": {"type": "ephemeral", "ttl": "1h"}') for body in emulator.bodies
    ]
    assert marks == [2] + [3] * 9
    last = emulator.bodies[-1].json["messages"]
    assert "cache_control" in json.dumps(last[-1])
    assert "cache_control" not in json.dumps(last[:-3])


async def test_members_that_no_machine_or_not_this_one_can_do_are_switched_off(emulator: Emulator) -> None:
    await talk(emulator).think()
    [toolset, *functions] = emulator.bodies[0].json["tools"]
    assert set(toolset["configs"]) == {"cursor_position", "hold_key", "left_mouse_down", "left_mouse_up"}
    assert [tool["name"] for tool in functions] == ["open_url", "go_back", "ask_human", "finish"]
    conversation = talk(emulator)
    conversation.options = {"actions": ACTIONS - {"drag", "move"}}
    await conversation.think()
    [toolset, *_] = emulator.bodies[1].json["tools"]
    assert {"left_click_drag", "mouse_move"} < set(toolset["configs"])


async def test_options_of_thinking_effort_and_length(emulator: Emulator) -> None:
    conversation = talk(emulator, effort="high", max_tokens=3000, extra_body={"inference_geo": "eu"})
    conversation.options = {"longer": True}
    await conversation.think()
    body = emulator.bodies[0].json
    assert (body["thinking"], body["output_config"]) == (
        {"type": "adaptive", "display": "summarized"},
        {"effort": "high"},
    )
    assert (body["max_tokens"], body["inference_geo"]) == (6000, "eu")
    await talk(emulator, thinking=2000, max_tokens=3000).think()
    assert emulator.bodies[1].json["thinking"] == {"type": "enabled", "budget_tokens": 2000}
    await talk(emulator, thinking="off").think()
    assert "thinking" not in emulator.bodies[2].json


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


async def test_words_alone_are_the_end(emulator: Emulator) -> None:
    emulator.stories["ten"].turns[0:0] = ()  # type: ignore[index]
    conversation = talk(emulator)
    conversation.tools, conversation.options = (), {"computer": False}
    thought = await conversation.think()
    assert (thought.end, thought.text, thought.wanted) == ("said", "This is what happened so far.", ())


# --- Calls ---


def read(
    member: str, values: Any, *, older: bool = False, size: tuple[int, int] = (1280, 800), **request: Any
) -> list[Wanted]:
    """What the wire makes of one tool_use."""
    from inference.wires.anthropic import _wanted

    view = View(*size, 1280, 800)
    asked = Request("", [], view, (ASK, FINISH), ACTIONS, **request)
    if older:
        use: dict[str, Any] = {"id": "t", "name": "computer", "input": {"action": member, **values}}
    else:
        use = {"id": "t", "name": member, "input": values, "toolset_name": "computer"}
    return _wanted(use, asked, older)


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize(
    ("member", "values", "expected"),
    [
        ("left_click", {"coordinate": [3, 4]}, [("act", "click", {"x": 3, "y": 4})]),
        ("right_click", {"coordinate": [3, 4]}, [("act", "click", {"x": 3, "y": 4, "button": "right"})]),
        ("middle_click", {"coordinate": [3, 4]}, [("act", "click", {"x": 3, "y": 4, "button": "middle"})]),
        ("double_click", {"coordinate": [3, 4]}, [("act", "click", {"x": 3, "y": 4, "count": 2})]),
        ("triple_click", {"coordinate": [3, 4]}, [("act", "click", {"x": 3, "y": 4, "count": 3})]),
        ("left_click", {}, [("act", "click", {"x": 50, "y": 60})]),
        ("mouse_move", {"coordinate": [3, 4]}, [("act", "move", {"x": 3, "y": 4})]),
        ("left_click_drag", {"start_coordinate": [1, 2], "coordinate": [3, 4]},
         [("act", "drag", {"from_x": 1, "from_y": 2, "to_x": 3, "to_y": 4})]),
        ("scroll", {"coordinate": [3, 4], "scroll_direction": "up", "scroll_amount": 2},
         [("act", "scroll", {"x": 3, "y": 4, "direction": "up", "amount": 2})]),
        ("scroll", {"scroll_direction": "left", "scroll_amount": 500},
         [("act", "scroll", {"x": 50, "y": 60, "direction": "left", "amount": 100})]),
        ("type", {"text": "a b"}, [("act", "type_text", {"text": "a b"})]),
        ("key", {"text": "Page_Down"}, [("act", "key_press", {"key": "pagedown"})]),
        ("key", {"text": " "}, [("act", "key_press", {"key": " "})]),
        ("key", {"text": "ctrl+shift+t"}, [("act", "key_combo", {"keys": ["ctrl", "shift", "t"]})]),
        ("key", {"text": "Tab", "repeat": 2}, [("act", "key_press", {"key": "tab"})] * 2),
        ("key", {"text": "ctrl+a Delete"}, [("act", "key_combo", {"keys": ["ctrl", "a"]}), ("act", "key_press", {"key": "delete"})]),
        ("wait", {"duration": 1.5}, [("act", "wait", {"ms": 1500})]),
        ("screenshot", {}, [("look", "screenshot", {})]),
        ("zoom", {"region": [10, 20, 5, 40]}, [("look", "zoom", {"region": [5, 20, 10, 40]})]),
    ],
)  # fmt: skip
def test_every_member(member: str, values: Any, expected: Any, older: bool) -> None:
    wanted = read(member, values, older=older, cursor=(50, 60))
    assert [(one.kind, one.name, one.params) for one in wanted] == expected
    assert [one.last for one in wanted] == [False] * (len(wanted) - 1) + [True]


@pytest.mark.parametrize(
    ("member", "values", "words"),
    [
        ("left_click", {"coordinate": [1300, 4]}, "outside"), ("left_click", {"coordinate": [-5, 4]}, "outside"),
        ("left_click", {"coordinate": "3, 4"}, "two numbers"), ("left_click", {"coordinate": [1, 2, 3]}, "two numbers"),
        ("left_click", {"coordinate": [float("nan"), 2]}, "two numbers"), ("left_click", {}, "coordinate"),
        ("left_click", {"coordinate": [3, 4], "text": "shift"}, "held"), ("left_click", [3, 4], "JSON object"),
        ("left_click_drag", {"coordinate": [3, 4]}, "coordinate"), ("hold_key", {"text": "a", "duration": 1}, "cannot be done"),
        ("left_mouse_down", {}, "cannot be done"), ("cursor_position", {}, "cannot be done"), ("juggle", {}, "cannot be done"),
        ("key", {"text": "Hyper_R"}, "no key named"), ("key", {}, "key"), ("key", {"text": "a", "repeat": 1000}, "1 to 20"),
        ("type", {}, "text"), ("type", {"text": 5}, "text"), ("wait", {"duration": 3600}, "60 seconds"),
        ("wait", {"duration": "long"}, "60 seconds"), ("zoom", {"region": [1, 1, 1, 1]}, "empty"), ("zoom", {}, "four numbers"),
        ("scroll", {"scroll_direction": "sideways"}, "scroll_direction"),
        ("scroll", {"scroll_direction": "up", "scroll_amount": 0}, "above 0"),
        ("scroll", {"scroll_direction": "up", "scroll_amount": "3"}, "above 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_so_is_told_to_the_model(member: str, values: Any, words: str) -> None:
    [wanted] = read(member, values)
    assert wanted.kind == "bad"
    assert words in wanted.problem


def test_a_function_by_the_name_of_a_member_is_not_the_member() -> None:
    from inference.wires.anthropic import _wanted

    asked = Request("", [], View(1280, 800, 1280, 800), (ASK,), ACTIONS)
    [wanted] = _wanted({"id": "t", "name": "left_click", "input": {"coordinate": [1, 2]}}, asked, False)
    assert (wanted.kind, wanted.problem) == ("bad", "There is no tool named “left_click”.")


async def test_a_key_pressed_three_times_is_three_actions_and_one_result(emulator: Emulator) -> None:
    use = {
        "type": "tool_use",
        "id": "toolu_1",
        "name": "key",
        "input": {"text": "Tab", "repeat": 3},
        "toolset_name": "computer",
    }
    emulator.stories["raw"] = type(emulator.stories["ten"])([Turn(raw=[use]), Turn(text="Good.")])
    conversation = talk(emulator, "story:raw")
    thought = await conversation.think()
    assert len(thought.wanted) == 3
    conversation.answer(thought, failed=(2,))
    assert (await conversation.think()).end == "said"
    [result, picture] = conversation.log[2]["content"]
    assert (result["type"], result["is_error"], picture.keys()) == ("tool_result", True, {"$img"})


async def test_the_picture_stands_once_on_the_last_result_and_a_look_has_its_own(emulator: Emulator) -> None:
    conversation = talk(emulator)
    await whole(conversation)
    answered = [message["content"] for message in conversation.log if message["role"] == "user"][1:]
    for content in answered:
        assert json.dumps(content[:-1]).count("$img") <= 1  # a look in the middle
        assert json.dumps(content[-1]).count("$img") == 1
    look = answered[5]
    assert [json.dumps(result).count("$img") for result in look] == [1, 1]


async def test_a_screen_that_is_scaled_is_pointed_at_to_the_pixel(emulator: Emulator) -> None:
    conversation = talk(emulator, size=(2560, 1600), max_side=1280)
    thought = await conversation.think()
    assert thought.wanted[0].params == {"x": 200, "y": 400}


async def test_a_picture_larger_than_the_model_takes_is_refused_and_not_made_smaller_silently(
    emulator: Emulator,
) -> None:
    with pytest.raises(ModelMisconfigured, match="exceeds the maximum size"):
        await talk(emulator, size=(2560, 1600), max_side=2560).think()


# --- Ends ---


async def end_of(emulator: Emulator, turn: Turn) -> tuple[Thought, Conversation]:
    emulator.stories["end"] = type(emulator.stories["ten"])([turn, Turn(text="Afterwards.")])
    conversation = talk(emulator, "story:end")
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


async def test_a_turn_that_paused_goes_on_when_it_is_sent_back(emulator: Emulator) -> None:
    thought, conversation = await end_of(emulator, Turn(text="Wait.", stop="paused"))
    assert (thought.end, len(thought.items)) == ("paused", 1)
    assert (await conversation.think()).text == "Afterwards."


async def test_a_conversation_that_is_too_long(emulator: Emulator) -> None:
    thought, _ = await end_of(emulator, Turn(text="…", stop="full"))
    assert (thought.end, thought.items) == ("full", ())
    long = Fault(status=400, message="prompt is too long: 210000 tokens > 200000 maximum")
    thought, _ = await end_of(emulator, Turn(text="…", fault=long))
    assert (thought.end, thought.items) == ("full", ())


async def test_a_refusal_is_told_with_its_category_and_what_it_cost(emulator: Emulator) -> None:
    with pytest.raises(ModelRefused, match="This is a weapon") as refused:
        await end_of(emulator, Turn(text="This is a weapon.", stop="refusal"))
    assert refused.value.category == "cyber"
    assert refused.value.record
    assert refused.value.record.usage.input == 130


async def test_an_answer_without_content_is_not_kept(emulator: Emulator) -> None:
    thought, conversation = await end_of(emulator, Turn(raw=[]))
    assert (thought.end, thought.items) == ("said", ())
    assert len(conversation.log) == 1


# --- Bad days ---


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (Fault(status=401), ModelMisconfigured, "key of eye was refused"),
        (Fault(status=403), ModelMisconfigured, "may not be used"),
        (Fault(status=404), ModelMisconfigured, "no model “model-1”"),
        (Fault(status=400), ModelMisconfigured, "not accepted"),
        (Fault(status=402), ModelMisconfigured, "no credit"),
        (Fault(status=302, headers={"location": "http://127.0.0.1:9/"}), ModelMisconfigured, "leads to another"),
        (Fault(status=408), ModelBusy, "cannot answer now"),
        (Fault(status=409), ModelBusy, "cannot answer now"),
        (Fault(status=429, headers={"retry-after": "3600"}), ModelBusy, "overloaded"),
        (Fault(status=500), ModelBusy, "cannot answer now"),
        (Fault(status=503), ModelBusy, "cannot answer now"),
        (Fault(status=529), ModelBusy, "overloaded"),
        (Fault(cut=True), ModelBusy, "broke off"),
        (Fault(half=True), ModelBusy, "broke off"),
    ],
    ids=lambda value: str(getattr(value, "status", "") or "") or None,
)
async def test_a_bad_day_has_one_clear_outcome_and_one_request(
    emulator: Emulator, fault: Fault, kind: type[ModelProblem], words: str
) -> None:
    emulator.stories["bad"] = type(emulator.stories["ten"])(
        [Turn([("click", {"x": 1, "y": 2})], text="Once upon a time", fault=fault)]
    )
    conversation = talk(emulator, "story:bad")
    params = await one_outcome(emulator, "anthropic", conversation, fault, kind, words)
    assert params == {"x": 1, "y": 2}


async def test_an_hour_in_milliseconds_or_as_a_date(emulator: Emulator) -> None:
    from inference.wires.transport import retry_after

    assert retry_after({"retry-after-ms": "1500", "retry-after": "9"}) == 1.5
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert retry_after({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}) > 1e9
    assert (
        retry_after({"retry-after": "soon"})
        == retry_after({"retry-after": "-5"})
        == retry_after({"retry-after": "inf"})
        == 0
    )


async def test_an_error_in_the_middle_of_a_stream(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.emulator import anthropic as emulated

    def broken(message: Any, *, cut: bool = False) -> Any:
        start = next(events(message))
        yield start
        yield b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}\n\n'

    events = emulated.events
    monkeypatch.setattr(emulated, "events", broken)
    with pytest.raises(ModelBusy, match="overloaded"):
        await talk(emulator).think()


async def test_an_address_where_something_else_answers() -> None:
    from inference.specs import Spec

    async with web_page() as address:
        wire = AnthropicWire(Spec("eye", "anthropic", "model-1", base_url=address, key=KEY))
        with pytest.raises(ModelMisconfigured, match="is no such model: it sent “text/html"):
            await Conversation(lambda: wire, "x").think()


async def test_a_block_of_a_kind_that_nobody_knows_is_kept_as_it_came(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.emulator import anthropic as emulated

    monkeypatch.setattr(emulated.strict, "problem", lambda kind, value: None)
    odd = {"type": "hologram", "depth": {"near": None, "far": 2}}
    nulls = {"type": "tool_use", "id": "t", "name": "finish", "input": {"passed": True, "summary": None}}
    emulator.stories["odd"] = type(emulator.stories["ten"])([Turn(raw=[odd, nulls])])
    conversation = talk(emulator, "story:odd")
    assert (await conversation.think()).wanted[0].params == {"passed": True, "summary": None}
    assert conversation.log[-1]["content"] == [odd, nulls]


async def test_a_server_that_forgot_everything_goes_on_with_the_conversation() -> None:
    log: list[Any] = []
    for number in range(len(STORY)):
        async with Emulator({"ten": STORY}, wires=("anthropic",)) as emulator:
            conversation = talk(emulator)
            conversation.log, conversation.shown = log, number
            thought = await conversation.think()
            conversation.answer(thought)
            log = conversation.log
            assert emulator.refused == []
    assert thought.wanted[-1].name == "finish"


async def test_a_server_that_is_not_there() -> None:
    from inference.specs import Spec

    wire = AnthropicWire(Spec("eye", "anthropic", "model-1", base_url="http://127.0.0.1:9", key=KEY))
    conversation = Conversation(lambda: wire, "x")
    with pytest.raises(ModelBusy, match="could not be reached"):
        await conversation.think()


async def test_a_model_that_hangs_is_left_within_two_seconds_and_its_server_sees_it(emulator: Emulator) -> None:
    emulator.stories["hang"] = type(emulator.stories["ten"])([Turn(text="Never.", fault=Fault(hang=True))])
    await left_while_it_hangs(emulator, "anthropic", talk(emulator, "story:hang"))


async def test_silence_is_a_busy_model(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator.stories["hang"] = type(emulator.stories["ten"])([Turn(text="Never.", fault=Fault(hang=True, times=0))])
    await busy_by_silence(monkeypatch, lambda: talk(emulator, "story:hang"))


async def test_a_key_that_was_revoked(emulator: Emulator) -> None:
    conversation = talk(emulator)
    conversation.answer(await conversation.think())
    emulator.keys = {"another"}
    with pytest.raises(ModelMisconfigured, match="refused"):
        await conversation.think()


async def test_a_vendor_that_quotes_the_key(emulator: Emulator) -> None:
    said = Fault(status=401, message=f"Incorrect key {KEY} or sk-proj-abcdefghijklmnop.")
    with pytest.raises(ModelMisconfigured) as refused:
        await end_of(emulator, Turn(text="x", fault=said))
    assert refused.value.why == "The key of eye was refused (401): Incorrect key [key] or [key]"


def test_no_key_is_told_before_a_request() -> None:
    from inference.specs import Spec

    with pytest.raises(ModelMisconfigured, match="has no key"):
        AnthropicWire(Spec("eye", "anthropic", "model-1"))


def test_without_the_sdk_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    from inference.wires import transport

    monkeypatch.setattr(transport, "find_spec", lambda name: None)
    with pytest.raises(ModelMisconfigured, match="make models"):
        AnthropicWire(spec(emulator, "anthropic"))


def test_no_sdk_is_imported_with_the_wires() -> None:
    program = (
        "import django, sys\n"
        "django.setup()\n"
        "from inference.specs import Spec\n"
        "from inference.wires import WIRES, wire_for\n"
        "for wire in WIRES:\n"
        "    wire_for(Spec('eye', wire, 'm', key='k'))\n"
        "print([name for name in ('anthropic', 'openai', 'google.genai', 'httpx2') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


async def test_headers_of_the_environment_do_not_go_to_another_server(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "X-Gateway-Key: mine")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "mine-too")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    await talk(emulator).think()
    assert "mine" not in json.dumps(emulator.bodies[0].headers)


async def test_proxies_of_the_environment_are_not_used_unless_the_profile_says_so(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    await talk(emulator).think()
    with pytest.raises(ModelBusy):
        await talk(emulator, proxy=True).think()


# --- Thoughts that are bound to what stands before them ---


async def test_a_log_that_an_older_release_changed_is_sent_once_more_without_its_thoughts(emulator: Emulator) -> None:
    conversation = talk(emulator)
    conversation.answer(await conversation.think())
    conversation.log[0]["content"][1] = {"type": "text", "text": "[picture removed]"}
    thought = await conversation.think()
    assert thought.end == "calls"
    assert thought.notes[0].startswith("The vendor left out")
    assert thought.notes[1] == "messages.1.content.0: thinking_dropped, prefix_binding_mismatch"
    assert emulator.requests["anthropic"] == 3
    binding = emulator.bodies[-1].json["thinking"]["block_binding"]
    assert binding == {"prefix_mismatch_behavior": "drop_block"}


async def test_what_is_refused_even_so_is_not_tried_a_third_time(emulator: Emulator) -> None:
    bound = Fault(status=400, message="this thinking block is bound to a different conversation", times=0)
    with pytest.raises(ModelMisconfigured):
        await end_of(emulator, Turn(text="x", fault=bound))
    assert emulator.requests["anthropic"] == 2


# --- The emulator's rules bite ---


def _unanswered(body: Any) -> None:
    body["messages"].pop()


def _foreign_toolset(body: Any) -> None:
    body["messages"][2]["content"][0]["toolset_name"] = "browser"


def _no_toolset(body: Any) -> None:
    del body["messages"][2]["content"][0]["toolset_name"]


def _five_marks(body: Any) -> None:
    for block in [body["messages"][0]["content"][1], *body["tools"]]:
        block["cache_control"] = {"type": "ephemeral"}


def _detail(body: Any) -> None:
    body["messages"][0]["content"][1]["detail"] = "high"


def _deep_field(body: Any) -> None:
    body["messages"][2]["content"][0]["content"][0]["colour"] = "red"


def _unknown_member(body: Any) -> None:
    body["tools"][0]["configs"]["juggle"] = {"enabled": False}


def _shrinking(body: Any) -> None:
    del body["messages"][0]["content"][1]["transformations"]


def _no_picture(body: Any) -> None:
    body["messages"][0]["content"][1]["source"]["data"] = "aGVsbG8="


def _picture_in_error(body: Any) -> None:
    body["messages"][2]["content"][0]["is_error"] = True


def _two_answers(body: Any) -> None:
    body["messages"][2]["content"].append(body["messages"][2]["content"][0])


def _words_first(body: Any) -> None:
    body["messages"][2]["content"].insert(0, {"type": "text", "text": "Here:"})


def _unknown_effort(body: Any) -> None:
    body["output_config"] = {"effort": "enormous"}


def _bad_block(body: Any) -> None:
    body["messages"][1]["content"][0]["type"] = "dream"


def _twice_a_tool(body: Any) -> None:
    body["tools"].append(body["tools"][-1])


@pytest.mark.parametrize(
    "mutate",
    [
        _unanswered, _foreign_toolset, _no_toolset, _five_marks, _detail, _deep_field, _unknown_member, _shrinking, _no_picture,
        _picture_in_error, _two_answers, _words_first, _unknown_effort, _bad_block, _twice_a_tool,
    ],
)  # fmt: skip
async def test_each_rule_of_the_vendor_bites(emulator: Emulator, mutate: Any) -> None:
    conversation = talk(emulator)
    conversation.answer(await conversation.think())
    await conversation.think()
    sent = emulator.bodies[-1]
    check(copy.deepcopy(sent.json), sent.headers, emulator)
    changed = copy.deepcopy(sent.json)
    mutate(changed)
    with pytest.raises(BrokenRuleError):
        check(changed, sent.headers, emulator)


async def test_the_older_tool_needs_its_beta(emulator: Emulator) -> None:
    await talk(emulator, computer="older").think()
    sent = emulator.bodies[-1]
    assert sent.headers["anthropic-beta"] == "computer-use-2025-11-24"
    with pytest.raises(BrokenRuleError, match="beta"):
        check(sent.json, {**sent.headers, "anthropic-beta": ""}, emulator)


async def test_an_answer_that_was_not_asked_for_as_a_stream(emulator: Emulator) -> None:
    import anthropic

    async with anthropic.AsyncAnthropic(api_key=KEY, base_url=emulator.url("anthropic"), max_retries=0) as client:
        message = await client.beta.messages.create(
            model="model-1", max_tokens=100, messages=[{"role": "user", "content": "Refund"}],
            tools=[{"type": "computer_toolset_20260801"}],
        )  # fmt: skip
    assert (message.stop_reason, message.content[-1].type) == ("tool_use", "tool_use")


def test_a_note_of_a_person_can_stand_as_a_system_item(emulator: Emulator) -> None:
    wire = AnthropicWire(spec(emulator, "anthropic", system_notes=True))
    sha = screen(1)
    assert wire.note("Stop at 20.", sha) == [
        {"role": "system", "content": [{"type": "text", "text": "Stop at 20."}]},
        {"role": "user", "content": [{"$img": sha}]},
    ]
    plain = AnthropicWire(spec(emulator, "anthropic"))
    assert plain.note("Stop.") == [{"role": "user", "content": [{"type": "text", "text": "Stop."}]}]


def test_answers_of_nothing_but_errors_carry_the_picture_after_them(emulator: Emulator) -> None:
    wire = AnthropicWire(spec(emulator, "anthropic"))
    wanted = Wanted("toolu_1", "act", "click", {"x": 1, "y": 2}, extra={"toolset": "computer"})
    sha = screen(2)
    [message] = wire.results([Answer(wanted, False, "no")], sha)
    result = {
        "type": "tool_result", "tool_use_id": "toolu_1", "is_error": True, "toolset_name": "computer",
        "content": [{"type": "text", "text": "no"}],
    }  # fmt: skip
    assert message == {"role": "user", "content": [result, {"$img": sha}]}
