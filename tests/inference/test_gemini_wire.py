"""The wire of Gemini, through its SDK, against the emulator."""

import copy
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.errors import ModelBusy, ModelMisconfigured, ModelProblem, ModelRefused
from inference.specs import Spec
from inference.wires import gemini_calls
from inference.wires.base import Answer, Request, Thought, Tool, View, Wanted
from inference.wires.gemini import LOST, GeminiWire
from tests import needs_gemini  # noqa: F401 - skips this file without the SDK
from tests.chance import TRIED
from tests.emulator.gemini import check
from tests.emulator.server import Emulator
from tests.emulator.story import Fault, Story, Turn
from tests.emulator.strict import BrokenRuleError
from tests.inference.conversing import ACTIONS, ASK, FINISH, KEY, Conversation, spec, web_page
from tests.inference.days import left_while_it_hangs, one_outcome, whole

TEN = [
    Turn([("click", {"x": 640, "y": 200})], text="I open it.", thinking="There is a link."),
    Turn([("type_text", {"text": "hello"}), ("key_press", {"key": "Return"})], thinking="Type."),
    Turn([("key_combo", {"keys": ["ctrl", "s"]})], thinking="Save."),
    Turn([("scroll", {"x": 320, "y": 400, "direction": "down", "amount": 3})], thinking="Scroll."),
    Turn([("drag", {"from_x": 128, "from_y": 80, "to_x": 640, "to_y": 400})], thinking="Drag."),
    Turn([("screenshot", {}), ("move", {"x": 128, "y": 80})], thinking="Look."),
    Turn([("ask_human", {"question": "Which inbox?"})], thinking="Ask."),
    Turn([("click", {"x": 640, "y": 400}), ("wait", {"ms": 5000})], thinking="Denied."),
    Turn([("open_url", {"url": "https://example.test/"})], thinking="Go."),
    Turn([("finish", {"passed": True, "summary": "Done"})], text="It is done."),
]
OLDER = [*TEN[:1], Turn([("key_press", {"key": "enter"})]), *TEN[2:]]  # its typing is compound
EXPECTED = [
    ("act", "click", {"x": 640, "y": 200}),
    ("act", "type_text", {"text": "hello"}),
    ("act", "key_press", {"key": "enter"}),
    ("act", "key_combo", {"keys": ["ctrl", "s"]}),
    ("act", "scroll", {"x": 320, "y": 400, "direction": "down", "amount": 3}),
    ("act", "drag", {"from_x": 128, "from_y": 80, "to_x": 640, "to_y": 400}),
    ("look", "screenshot", {}),
    ("act", "move", {"x": 128, "y": 80}),
    ("tool", "ask_human", {"question": "Which inbox?"}),
    ("act", "click", {"x": 640, "y": 400}),
    ("act", "wait", {"ms": 5000}),
    ("act", "open_url", {"url": "https://example.test/"}),
    ("tool", "finish", {"passed": True, "summary": "Done"}),
]


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator({"ten": Story(TEN), "older": Story(OLDER)}, "ten", wires=("gemini",)) as emulator:
        yield emulator


def talk(
    emulator: Emulator, task: str = "Refund order 10231", *, size: tuple[int, int] = (1280, 800), **options: Any
) -> Conversation:
    chosen = spec(emulator, "gemini", **options)
    return Conversation(lambda: GeminiWire(chosen), task, size)


def story(emulator: Emulator, *turns: Turn) -> str:
    emulator.stories["it"] = Story(turns)
    return "story:it"


@pytest.mark.parametrize("kind", ["browser", "desktop"])
async def test_ten_moves_with_a_new_wire_and_memory_through_json_after_each(emulator: Emulator, kind: str) -> None:
    conversation = talk(emulator)
    conversation.options = {"machine_kind": kind}
    assert await whole(conversation) == EXPECTED
    assert emulator.refused == []
    assert emulator.requests["gemini"] == len(TEN)
    assert [body.json["tools"][0]["computerUse"]["environment"] for body in emulator.bodies] == [
        f"ENVIRONMENT_{kind.upper()}"
    ] * 10


async def test_ten_moves_of_an_older_model(emulator: Emulator) -> None:
    assert await whole(talk(emulator, "story:older", computer="older")) == [EXPECTED[0], *EXPECTED[2:]]
    assert emulator.refused == []


async def test_a_screen_that_is_scaled_is_pointed_at_to_the_pixel(emulator: Emulator) -> None:
    thought = await talk(emulator, size=(2560, 1600), max_side=1280).think()
    assert thought.wanted[0].params == {"x": 1280, "y": 400}


async def test_what_was_sent_before_is_sent_again_unchanged(emulator: Emulator) -> None:
    await whole(talk(emulator))
    for before, after in zip(emulator.bodies, emulator.bodies[1:], strict=False):
        sent = len(before.json["contents"])
        assert json.dumps(after.json["contents"][:sent]) == json.dumps(before.json["contents"])
        assert [after.json[name] for name in ("tools", "systemInstruction")] == [
            before.json[name] for name in ("tools", "systemInstruction")
        ]


async def test_an_answer_tells_its_words_thoughts_tokens_and_number(emulator: Emulator) -> None:
    thought = await talk(emulator).think()
    assert (thought.text, thought.reasoning) == ("I open it.", "There is a link.")
    usage = thought.usage
    assert (usage.input, usage.cached, usage.cache_written, usage.output, usage.reasoning) == (130, 100, None, 50, 30)
    assert thought.request_id == "resp_ten_0"
    assert thought.wanted[0].text == "I want to click."


async def test_the_key_is_sent_in_a_header_and_nowhere_else(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_GENAI_USE_ENTERPRISE", "true")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("GOOGLE_API_KEY", "another")
    await talk(emulator).think()
    [body] = emulator.bodies
    assert KEY not in json.dumps(body.json) + body.path
    assert [name for name, value in body.headers.items() if KEY in value] == ["x-goog-api-key"]


@pytest.mark.parametrize("version", ["", "/v1", "/v1beta/"])
async def test_an_address_with_a_version_and_one_without(emulator: Emulator, version: str) -> None:
    at = Spec("eye", "gemini", "model-1", base_url=emulator.url("gemini") + version, key=KEY)
    assert (await Conversation(lambda: GeminiWire(at), "x").think()).end == "calls"
    assert emulator.bodies[0].path.startswith(f"/gemini/{version.strip('/') or 'v1'}")


async def test_options_of_length_effort_and_whatever_a_vendor_wants(emulator: Emulator) -> None:
    conversation = talk(emulator, max_tokens=300, effort="low", extra_body={"labels": {"team": "a"}})
    conversation.options = {"longer": True}
    await conversation.think()
    body = emulator.bodies[0].json
    assert body["generationConfig"]["maxOutputTokens"] == 600
    assert body["generationConfig"]["thinkingConfig"] == {"includeThoughts": True, "thinkingLevel": "LOW"}
    assert body["labels"] == {"team": "a"}


async def test_only_what_the_machine_can_do_is_offered_and_no_name_twice(emulator: Emulator) -> None:
    back = Tool("go_back", "Go back.", {"type": "object", "properties": {}})
    conversation = talk(emulator)
    conversation.tools = (ASK, FINISH, back)
    conversation.options = {"actions": frozenset({"click", "type_text", "run_line", "fill"})}
    await conversation.think()
    computer, functions = emulator.bodies[0].json["tools"]
    assert computer["computerUse"]["enablePromptInjectionDetection"] is True
    assert computer["computerUse"]["excludedPredefinedFunctions"] == [
        "mouse_down", "mouse_up", "move", "drag_and_drop", "wait", "press_key", "key_down", "key_up", "hotkey", "scroll",
        "navigate", "go_back", "go_forward",
    ]  # fmt: skip
    assert [one["name"] for one in functions["functionDeclarations"]] == ["run_line", "ask_human", "finish", "go_back"]


async def test_json_is_asked_for_without_a_computer(emulator: Emulator) -> None:
    schema = {"type": "object", "properties": {"verdict": {"type": "string"}}, "required": ["verdict"]}
    conversation = talk(emulator)
    conversation.tools, conversation.options = (), {"schema": schema, "computer": False}
    thought = await conversation.think()
    assert (thought.end, json.loads(thought.text)["verdict"]) == ("said", "pass")
    assert "tools" not in emulator.bodies[0].json


async def test_words_alone_are_the_end(emulator: Emulator) -> None:
    conversation = talk(emulator)
    conversation.tools, conversation.options = (), {"computer": False}
    thought = await conversation.think()
    assert (thought.end, thought.text, thought.wanted) == ("said", "This is what happened so far.", ())


# --- Calls ---


def read(name: Any, args: Any, **request: Any) -> list[Wanted]:
    asked = Request("", [], View(1280, 800, 1280, 800), (ASK, FINISH), ACTIONS, **request)
    return gemini_calls.wanted({"name": name, "args": args}, "c1", asked, {"function": name})


@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        ("click", {"x": 500, "y": 999}, [("act", "click", {"x": 640, "y": 799})]),
        ("click", {"x": 1000, "y": 0}, [("act", "click", {"x": 1279, "y": 0})]),
        ("double_click", {"x": 0, "y": 0}, [("act", "click", {"x": 0, "y": 0, "count": 2})]),
        ("triple_click", {"x": 0, "y": 0}, [("act", "click", {"x": 0, "y": 0, "count": 3})]),
        ("right_click", {"x": 0, "y": 0}, [("act", "click", {"x": 0, "y": 0, "button": "right"})]),
        ("middle_click", {"x": 0, "y": 0}, [("act", "click", {"x": 0, "y": 0, "button": "middle"})]),
        ("type", {"text": "a"}, [("act", "type_text", {"text": "a"})]),
        ("type", {"text": "a", "press_enter": True}, [("act", "type_text", {"text": "a"}), ("act", "key_press", {"key": "enter"})]),
        ("type_text_at", {"x": 500, "y": 500, "text": "a"}, [
            ("act", "click", {"x": 640, "y": 400}), ("act", "key_combo", {"keys": ["ctrl", "a"]}),
            ("act", "type_text", {"text": "a"}), ("act", "key_press", {"key": "enter"}),
        ]),
        ("type_text_at", {"x": 500, "y": 500, "text": "a", "press_enter": False, "clear_before_typing": False}, [
            ("act", "click", {"x": 640, "y": 400}), ("act", "type_text", {"text": "a"}),
        ]),
        ("type_text_at", {"x": 500, "y": 500, "text": "", "press_enter": False}, [
            ("act", "click", {"x": 640, "y": 400}), ("act", "key_combo", {"keys": ["ctrl", "a"]}), ("act", "key_press", {"key": "delete"}),
        ]),
        ("drag_and_drop", {"start_x": 0, "start_y": 0, "end_x": 500, "end_y": 500}, [
            ("act", "drag", {"from_x": 0, "from_y": 0, "to_x": 640, "to_y": 400}),
        ]),
        ("drag_and_drop", {"x": 0, "y": 0, "destination_x": 500, "destination_y": 500}, [
            ("act", "drag", {"from_x": 0, "from_y": 0, "to_x": 640, "to_y": 400}),
        ]),
        ("wait", {}, [("act", "wait", {"ms": 1000})]),
        ("wait", {"seconds": 2}, [("act", "wait", {"ms": 2000})]),
        ("press_key", {"key": "ENTER"}, [("act", "key_press", {"key": "enter"})]),
        ("hotkey", {"keys": ["CTRL", "SHIFT", "T"]}, [("act", "key_combo", {"keys": ["ctrl", "shift", "t"]})]),
        ("key_combination", {"keys": "Control+A"}, [("act", "key_combo", {"keys": ["ctrl", "a"]})]),
        ("scroll", {"x": 500, "y": 500, "direction": "down"}, [("act", "scroll", {"x": 640, "y": 400, "direction": "down", "amount": 3})]),
        ("scroll", {"x": 500, "y": 500, "direction": "up", "magnitude_in_wheel_clicks": 7}, [
            ("act", "scroll", {"x": 640, "y": 400, "direction": "up", "amount": 7}),
        ]),
        ("scroll_document", {"direction": "left"}, [("act", "scroll", {"x": 640, "y": 400, "direction": "left", "amount": 9})]),
        ("scroll_at", {"x": 0, "y": 0, "direction": "down"}, [("act", "scroll", {"x": 0, "y": 0, "direction": "down", "amount": 6})]),
        ("take_screenshot", {}, [("look", "screenshot", {})]),
        ("go_forward", {}, [("act", "key_combo", {"keys": ["alt", "right"]})]),
        ("go_back", {}, [("act", "go_back", {})]),
        ("navigate", {"url": "https://a.test"}, [("act", "open_url", {"url": "https://a.test"})]),
        ("finish", {"passed": True}, [("tool", "finish", {"passed": True})]),
    ],
)  # fmt: skip
def test_every_function_of_both_sets(name: str, args: Any, expected: Any) -> None:
    wanted = read(name, {**args, "intent": "so"})
    assert [(one.kind, one.name, one.params) for one in wanted] == expected
    assert [one.last for one in wanted] == [False] * (len(wanted) - 1) + [True]
    assert {one.text for one in wanted} == {"so"}


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("click", {"x": 1200, "y": 5}, "outside"),
        ("click", {"x": "5", "y": 5}, "numbers"),
        ("click", {}, "numbers"),
        ("click", {"x": True, "y": 5}, "numbers"),
        ("click", {"x": 10**400, "y": 5}, "outside"),
        ("type", {}, "text"),
        ("mouse_down", {"x": 1, "y": 1}, "held down"),
        ("key_down", {"key": "a"}, "held down"),
        ("search", {}, "navigate"),
        ("juggle", {}, "no tool named"),
        ("", {}, "no tool named"),
        (None, {}, "no tool named"),
        ("scroll", {"direction": "in"}, "direction"),
        ("scroll", {"direction": "up", "magnitude_in_pixels": 10**400}, "number"),
        ("scroll", {"direction": "up", "magnitude": -1}, "number"),
        ("wait", {"seconds": 3600}, "60 seconds"),
        ("press_key", {}, "Name the key"),
        ("hotkey", {"keys": [1]}, "Name the key"),
        ("press_key", {"key": "Hyper"}, "no key named"),
        ("navigate", {}, "url"),
        ("take_screenshot", {"safety_decision": {"decision": "x"}}, "No person"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_so_is_told_to_the_model(name: Any, args: Any, words: str) -> None:
    [wanted] = read(name, args)
    assert wanted.kind == "bad"
    assert words in wanted.problem


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=3), one, max_size=3),
    max_leaves=5,
)
FIELDS = [
    "x", "y", "text", "direction", "magnitude", "magnitude_in_pixels", "keys", "key", "seconds", "start_x", "start_y", "end_x",
    "end_y", "safety_decision", "intent", "url", "press_enter",
]  # fmt: skip


@TRIED
@given(st.sampled_from(sorted(gemini_calls.READERS)), st.dictionaries(st.sampled_from(FIELDS), ANY))
def test_whatever_is_called_is_wanted_or_told(name: str, args: dict[str, Any]) -> None:
    wanted = read(name, args)
    assert wanted
    assert wanted[-1].last
    assert all(one.kind != "bad" or one.problem for one in wanted)
    if args.get("safety_decision") not in (None, *gemini_calls.AGREED):
        assert all(one.kind == "bad" for one in wanted) or [bool(one.checks) for one in wanted].count(True) == 1


async def test_a_compound_function_is_several_actions_and_one_response(emulator: Emulator) -> None:
    from tests.emulator.gemini import signature

    call = {"functionCall": {"id": "1", "name": "type", "args": {"text": "a", "press_enter": True, "intent": "i"}}}
    raw = {
        "content": {"role": "model", "parts": [{**call, "thoughtSignature": signature([call])}]},
        "finishReason": "STOP",
    }
    conversation = talk(emulator, story(emulator, Turn(raw=raw), TEN[-1]))
    thought = await conversation.think()
    assert [(one.name, one.last) for one in thought.wanted] == [("type_text", False), ("key_press", True)]
    conversation.answer(thought, failed=(1,))
    await conversation.think()
    [part] = emulator.bodies[-1].json["contents"][2]["parts"]
    assert part["functionResponse"]["response"] == {"error": "not executed: a person said no"}
    assert emulator.refused == []


# --- Safety checks ---

CHECKED = Turn(
    [("click", {"x": 640, "y": 400}), ("wait", {"ms": 1000})],
    checks=[{"id": "", "code": "require_confirmation", "message": "A payment."}],
)


async def test_a_safety_decision_is_for_people_and_acknowledged_when_they_agreed(emulator: Emulator) -> None:
    conversation = talk(emulator, story(emulator, CHECKED, TEN[-1]))
    thought = await conversation.think()
    [check_, none] = [one.checks for one in thought.wanted]
    assert (check_[0].code, check_[0].message, none) == ("require_confirmation", "A payment.", ())
    assert "safety_decision" not in thought.wanted[0].params
    conversation.answer(thought, acknowledged=True)
    assert (await conversation.think()).wanted[0].name == "finish"
    one, two = [part["functionResponse"]["response"] for part in emulator.bodies[-1].json["contents"][2]["parts"]]
    assert one == {"output": "Done.", "safety_acknowledgement": True}
    assert two == {"output": "Done."}


@pytest.mark.parametrize("failed", [(0, 1), ()])
async def test_what_nobody_agreed_to_is_never_acknowledged(emulator: Emulator, failed: tuple[int, ...]) -> None:
    conversation = talk(emulator, story(emulator, CHECKED, TEN[-1]))
    conversation.answer(await conversation.think(), failed=failed)
    assert (await conversation.think()).wanted[0].name == "finish"
    response = emulator.bodies[-1].json["contents"][2]["parts"][0]["functionResponse"]["response"]
    assert list(response) == ["error"]
    assert emulator.refused == []


@pytest.mark.parametrize(
    "decision", ["require_confirmation", {"decision": "block"}, {}, {"decision": "new word"}, ["x"], 7]
)
def test_whatever_is_not_plainly_allowed_is_asked(decision: Any) -> None:
    [wanted] = read("click", {"x": 1, "y": 1, "safety_decision": decision})
    assert len(wanted.checks) == 1
    [allowed] = read("click", {"x": 1, "y": 1, "safety_decision": {"decision": "regular"}})
    assert allowed.checks == ()


# --- Ends ---


async def end_of(emulator: Emulator, *turns: Turn) -> tuple[Thought, Conversation]:
    conversation = talk(emulator, story(emulator, *turns, Turn(text="Afterwards.")))
    return await conversation.think(), conversation


async def test_an_answer_that_was_cut_is_not_to_run(emulator: Emulator) -> None:
    turn = Turn([("click", {"x": 640, "y": 400})], text="Now.", fault=Fault(stop="cut"))
    thought, conversation = await end_of(emulator, turn)
    assert (thought.end, thought.wanted, thought.items) == ("cut", (), ())
    assert thought.usage.output == 50
    conversation.options = {"longer": True}
    again = await conversation.think()
    assert (again.end, len(again.wanted)) == ("calls", 1)


async def test_a_call_that_the_vendor_could_not_read_is_told_and_made_again(emulator: Emulator) -> None:
    turn = Turn([("click", {"x": 640, "y": 400})], fault=Fault(stop="malformed"))
    thought, conversation = await end_of(emulator, turn)
    assert (thought.end, thought.wanted[0].kind, thought.items) == ("calls", "bad", ())
    conversation.answer(thought)
    again = await conversation.think()
    assert again.wanted[0].params == {"x": 640, "y": 400}
    assert "could not be read" in json.dumps(emulator.bodies[-1].json["contents"][-1])
    assert emulator.refused == []


async def test_a_conversation_that_cannot_go_on(emulator: Emulator) -> None:
    thought, _ = await end_of(emulator, Turn(stop="full"))
    assert (thought.end, thought.items, thought.notes) == ("full", (), ())
    thought, _ = await end_of(emulator, Turn(stop="unsigned"))
    assert (thought.end, thought.items, thought.notes) == ("full", (), (LOST,))


async def test_a_signature_that_was_lost_begins_a_new_conversation(emulator: Emulator) -> None:
    conversation = talk(emulator)
    conversation.answer(await conversation.think())
    conversation.log[1]["parts"][-1].pop("thoughtSignature")
    thought = await conversation.think()
    assert (thought.end, thought.notes) == ("full", (LOST,))


@pytest.mark.parametrize(
    ("turn", "category"),
    [
        (Turn(text="This is a weapon.", stop="refusal"), "SAFETY"), (Turn(stop="blocked"), "PROHIBITED_CONTENT"),
        *((Turn(raw={"finishReason": reason}), reason) for reason in ("MODEL_ARMOR", "BLOCKLIST", "SPII", "RECITATION", "IMAGE_SAFETY")),
    ],
)  # fmt: skip
async def test_a_refusal_is_told_with_its_category_and_what_it_cost(
    emulator: Emulator, turn: Turn, category: str
) -> None:
    with pytest.raises(ModelRefused) as refused:
        await end_of(emulator, turn)
    assert refused.value.category == category
    assert (turn.text or category) in refused.value.why
    assert refused.value.record
    assert refused.value.record.usage.input == 130


async def test_an_end_without_a_reason_is_a_busy_model(emulator: Emulator) -> None:
    with pytest.raises(ModelBusy, match="without a reason"):
        await end_of(emulator, Turn(raw={"finishReason": "OTHER"}))


# --- Bad days ---


@pytest.mark.parametrize(
    ("fault", "kind", "why"),
    [
        (Fault(status=400), ModelMisconfigured, "not accepted"),
        (
            Fault(status=400, message="API key not valid. Please pass a valid API key."),
            ModelMisconfigured,
            "key of eye was refused",
        ),
        (Fault(status=401), ModelMisconfigured, "key of eye was refused"),
        (Fault(status=403), ModelMisconfigured, "may not be used"),
        (Fault(status=404), ModelMisconfigured, "no model “model-1”"),
        (Fault(status=302, headers={"location": "http://127.0.0.1:9/"}), ModelMisconfigured, "leads to another"),
        (Fault(status=408), ModelBusy, "cannot answer now"),
        (Fault(status=429, headers={"retry-after": "3600"}), ModelBusy, "overloaded"),
        (Fault(status=500), ModelBusy, "cannot answer now"),
        (Fault(status=503), ModelBusy, "cannot answer now"),
        (Fault(cut=True), ModelBusy, "broke off"),
        (Fault(half=True), ModelBusy, "broke off|could not be read"),
    ],
    ids=lambda value: str(getattr(value, "status", "") or "") or None,
)
async def test_a_bad_day_has_one_clear_outcome_and_one_request(
    emulator: Emulator, fault: Fault, kind: type[ModelProblem], why: str
) -> None:
    turn = Turn([("click", {"x": 640, "y": 400})], text="Once upon a time", fault=fault)
    conversation = talk(emulator, story(emulator, turn))
    params = await one_outcome(emulator, "gemini", conversation, fault, kind, why)
    assert params == {"x": 640, "y": 400}


async def test_the_wait_that_the_vendor_names_in_its_words(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.emulator import gemini as emulated

    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}
    monkeypatch.setattr(
        emulated,
        "error",
        lambda status, message: {"error": {"code": status, "message": message, "details": [{}, info]}},
    )
    with pytest.raises(ModelBusy) as busy:
        await end_of(emulator, Turn(fault=Fault(status=429)))
    assert busy.value.retry_after == 34.5


async def test_an_error_in_the_middle_of_a_stream(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.emulator import gemini as emulated

    first, body = next(emulated.events(WHOLE)), json.dumps(emulated.error(503, "The model is overloaded."))
    monkeypatch.setattr(emulated, "events", lambda whole: [first, f"data: {body}\r\n\r\n".encode()])
    with pytest.raises(ModelBusy):
        await talk(emulator).think()


WHOLE = {
    "modelVersion": "m", "responseId": "r",
    "candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": "x"}]}, "finishReason": "STOP"}],
}  # fmt: skip


async def test_a_web_page_is_no_model() -> None:
    async with web_page() as address:
        wire = GeminiWire(Spec("eye", "gemini", "model-1", base_url=address, key=KEY))
        with pytest.raises(ModelMisconfigured, match="text/html"):
            await Conversation(lambda: wire, "x").think()


async def test_fields_that_the_sdk_does_not_know_yet(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.emulator import gemini as emulated

    part = {"text": "x", "colour": "red"}
    chunk = {"responseId": "r", "candidates": [{"content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}]}
    monkeypatch.setattr(emulated, "events", lambda whole: [f"data: {json.dumps(chunk)}\r\n\r\n".encode()])
    thought = await talk(emulator).think()
    assert thought.text == "x"


async def test_a_server_that_is_not_there() -> None:
    wire = GeminiWire(Spec("eye", "gemini", "model-1", base_url="http://127.0.0.1:9", key=KEY))
    with pytest.raises(ModelBusy, match="could not be reached"):
        await Conversation(lambda: wire, "x").think()


async def test_a_model_that_hangs_is_left_within_two_seconds_and_its_server_sees_it(emulator: Emulator) -> None:
    task = story(emulator, Turn(text="Never.", fault=Fault(hang=True)))
    await left_while_it_hangs(emulator, "gemini", talk(emulator, task))


async def test_silence_is_a_busy_model(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    from inference.wires import transport

    monkeypatch.setattr(transport, "SILENT_SECONDS", 0.3)
    task = story(emulator, Turn(text="Never.", fault=Fault(hang=True, times=0)))
    with pytest.raises(ModelBusy, match="silent for too long"):
        await talk(emulator, task).think()
    monkeypatch.setattr(transport, "SILENT_SECONDS", 60.0)
    conversation = talk(emulator, task)
    wire = GeminiWire(spec(emulator, "gemini"))
    await wire._ready()  # the import alone may take longer
    monkeypatch.setattr(transport, "WHOLE_SECONDS", 0.3)
    conversation.make = lambda: wire
    with pytest.raises(ModelBusy, match="silent for too long"):
        await conversation.think()


async def test_a_key_that_was_revoked_and_one_that_is_quoted(emulator: Emulator) -> None:
    conversation = talk(emulator)
    conversation.answer(await conversation.think())
    emulator.keys = {"another"}
    with pytest.raises(ModelMisconfigured, match="key of eye was refused"):
        await conversation.think()
    emulator.keys = None
    said = Fault(status=401, message=f"Incorrect key {KEY}.")
    with pytest.raises(ModelMisconfigured) as refused:
        await end_of(emulator, Turn(text="x", fault=said))
    assert refused.value.why == "The key of eye was refused (401): Incorrect key [key]."


async def test_nothing_is_left_of_a_wire_that_was_closed(emulator: Emulator) -> None:
    await talk(emulator).think()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("gemini-")]


def test_no_key_and_no_sdk_are_told_before_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    from inference.wires import transport

    with pytest.raises(ModelMisconfigured, match="has no key"):
        GeminiWire(Spec("eye", "gemini", "m"))

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name="google")

    for find in (lambda name: None, missing):
        monkeypatch.setattr(transport, "find_spec", find)
        with pytest.raises(ModelMisconfigured, match="make models"):
            GeminiWire(Spec("eye", "gemini", "m", key=KEY))


async def test_proxies_of_the_environment_are_not_used_unless_the_profile_says_so(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    await talk(emulator).think()
    with pytest.raises(ModelBusy):
        await talk(emulator, proxy=True).think()


# --- The emulator's rules bite ---


def _unanswered(body: Any) -> None:
    body["contents"][4]["parts"].pop()


def _another_order(body: Any) -> None:
    body["contents"][4]["parts"].reverse()


def _no_id(body: Any) -> None:
    del body["contents"][4]["parts"][0]["functionResponse"]["id"]


def _unsigned(body: Any) -> None:
    del next(part for part in body["contents"][1]["parts"] if "functionCall" in part)["thoughtSignature"]


def _changed_call(body: Any) -> None:
    next(part for part in body["contents"][1]["parts"] if "functionCall" in part)["functionCall"]["args"]["x"] = 3


def _untrue_acknowledgement(body: Any) -> None:
    body["contents"][4]["parts"][0]["functionResponse"]["response"]["safety_acknowledgement"] = True


def _unacknowledged(body: Any) -> None:
    from tests.emulator.gemini import signature

    calls = [part for part in body["contents"][3]["parts"] if "functionCall" in part]
    calls[0]["functionCall"]["args"]["safety_decision"] = {"decision": "require_confirmation", "explanation": "x"}
    calls[0]["thoughtSignature"] = signature(calls)


def _words_between(body: Any) -> None:
    body["contents"].insert(4, {"role": "user", "parts": [{"text": "Wait."}]})


def _unknown_field(body: Any) -> None:
    body["contents"][0]["parts"][0]["colour"] = "red"


def _unknown_option(body: Any) -> None:
    body["generationConfig"]["colour"] = "red"


def _unknown_name(body: Any) -> None:
    body["store"] = 3


def _no_picture(body: Any) -> None:
    body["contents"][0]["parts"][1]["inlineData"]["data"] = "aGVsbG8="


def _no_policies(body: Any) -> None:
    body["tools"][0]["computerUse"]["disabledSafetyPolicies"] = ["FINANCIAL_TRANSACTIONS"]


def _unknown_function(body: Any) -> None:
    body["tools"][0]["computerUse"]["excludedPredefinedFunctions"].append("juggle")


def _twice_a_function(body: Any) -> None:
    body["tools"][1]["functionDeclarations"].append({"name": "click"})


def _last_is_the_model(body: Any) -> None:
    body["contents"].append({"role": "model", "parts": [{"text": "So."}]})


def _empty(body: Any) -> None:
    body["contents"][0]["parts"] = []


@pytest.mark.parametrize(
    "mutate",
    [
        _unanswered, _another_order, _no_id, _unsigned, _changed_call, _untrue_acknowledgement, _unacknowledged, _words_between,
        _unknown_field, _unknown_option, _unknown_name, _no_picture, _no_policies, _unknown_function, _twice_a_function,
        _last_is_the_model, _empty,
    ],
)  # fmt: skip
async def test_each_rule_of_the_vendor_bites(emulator: Emulator, mutate: Any) -> None:
    conversation = talk(emulator)
    for _ in range(2):
        conversation.answer(await conversation.think())
    await conversation.think()
    sent = emulator.bodies[-1].json
    check(copy.deepcopy(sent), emulator)
    changed = copy.deepcopy(sent)
    mutate(changed)
    with pytest.raises(BrokenRuleError):
        check(changed, emulator)


async def test_an_answer_that_was_not_asked_for_as_a_stream(emulator: Emulator) -> None:
    import httpx2
    from google import genai
    from google.genai import types

    async with httpx2.AsyncClient() as http:
        options = types.HttpOptions(base_url=emulator.url("gemini"), httpx_async_client=http)
        async with genai.Client(api_key=KEY, http_options=options).aio as client:
            answer = await client.models.generate_content(model="model-1", contents="Refund")
    assert answer.text == "This is what happened so far."


def test_a_picture_of_a_look_stands_with_its_own_call(emulator: Emulator) -> None:
    wire = GeminiWire(spec(emulator, "gemini"))
    wanted = Wanted("1", "look", "screenshot", extra={"function": "take_screenshot", "id": "1"})
    [item] = wire.results([Answer(wanted, True, "", "a"), Answer(Wanted("", "bad"), False, "Again.")], "b")
    response, words = item["parts"]
    assert response["functionResponse"]["parts"] == [{"inlineData": {"$img": "a"}}, {"inlineData": {"$img": "b"}}]
    assert words == {"text": "Again."}


def test_a_note_without_words_has_no_empty_text(emulator: Emulator) -> None:
    wire = GeminiWire(spec(emulator, "gemini"))
    assert wire.note("", "a") == [{"role": "user", "parts": [{"inlineData": {"$img": "a"}}]}]
