"""Cancelling, and that nothing changes after an end (docs/api/runs.md sections 5 and 6)."""

import pytest

from approvals import clock as approvals_clock
from approvals.models import Approval
from runs import clock, services
from runs.models import Run, Step
from tests.cast import Api
from tests.runs.driving import (
    begin,
    data_of,
    drive_all,
    drive_and_die,
    ended,
    kinds,
    log,
    request_of,
    show,
    simulated,
    waiting,
)
from tests.runs.invariants import check_run

pytestmark = pytest.mark.django_db


def test_T_039_a_second_cancel_is_refused(test_key: Api) -> None:
    run = begin(test_key)
    assert test_key.post(f"/runs/{run['id']}/cancel").status_code == 200
    again = test_key.post(f"/runs/{run['id']}/cancel")
    error = again.json()["error"]
    assert (again.status_code, error["code"], error["current_state"]) == (409, "INVALID_STATE", "cancelled")
    assert error["allowed_from"] == ["queued", "running", "awaiting_human"]


@pytest.mark.parametrize("state", ["queued", "running", "awaiting_human"])
def test_T_040_cancel_works_from_every_active_state(test_key: Api, state: str) -> None:
    if state == "running":
        run = begin(test_key)
        drive_and_die("write_intent", 2)
    else:
        run = begin(test_key) if state == "queued" else waiting(test_key)
    assert show(test_key, run["id"])["status"] == state
    done = test_key.post(f"/runs/{run['id']}/cancel", {}).json()
    assert (done["status"], done["error"], done["result"]) == ("cancelled", None, None)
    assert done["finished_at"]
    assert done["cancel_requested_at"]
    assert done["stop_confirmed_at"]  # nobody drives it: there is nothing to wait for
    drive_all()
    assert show(test_key, run["id"]) == done
    check_run(run["id"])


def test_T_041_the_open_request_is_cancelled_at_once(test_key: Api) -> None:
    run = waiting(test_key)
    request = request_of(test_key, run)
    done = test_key.post(f"/runs/{run['id']}/cancel").json()
    assert done["open_approvals"] == []
    assert test_key.get("/approvals").json()["data"] == []
    assert test_key.get("/approvals").json()["summary"]["pending"] == 0
    closed = test_key.get(f"/approvals/{request['id']}").json()
    assert (closed["status"], closed["decision"]["via"]) == ("cancelled", "cancel")
    assert closed["resolved_at"]
    assert kinds(run["id"])[-3:] == ["approval", "cancelled", "done"]
    (event,) = data_of(run["id"], "approval")
    assert (event["approval_id"], event["change"]) == (request["id"], "cancelled")
    late = test_key.post(f"/approvals/{request['id']}/decide", {"verdict": "approve"})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "APPROVAL_CANCELLED")


def test_the_reason_is_in_the_log(test_key: Api) -> None:
    run = begin(test_key)
    assert test_key.post(f"/runs/{run['id']}/cancel", {"reason": "r" * 2001}).status_code == 422
    assert show(test_key, run["id"])["status"] == "queued"
    test_key.post(f"/runs/{run['id']}/cancel", {"reason": "wrong invoice"})
    assert "wrong invoice" in data_of(run["id"], "text")[0]["text"]


def test_a_result_that_comes_after_the_cancel_is_dropped(live: Api) -> None:
    run = begin(live, agent="scripted", machine_id=simulated(live))
    drive_and_die("write_outcome", 2)
    assert live.get("/billing/balance").json()["held_cents"] == 5
    done = live.post(f"/runs/{run['id']}/cancel").json()
    assert (done["steps_completed"], done["cost_cents"]) == (1, 5)
    assert live.get("/billing/balance").json()["held_cents"] == 0
    assert Step.objects.get(run_id=run["id"], index=2).status == "dropped"
    check_run(run["id"])


def test_the_stop_is_confirmed_when_the_worker_is_gone(test_key: Api) -> None:
    run = begin(test_key)
    drive_and_die("write_outcome")
    Run.objects.filter(id=run["id"]).update(lease_until="2999-01-01T00:00Z")  # the worker is alive after all
    done = test_key.post(f"/runs/{run['id']}/cancel").json()
    assert done["stop_confirmed_at"] is None
    assert clock.stops() == 0
    Run.objects.filter(id=run["id"]).update(lease_until="2020-01-01T00:00Z")
    assert clock.stops() == 1
    final = show(test_key, run["id"])
    assert final["stop_confirmed_at"]
    assert {k for k in final if final[k] != done[k]} == {"stop_confirmed_at"}
    assert clock.stops() == 0


@pytest.mark.parametrize("task", ["x", "x [fail]"])
def test_nothing_moves_a_finished_run(test_key: Api, task: str) -> None:
    run = ended(test_key, task)
    before = test_key.get(f"/runs/{run['id']}").content, log(run["id"])
    Run.objects.filter(id=run["id"]).update(lease_until=None)
    assert test_key.post(f"/runs/{run['id']}/cancel").status_code == 409
    assert test_key.post(f"/runs/{run['id']}/resume").status_code == 409
    assert not services.time_out(run["id"])
    assert services.machine_gone(run["machine_id"]) == 0
    assert (clock.deadlines(), approvals_clock.expiries()) == (0, 0)
    drive_all()
    assert (test_key.get(f"/runs/{run['id']}").content, log(run["id"])) == before


def test_a_machine_that_vanishes_ends_its_run(live: Api) -> None:
    machine = simulated(live)
    run = waiting(live, machine_id=machine, agent="scripted")
    assert live.delete(f"/machines/{machine}").status_code == 200
    services.machine_gone(machine)  # what the queued task does
    done = show(live, run["id"])
    assert (done["status"], done["error"]["code"]) == ("failed", "MACHINE_UNAVAILABLE")
    assert Approval.objects.get(run_id=run["id"]).status == "cancelled"
    check_run(run["id"])


def test_a_run_made_while_its_machine_ends_does_not_wait_for_ever(live: Api) -> None:
    machine, other = simulated(live), simulated(live)
    left, fine = (begin(live, machine_id=m, agent="scripted")["id"] for m in (machine, other))
    live.delete(f"/machines/{machine}")  # and what it told the runs came before this one
    assert (clock.vanished(), clock.vanished()) == (1, 0)
    done = show(live, left)
    assert (done["status"], done["error"]["code"], done["started_at"]) == ("failed", "MACHINE_UNAVAILABLE", None)
    assert show(live, fine)["status"] == "queued"
    check_run(left)
