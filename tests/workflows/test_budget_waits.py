"""A budget that people are asked to lift, while tasks come and go."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Team
from approvals import clock
from approvals.models import Approval
from tests.cast import Api, Cast
from tests.runs.driving import data_of, drive_all, kinds, request_of, show, simulated, status_of
from tests.takeover.control import release, take
from tests.workflows.engine import approval, check, ran, task, tasks_of, work


def over_budget(api: Api, steps: list[Any], budget: int = 5, **start: Any) -> dict[str, Any]:
    """A run that asks for more money."""
    run = ran(api, steps, budget_cents=budget, on_budget="ask", **start)
    assert request_of(api, run)["kind"] == "budget"
    return run


def parallel(*branches: list[Any]) -> dict[str, Any]:
    return {"id": "p", "type": "parallel", "branches": list(branches)}


def budgets() -> list[str]:
    return list(Approval.objects.filter(kind="budget").order_by("created_at").values_list("status", flat=True))


def test_the_last_task_that_wanted_money_is_cancelled_and_the_run_ends(test_key: Api) -> None:
    run = over_budget(test_key, [task("a", "x [steps:3]")])
    test_key.post(f"/runs/{tasks_of(test_key, run)[0]['id']}/cancel")
    assert (status_of(run["id"]), budgets()) == ("running", ["cancelled"])
    assert data_of(run["id"], "approval")[-1]["change"] == "cancelled"
    work()
    ended = show(test_key, run["id"])
    assert (ended["status"], ended["cost_cents"]) == ("succeeded", 5)


def test_a_request_stays_while_another_task_wants_the_money(test_key: Api) -> None:
    run = over_budget(test_key, [parallel([task("a", "x [steps:3]")], [task("b", "y [steps:3]")])], 10)
    first, second = tasks_of(test_key, run)
    test_key.post(f"/runs/{first['id']}/cancel")
    assert (status_of(run["id"]), budgets()) == ("awaiting_human", ["pending"])
    test_key.post(f"/runs/{second['id']}/cancel")
    assert (status_of(run["id"]), budgets()) == ("running", ["cancelled"])
    work()
    assert status_of(run["id"]) == "succeeded"


def test_a_branch_that_wanted_money_is_given_up_and_people_are_asked_for_something_else(test_key: Api) -> None:
    first = {"op": "eq", "left": "{{vars.attempt}}", "right": 1}
    wants = parallel([task("a", "x [steps:3]")], [task("b", "y [steps:0] [slow:1]"), check("no", 1, 2)])
    body = [{"id": "i", "type": "if", "condition": first, "then": [wants]}, approval("ok")]
    run = ran(
        test_key,
        [{"id": "r", "type": "retry", "max_attempts": 2, "body": body}],
        budget_cents=5,
        on_budget="ask",
    )
    assert (run["status"], run["awaiting_step_id"]) == ("awaiting_human", "ok")
    assert budgets() in (["cancelled"], [])
    test_key.post(f"/runs/{run['id']}/resume", {"approved": True})
    work()
    assert status_of(run["id"]) == "succeeded"


def test_the_task_is_cancelled_while_the_lift_can_be_undone(test_key: Api, cast: Cast) -> None:
    Team.objects.filter(id=cast.team.id).update(undo_window_seconds=10)
    run = over_budget(test_key, [task("a", "x [steps:3]"), approval("ok")])
    asked = request_of(test_key, run)
    test_key.post(f"/approvals/{asked['id']}/decide", {"verdict": "approve"})
    test_key.post(f"/runs/{tasks_of(test_key, run)[0]['id']}/cancel")
    work()
    assert show(test_key, run["id"])["awaiting_step_id"] == "ok"
    pass_window()
    shown = show(test_key, run["id"])
    assert (shown["status"], shown["budget_cents"], shown["awaiting_step_id"]) == ("awaiting_human", 10, "ok")
    assert kinds(run["id"]).count("resumed") == 1


def pass_window() -> None:
    Approval.objects.filter(effect_pending=True).update(effective_at=timezone.now() - timedelta(seconds=1))
    clock.effects()
    work()


def test_a_second_branch_reaches_the_budget_while_the_lift_can_be_undone(test_key: Api, cast: Cast) -> None:
    Team.objects.filter(id=cast.team.id).update(undo_window_seconds=10)
    steps = parallel([task("a", "x [steps:3]")], [task("asks", "y [pause:0] [steps:1]")])
    run = ran(test_key, [steps], budget_cents=10, on_budget="ask")
    asks = next(t for t in tasks_of(test_key, run) if t["task"].startswith("y"))
    (budget,) = Approval.objects.filter(kind="budget")
    test_key.post(f"/approvals/{budget.id}/decide", {"verdict": "approve"})
    test_key.post(f"/runs/{asks['id']}/resume", {"approved": True})
    Approval.objects.filter(kind="approval", effect_pending=True).update(
        effective_at=timezone.now() - timedelta(seconds=1)
    )
    clock.effects()
    drive_all()
    assert budgets() == ["approved"]
    pass_window()
    ended = show(test_key, run["id"])
    assert (ended["status"], ended["cost_cents"], ended["budget_cents"]) == ("succeeded", 20, 20)


@pytest.mark.parametrize("lifted", ["before", "after"])
def test_a_person_controls_the_machine_of_a_task_that_waits_for_money(live: Api, lifted: str) -> None:
    machine = simulated(live)
    steps = [task("a", "x [steps:2]", agent="scripted")]
    run = over_budget(live, steps, machine_id=machine)
    asked = request_of(live, run)
    lease = take(live, machine)
    if lifted == "after":
        release(live, lease)
        assert status_of(run["id"]) == "awaiting_human"
    live.post(f"/approvals/{asked['id']}/decide", {"verdict": "approve"})
    if lifted == "before":
        drive_all()
        assert status_of(run["id"]) == "awaiting_human"
        release(live, lease)
    work()
    ended = show(live, run["id"])
    assert (ended["status"], ended["cost_cents"], ended["budget_cents"]) == ("succeeded", 10, 10)
