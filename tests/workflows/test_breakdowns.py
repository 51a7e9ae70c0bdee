"""Machines that are not there, or not any more; and what is counted of a run that ends in the middle."""

from typing import Any

import pytest

from machines.models import Machine
from runs.models import Run
from tests.cast import Api
from tests.runs.driving import data_of, kinds, show, simulated, status_of
from tests.workflows.engine import approval, begin, check, deliver, ran, task, tasks_of, work
from workflows import clock
from workflows.models import Execution, Ticket

LATER = "2000-01-01T00:00:00Z"


def parallel(*branches: list[Any]) -> dict[str, Any]:
    return {"id": "p", "type": "parallel", "branches": list(branches)}


@pytest.mark.parametrize("caught", [False, True])
def test_a_missing_machine_ends_the_run_also_when_another_branch_fails_at_once(live: Api, caught: bool) -> None:
    steps = [parallel([task("a", machine_id="mch_nowhere")], [check("no", 1, 2)])]
    if caught:
        steps = [{"id": "again", "type": "retry", "max_attempts": 2, "body": steps}]
    run = ran(live, steps)
    assert (run["status"], run["error"]["code"]) == ("failed", "MACHINE_UNAVAILABLE")
    assert kinds(run["id"])[-3:] == ["error", "failed", "done"]
    assert tasks_of(live, run) == []


def test_tasks_that_began_before_a_machine_was_missed_are_cancelled(live: Api) -> None:
    machine = simulated(live)
    run = ran(live, [parallel([task("a", machine_id=machine)], [task("b", machine_id="mch_nowhere")])])
    assert (run["status"], run["error"]["code"]) == ("failed", "MACHINE_UNAVAILABLE")
    assert [each["status"] for each in tasks_of(live, run)] == ["cancelled"]
    assert Machine.objects.get(id=machine).current_run_id is None


def test_a_machine_that_goes_fails_its_task_and_the_workflow_goes_on(live: Api) -> None:
    machine = simulated(live)
    steps = [task("asks", "x [pause]", machine_id=machine, agent="scripted"), check("c", "{{asks.passed}}", False)]
    run = ran(live, steps, {"code": "{{asks.error.code}}"})
    assert run["status"] == "awaiting_human"
    assert live.delete(f"/machines/{machine}").status_code == 200
    from runs.services import machine_gone

    assert machine_gone(machine) == 1
    work()
    ended = show(live, run["id"])
    assert (ended["status"], ended["output"]) == ("succeeded", {"code": "MACHINE_UNAVAILABLE"})
    assert (ended["open_approvals"], ended["awaiting_step_id"]) == ([], None)


def test_what_was_counted_and_told_before_branches_were_given_up_stays(test_key: Api) -> None:
    inner = parallel([task("waits", "x [pause]")], [check("one", 1, 1), check("no", 1, 2)])
    run = ran(test_key, [{"id": "l", "type": "loop", "count": 3, "body": [inner]}])
    assert (run["status"], run["iterations_used"]) == ("failed", 1)
    assert Execution.objects.get(run_id=run["id"]).state["iterations_used"] == 1
    assert kinds(run["id"]) == ["queued", "running", "step", "step", "failed", "done"]


def test_tasks_that_were_given_up_are_waited_for_no_more(test_key: Api) -> None:
    inner = parallel([task("waits", "x [pause]")], [check("no", "{{vars.attempt}}", 2)])
    run = ran(test_key, [{"id": "r", "type": "retry", "max_attempts": 2, "body": [inner]}])
    given_up, waits = tasks_of(test_key, run)
    assert (given_up["status"], waits["status"]) == ("cancelled", "awaiting_human")
    assert set(Ticket.objects.filter(open=True).values_list("ref", flat=True)) == {waits["id"]}


# --- the clock


def test_runs_that_ended_in_the_middle_keep_no_other_from_the_clock(
    test_key: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "BATCH", 1)
    monkeypatch.setattr("workflows.interpreter.control_flow.SLICE", 5)
    monkeypatch.setattr("workflows.tasks.TURN", 0.0)
    loop = {"id": "l", "type": "loop", "count": 20, "body": []}
    ended, alive = (begin(test_key, [loop]) for _ in range(2))
    deliver()
    test_key.post(f"/runs/{ended['id']}/cancel")
    assert Execution.objects.filter(cut=True).count() == 2
    Execution.objects.update(changed_at=LATER)
    before = Execution.objects.get(run_id=alive["id"]).state
    assert clock.go_on_late() == 1
    assert Execution.objects.get(run_id=alive["id"]).state != before


def test_the_clock_forgets_what_ended_runs_waited_for(test_key: Api) -> None:
    run, other = (ran(test_key, [task("asks", "x [pause]"), approval("ok")]) for _ in range(2))
    test_key.post(f"/runs/{run['id']}/cancel")
    Execution.objects.filter(run_id=run["id"]).update(cut=True)
    assert clock.forget_ended() == 2
    assert clock.forget_ended() == 0
    assert set(Ticket.objects.filter(open=True).values_list("execution_id", flat=True)) == {other["id"]}
    assert not Execution.objects.filter(cut=True).exists()
    assert status_of(other["id"]) == "awaiting_human"
    assert data_of(run["id"], "done") != []
    assert Run.objects.get(id=run["id"]).status == "cancelled"
