"""What people do to a workflow run beside deciding: its mode, its machines, taking a decision back."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Team
from approvals import clock
from approvals.models import Approval
from runs.models import Run
from tests.cast import Api, Cast
from tests.runs.driving import data_of, drive_all, kinds, request_of, show, simulated, status_of
from tests.takeover.control import lapse, release, take
from tests.workflows.engine import approval, begin, deliver, ran, task, tasks_of, work

ASKING: dict[str, Any] = {"human_in_the_loop": True, "permission_mode": "approval"}


def switch(api: Api, run_id: str, mode: str) -> dict[str, Any]:
    answer = api.request("PATCH", f"/runs/{run_id}/permission-mode", {"permission_mode": mode})
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


# --- the mode


def test_the_mode_of_a_workflow_run_is_that_of_its_tasks_now_and_later(test_key: Api) -> None:
    steps = [task("a", "x [steps:2]"), task("b", "y [steps:2]")]
    run = ran(test_key, steps, **ASKING)
    asked = request_of(test_key, run)
    assert switch(test_key, run["id"], "autonomous")["resolved"] == [asked["id"]]
    work()
    ended = show(test_key, run["id"])
    assert (ended["status"], ended["cost_cents"]) == ("succeeded", 20)
    assert Approval.objects.count() == 1


def test_the_mode_reaches_tasks_at_work_and_not_those_that_ended(test_key: Api) -> None:
    both = [{"id": "p", "type": "parallel", "branches": [[task("a")], [task("b", "x [pause] [steps:2]")]]}]
    run = ran(test_key, both, human_in_the_loop=True)
    switch(test_key, run["id"], "approval")
    modes = dict(Run.objects.filter(parent_id=run["id"]).values_list("step_id", "permission_mode"))
    assert modes == {"a": "autonomous", "b": "approval"}
    assert test_key.post(f"/runs/{run['id']}/resume").status_code == 200
    drive_all()
    assert request_of(test_key, run)["kind"] == "tool"


def test_plan_mode_makes_the_tasks_of_a_workflow_run_propose_their_plans(test_key: Api) -> None:
    run = begin(test_key, [task("a")], human_in_the_loop=True)
    deliver()
    switch(test_key, run["id"], "plan")
    work()
    assert request_of(test_key, run)["kind"] == "plan"


def test_the_mode_of_one_task_is_its_own(test_key: Api) -> None:
    both = [{"id": "p", "type": "parallel", "branches": [[task("a", "x [pause]")], [task("b", "x [pause]")]]}]
    run = ran(test_key, both, human_in_the_loop=True)
    first, second = tasks_of(test_key, run)
    switch(test_key, first["id"], "approval")
    modes = [show(test_key, each["id"])["permission_mode"] for each in (first, second, run)]
    assert modes == ["approval", "autonomous", "autonomous"]


# --- the machine


@pytest.mark.parametrize("by", ["release", "lapse"])
def test_a_takeover_of_a_tasks_machine_makes_the_workflow_run_wait(live: Api, by: str) -> None:
    machine = simulated(live)
    run = begin(live, [task("a", "x [steps:2]", agent="scripted")], machine_id=machine)
    deliver()
    (child,) = tasks_of(live, run)
    from tests.takeover.control import drive_with

    leases: list[dict[str, Any]] = []
    drive_with("write_intent", lambda: leases.append(take(live, machine)), 2)
    shown = show(live, run["id"])
    assert (shown["status"], shown["awaiting_step_id"], len(shown["open_approvals"])) == ("awaiting_human", "a", 1)
    assert show(live, child["id"])["status"] == "awaiting_human"
    if by == "release":
        release(live, leases[0])
    else:
        lapse(leases[0])
    shown = show(live, run["id"])
    assert (shown["status"], shown["awaiting_step_id"], shown["open_approvals"]) == ("running", None, [])
    work()
    ended = show(live, run["id"])
    assert (ended["status"], ended["cost_cents"]) == ("succeeded", 10)
    assert kinds(run["id"]).count("resumed") == len(data_of(run["id"], "awaiting_human")) == 1


def test_a_run_cancelled_under_a_takeover_leaves_nothing_when_the_machine_is_given_back(live: Api) -> None:
    machine = simulated(live)
    run = ran(live, [task("a", "x [pause]", agent="scripted")], machine_id=machine)
    lease = take(live, machine)
    live.post(f"/runs/{run['id']}/cancel")
    ended = show(live, run["id"])
    release(live, lease)
    work()
    assert show(live, run["id"]) == ended
    assert [each["status"] for each in tasks_of(live, run)] == ["cancelled"]
    assert Approval.objects.filter(status="pending").count() == 0


# --- the undo window


@pytest.fixture
def window(cast: Cast) -> None:
    Team.objects.filter(id=cast.team.id).update(undo_window_seconds=10)


def pass_window() -> None:
    Approval.objects.filter(effect_pending=True).update(effective_at=timezone.now() - timedelta(seconds=1))
    clock.effects()
    work()


@pytest.mark.usefixtures("window")
def test_a_decision_on_a_step_is_taken_back_and_the_next_one_counts(test_key: Api) -> None:
    run = ran(test_key, [approval("ok"), task("a")], {"note": "{{ok.note}}"})
    asked = request_of(test_key, run)
    answer = test_key.post(f"/approvals/{asked['id']}/decide", {"verdict": "reject", "note": "no"}).json()
    shown = show(test_key, run["id"])
    assert (answer["resumed"], shown["status"], shown["awaiting_step_id"]) == (False, "awaiting_human", "ok")
    assert (shown["waiting_on"]["code"], shown["resume_at"]) == ("undo_window", answer["approval"]["undo_until"])
    work()
    assert status_of(run["id"]) == "awaiting_human"
    assert test_key.post(f"/approvals/{asked['id']}/undo").status_code == 200
    assert show(test_key, run["id"])["resume_at"] is None
    test_key.post(f"/approvals/{asked['id']}/decide", {"verdict": "approve", "note": "yes"})
    pass_window()
    ended = show(test_key, run["id"])
    assert (ended["status"], ended["output"]) == ("succeeded", {"note": "yes"})
    assert kinds(run["id"]).count("resumed") == 1


@pytest.mark.usefixtures("window")
def test_a_run_cancelled_in_the_undo_window_does_not_go_on(test_key: Api) -> None:
    run = ran(test_key, [approval("ok"), task("a")])
    asked = request_of(test_key, run)
    test_key.post(f"/approvals/{asked['id']}/decide", {"verdict": "approve"})
    test_key.post(f"/runs/{run['id']}/cancel")
    ended = show(test_key, run["id"])
    pass_window()
    assert show(test_key, run["id"]) == ended
    assert tasks_of(test_key, run) == []
    receipt = test_key.get(f"/approvals/{asked['id']}").json()["decision"]["receipt"]
    assert (receipt["outcome"], receipt["effective_at"]) == ("not_executed", None)


@pytest.mark.usefixtures("window")
def test_a_workflow_run_waits_through_the_undo_window_of_its_task(test_key: Api) -> None:
    run = ran(test_key, [task("a", "x [pause] [steps:1]")])
    test_key.post(f"/runs/{run['id']}/resume", {"approved": True})
    shown = show(test_key, run["id"])
    assert (shown["status"], shown["awaiting_step_id"], shown["open_approvals"]) == ("awaiting_human", "a", [])
    pass_window()
    assert status_of(run["id"]) == "succeeded"
