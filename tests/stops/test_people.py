"""What people do while a stop stands: decisions are taken and take effect with the lift, machines can be given back, not taken."""

from typing import Any

import pytest

from approvals.models import Approval, Decision
from machines.models import TakeoverLease
from runs.models import Run
from tests.cast import Api
from tests.runs.driving import begin, data_of, drive_all, kinds, request_of, show, simulated, waiting
from tests.stops.stopping import lift, stop
from tests.takeover.control import release, take
from tests.workflows import engine


def effects(run_id: str) -> list[str]:
    return [kind for kind in kinds(run_id) if kind in ("resumed", "approval", "running", "awaiting_human", "failed")]


def test_a_decision_in_a_stop_is_taken_and_takes_effect_with_the_lift(test_key: Api) -> None:
    run = waiting(test_key)
    asked = request_of(test_key, run)
    stopped = stop(test_key)
    answer = test_key.post(f"/approvals/{asked['id']}/decide", {"verdict": "approve", "note": "Go on."}).json()
    assert (answer["approval"]["status"], answer["resumed"], answer["run"]["status"]) == (
        "approved",
        False,
        "awaiting_human",
    )
    assert answer["approval"]["effective_at"] is None
    assert show(test_key, run["id"])["waiting_on"]["code"] == "stopped"
    drive_all()
    assert "resumed" not in kinds(run["id"])
    lift(test_key, stopped)
    assert show(test_key, run["id"])["status"] == "running"
    drive_all()
    assert show(test_key, run["id"])["status"] == "succeeded"
    assert [data["note"] for data in data_of(run["id"], "resumed")] == ["Go on."]
    again = test_key.post(f"/approvals/{asked['id']}/decide", {"verdict": "approve", "note": "Go on."})
    assert (again.status_code, again.json()["decision"]["id"]) == (200, answer["decision"]["id"])


@pytest.mark.parametrize("call", ["resume", "signal"])
def test_every_endpoint_that_decides_waits_for_the_lift(test_key: Api, call: str) -> None:
    run = waiting(test_key)
    stopped = stop(test_key)
    body = {"action": "reject", "payload": {"reason": "No."}} if call == "signal" else {"approved": True}
    assert test_key.post(f"/runs/{run['id']}/{call}", body).status_code == 200
    assert show(test_key, run["id"])["status"] == "awaiting_human"
    lift(test_key, stopped)
    drive_all()
    assert show(test_key, run["id"])["status"] == ("failed" if call == "signal" else "succeeded")


def test_an_answer_in_confidence_reaches_the_agent_after_the_lift(test_key: Api) -> None:
    run = waiting(test_key, "x [secret]")
    asked = request_of(test_key, run)
    stopped = stop(test_key)
    test_key.post(f"/approvals/{asked['id']}/decide", {"verdict": "submit", "values": {"password": "hunter2"}})
    assert Decision.objects.get(approval_id=asked["id"]).sealed is not None
    lift(test_key, stopped)
    assert Decision.objects.get(approval_id=asked["id"]).sealed is None
    drive_all()
    assert any('Received: {"values":{"password":"[redacted]"}}' in d["text"] for d in data_of(run["id"], "text"))


def test_what_was_decided_is_dropped_by_a_cancel_within_the_stop(test_key: Api) -> None:
    run = waiting(test_key)
    asked = request_of(test_key, run)
    stopped = stop(test_key)
    test_key.post(f"/runs/{run['id']}/resume")
    assert test_key.post(f"/runs/{run['id']}/cancel").json()["status"] == "cancelled"
    lift(test_key, stopped)
    assert show(test_key, run["id"])["status"] == "cancelled"
    assert Decision.objects.get(approval_id=asked["id"]).outcome == "not_executed"
    assert "resumed" not in kinds(run["id"])


def test_two_stops_keep_a_decision_until_the_last_lift(test_key: Api) -> None:
    run = waiting(test_key)
    first, second = stop(test_key), stop(test_key)
    test_key.post(f"/runs/{run['id']}/resume")
    lift(test_key, first)
    assert show(test_key, run["id"])["status"] == "awaiting_human"
    lift(test_key, second)
    assert show(test_key, run["id"])["status"] == "running"


def test_an_approval_of_an_action_is_used_after_the_lift_and_once(test_key: Api, acted: list[Any]) -> None:
    run = begin(test_key, human_in_the_loop=True, permission_mode="approval")
    drive_all()
    stopped = stop(test_key)
    test_key.post(f"/runs/{run['id']}/resume")
    drive_all()
    assert acted == []
    lift(test_key, stopped)
    drive_all()
    assert len(acted) == 1
    assert show(test_key, run["id"])["status"] == "awaiting_human"


def test_control_given_back_within_a_stop_lets_nothing_go_on_before_the_lift(live: Api) -> None:
    machine = simulated(live)
    run = begin(live, machine_id=machine, agent="scripted")
    Run.objects.filter(id=run["id"]).update(status="running", started_at="2026-01-01T00:00:00Z")
    from machines.services import reserve

    assert reserve(machine, run["id"])
    lease = take(live, machine)
    assert show(live, run["id"])["status"] == "awaiting_human"
    stopped = stop(live)
    assert take(live, machine)["id"] == lease["id"]  # whoever has it keeps it
    release(live, lease, note="Done.")
    shown = show(live, run["id"])
    assert (shown["status"], shown["waiting_on"]["code"]) == ("awaiting_human", "stopped")
    drive_all()
    assert TakeoverLease.objects.get().end == "released"
    lift(live, stopped)
    assert show(live, run["id"])["status"] == "running"
    drive_all()
    assert show(live, run["id"])["status"] == "succeeded"


def test_control_kept_through_a_stop_still_bars_the_agent_after_it(live: Api) -> None:
    machine = simulated(live)
    run = begin(live, "x [pause]", machine_id=machine, agent="scripted")
    drive_all()
    lease = take(live, machine)
    stopped = stop(live)
    live.post(f"/approvals/{request_of(live, run)['id']}/decide", {"verdict": "approve"})
    lift(live, stopped)
    assert show(live, run["id"])["waiting_on"]["code"] == "takeover"
    release(live, lease)
    drive_all()
    assert show(live, run["id"])["status"] == "succeeded"


# --- workflow runs


def test_a_workflow_run_starts_no_task_and_asks_nothing_while_it_is_stopped(test_key: Api) -> None:
    run = engine.begin(test_key, [engine.task("a"), engine.approval("ok"), engine.task("b")])
    stopped = stop(test_key)
    engine.work()
    assert engine.tasks_of(test_key, run) == []
    assert show(test_key, run["id"])["waiting_on"]["code"] == "stopped"
    lift(test_key, stopped)
    _late(run)
    assert show(test_key, run["id"])["status"] == "awaiting_human"
    assert len(engine.tasks_of(test_key, run)) == 1


def test_a_workflow_run_goes_on_after_a_task_that_ended_before_the_stop(test_key: Api) -> None:
    """Its end is told while the stop stands, to nobody; after the lift the clock tells it."""
    run = engine.begin(test_key, [engine.task("a"), engine.task("b")])
    engine.deliver()
    drive_all()
    stopped = stop(test_key)
    engine.work()
    assert len(engine.tasks_of(test_key, run)) == 1
    lift(test_key, stopped)
    _late(run)
    assert show(test_key, run["id"])["status"] == "succeeded"


def test_a_decision_on_a_step_takes_effect_with_the_lift(test_key: Api) -> None:
    run = engine.ran(test_key, [engine.approval("ok"), engine.task("b")])
    stopped = stop(test_key)
    test_key.post(f"/workflows/runs/{run['id']}/resume", {"approved": True})
    engine.work()
    assert engine.tasks_of(test_key, run) == []
    lift(test_key, stopped)
    _late(run)
    assert show(test_key, run["id"])["status"] == "succeeded"


def test_a_stop_of_a_workflow_holds_its_runs_and_their_tasks_only(test_key: Api) -> None:
    steps = [engine.task("a", "x [pause]"), engine.task("b")]
    made = [test_key.post("/workflows", {"name": f"w{n}", "steps": steps}).json()["id"] for n in range(2)]
    runs = [test_key.post(f"/workflows/{each}/runs", {}).json() for each in made]
    plain = begin(test_key)
    engine.work()
    stopped = stop(test_key, "workflow", made[0])
    assert stopped["runs"] == 2
    for run in runs:
        test_key.post(f"/workflows/runs/{run['id']}/resume", {"approved": True})
    late = test_key.post(f"/workflows/{made[0]}/runs", {}).json()
    engine.work()
    assert [show(test_key, each["id"])["status"] for each in (*runs, plain, late)] == [
        "awaiting_human", "succeeded", "succeeded", "queued"
    ]  # fmt: skip
    (child,) = engine.tasks_of(test_key, runs[0])
    assert child["waiting_on"]["code"] == late["waiting_on"]["code"] == "stopped"
    lift(test_key, stopped)
    _late(runs[0], late)
    assert [show(test_key, each["id"])["status"] for each in (runs[0], late)] == ["succeeded", "awaiting_human"]


def test_the_deadline_of_a_workflow_run_stands_still_with_its_task_at_a_stopped_machine(test_key: Api) -> None:
    machine = simulated(test_key)
    run = engine.begin(test_key, [engine.task("a"), engine.task("b")], machine_id=machine, deadline_seconds=100)
    stopped = stop(test_key, "machine", machine)
    engine.work()
    (child,) = engine.tasks_of(test_key, run)
    shown = show(test_key, run["id"])
    assert (child["waiting_on"]["code"], shown["waiting_on"]["code"], shown["deadline_at"]) == (
        "stopped",
        "stopped",
        None,
    )
    lift(test_key, stopped)
    _late(run)
    assert show(test_key, run["id"])["status"] == "succeeded"


def test_a_budget_lifted_in_a_stop_lets_tasks_go_on_with_the_lift(test_key: Api) -> None:
    run = engine.ran(test_key, [engine.task("a", "x [steps:4]")], budget_cents=10, on_budget="ask")
    (asked,) = Approval.objects.filter(kind="budget", status="pending")
    stopped = stop(test_key)
    answer = test_key.post(f"/approvals/{asked.id}/decide", {"verdict": "approve"})
    assert answer.status_code == 200, answer.content
    engine.work()
    assert show(test_key, run["id"])["status"] == "awaiting_human"
    lift(test_key, stopped)
    _late(run)
    assert show(test_key, run["id"])["status"] == "succeeded"
    assert effects(run["id"]).count("resumed") == 1


def _late(*runs: dict[str, Any]) -> None:
    """What was told to nobody during the stop is told by the clock, as if three seconds had passed."""
    from tests.runs.driving import shift
    from workflows import clock
    from workflows.models import Execution

    for _ in range(4):
        for run in runs:
            shift(run["id"], 5)
            for task in Run.objects.filter(parent_id=run["id"], finished_at__isnull=False):
                Run.objects.filter(id=task.id).update(finished_at="2026-01-01T00:00:00Z")
            Execution.objects.filter(run_id=run["id"]).update(changed_at="2026-01-01T00:00:00Z")
        for work in (clock.begin_late, clock.go_on_late, clock.tell_late):
            work()
        engine.work()
