"""The inference routes over the real wires, with the vendors' SDKs, against the emulator: it refuses what a vendor would refuse."""

import importlib.util
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpResponse

from database.sealing import seal
from inference import billed_calls
from inference.calls import calling
from inference.models import Call, Profile
from tests.cast import Api
from tests.conventions.conftest import refused
from tests.emulator.server import Emulator, in_thread
from tests.emulator.story import Fault, Turn
from tests.inference.shots import profile, shot

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
WIRES = {"anthropic": "anthropic", "openai": "openai", "compatible": "openai", "gemini": "google.genai"}
MODULES = {"anthropic": "anthropic", "openai": "responses", "compatible": "chat", "gemini": "gemini"}
STORIES = {
    "one": [Turn([("click", {"x": 640, "y": 360})], text="There it is.")],
    "outside": [Turn([("click", {"x": 5000, "y": 360})])] * 4,
    "looks": [Turn([("screenshot", {})]), Turn([("click", {"x": 100, "y": 50})])],
    "three": [
        Turn([("click", {"x": 1, "y": 2}), ("type_text", {"text": "ada"})]), Turn([("key_press", {"key": "enter"})]),
        Turn([("finish", {"passed": True, "summary": "Signed in."})]), Turn([("click", {"x": 9, "y": 9})]),
    ],
    "words": [Turn(text="Which account?"), Turn(text="Which account, please?")],
    "absent": [Turn([("not_there", {"reason": "No disk."})])],
    "refused": [Turn(fault=Fault(status=401, times=0))],
    "busy": [Turn(fault=Fault(status=429, headers={"retry-after": "7"}, times=0))],
    "full": [Turn(stop="refusal", text="I will not.")],
    "400": [Turn(fault=Fault(status=400, times=0))], "403": [Turn(fault=Fault(status=403, times=0))],
    "404": [Turn(fault=Fault(status=404, times=0))], "529": [Turn(fault=Fault(status=529, times=0))],
    "503": [Turn(fault=Fault(status=503, times=0))], "cut": [Turn(fault=Fault(cut=True, times=0))],
    "half": [Turn(fault=Fault(half=True, times=0))], "hour": [Turn(fault=Fault(status=429, headers={"retry-after": "3600"}, times=0))],
    "long": [Turn([("click", {"x": 640, "y": 360})], stop="cut")], "hang": [Turn(fault=Fault(hang=True, times=0))],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _clients_end_with_their_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A web process has one event loop; the test client makes one for each call."""
    work = billed_calls._Running.run

    async def closing(*args: Any) -> HttpResponse:
        try:
            return await work(*args)
        finally:
            await calling.close()

    monkeypatch.setattr(billed_calls._Running, "run", closing)


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest, live: Api) -> Iterator[Emulator]:
    """A profile of this wire at the emulator."""
    name: str = request.param
    try:
        there = importlib.util.find_spec(WIRES[name]) and importlib.util.find_spec(f"inference.wires.{MODULES[name]}")
    except ModuleNotFoundError:
        there = None
    if not there:
        pytest.skip(f"the SDK of {name} is not installed")
    with in_thread(Emulator(STORIES, default="one")) as emulator:
        profile(f"real-{name}", wire=name, model="model-1", base_url=emulator.url(name), key=seal("sk-test-0123456789"))
        yield emulator


def body(story: str, **more: Any) -> dict[str, Any]:
    return {
        "screenshot": shot(),
        "instruction": f"Do it story:{story}",
        "screen_width": 1280,
        "screen_height": 720,
    } | more


def actions(found: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(action["action_type"], action["params"]) for action in found["actions"]]


CLICK = {"button": "left", "count": 1}


def test_a_prediction(live: Api, wire: Emulator) -> None:
    past = [
        {"screenshot": shot(colour="red"), "actions": [{"action_type": "click", "params": {"x": 3, "y": 3}}]},
        {"screenshot": shot(colour="blue")},
    ]
    answer = live.post("/predict", body("one", trajectory=past))
    assert answer.status_code == 200, answer.content
    assert actions(answer.json()) == [("click", {"x": 640, "y": 360} | CLICK)]
    assert answer.json()["reasoning"].endswith("There it is.")
    assert answer.json()["usage"]["input_tokens"] > 0
    assert answer["X-Credits-Charged"] == "9"


def test_earlier_points_are_counted_as_this_model_counts(live: Api, wire: Emulator) -> None:
    middle = {"action_type": "click", "params": {"x": 640, "y": 360}}
    answer = live.post("/predict", body("one", trajectory=[{"screenshot": shot(), "actions": [middle]}]))
    assert answer.status_code == 200, answer.content
    place = {"compatible": "(500, 500)", "gemini": "(500, 500)"}.get(Profile.objects.get().wire, "(640, 360)")
    assert f"Click at {place}" in json.dumps(wire.bodies[-1], default=repr)


def test_a_screen_that_did_not_change_may_be_shown_twice(live: Api, wire: Emulator) -> None:
    answer = live.post("/predict", body("one", trajectory=[{"screenshot": shot(), "actions": []}] * 2))
    assert answer.status_code == 200, answer.content


def test_a_model_that_looks_first(live: Api, wire: Emulator) -> None:
    answer = live.post("/predict", body("looks"))
    assert answer.status_code == 200, answer.content
    assert actions(answer.json()) == [("click", {"x": 100, "y": 50} | CLICK)]
    assert Call.objects.count() == 2


def test_only_some_actions(live: Api, wire: Emulator) -> None:
    answer = live.post("/predict", body("one", tools=["click", "wait"]))
    assert answer.status_code == 200, answer.content
    refused(live.post("/predict", body("outside")), 500, "PREDICTION_FAILED")


def test_a_session_to_its_end_and_beyond(live: Api, wire: Emulator) -> None:
    terms = {"screen_width": 1280, "screen_height": 720, "max_trajectory_length": 20}
    session = live.post("/sessions", terms).json()["session_id"]
    seen = []
    for _ in range(4):
        answer = live.post(f"/sessions/{session}/predict", {"screenshot": shot(), "instruction": "Go on story:three"})
        assert answer.status_code == 200, answer.content
        seen.append((answer.json()["status"], actions(answer.json())))
    assert seen == [
        ("continue", [("click", {"x": 1, "y": 2} | CLICK), ("type_text", {"text": "ada"})]),
        ("continue", [("key_press", {"key": "enter"})]), ("done", [("done", {})]),
        ("continue", [("click", {"x": 9, "y": 9} | CLICK)]),
    ]  # fmt: skip


def test_words_alone(live: Api, wire: Emulator) -> None:
    answer = live.post("/predict", body("words"))
    assert answer.status_code == 200, answer.content
    assert answer.json()["status"] == "fail"
    assert answer.json()["reasoning"].endswith("Which account, please?")


def test_grounding(live: Api, wire: Emulator) -> None:
    sent = {
        "screenshot": shot(),
        "element": "the icon of a disk story:one",
        "screen_width": 1920,
        "screen_height": 1080,
    }
    answer = live.post("/ground", sent)
    assert answer.status_code == 200, answer.content
    assert (answer.json()["x"], answer.json()["y"]) == (960, 540)
    error = refused(live.post("/ground", sent | {"element": "the icon story:absent"}), 500, "GROUNDING_FAILED")
    assert "No disk." in error["message"]


def test_bad_days(live: Api, wire: Emulator) -> None:
    assert live.post("/predict", body("full")).json()["status"] == "fail"
    refused(live.post("/predict", body("refused")), 502, "UPSTREAM_ERROR")
    assert refused(live.post("/predict", body("busy")), 503, "UPSTREAM_UNAVAILABLE")["retry_after"] == 7
    assert live.get("/billing/balance").json()["balance_cents"] == 9_995


BAD = {
    "refused": (502, "UPSTREAM_ERROR"), "400": (502, "UPSTREAM_ERROR"), "403": (502, "UPSTREAM_ERROR"), "404": (502, "UPSTREAM_ERROR"),
    "529": (503, "UPSTREAM_UNAVAILABLE"), "503": (503, "UPSTREAM_UNAVAILABLE"), "cut": (503, "UPSTREAM_UNAVAILABLE"),
    "half": (503, "UPSTREAM_UNAVAILABLE"), "hour": (503, "UPSTREAM_UNAVAILABLE"), "long": (500, "PREDICTION_FAILED"),
    "outside": (500, "PREDICTION_FAILED"), "hang": (504, "UPSTREAM_TIMEOUT"),
}  # fmt: skip


def test_every_bad_day_of_every_route_has_one_answer_and_costs_nothing(
    live: Api, wire: Emulator, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request that came is a Call, holds are given back, the session goes on, and no answer holds the key."""
    session = live.post("/sessions", {"screen_width": 1280, "screen_height": 720}).json()["session_id"]
    before = live.get("/billing/balance").json()["balance_cents"]
    turn = list(WIRES).index(request.node.callspec.params["wire"])
    for number, (story, (status, code)) in enumerate(BAD.items()):
        path, sent = [
            ("/predict", body(story)),
            (f"/sessions/{session}/predict", {"screenshot": shot(), "instruction": f"Do it story:{story}"}),
            ("/ground", {"screenshot": shot(), "element": f"the icon story:{story}"}),
        ][(number + turn) % 3]  # over the four wires each has had each
        monkeypatch.setattr(billed_calls, "CALL_SECONDS", 0.7 if story == "hang" else 300)
        answer = live.post(path, sent)
        grounds = path == "/ground" and code == "PREDICTION_FAILED"
        error = refused(answer, status, "GROUNDING_FAILED" if grounds else code)
        assert "Nothing was charged." in error["message"]
        assert ("retry_after" in error) == (status in (503, 504))
        assert answer.headers.get("X-Credits-Charged", "0") == "0"
        assert "sk-test" not in answer.content.decode()
    assert Call.objects.count() == sum(wire.requests.values())
    assert live.get("/billing/balance").json()["balance_cents"] == before
    answer = live.post(f"/sessions/{session}/predict", {"screenshot": shot(), "instruction": "Do it story:one"})
    assert (answer.status_code, answer.json()["step"]) == (200, 1), answer.content
