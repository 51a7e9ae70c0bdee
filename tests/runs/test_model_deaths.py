"""A worker that dies at any commit while people decide in the middle of what a model wanted: the same is done, once."""

from collections.abc import Iterator
from itertools import chain, count
from typing import Any

import pytest

from inference.models import Call
from inference.wires import WIRES
from tests.cast import Api, Cast
from tests.chance import ROUNDS
from tests.emulator.server import Emulator
from tests.emulator.story import Story, Turn
from tests.runs.driving import Falling, begin, drive_all, drive_and_fall, request_of, show, simulated, status_of
from tests.runs.invariants import check_run
from tests.runs.ten_moves import click, emulated, profile
from tests.runs.thinker import ASKING
from tests.takeover.control import release, take

pytestmark = pytest.mark.django_db
Acted = list[tuple[str, dict[str, Any]]]
EACH = 12 if ROUNDS < 50 else 1  # every so many commits, begun elsewhere on each wire; make test-deep dies at all
END = Turn([("finish", {"passed": True, "summary": "Clicked."})])
CHECK = {"id": "chk_1", "code": "malicious_instructions", "message": "The page may try to instruct you."}
SECRET = "tr0ub4dor-and-3"


def ask(kind: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return "ask_human", {"question": "And now?", "kind": kind, **more}


STORIES = {
    "plan": [
        Turn([click(32)], thinking="At once."), Turn(text="1. Click at 10", thinking="A plan."), Turn([click(64)]),
        Turn(text="1. Click at 30", thinking="Another plan."), Turn([click(96), click(128)]), END,
    ],
    "budget": [Turn([click(32), click(64), click(96)], text="Three clicks."), END],
    "checked": [Turn([click(32)]), Turn([click(64), click(96)], checks=[CHECK]), END],
    "input": [
        Turn([click(32), ask("input", fields=[{"name": "password", "secret": True}])]),
        Turn([("type_text", {"text": "{{secret:password}}"}), click(64)]), END,
    ],
    "takeover": [Turn([click(32), ask("takeover"), click(64)]), Turn([click(96)]), END],
}  # fmt: skip
FIELDS = {
    "plan": {"permission_mode": "plan"}, "budget": {"permission_mode": "autonomous", "budget_cents": 5, "on_budget": "ask"},
}  # fmt: skip
DONE = {
    "plan": [96, 128],
    "budget": [32, 64, 96],
    "checked": [32, 64, 96],
    "input": [32, None, 64],
    "takeover": [32, 96],
}


def people(api: Api, run: dict[str, Any], machine: str) -> None:
    """They want another plan once, add money, give the password, work on the machine, and approve the rest."""
    request = request_of(api, run)
    if request["kind"] == "takeover":
        release(api, take(api, machine), note="I signed in.")
        return
    body: dict[str, Any] = {"verdict": "approve"}
    if request["kind"] == "plan" and request["plan"]["revision"] == 1:
        body = {"verdict": "revise", "note": "Further to the right."}
    elif request["kind"] == "budget":
        body["values"] = {"add_cents": 5}
    elif request["kind"] == "input":
        body = {"verdict": "submit", "values": {"password": SECRET}}
    answer = api.post(f"/approvals/{request['id']}/decide", body)
    assert answer.status_code == 200, answer.content


@pytest.fixture(params=list(WIRES))
def vendor(request: pytest.FixtureRequest, cast: Cast, settings: Any) -> Iterator[Emulator]:
    settings.RATE_LIMIT_PER_MINUTE = settings.RATE_LIMIT_RUNS_PER_MINUTE = 100_000
    stories = {name: Story(turns, unknown="again") for name, turns in STORIES.items()}
    with emulated(request.param, stories) as emulator:
        profile(cast, emulator)
        yield emulator


def played(api: Api, machine: str, story: str, host: Falling) -> dict[str, Any]:
    fields = ASKING | FIELDS.get(story, {"permission_mode": "autonomous"})
    run = begin(api, f"Click. story:{story}", agent="eye", machine_id=machine, **fields)
    while status_of(run["id"]) not in ("succeeded", "failed"):
        if host.left > 0:
            drive_and_fall(host)
        else:
            drive_all()
        if status_of(run["id"]) == "awaiting_human":
            people(api, run, machine)
    check_run(run["id"])
    return show(api, run["id"])


@pytest.mark.parametrize("story", STORIES)
def test_T_186_what_people_decided_is_done_once_whoever_dies(
    live: Api, vendor: Emulator, acted: Acted, story: str
) -> None:
    machine, usual = simulated(live), 0
    for nth in chain([10_000], count(1 + list(WIRES).index(vendor.wires[0]) * EACH // len(WIRES), EACH)):
        acted.clear()
        before, host = vendor.requests.total(), Falling(nth)
        run = played(live, machine, story, host)
        at = (nth, host.last, run["error"])
        assert (run["status"], [params.get("x") for _, params in acted]) == ("succeeded", DONE[story]), at
        asked = vendor.requests.total() - before
        assert Call.objects.filter(run_id=run["id"]).count() == asked, at
        usual = usual or asked
        assert asked <= usual + (host.last == "write_intent"), at
        if nth < 10_000 and host.left > 0:
            break
    balance = live.get("/billing/balance").json()
    assert (balance["held_cents"], balance["ledger_ok"]) == (0, True)
