"""How a workflow run follows what its tasks and its own steps wait for."""

from typing import Any

import pytest

from runs import clock as run_clock
from runs.models import Run
from tests.cast import Api
from tests.runs.driving import data_of, kinds, request_of, shift, show, status_of
from tests.workflows.engine import Step, approval, begin, deliver, ran, task, tasks_of, work


def both(first: Step, second: Step) -> list[Step]:
    return [{"id": "p", "type": "parallel", "branches": [[first], [second]]}]


def approve(api: Api, run: dict[str, Any], step_id: str) -> None:
    (child,) = (t for t in tasks_of(api, run) if Run.objects.get(id=t["id"]).step_id == step_id)
    assert api.post(f"/runs/{child['id']}/resume", {"approved": True}).status_code == 200


def waits_at(api: Api, run: dict[str, Any]) -> tuple[str, str | None]:
    shown = show(api, run["id"])
    return shown["status"], shown["awaiting_step_id"]


def test_T_156_a_task_that_asks_twice_makes_its_run_wait_twice(test_key: Api) -> None:
    run = ran(test_key, [task("asks", "x [steps:3] [pause:1] [pause:2]")])
    for _ in range(2):
        assert waits_at(test_key, run) == ("awaiting_human", "asks")
        approve(test_key, run, "asks")
        assert waits_at(test_key, run) == ("running", None)
        work()
    assert status_of(run["id"]) == "succeeded"
    assert [kinds(run["id"]).count(kind) for kind in ("resumed", "running")] == [2, 3]
    assert len(data_of(run["id"], "awaiting_human")) == 2


def test_of_several_waits_the_oldest_is_shown(test_key: Api) -> None:
    run = ran(test_key, both(task("a", "x [steps:2] [pause:1]"), task("b", "y [steps:3] [pause:1] [pause:2]")))
    first = waits_at(test_key, run)
    approve(test_key, run, "b")
    assert waits_at(test_key, run) == ("awaiting_human", "a")
    work()  # b asks again
    assert (first, waits_at(test_key, run)) == (("awaiting_human", "a"),) * 2
    approve(test_key, run, "a")
    assert waits_at(test_key, run) == ("awaiting_human", "b")
    approve(test_key, run, "b")
    work()
    assert waits_at(test_key, run) == ("succeeded", None)


@pytest.mark.parametrize("how", ["cancel", "deadline"])
def test_what_a_step_asks_is_closed_when_the_run_ends(test_key: Api, how: str) -> None:
    run = ran(test_key, [approval("ok")], deadline_seconds=60, deadline_clock="wall")
    asked = request_of(test_key, run)
    if how == "cancel":
        test_key.post(f"/runs/{run['id']}/cancel")
    else:
        shift(run["id"], 61)
        run_clock.deadlines()
    ended = show(test_key, run["id"])
    assert ended["status"] == ("cancelled" if how == "cancel" else "timed_out")
    late = test_key.post(f"/approvals/{asked['id']}/decide", {"verdict": "approve"})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "APPROVAL_CANCELLED")
    work()
    assert show(test_key, run["id"]) == ended
    assert kinds(run["id"])[-1] == "done"


@pytest.mark.parametrize("taken_up", [False, True])
def test_T_157_cancelling_the_run_cancels_the_tasks_of_all_branches(test_key: Api, taken_up: bool) -> None:
    branches = [[task(f"t{n}")] for n in range(16)]
    run = begin(test_key, [{"id": "p", "type": "parallel", "branches": branches}])
    if taken_up:
        deliver()
    test_key.post(f"/runs/{run['id']}/cancel")
    assert [t["status"] for t in tasks_of(test_key, run)] == ["cancelled"] * (16 if taken_up else 0)
    work()
    assert len(tasks_of(test_key, run)) == (16 if taken_up else 0)
    assert status_of(run["id"]) == "cancelled"


@pytest.mark.parametrize("clock", ["active", "wall"])
@pytest.mark.parametrize("step", [approval("ok"), task("waits", "x [pause]")], ids=["own", "of a task"])
def test_the_deadline_stands_still_while_people_are_waited_for_unless_it_counts_all_time(
    test_key: Api, step: Step, clock: str
) -> None:
    run = ran(test_key, [step], deadline_seconds=60, deadline_clock=clock)
    assert (run["status"], run["deadline_at"] is None) == ("awaiting_human", clock == "active")
    shift(run["id"], 61)
    run_clock.deadlines()
    if clock == "wall":
        assert show(test_key, run["id"])["error"]["code"] == "DEADLINE_EXCEEDED"
        return
    answer = test_key.post(f"/runs/{run['id']}/resume", {"approved": True}).json()
    assert (answer["status"], answer["deadline_at"] is None) == ("running", False)
    assert answer["active_seconds"] < 60
    work()
    assert status_of(run["id"]) == "succeeded"
