"""After the commit of a stop nothing in its scope acts; the runs keep their status and say why they stand still."""

from typing import Any

import pytest

from machines.models import Stop
from runs import services
from runs.driving import leases
from runs.models import Run, Step
from runs.stops.clock import uphold
from tests.cast import Api, Cast
from tests.runs.driving import begin, data_of, drive_all, ended, kinds, show, simulated, waiting
from tests.stops.stopping import lift, stop
from tests.takeover.control import drive_with

Acted = list[tuple[str, dict[str, Any]]]


def code(answer: Any) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["reason_code"]


def test_a_stop_says_what_it_is(test_key: Api) -> None:
    begin(test_key)
    stopped = stop(test_key, reason="The agent mails everybody.")
    assert stopped["id"].startswith("stp_")
    facts = {name: stopped[name] for name in ("object", "scope", "target_id", "reason", "runs", "lifted_at")}
    assert facts == {
        "object": "stop", "scope": "team", "target_id": None, "reason": "The agent mails everybody.", "runs": 1, "lifted_at": None
    }  # fmt: skip
    assert stopped["requested_at"] <= stopped["confirmed_at"]
    assert test_key.get(f"/stop/{stopped['id']}").json()["id"] == stopped["id"]
    assert [each["id"] for each in test_key.get("/stop").json()["data"]] == [stopped["id"]]


def test_a_queued_run_waits_for_the_lift(test_key: Api, acted: Acted) -> None:
    run = begin(test_key)
    stopped = stop(test_key)
    drive_all()
    shown = show(test_key, run["id"])
    assert (shown["status"], shown["waiting_on"]["code"], shown["waiting_on"]["ref"]) == (
        "queued",
        "stopped",
        stopped["id"],
    )
    assert "It mails everybody." in shown["waiting_on"]["message"]
    assert acted == []
    lift(test_key, stopped)
    drive_all()
    assert (show(test_key, run["id"])["status"], len(acted)) == ("succeeded", 3)


def test_a_run_made_during_a_stop_waits_from_the_beginning(test_key: Api, acted: Acted) -> None:
    stopped = stop(test_key)
    run = begin(test_key)
    assert (run["status"], run["waiting_on"]["code"]) == ("queued", "stopped")
    drive_all()
    assert acted == []
    lift(test_key, stopped)
    drive_all()
    assert show(test_key, run["id"])["status"] == "succeeded"


@pytest.mark.parametrize("before", ["rule", "write_intent"])
def test_no_action_starts_after_the_commit_wherever_the_worker_is(test_key: Api, acted: Acted, before: str) -> None:
    """Also with a decision already made, and judged."""
    begin(test_key)
    run_id = drive_with(before, lambda: stop(test_key), 2)
    assert len(acted) == 1
    shown = show(test_key, run_id)
    assert (shown["status"], shown["steps_completed"], shown["waiting_on"]["code"]) == ("running", 1, "stopped")
    assert not Step.objects.filter(run_id=run_id, status="acting").exists()
    assert Run.objects.get(id=run_id).lease_owner is None
    lift(test_key, Stop.objects.get().__dict__)
    drive_all()
    shown = show(test_key, run_id)
    assert (shown["status"], shown["steps_completed"], shown["cost_cents"], len(acted)) == ("succeeded", 3, 15, 3)


def test_an_action_that_was_sent_before_completes_and_is_written_down(test_key: Api, acted: Acted) -> None:
    begin(test_key)
    run_id = drive_with("write_outcome", lambda: stop(test_key), 2)
    shown = show(test_key, run_id)
    assert (shown["status"], shown["steps_completed"], len(acted)) == ("running", 2, 2)
    lift(test_key, Stop.objects.get().__dict__)
    drive_all()
    assert (show(test_key, run_id)["steps_completed"], len(acted)) == (3, 3)


def test_a_run_does_not_end_while_it_is_stopped(test_key: Api) -> None:
    begin(test_key, "do it [steps:1]")
    run_id = drive_with("end", lambda: stop(test_key))
    assert show(test_key, run_id)["status"] == "running"
    lift(test_key, Stop.objects.get().__dict__)
    drive_all()
    assert show(test_key, run_id)["status"] == "succeeded"


def test_a_run_asks_nobody_while_it_is_stopped(test_key: Api) -> None:
    begin(test_key, "do it [pause]")
    run_id = drive_with("ask", lambda: stop(test_key))
    assert show(test_key, run_id)["status"] == "running"
    assert test_key.get("/approvals").json()["data"] == []
    lift(test_key, Stop.objects.get().__dict__)
    drive_all()
    assert show(test_key, run_id)["status"] == "awaiting_human"


def test_a_waiting_run_says_that_it_is_stopped_and_after_the_lift_whom_it_waits_for(test_key: Api) -> None:
    run = waiting(test_key)
    stopped = stop(test_key)
    shown = show(test_key, run["id"])
    assert (shown["status"], shown["waiting_on"]["code"]) == ("awaiting_human", "stopped")
    lift(test_key, stopped)
    shown = show(test_key, run["id"])
    assert (shown["status"], shown["waiting_on"]["code"]) == ("awaiting_human", "human")


def test_an_ended_run_is_not_touched(test_key: Api) -> None:
    run = ended(test_key)
    before = test_key.get(f"/runs/{run['id']}").json() | {"request_id": None}
    assert stop(test_key)["runs"] == 0
    assert test_key.get(f"/runs/{run['id']}").json() | {"request_id": None} == before


def test_the_log_tells_the_stop_and_its_lift(test_key: Api) -> None:
    run = begin(test_key)
    lift(test_key, stop(test_key))
    texts = [data["text"] for data in data_of(run["id"], "text")]
    assert texts == ["Stopped by a key: It mails everybody.", "The stop was lifted by a key."]
    drive_all()
    assert kinds(run["id"])[-2:] == ["succeeded", "done"]


def test_worlds_and_teams_are_apart(live: Api, test_key: Api, strangers: Cast) -> None:
    theirs, ours = strangers.api(test=True), stop(test_key)
    begin(theirs), begin(live, machine_id=simulated(live), agent="scripted")
    drive_all()
    assert live.get("/stop").json()["data"] == theirs.get("/stop").json()["data"] == []
    assert [run["status"] for api in (theirs, live) for run in api.get("/runs").json()["data"]] == ["succeeded"] * 2
    for api in (live, theirs):
        assert api.get(f"/stop/{ours['id']}").status_code == 404
        assert api.post(f"/stop/{ours['id']}/lift").status_code == 404


def test_a_stop_of_a_machine_holds_its_runs_only(test_key: Api, acted: Acted) -> None:
    one, other = simulated(test_key, "one"), simulated(test_key, "other")
    held, free = begin(test_key, machine_id=one), begin(test_key, machine_id=other)
    stopped = stop(test_key, "machine", one)
    later = begin(test_key, machine_id=one)
    drive_all()
    assert show(test_key, free["id"])["status"] == "succeeded"
    assert {show(test_key, each["id"])["waiting_on"]["code"] for each in (held, later)} == {"stopped"}
    lift(test_key, stopped)
    drive_all()
    assert {show(test_key, each["id"])["status"] for each in (held, later)} == {"succeeded"}


def test_what_a_stop_names_has_to_be_there(test_key: Api, strangers: Cast) -> None:
    theirs = simulated(strangers.api(test=True), "theirs")
    calls = [
        ({"scope": "machine", "id": "mch_none", "reason": "x"}, (404, "MACHINE_NOT_FOUND")),
        ({"scope": "machine", "id": theirs, "reason": "x"}, (404, "MACHINE_NOT_FOUND")),
        ({"scope": "workflow", "id": "wf_none", "reason": "x"}, (404, "WORKFLOW_NOT_FOUND")),
        ({"scope": "machine", "reason": "x"}, (422, "VALIDATION_ERROR")),
        ({"scope": "team", "id": "x", "reason": "x"}, (422, "VALIDATION_ERROR")),
        ({"scope": "run", "id": "x", "reason": "x"}, (422, "VALIDATION_ERROR")),
        ({"scope": "team"}, (422, "VALIDATION_ERROR")),
        ({"scope": "team", "reason": ""}, (422, "VALIDATION_ERROR")),
        ({"scope": "team", "reason": "x" * 501}, (422, "VALIDATION_ERROR")),
        ({"scope": "team", "reason": " "}, (422, "VALIDATION_ERROR")),
    ]
    for body, expected in calls:
        assert code(test_key.post("/stop", body))[:2] == expected, body
    assert not Stop.objects.exists()


def test_who_may_stop_and_who_may_lift(cast: Cast) -> None:
    reads, starts = (cast.api(scopes=frozenset(scopes)) for scopes in (["runs:read"], ["runs:read", "runs:write"]))
    assert code(reads.post("/stop", {"scope": "team", "reason": "x"}))[:2] == (403, "INSUFFICIENT_SCOPE")
    stopped = stop(starts)
    assert code(starts.post(f"/stop/{stopped['id']}/lift"))[:2] == (403, "INSUFFICIENT_SCOPE")
    assert starts.get(f"/stop/{stopped['id']}").json()["lifted_at"] is None
    lift(cast.api(), stopped)


def test_the_same_call_again_is_one_stop_and_a_second_lift_says_so(test_key: Api) -> None:
    body = {"scope": "team", "reason": "x"}
    first, again = (test_key.post("/stop", body, Idempotency_Key="k1") for _ in range(2))
    assert (first.content, again["Idempotency-Replayed"]) == (again.content, "true")
    assert Stop.objects.count() == 1
    lift(test_key, first.json())
    answer = test_key.post(f"/stop/{first.json()['id']}/lift")
    assert code(answer)[:2] == (409, "INVALID_STATE")


def test_runs_go_on_when_the_last_of_several_stops_is_lifted(test_key: Api, acted: Acted) -> None:
    machine = simulated(test_key)
    run = begin(test_key, machine_id=machine)
    all_of_it, again, of_machine = stop(test_key), stop(test_key), stop(test_key, "machine", machine)
    for stopped in (all_of_it, of_machine):
        lift(test_key, stopped)
        drive_all()
        assert (show(test_key, run["id"])["waiting_on"]["code"], acted) == ("stopped", [])
    lift(test_key, again)
    drive_all()
    assert show(test_key, run["id"])["status"] == "succeeded"


def test_a_stopped_run_can_be_cancelled(test_key: Api) -> None:
    run = begin(test_key)
    stopped = stop(test_key)
    assert test_key.post(f"/runs/{run['id']}/cancel").json()["status"] == "cancelled"
    lift(test_key, stopped)
    drive_all()
    shown = show(test_key, run["id"])
    assert (shown["status"], shown["waiting_on"]) == ("cancelled", None)


def test_nobody_acts_by_hand_during_a_stop(test_key: Api) -> None:
    machine = simulated(test_key)
    stopped = stop(test_key, "machine", machine)
    calls = [
        test_key.post(f"/machines/{machine}/actions", {"command": "click", "parameters": {"x": 1, "y": 1}}),
        test_key.post(f"/machines/{machine}/actions/batch", {"steps": [{"command": "wait", "parameters": {"ms": 1}}]}),
        test_key.post(f"/machines/{machine}/takeover"),
    ]
    assert {code(answer) for answer in calls} == {(409, "INVALID_STATE", "stopped")}
    assert all(answer.json()["error"]["stop_id"] == stopped["id"] for answer in calls)
    lift(test_key, stopped)
    assert (
        test_key.post(f"/machines/{machine}/actions", {"command": "wait", "parameters": {"ms": 1}}).status_code == 200
    )


def test_a_machine_made_during_a_stop_is_in_its_scope(test_key: Api) -> None:
    stopped = stop(test_key)
    machine = simulated(test_key)
    answer = test_key.post(f"/machines/{machine}/actions", {"command": "wait", "parameters": {"ms": 1}})
    assert code(answer)[2] == "stopped"
    run = begin(test_key, machine_id=machine)
    drive_all()
    assert run["waiting_on"]["code"] == "stopped"
    lift(test_key, stopped)
    drive_all()
    assert show(test_key, run["id"])["status"] == "succeeded"


def test_who_starts_at_the_very_moment_of_a_stop_is_caught_at_the_machine(test_key: Api) -> None:
    """A run whose row does not say yet that it is stopped."""
    machine = simulated(test_key)
    run = begin(test_key, machine_id=machine)
    stop(test_key, "machine", machine)
    Run.objects.filter(id=run["id"]).update(stopped_at=None)
    ((run_id, epoch),) = leases.claim("w", 1)
    assert not services.start(run_id, epoch)
    assert test_key.get(f"/machines/{machine}").json()["current_run_id"] is None
    assert show(test_key, run["id"])["waiting_on"]["code"] == "stopped"


def test_what_a_stop_missed_is_held_and_what_a_lift_missed_is_let_go(test_key: Api) -> None:
    missed, stray = begin(test_key), begin(test_key)
    stopped = stop(test_key)
    Run.objects.filter(id=missed["id"]).update(stopped_at=None)
    uphold()
    assert show(test_key, missed["id"])["waiting_on"]["code"] == "stopped"
    lift(test_key, stopped)
    Run.objects.filter(id=stray["id"]).update(stopped_at=stopped["requested_at"])
    uphold()
    drive_all()
    assert {show(test_key, each["id"])["status"] for each in (missed, stray)} == {"succeeded"}
