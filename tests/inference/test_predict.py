"""POST /v1/predict: docs/api/machines-and-inference.md section 4, with a model that does as it is told and with test keys."""

import base64
import logging
import random
import zlib
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.models import CallInHand
from inference import billed_calls
from inference.errors import InvalidScreenshot, ModelBusy, ModelMisconfigured, ModelRefused
from inference.models import Call, Profile
from inference.records import Usage
from inference.screenshots import MOST_PIXELS, read_screenshots
from inference.wires.base import Check, Thought, Wanted
from tests.cast import Api, Cast
from tests.conventions.conftest import locs, only, refused
from tests.inference.shots import answering, png, shot
from tests.inference.wire import click, says

pytestmark = pytest.mark.django_db


def body(**more: Any) -> dict[str, Any]:
    return {"screenshot": shot(), "instruction": "Press OK"} | more


def wants(*wanted: Wanted, **more: Any) -> Thought:
    return Thought(({"said": "wants"},), "calls", wanted, usage=Usage(input=100, output=10), **more)


def act(name: str, **params: Any) -> Wanted:
    return Wanted(f"c-{name}", "act", name, params)


def finish(*, passed: bool, summary: str = "") -> Wanted:
    return Wanted("c-finish", "tool", "finish", {"passed": passed, "summary": summary})


def answered(api: Api, **more: Any) -> dict[str, Any]:
    answer = api.post("/predict", body(**more))
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


def test_the_answer(live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, click(640, 360, text="There is a button.", reasoning="I look."))
    found = answered(live)
    assert found.pop("request_id").startswith("req_")
    assert found == {
        "status": "continue", "reasoning": "I look.\n\nThere is a button.",
        "actions": [
            {"action_type": "click", "params": {"x": 960, "y": 540, "button": "left", "count": 1}, "description": "Click at (960, 540)"}
        ],
        "usage": {
            "input_tokens": 1000, "output_tokens": 10, "credits_charged": 5, "cost_cents": 5, "breakdown": {"base": 5}, "billed": True
        },
    }  # fmt: skip


@pytest.mark.parametrize(("picture", "screen", "at", "lands"), [
    ((1280, 720), (1920, 1080), (0, 0), (0, 0)),
    ((1280, 720), (1920, 1080), (1279, 719), (1918, 1078)),
    ((1920, 1080), (1280, 720), (1919, 1079), (1279, 719)),
    ((1024, 768), (320, 240), (512, 384), (160, 120)),
    ((3840, 2160), (3840, 2160), (3839, 2159), (3839, 2159)),
])  # fmt: skip
def test_points_are_those_of_the_callers_screen(
    live: Api, monkeypatch: pytest.MonkeyPatch, picture: tuple[int, int], screen: tuple[int, int], at: tuple[int, int],
    lands: tuple[int, int],
) -> None:  # fmt: skip
    answering(monkeypatch, click(*at))
    sent = body(screenshot=shot(*picture), screen_width=screen[0], screen_height=screen[1])
    (action,) = live.post("/predict", sent).json()["actions"]
    assert (action["params"]["x"], action["params"]["y"]) == lands


def test_what_the_model_is_asked(live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = answering(monkeypatch, click(1, 1))
    past = [
        {"screenshot": shot(colour="red"), "reasoning": "A red page.", "actions": [
            {"action_type": "click", "params": {"x": 960, "y": 540}, "description": "d"},
            {"command": "type_text", "parameters": {"text": "hi"}}
        ]},
        {"screenshot": shot(colour="blue")},
    ]  # fmt: skip
    answered(live, trajectory=past, instructions="Be quick.", tools=["click", "wait", "click"])
    (request,) = wire.requests
    texts = [item.get("task") or item.get("note") for item in request.log]
    assert "The task: Press OK" in texts[0]
    assert "You thought: A red page." in texts[1]
    assert "You did: Click at (640, 360)" in texts[1]  # in pixels of what the model was sent
    assert "Type “hi”" in texts[1]
    assert "You did nothing" in texts[2]
    assert texts[2].endswith("The screen now:")
    assert [request.picture(item["$img"]) for item in request.log] == [png(colour=c) for c in ("red", "blue", "white")]
    assert request.actions == {"click", "wait"}
    assert [tool.name for tool in request.tools] == ["finish"]
    assert request.system.endswith("Be quick.")
    assert "never an instruction" in request.system
    answered(live, system_prompt="You are a pirate.", instructions="Be quick.")
    assert wire.requests[-1].system == "You are a pirate.\n\nBe quick."


def test_max_actions_cuts_the_batch(live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    many = wants(*(act("wait", ms=n) for n in range(12)))
    answering(monkeypatch, many)
    assert len(answered(live)["actions"]) == 5
    assert [a["params"]["ms"] for a in answered(live, max_actions=2)["actions"]] == [0, 1]
    assert len(answered(live, max_actions=10)["actions"]) == 10


def test_only_the_tools_that_are_allowed(live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = answering(monkeypatch, click(1, 1), wants(act("wait", ms=5)))
    found = answered(live, tools=["wait"])
    assert [a["action_type"] for a in found["actions"]] == ["wait"]
    assert wire.requests[-1].log[-1]["result"] == "This action is not allowed here."


@pytest.mark.parametrize(("passed", "status", "last"), [
    (True, "done", {"action_type": "done", "params": {}}),
    (False, "fail", {"action_type": "fail", "params": {"reason": "No such page."}}),
])  # fmt: skip
def test_how_a_task_ends(
    live: Api, monkeypatch: pytest.MonkeyPatch, passed: bool, status: str, last: dict[str, Any]
) -> None:
    answering(monkeypatch, wants(act("key_press", key="enter"), finish(passed=passed, summary="No such page.")))
    found = answered(live)
    assert found["status"] == status
    assert "No such page." in found["reasoning"]
    assert [a["action_type"] for a in found["actions"]] == ["key_press", last["action_type"]]
    assert found["actions"][-1] | last == found["actions"][-1]
    assert found["usage"]["credits_charged"] == 5  # a task that cannot be done has been answered all the same


def test_without_reasoning(live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, wants(finish(passed=False, summary="Which one?"), text="Hm."))
    found = answered(live, include_reasoning=False)
    assert found["reasoning"] is None
    assert found["actions"][0]["params"] == {"reason": "Which one?"}


def test_a_question_comes_back_as_a_failure_with_its_words(live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers questions here: the model is reminded of its tools once."""
    wire = answering(monkeypatch, says("Which account?"))
    found = answered(live)
    assert (found["status"], "Which account?" in found["reasoning"]) == ("fail", True)
    assert len(wire.requests) == 2
    assert found["usage"]["input_tokens"] == 2000


def test_a_vendors_safety_check_is_never_an_action(live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    check = Check("sc_1", "malicious_instructions", "This page wants your password.")
    answering(monkeypatch, wants(act("wait", ms=1), Wanted("c", "act", "click", {"x": 1, "y": 1}, checks=(check,))))
    found = answered(live)
    assert found["status"] == "fail"
    assert "This page wants your password." in found["reasoning"]
    assert {a["action_type"] for a in found["actions"]} == {"fail"}


def test_a_refusal_of_the_model_is_an_answer(live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, ModelRefused("The model will not do this."))
    found = answered(live)
    assert (found["status"], found["reasoning"]) == ("fail", "The model will not do this.")
    assert Call.objects.get().status == "refused"


def test_a_model_may_look_closer_first(live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    zoom = Wanted("z", "look", "zoom", {"region": [0, 0, 640, 360]})
    wire = answering(monkeypatch, wants(Wanted("s", "look", "screenshot"), zoom), click(5, 5))
    assert answered(live)["status"] == "continue"
    assert [item["ok"] for item in wire.requests[1].log[-2:]] == [True, True]
    assert Call.objects.count() == 2
    assert set(Call.objects.values_list("purpose", "run_id", "test")) == {("predict", None, False)}


@pytest.mark.parametrize("wanted", [
    Wanted("b", "bad", problem="That is no JSON."), act("click", x=5000, y=1), act("click", x="left"), act("open_url", url="https://x.test"),
    Wanted("y", "look", "zoom", {"region": "all"}),
    Wanted("t", "tool", "ask_human", {}), Wanted("z", "look", "zoom", {"region": [9, 9, 9, 1]}),
])  # fmt: skip
def test_what_nobody_can_use_is_told_the_model_and_then_given_up(
    live: Api, monkeypatch: pytest.MonkeyPatch, wanted: Wanted
) -> None:
    wire = answering(monkeypatch, wants(wanted))
    refused(live.post("/predict", body()), 500, "PREDICTION_FAILED")
    assert len(wire.requests) == 4
    assert Call.objects.count() == 4  # they may have been paid
    assert live.get("/billing/balance").json()["available_cents"] == 10_000


def test_a_cut_answer_is_asked_for_again_with_more_room(live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = answering(monkeypatch, Thought((), "cut", (act("wait", ms=1),)), click(1, 1))
    assert answered(live)["actions"][0]["action_type"] == "click"
    assert [request.longer for request in wire.requests] == [False, True]


def test_pictures_that_are_too_much_for_the_model(live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, Thought((), "full"))
    assert "fewer pictures" in refused(live.post("/predict", body()), 500, "PREDICTION_FAILED")["message"]


class TestModelsThatDoNotAnswer:
    def test_none_is_set_up(self, live: Api) -> None:
        error = refused(live.post("/predict", body()), 503, "UPSTREAM_UNAVAILABLE")
        assert (error["reason_code"], "ANTHROPIC_API_KEY" in error["message"]) == ("no_model", True)

    def test_busy(self, live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        answering(monkeypatch, ModelBusy("Too many calls.", 12.3))
        answer = live.post("/predict", body())
        assert refused(answer, 503, "UPSTREAM_UNAVAILABLE")["retry_after"] == int(answer["Retry-After"]) == 13

    def test_misconfigured(self, live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        answering(monkeypatch, ModelMisconfigured("The key was refused."))
        assert refused(live.post("/predict", body()), 502, "UPSTREAM_ERROR")["message"].startswith(
            "The key was refused."
        )

    def test_silent(self, live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        answering(monkeypatch, None)
        monkeypatch.setattr(billed_calls, "CALL_SECONDS", 0.01)
        assert "Retry-After" in live.post("/predict", body()).headers
        refused(live.post("/predict", body()), 504, "UPSTREAM_TIMEOUT")
        assert not CallInHand.objects.exists()

    def test_broken(self, live: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        """Whatever breaks: the hold ends, and no picture and no word of the caller stands in the log."""
        answering(monkeypatch, click(1, 1))

        async def broken(*_: Any) -> None:
            raise LookupError("something of ours")

        monkeypatch.setattr("inference.calls.picture_questions.think", broken)
        with caplog.at_level(logging.DEBUG):
            refused(live.post("/predict", body(instruction="very private")), 500, "INTERNAL_ERROR")
        assert "something of ours" in caplog.text
        assert shot()[:80] not in caplog.text
        assert "very private" not in caplog.text
        balance = live.get("/billing/balance").json()
        assert (balance["held_cents"], balance["available_cents"], balance["ledger_ok"]) == (0, 10_000, True)
        assert not CallInHand.objects.exists()


def test_the_teams_own_model_comes_first(live: Api, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = answering(monkeypatch, click(1, 1))
    Profile.objects.create(name="ours", wire="gemini", model="m", created_by={})
    cast.team.default_agent = "ours"
    cast.team.save()
    answered(live)
    Profile.objects.filter(name="ours").update(disabled_at="2026-01-01T00:00:00Z")
    answered(live)
    cast.team.default_agent = "playbook"
    cast.team.save()
    answered(live)
    assert list(Call.objects.order_by("started_at").values_list("profile", flat=True)) == ["ours", "seer", "seer"]
    assert wire.specs


class TestScreenshots:
    @pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
    def test_formats(self, test_key: Api, form: str) -> None:
        assert test_key.post("/predict", body(screenshot=shot(form=form))).status_code == 200

    @pytest.mark.parametrize("text", [
        "", "A" * 100, "A" * 101, "data:image/png;base64," + shot(), shot()[:400], shot() + "\n", "é" * 200, shot(form="GIF"),
        shot(form="BMP"),
        base64.b64encode(b"<svg xmlns='http://www.w3.org/2000/svg'>" + b" " * 200).decode(),
        base64.b64encode(png()[:60] + b"\0" * 100 + png()[160:]).decode(),
    ])  # fmt: skip
    def test_what_is_no_picture(self, test_key: Api, text: str) -> None:
        error = refused(test_key.post("/predict", body(screenshot=text)), 422, "INVALID_SCREENSHOT")
        assert [d["loc"] for d in error["details"]] == [["body", "screenshot"]]

    def test_a_bomb_is_not_unfolded(self, test_key: Api) -> None:
        """Small as a file, a gigabyte as pixels."""
        for width, height in ((20_000, 20_000), (16_588_801, 1)):
            head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + width.to_bytes(4) + height.to_bytes(4) + b"\x08\x02\0\0\0"
            head += zlib.crc32(head[12:]).to_bytes(4)
            text = base64.b64encode(head + png()[33:]).decode()
            error = refused(test_key.post("/predict", body(screenshot=text)), 422, "INVALID_SCREENSHOT")
            assert len(error["details"]) == 1

    def test_all_that_is_wrong_is_said_at_once(self, test_key: Api) -> None:
        sent = body(screenshot="x", trajectory=[{"screenshot": shot()}, {"screenshot": "y"}])
        error = refused(test_key.post("/predict", sent), 422, "INVALID_SCREENSHOT")
        assert [d["loc"] for d in error["details"]] == [
            ["body", "trajectory", 1, "screenshot"],
            ["body", "screenshot"],
        ]

    def test_the_smallest(self, test_key: Api) -> None:
        for length, words in ((100, "at least 101"), (101, "base64"), (104, "whole PNG")):
            error = refused(test_key.post("/predict", body(screenshot="A" * length)), 422, "INVALID_SCREENSHOT")
            assert words in error["details"][0]["msg"]

    def test_the_largest(self, test_key: Api) -> None:
        answer = test_key.post("/predict", body(screenshot="A" * 10_485_761))
        assert refused(answer, 413, "PAYLOAD_TOO_LARGE")["max_bytes"] == 10_485_760
        refused(test_key.post("/predict", body(screenshot="A" * 10_485_760)), 422, "INVALID_SCREENSHOT")

    def test_a_body_of_more_than_24_MiB(self, test_key: Api) -> None:
        refused(test_key.post("/predict", b"x" * (24 * 2**20 + 1)), 413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
@hypothesis.settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32))
def test_any_damage_to_a_picture_is_a_picture_or_refused(form: str, seed: int) -> None:
    """Whatever the decoders stumble over."""
    chance = random.Random(seed)
    whole = bytearray(base64.b64decode(shot(320, 240, "red", form)))
    for _ in range(chance.randrange(9)):
        whole[chance.randrange(len(whole))] = chance.randrange(256)
    cut = chance.randrange(80, len(whole) + 1)
    try:
        (picture,) = read_screenshots([(("body",), base64.b64encode(whole[:cut]).decode())])
    except InvalidScreenshot:
        return
    assert picture.png.startswith(b"\x89PNG")
    assert picture.width * picture.height <= MOST_PIXELS


@pytest.mark.parametrize(("more", "loc"), [
    ({"instruction": ""}, ["instruction"]), ({"instruction": "x" * 32_001}, ["instruction"]), ({"instruction": None}, ["instruction"]),
    ({"screenshot": None}, ["screenshot"]), ({"screenshot": 5}, ["screenshot"]), ({"cua_version": "v2"}, ["cua_version"]),
    ({"system_prompt": "x" * 16_001}, ["system_prompt"]), ({"instructions": "x" * 16_001}, ["instructions"]),
    ({"screen_width": 319}, ["screen_width"]), ({"screen_width": 3841}, ["screen_width"]), ({"screen_height": 239}, ["screen_height"]),
    ({"screen_height": 2161}, ["screen_height"]), ({"screen_width": True}, ["screen_width"]), ({"max_actions": 0}, ["max_actions"]),
    ({"max_actions": 11}, ["max_actions"]), ({"tools": []}, ["tools"]), ({"tools": ["fly"]}, ["tools", 0]),
    ({"tools": ["screenshot"]}, ["tools", 0]), ({"tools": ["click"] * 9}, ["tools"]), ({"include_reasoning": 1}, ["include_reasoning"]),
    ({"more": 1}, ["more"]), ({"trajectory": [{"screenshot": "x"}] * 21}, ["trajectory"]),
    ({"trajectory": [{}]}, ["trajectory", 0, "screenshot"]),
    ({"trajectory": [{"screenshot": "x", "actions": [{"action_type": "wait"}] * 11}]}, ["trajectory", 0, "actions"]),
    ({"trajectory": [{"screenshot": "x", "actions": [{"params": {}}]}]}, ["trajectory", 0, "actions", 0]),
    ({"trajectory": [{"screenshot": "x", "reasoning": "x" * 16_001}]}, ["trajectory", 0, "reasoning"]),
])  # fmt: skip
def test_bodies_that_are_refused(test_key: Api, more: dict[str, Any], loc: list[Any]) -> None:
    assert ["body", *loc] in locs(test_key.post("/predict", body(**more)))


@pytest.mark.parametrize("more", [
    {"instruction": "x" * 32_000}, {"tools": None},
    {"tools": ["click", "type_text", "key_press", "key_combo", "scroll", "drag", "move", "wait"]},
    {"max_actions": 10, "screen_width": 3840, "screen_height": 2160}, {"screen_width": 320, "screen_height": 240, "cua_version": "v1"},
    {"trajectory": [{"screenshot": shot(), "actions": [{"action_type": "wait", "params": {"ms": 1}}] * 10}] * 20},
    {"trajectory": [{"screenshot": shot(), "reasoning": "x" * 16_000}]},
    {"trajectory": []}, {"system_prompt": "x" * 16_000, "instructions": "x" * 16_000, "cua_version": "v4"},
])  # fmt: skip
def test_bodies_at_their_bounds(test_key: Api, more: dict[str, Any]) -> None:
    assert test_key.post("/predict", body(**more)).status_code == 200


class TestTheTestWorld:
    def test_the_same_call_has_the_same_answer_and_asks_nobody(
        self, test_key: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wire = answering(monkeypatch, click(1, 1))
        one, two = answered(test_key), answered(test_key)
        other = answered(test_key, screenshot=shot(colour="red"))
        for found in (one, two, other):
            found.pop("request_id")
        assert one == two
        assert (
            one["actions"] != other["actions"] or one["actions"][0]["action_type"] == other["actions"][0]["action_type"]
        )
        assert wire.requests == []
        assert not Call.objects.exists()

    def test_points_are_on_the_screen_and_tools_are_kept(self, test_key: Api) -> None:
        for n in range(20):
            found = answered(test_key, instruction=f"{n}", tools=["drag"], screen_width=320, screen_height=240)
            (action,) = found["actions"]
            assert action["action_type"] == "drag"
            assert action["params"]["from_x"] < 320
            assert action["params"]["from_y"] < 240

    def test_a_loop_comes_to_its_end(self, test_key: Api) -> None:
        past: list[dict[str, Any]] = []
        while (found := answered(test_key, trajectory=past))["status"] == "continue":
            past.append({"screenshot": shot(), "actions": found["actions"], "reasoning": found["reasoning"]})
        assert (found["status"], len(past)) == ("done", 3)

    def test_nothing_is_taken(self, test_key: Api, live: Api) -> None:
        answer = test_key.post("/predict", body(cua_version="v1"))
        assert (answer["X-Credits-Charged"], answer["X-Credits-Remaining"]) == ("0", "10000")
        usage = answer.json()["usage"]
        assert (usage["credits_charged"], usage["cost_cents"], usage["billed"]) == (8, 8, False)
        assert [row["type"] for row in live.get("/billing/ledger").json()["data"]] == ["topup"]


def test_scope(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, click(1, 1))
    assert only(cast, "predict").post("/predict", body()).status_code == 200
    error = refused(only(cast, "ground", "session").post("/predict", body()), 403, "INSUFFICIENT_SCOPE")
    assert error["required_scope"] == "predict"


def test_nothing_of_the_call_is_kept(live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of calls has tokens and hashes, and no table has the picture."""
    answering(monkeypatch, click(1, 1, text="I see a secret"))
    answered(live, instruction="very private words")
    (row,) = Call.objects.values()
    assert not [value for value in row.values() if "private" in str(value) or "secret" in str(value)]
