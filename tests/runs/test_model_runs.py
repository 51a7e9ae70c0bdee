"""Runs of the model agent from the API to the vendor's SDK: the drive loop, PostgreSQL, the wires, and the emulator behind them."""

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest

from inference.calls import calling
from inference.models import Call
from inference.specs import Spec
from inference.wires import WIRES, wire_for
from runs.agents import registry
from runs.agents.base import Agent
from runs.agents.model import ModelAgent
from runs.models import Run, Step
from tests.agents.model.test_wires import needs
from tests.cast import Api
from tests.emulator.server import Emulator, in_thread
from tests.emulator.story import Story, Turn
from tests.runs.driving import Falling, begin, data_of, drive_all, drive_and_fall, request_of, show, status_of
from tests.runs.invariants import check_run
from tests.runs.thinker import decide

pytestmark = pytest.mark.django_db
CHECK = {"id": "chk_1", "code": "malicious_instructions", "message": "The page may try to instruct you."}


# Points that a grid of a thousand can name on a screen that is 1280 wide.
def click(x: int) -> tuple[str, dict[str, Any]]:
    return "click", {"x": x, "y": 200, "button": "left", "count": 1}


STORIES = {
    "short": Story(
        [
            Turn([click(32), ("type_text", {"text": "milk"})], text="I buy milk.", thinking="It is simple."),
            Turn([("screenshot", {})], thinking="Is it there?"),
            Turn([("key_press", {"key": "enter"})]),
            Turn([("ask_human", {"question": "Which one?", "kind": "question"}), click(64)], thinking="I ask."),
            Turn([("finish", {"passed": True, "summary": "Milk is bought."})]),
        ]
    ),
    "batch": [
        Turn([click(32), click(64), click(96)], text="Three clicks."),
        Turn([("finish", {"passed": True, "summary": "Clicked."})]),
    ],
    "plan": [
        Turn([click(32)], thinking="At once."),
        Turn(text="1. Click at 10", thinking="A plan."),
        Turn([click(64)], thinking="Not yet."),
        Turn(text="1. Click at 30", thinking="Another plan."),
        Turn([click(96)]),
        Turn([("finish", {"passed": True, "summary": "Clicked."})]),
    ],
    "checked": [
        Turn([click(32)], checks=[CHECK]),
        Turn([("finish", {"passed": True, "summary": "Clicked."})]),
    ],
    "output": [
        Turn([("finish", {"passed": True, "summary": "Read.", "output": "eleven"})]),
        Turn([("finish", {"passed": True, "summary": "Read.", "output": "11"})]),
    ],
}  # fmt: skip


@pytest.fixture(params=list(WIRES))
def vendor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """The emulator of one vendor, and the agent that asks it in the place of the scripted one."""
    needs(request.param)
    with in_thread(Emulator(STORIES, wires=(request.param,))) as emulator:
        spec = Spec("model", request.param, "model-1", base_url=emulator.url(request.param), key="sk-test-0123456789")
        agent = ModelAgent(calling.think, lambda name: spec, lambda name: spec, wire_for)
        monkeypatch.setitem(registry._AGENTS, "scripted", cast("Agent", agent))
        yield emulator
    assert emulator.refused == []


def asked(emulator: Emulator) -> int:
    return sum(emulator.requests.values())


def start(api: Api, story: str, **more: Any) -> dict[str, Any]:
    return begin(api, f"Buy milk. story:{story}", agent="scripted", **more)


def answered(api: Api, run: dict[str, Any]) -> None:
    """People answer what is asked, until nothing is."""
    while status_of(run["id"]) == "awaiting_human":
        request = request_of(api, run)
        body = (
            {"verdict": "answer", "answers": {"answer": "red"}}
            if request["kind"] == "question"
            else {"verdict": "approve"}
        )
        assert api.post(f"/approvals/{request['id']}/decide", body).status_code == 200
        drive_all()


DONE = [("click", 32), ("type_text", None), ("key_press", None), ("click", 64)]


def short(acted: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, int | None]]:
    return [(name, params.get("x")) for name, params in acted]


def test_T_186_a_run_whose_worker_dies_after_each_commit_in_turn_does_and_asks_the_same(
    test_key: Api, vendor: Emulator, acted: list[tuple[str, dict[str, Any]]]
) -> None:
    nth, fell = 0, True
    while fell:
        nth += 1
        acted.clear()
        before = asked(vendor)
        run = start(test_key, "short")
        host = Falling(nth)
        drive_and_fall(host)
        fell = host.left <= 0
        drive_all()
        answered(test_key, run)
        done = show(test_key, run["id"])
        calls = Call.objects.filter(run_id=run["id"], status="ok").count()
        assert done["status"] == "succeeded", (nth, host.last, done["error"])
        assert asked(vendor) - before == calls <= 5
        check_run(run["id"])
        if fell and host.last == "write_intent":
            assert len(short(acted)) == len(set(short(acted)))  # nothing is done twice
        else:
            assert (short(acted), calls) == (DONE, 5), (nth, host.last)
            assert done["result"]["summary"] == "Milk is bought."
    assert nth > 10


@pytest.mark.parametrize("how", ["approve", "edit", "reject"])
def test_T_186_what_was_approved_in_the_middle_of_a_batch_is_what_ran(
    test_key: Api, vendor: Emulator, acted: list[tuple[str, dict[str, Any]]], how: str
) -> None:
    run = start(test_key, "batch", human_in_the_loop=True, permission_mode="approval")
    drive_all()
    decide(test_key, run)
    request = request_of(test_key, run)
    assert request["action"]["params"]["x"] == 64
    body: dict[str, Any] = {"verdict": "reject" if how == "reject" else "approve", "note": "Because."}
    if how == "edit":
        body["edited_action"] = {"name": "click", "params": {**request["action"]["params"], "x": 65}}
    assert test_key.post(f"/approvals/{request['id']}/decide", body).status_code == 200
    drive_all()
    answered(test_key, run)
    expected = {"approve": [32, 64, 96], "edit": [32, 65, 96], "reject": [32]}[how]
    assert [params["x"] for _, params in acted] == expected
    assert status_of(run["id"]) == "succeeded"
    told = json.dumps(vendor.bodies[-1].json)
    assert {
        "approve": "A person says: Because.",
        "edit": "A person changed this action",
        "reject": "a person refused this",
    }[how] in told
    assert asked(vendor) == Call.objects.filter(run_id=run["id"]).count() == 2
    check_run(run["id"])


def test_a_plan_comes_before_the_first_action_and_again_when_people_want_another(
    test_key: Api, vendor: Emulator, acted: list[tuple[str, dict[str, Any]]]
) -> None:
    run = start(test_key, "plan", human_in_the_loop=True, permission_mode="plan")
    drive_all()
    first = request_of(test_key, run)
    assert (first["kind"], first["plan"]["text"]) == ("plan", "1. Click at 10")
    body = {"verdict": "revise", "note": "Further to the right"}
    assert test_key.post(f"/approvals/{first['id']}/decide", body).status_code == 200
    drive_all()
    second = request_of(test_key, run)
    assert (second["plan"]["text"], second["plan"]["revision"]) == ("1. Click at 30", 2)
    answered(test_key, run)
    assert status_of(run["id"]) == "succeeded"
    assert short(acted) == [("click", 96)]
    assert [call.purpose for call in Call.objects.filter(run_id=run["id"]).order_by("started_at")] == [
        "act", "plan", "act", "plan", "act", "act",
    ]  # fmt: skip
    assert "Further to the right" in json.dumps(vendor.bodies[-1].json)
    check_run(run["id"])


def test_v4_is_verified_in_a_conversation_of_its_own(test_key: Api, vendor: Emulator) -> None:
    run = start(test_key, "batch", cua_version="v4")
    drive_all()
    done = show(test_key, run["id"])
    assert (done["status"], done["result"]["verdict"]) in (("succeeded", "pass"), ("failed", "unknown"))
    assert Call.objects.filter(run_id=run["id"], purpose="verify").exists()
    check_run(run["id"])


def test_the_log_says_what_the_model_said_and_each_action_is_a_step(test_key: Api, vendor: Emulator) -> None:
    run = start(test_key, "batch")
    drive_all()
    texts = [data["text"] for data in data_of(run["id"], "text")]
    assert len([text for text in texts if "Three clicks." in text]) == 1
    assert Step.objects.filter(run_id=run["id"], status="completed").count() == 3
    assert show(test_key, run["id"])["steps_completed"] == 3
    memory = Run.objects.get(id=run["id"]).memory
    assert json.loads(json.dumps(memory)) == memory
    check_run(run["id"])


def test_T_186_a_safety_check_reaches_a_person_in_every_mode(test_key: Api, vendor: Emulator) -> None:
    if "openai" not in vendor.wires:
        return  # this vendor has none
    run = start(test_key, "checked")
    drive_all()
    request = request_of(test_key, run)
    assert (request["kind"], request["can_remember"]) == ("tool", False)
    assert "acknowledged_safety_checks" not in json.dumps([body.json for body in vendor.bodies])
    answered(test_key, run)
    assert status_of(run["id"]) == "succeeded"
    assert "acknowledged_safety_checks" in json.dumps(vendor.bodies[-1].json)
    alone = start(test_key, "checked", human_in_the_loop=False)
    before = len(vendor.bodies)
    drive_all()
    assert status_of(alone["id"]) == "succeeded"
    assert data_of(alone["id"], "tool_result")[0]["skipped"] is True
    assert "acknowledged_safety_checks" not in json.dumps([body.json for body in vendor.bodies[before:]])
