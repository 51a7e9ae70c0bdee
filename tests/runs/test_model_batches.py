"""What people do in the middle of what a model wanted at once: who is told what, and that what was approved is what ran.

On all four wires with the vendors' own SDKs, on a simulated machine that keeps a record of what it was told to do.
"""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from approvals import clock
from inference.models import Call
from inference.wires import WIRES
from runs.models import Run
from tests.cast import Api, Cast
from tests.emulator.server import Body, Emulator
from tests.emulator.story import Story, Turn
from tests.runs.driving import (
    Falling,
    begin,
    data_of,
    drive_all,
    drive_and_fall,
    request_of,
    shift,
    show,
    simulated,
    status_of,
)  # fmt: skip
from tests.runs.invariants import check_run
from tests.runs.ten_moves import ACTIONS, CALLS, click, decide_all, emulated, items_of, profile, start, story_for
from tests.runs.thinker import ASKING, decide
from tests.takeover.control import drive_with, release, take

pytestmark = pytest.mark.django_db
Acted = list[tuple[str, dict[str, Any]]]
END = Turn([("finish", {"passed": True, "summary": "Clicked."})])
QUESTION = ("ask_human", {"question": "Which one?", "kind": "question"})
CHECK = {"id": "chk_1", "code": "malicious_instructions", "message": "The page may try to instruct you."}
STORIES = {
    "batch": Story([Turn([click(32), click(64), click(96)], text="Three clicks."), END]),
    "again": Story([Turn([click(32), click(64), click(96)]), Turn([click(128)]), END]),
    "asks": Story([Turn([click(32), QUESTION, click(96)]), END]),
    "checked": Story([Turn([click(32)]), Turn([click(64)], checks=[CHECK]), END]),
}
AUTONOMOUS = ASKING | {"permission_mode": "autonomous"}
TYPED = "by a person's own hand"
ACKNOWLEDGED = ("acknowledged_safety_checks", "safety_acknowledgement")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "emulator.log"


@pytest.fixture(params=list(WIRES))
def vendor(request: pytest.FixtureRequest, cast: Cast, log: Path) -> Iterator[Emulator]:
    with emulated(request.param, STORIES, log=log) as emulator:
        profile(cast, emulator)
        yield emulator


def points(acted: Acted) -> list[int]:
    return [params["x"] for _, params in acted]


def driven(api: Api, story: str, **more: Any) -> dict[str, Any]:
    fields = {"machine_id": simulated(api), **AUTONOMOUS, **more}
    run = begin(api, f"Click. story:{story}", agent="eye", **fields)
    drive_all()
    return show(api, run["id"])


def check_end(api: Api, vendor: Emulator, run: dict[str, Any], calls: int) -> str:
    """The run's end, and what the model was told in the end."""
    assert show(api, run["id"])["status"] == "succeeded"
    assert sum(vendor.requests.values()) == Call.objects.filter(run_id=run["id"]).count() == calls
    assert api.get("/billing/balance").json()["held_cents"] == 0
    check_run(run["id"])
    return json.dumps(vendor.bodies[-1].json)


def test_T_186_who_does_not_answer_in_time_has_refused_the_rest(live: Api, vendor: Emulator, acted: Acted) -> None:
    run = driven(live, "batch", **ASKING, awaiting_human_timeout_seconds=60, on_timeout="reject")
    decide(live, run)
    shift(run["id"], 61)
    assert clock.expiries() == 1
    drive_all()
    told = check_end(live, vendor, run, 2)
    assert points(acted) == [32]
    assert ("a person refused this" in told, "Not executed: an action before it" in told) == (True, True)


@pytest.mark.parametrize("private", [False, True])
def test_T_186_after_a_takeover_the_model_thinks_anew(live: Api, vendor: Emulator, acted: Acted, private: bool) -> None:
    """Taken between two actions of a batch: the rest of it is not done."""
    machine = simulated(live)
    begin(live, "Click. story:again", agent="eye", machine_id=machine, **AUTONOMOUS)
    leases: list[dict[str, Any]] = []
    drive_with("write_intent", lambda: leases.append(take(live, machine, private=private)), nth=2)
    run = show(live, leases[0]["run_id"])
    assert (run["status"], points(acted), sum(vendor.requests.values())) == ("awaiting_human", [32], 1)
    typed = {"command": "type_text", "parameters": {"text": TYPED}, "lease_id": leases[0]["id"]}
    assert live.post(f"/machines/{machine}/actions", typed).status_code == 200
    drive_all()
    assert acted.pop() == ("type_text", {"text": TYPED})
    release(live, leases[0], note="I closed the dialog.")
    drive_all()
    told = check_end(live, vendor, run, 3)
    assert points(acted) == [32, 128]
    assert "Not executed: a person worked on the machine" in told
    assert "I closed the dialog." in told
    assert TYPED not in told


@pytest.mark.parametrize("lifted", [True, False])
def test_T_186_a_budget_stops_in_the_middle_of_a_batch(live: Api, vendor: Emulator, acted: Acted, lifted: bool) -> None:
    run = driven(live, "batch", budget_cents=5, on_budget="ask")
    assert (run["status"], points(acted), request_of(live, run)["kind"]) == ("awaiting_human", [32], "budget")
    if lifted:
        decide(live, run, values={"add_cents": 100})
        check_end(live, vendor, run, 2)
        assert points(acted) == [32, 64, 96]
    else:
        run = decide(live, run, "reject")
        assert (run["status"], points(acted), vendor.requests.total()) == ("failed", [32], 1)
        check_run(run["id"])


@pytest.mark.parametrize("answer", ["answer", "reject"])
def test_T_186_nothing_of_a_batch_goes_on_before_its_question_is_answered(
    live: Api, vendor: Emulator, acted: Acted, answer: str
) -> None:
    run = driven(live, "asks")
    assert (run["status"], points(acted)) == ("awaiting_human", [32])
    decide(live, run, answer, **({"answers": {"answer": "red"}} if answer == "answer" else {"note": "Neither."}))
    told = check_end(live, vendor, run, 2)
    assert points(acted) == ([32, 96] if answer == "answer" else [32])
    assert ("The person answered: red" if answer == "answer" else "The person declined") in told


def test_T_186_the_mode_may_change_in_the_middle_of_a_batch(live: Api, vendor: Emulator, acted: Acted) -> None:
    run = driven(live, "batch", **ASKING)
    decide(live, run)
    answer = live.patch(f"/runs/{run['id']}/permission-mode", {"permission_mode": "autonomous"})
    assert answer.status_code == 200
    drive_all()
    check_end(live, vendor, run, 2)
    assert points(acted) == [32, 64, 96]


# --- parked for days


@pytest.mark.parametrize("wire", list(WIRES))
def test_T_186_parked_for_days_it_goes_on_where_it_was(
    live: Api, cast: Cast, acted: Acted, wire: str, settings: Any
) -> None:
    """At each wait days pass, the vendor forgets everything, and another worker goes on: what was sent stays as it was."""
    settings.RATE_LIMIT_PER_MINUTE = 100_000
    bodies: list[Body] = []
    machine, port, run, workers = simulated(live), 0, {}, 0
    while not run or status_of(run["id"]) == "awaiting_human":
        with emulated(wire, {"ten": story_for(wire)}, port=port) as emulator:
            if not port:
                port = emulator.port
                profile(cast, emulator)
                run = start(live, machine, "ten")
            else:
                shift(run["id"], 4 * 86_400)
                decide_all(live, run)
            workers += 1
            if workers % 2:
                drive_and_fall(Falling(10_000))
            else:
                drive_all()
            bodies += emulator.bodies
    assert (show(live, run["id"])["status"], len(bodies)) == ("succeeded", CALLS)
    assert [(name, params.get("x")) for name, params in acted] == ACTIONS
    for before, after in pairwise(body.json for body in bodies):
        sent, again = items_of(before), items_of(after)
        assert json.dumps(again).startswith(json.dumps(sent)[:-1])
        assert len(again) > len(sent)
        assert rest_of(before) == rest_of(after)
    check_run(run["id"])


def rest_of(body: dict[str, Any]) -> str:
    return json.dumps({key: value for key, value in body.items() if key not in ("messages", "input", "contents")})


# --- doubts of the vendor


DOUBTING = pytest.mark.parametrize("vendor", ["openai", "gemini"], indirect=True)  # the others have no such checks


def acknowledged(log: Path) -> bool:
    return any(words in log.read_text() for words in ACKNOWLEDGED)


@DOUBTING
def test_T_186_a_rule_for_everything_does_not_speak_for_a_safety_check(
    live: Api, vendor: Emulator, acted: Acted, log: Path
) -> None:
    machine = simulated(live)
    rules: list[dict[str, Any]] = [{"tool": "*", "effect": "allow"}, {"tool": "click", "effect": "allow"}]
    for rule in rules:
        assert live.post("/permissions", rule).status_code == 201
    run = begin(live, "Click. story:checked", agent="eye", machine_id=machine, **AUTONOMOUS)
    drive_all()
    request = request_of(live, run)
    assert (request["kind"], request["can_remember"], points(acted)) == ("tool", False, [32])
    assert CHECK["message"] in json.dumps(request["evidence"]["checks"])
    assert not acknowledged(log)
    decide(live, run, remember=True)
    assert (status_of(run["id"]), points(acted), acknowledged(log)) == ("succeeded", [32, 64], True)
    check_run(run["id"])


@DOUBTING
@pytest.mark.parametrize("people", [{"human_in_the_loop": False}, {"on_awaiting_human": "fail"}])
def test_T_186_where_people_are_off_no_safety_check_is_ever_acknowledged(
    live: Api, vendor: Emulator, acted: Acted, log: Path, people: dict[str, Any]
) -> None:
    assert live.post("/permissions", {"tool": "*", "effect": "allow"}).status_code == 201
    run = begin(live, "Click. story:checked", agent="eye", machine_id=simulated(live), **people)
    drive_all()
    assert status_of(run["id"]) == ("failed" if "on_awaiting_human" in people else "succeeded")
    assert points(acted) == [32]
    assert not acknowledged(log)
    assert not any(words in str(Run.objects.get(id=run["id"]).memory) for words in ACKNOWLEDGED)
    assert all(not data["skipped"] for data in data_of(run["id"], "tool_result")[:1])
    check_run(run["id"])


@DOUBTING
def test_T_186_a_safety_check_that_is_refused_is_never_acknowledged(
    live: Api, vendor: Emulator, acted: Acted, log: Path
) -> None:
    run = driven(live, "checked")
    decide(live, run, "reject", note="No.")
    assert (status_of(run["id"]), points(acted), acknowledged(log)) == ("succeeded", [32], False)
