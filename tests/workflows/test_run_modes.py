"""The permission mode of a workflow run and of its tasks (docs/api/approvals.md 12)."""

from typing import Any

from tests.cast import Api
from tests.runs.driving import request_of, show, status_of
from tests.workflows.engine import approval, begin, deliver, ran, task, work

Body = dict[str, Any]


def asking(api: Api, mode: str = "approval") -> Body:
    """A run whose task asks before each action."""
    steps = [task("a", "x [steps:2]"), task("b", "y [steps:1]")]
    return ran(api, steps, human_in_the_loop=True, permission_mode=mode)


def test_each_action_of_each_task_is_asked_for(test_key: Api) -> None:
    run = asking(test_key)
    for step_id in ("a", "a", "b"):
        assert show(test_key, run["id"])["awaiting_step_id"] == step_id
        assert request_of(test_key, run)["kind"] == "tool"
        test_key.post(f"/runs/{run['id']}/resume", {"approved": True})
        work()
    assert status_of(run["id"]) == "succeeded"


def test_each_task_has_a_plan_of_its_own(test_key: Api) -> None:
    run = asking(test_key, "plan")
    for step_id in ("a", "b"):
        assert show(test_key, run["id"])["awaiting_step_id"] == step_id
        assert request_of(test_key, run)["kind"] == "plan"
        test_key.post(f"/runs/{run['id']}/resume", {"approved": True})
        work()
    assert status_of(run["id"]) == "succeeded"


def test_switched_to_approval_its_task_asks_from_then_on(test_key: Api) -> None:
    run = begin(test_key, [task("a"), task("b")], human_in_the_loop=True)
    deliver()
    test_key.patch(f"/runs/{run['id']}/permission-mode", {"permission_mode": "approval"})
    work()
    assert show(test_key, run["id"])["awaiting_step_id"] == "a"


def test_a_mode_that_needs_people_or_comes_too_late_is_refused(test_key: Api) -> None:
    run = ran(test_key, [approval("ok")])
    path = f"/workflows/runs/{run['id']}/permission-mode"
    assert test_key.patch(path, {"permission_mode": "approval"}).status_code == 422
    test_key.post(f"/runs/{run['id']}/cancel")
    late = test_key.patch(path, {"permission_mode": "autonomous"})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "INVALID_STATE")
