"""Nothing that a model wanted in one message starts while an earlier part of that message waits for a person, whatever the
person then says. On all four wires, on a simulated machine that keeps a record of what it was told to do.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from accounts.models import Team
from approvals import clock
from approvals.models import Approval
from inference.models import Call
from inference.wires import WIRES
from tests.cast import Api, Cast
from tests.emulator.server import Emulator
from tests.emulator.story import Story, Turn
from tests.runs.driving import begin, data_of, drive_all, request_of, shift, show, simulated
from tests.runs.invariants import check_run
from tests.runs.ten_moves import click, emulated, profile
from tests.runs.test_binding import _was_seen as was_seen
from tests.runs.thinker import ASKING

pytestmark = pytest.mark.django_db
Acted = list[tuple[str, dict[str, Any]]]
SCROLL = ("scroll", {"x": 640, "y": 600, "direction": "down", "amount": 2})
TYPED = ("type_text", {"text": "free"})
WANTS = [SCROLL, click(32), ("screenshot", {}), SCROLL, TYPED, click(64), TYPED]
END = Turn([("finish", {"passed": True, "summary": "Done."})])
STORIES = {"siblings": Story([Turn(WANTS, text="All at once."), END])}
AUTONOMOUS = ASKING | {"permission_mode": "autonomous"}


@pytest.fixture(params=list(WIRES))
def vendor(request: pytest.FixtureRequest, cast: Cast) -> Iterator[Emulator]:
    with emulated(request.param, STORIES) as emulator:
        profile(cast, emulator)
        yield emulator


@pytest.fixture
def run(live: Api, cast: Cast, vendor: Emulator) -> dict[str, Any]:
    """Clicks are asked about, everything else is free."""
    Team.objects.filter(id=cast.team.id).update(screen_check=True)
    assert live.post("/permissions", {"tool": "click", "effect": "ask"}).status_code == 201
    return begin(live, "Click. story:siblings", agent="eye", machine_id=simulated(live), **AUTONOMOUS)


def told(acted: Acted) -> list[str]:
    return [f"{name} {params['x']}" if name == "click" else name for name, params in acted]


def waits(api: Api, run: dict[str, Any], acted: Acted, *done: str) -> dict[str, Any]:
    """The run waits; however often it is looked at, and whatever is done with the request but a decision, nothing starts."""
    drive_all()
    request = request_of(api, run)
    for _ in range(2):
        drive_all()
        assert (show(api, run["id"])["status"], told(acted)) == ("awaiting_human", list(done))
    assert len(data_of(run["id"], "tool_call")) == len(done)
    assert api.post(f"/approvals/{request['id']}/claim", {}).status_code == 200
    assert api.post(f"/approvals/{request['id']}/comment", {"text": "Hm."}).status_code == 200
    drive_all()
    assert told(acted) == list(done)
    return request


def decide(api: Api, request: dict[str, Any], verdict: str = "approve", **body: Any) -> None:
    answer = api.post(f"/approvals/{request['id']}/decide", {"verdict": verdict, **body})
    assert answer.status_code == 200, answer.content


def end(api: Api, vendor: Emulator, run: dict[str, Any]) -> str:
    drive_all()
    assert show(api, run["id"])["status"] == "succeeded"
    assert sum(vendor.requests.values()) == Call.objects.filter(run_id=run["id"]).count() == 2
    check_run(run["id"])
    return json.dumps(vendor.bodies[-1].json)


AFTER_FIRST = ("scroll", "click 32", "scroll", "type_text")


def test_T_182_siblings_wait_for_each_approval(live: Api, vendor: Emulator, run: dict[str, Any], acted: Acted) -> None:
    decide(live, waits(live, run, acted, "scroll"))
    decide(live, waits(live, run, acted, *AFTER_FIRST))
    end(live, vendor, run)
    assert told(acted) == [*AFTER_FIRST, "click 64", "type_text"]


def test_T_182_siblings_wait_for_an_edit(live: Api, vendor: Emulator, run: dict[str, Any], acted: Acted) -> None:
    request = waits(live, run, acted, "scroll")
    edit = {"name": "click", "params": {**request["action"]["params"], "x": 100}}
    decide(live, request, edited_action=edit)
    decide(live, waits(live, run, acted, "scroll", "click 100", "scroll", "type_text"))
    end(live, vendor, run)
    assert told(acted)[-2:] == ["click 64", "type_text"]


@pytest.mark.parametrize("nth", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_T_182_siblings_of_what_was_denied_never_start(
    live: Api, vendor: Emulator, run: dict[str, Any], acted: Acted, nth: int
) -> None:
    request = waits(live, run, acted, "scroll")
    done = ["scroll"]
    if nth == 2:
        decide(live, request)
        request, done = waits(live, run, acted, *AFTER_FIRST), list(AFTER_FIRST)
    decide(live, request, "reject", note="Not this.")
    heard = end(live, vendor, run)
    assert told(acted) == done
    assert ("Not this." in heard, "Not executed: an action before it" in heard) == (True, True)


def test_T_182_siblings_wait_while_a_void_approval_is_asked_anew(
    live: Api, vendor: Emulator, run: dict[str, Any], acted: Acted
) -> None:
    first = waits(live, run, acted, "scroll")
    was_seen(first["id"], 0.9)
    decide(live, first)
    again = waits(live, run, acted, "scroll")
    assert Approval.objects.get(id=first["id"]).void_reason == "screen_changed"
    assert again["previous_approval_id"] == first["id"]
    decide(live, again)
    second = waits(live, run, acted, *AFTER_FIRST)
    was_seen(second["id"], 0.9)
    decide(live, second)
    decide(live, waits(live, run, acted, *AFTER_FIRST), "reject", note="No.")
    end(live, vendor, run)
    assert told(acted) == list(AFTER_FIRST)


@pytest.mark.slow
def test_T_182_siblings_of_what_was_not_answered_in_time_never_start(
    live: Api, cast: Cast, vendor: Emulator, acted: Acted
) -> None:
    live.post("/permissions", {"tool": "click", "effect": "ask"})
    late = {"awaiting_human_timeout_seconds": 60, "on_timeout": "reject"}
    run = begin(live, "Click. story:siblings", agent="eye", machine_id=simulated(live), **AUTONOMOUS, **late)
    waits(live, run, acted, "scroll")
    shift(run["id"], 61)
    assert clock.expiries() == 1
    end(live, vendor, run)
    assert told(acted) == ["scroll"]


@pytest.mark.slow
def test_T_182_siblings_of_a_run_that_is_cancelled_never_start(
    live: Api, vendor: Emulator, run: dict[str, Any], acted: Acted
) -> None:
    waits(live, run, acted, "scroll")
    live.post(f"/runs/{run['id']}/cancel", {})
    drive_all()
    assert (show(live, run["id"])["status"], told(acted)) == ("cancelled", ["scroll"])


@pytest.mark.slow
def test_T_182_what_was_remembered_meanwhile_frees_no_sibling(
    live: Api, vendor: Emulator, run: dict[str, Any], acted: Acted
) -> None:
    """Another request of the same kind is allowed for ever; the one that waits stays, and what comes after it."""
    waits(live, run, acted, "scroll")
    live.post("/permissions", {"tool": "*", "effect": "allow"})
    live.patch(f"/runs/{run['id']}/permission-mode", {"permission_mode": "autonomous"})
    waits(live, run, acted, "scroll")
