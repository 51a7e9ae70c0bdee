"""The life of a run, from the call to its end, as its log tells it."""

import pytest

from runs.models import Run
from tests.cast import Api
from tests.runs.driving import begin, drive_all, ended, kinds, show, simulated, status_of
from tests.runs.invariants import check_run

pytestmark = pytest.mark.django_db
STEP = ["text", "screenshot", "tool_call", "tool_result", "screenshot", "step", "billing"]


def test_a_scripted_run_goes_to_its_end(test_key: Api) -> None:
    run = ended(test_key, "say hello")
    assert (run["status"], run["steps_completed"], run["cost_cents"]) == ("succeeded", 3, 15)
    assert run["result"] == {
        "passed": True, "status": "succeeded", "summary": "Scripted run finished: say hello", "verdict": None,
        "output": None, "output_text": None, "skipped": 0,
    }  # fmt: skip
    check_run(run["id"])


def test_the_log_tells_every_step_in_order(test_key: Api) -> None:
    run = ended(test_key)
    assert kinds(run["id"]) == ["queued", "running", *STEP, *STEP, *STEP, "text", "succeeded", "done"]


def test_the_log_of_a_wait_is_adjacent(test_key: Api) -> None:
    made = begin(test_key, "x [pause]")
    drive_all()
    assert kinds(made["id"])[-2:] == ["awaiting_human", "awaiting_human"]
    test_key.post(f"/runs/{made['id']}/resume")
    drive_all()
    words = kinds(made["id"])
    at = words.index("resumed")
    assert words[at - 3 : at + 2] == ["screenshot", "awaiting_human", "awaiting_human", "resumed", "running"]
    check_run(made["id"])


def test_what_is_stored_is_what_is_shown(test_key: Api) -> None:
    run = ended(test_key)
    row = Run.objects.get(id=run["id"])
    assert show(test_key, run["id"]) == run
    assert (row.status, row.takeovers, row.lease_owner, row.inbox) == ("succeeded", 0, None, [])


def test_runs_of_a_revoked_key_go_on(live: Api) -> None:
    made = live.post("/keys", {"name": "robot"}).json()
    run = begin(Api(made["key"], live.client), machine_id=simulated(live), agent="scripted")
    assert live.delete(f"/keys/{made['key_id']}").status_code == 200
    drive_all()
    assert status_of(run["id"]) == "succeeded"
