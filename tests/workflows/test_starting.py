"""Starting saved workflows: versions, inputs, limits, the month's budget."""

from typing import Any

import pytest

from runs.models import Run
from tests.cast import Api, Cast
from tests.runs.driving import show, simulated
from tests.workflows.engine import approval, check, ran, task, tasks_of, work

TWO = [task("a", agent="scripted"), task("b", agent="scripted")]


def saved(api: Api, steps: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    answer = api.post("/workflows", {"name": "Invoices", "slug": "invoices", "definition": {"steps": steps}} | fields)
    assert answer.status_code == 200, answer.content
    return answer.json()


def started(api: Api, workflow: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = api.post(f"/workflows/{workflow['id']}/runs", body)
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_T_136_a_run_keeps_the_version_it_was_started_with(test_key: Api) -> None:
    workflow = saved(test_key, [approval("ok")])
    run = started(test_key, workflow)
    assert (run["workflow_id"], run["workflow_version"], run["status"]) == (workflow["id"], 1, "queued")
    test_key.request("PUT", f"/workflows/{workflow['id']}", {"definition": {"steps": [{"id": "no", "type": "fail"}]}})
    work()
    test_key.post(f"/runs/{run['id']}/resume", {"approved": True})
    work()
    ended = show(test_key, run["id"])
    assert (ended["status"], ended["workflow_version"]) == ("succeeded", 1)
    assert started(test_key, workflow)["workflow_version"] == 2
    assert started(test_key, workflow, version=1)["workflow_version"] == 1


def test_T_136_an_archived_workflow_starts_no_run(test_key: Api) -> None:
    workflow = saved(test_key, [approval("ok")])
    test_key.delete(f"/workflows/{workflow['id']}")
    refused = test_key.post(f"/workflows/{workflow['id']}/runs", {})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "INVALID_STATE")
    assert refused.json()["error"]["current_state"] == "archived"
    assert not Run.objects.exists()


def test_a_version_that_is_not_there_is_404(test_key: Api) -> None:
    workflow = saved(test_key, [approval("ok")])
    assert test_key.post(f"/workflows/{workflow['id']}/runs", {"version": 2}).status_code == 404


@pytest.mark.parametrize(
    "schema",
    [
        {"file": {"type": "string", "required": True}, "copies": {"type": "integer", "default": 2}},
        {
            "type": "object", "required": ["file"],
            "properties": {"file": {"type": "string"}, "copies": {"type": "integer", "default": 2}},
        },
    ],
)  # fmt: skip
def test_T_160_inputs_are_checked_and_defaults_applied(test_key: Api, schema: dict[str, Any]) -> None:
    workflow = saved(test_key, [task("a", "File {{inputs.file}} [steps:1]")], inputs_schema=schema)
    refused = test_key.post(f"/workflows/{workflow['id']}/runs", {"inputs": {}})
    (detail,) = refused.json()["error"]["details"]
    assert (refused.status_code, detail["loc"], detail["type"]) == (422, ["body", "inputs", "file"], "missing")
    run = started(test_key, workflow, inputs={"file": "a.pdf", "more": 1})
    assert run["inputs"] == {"file": "a.pdf", "more": 1, "copies": 2}
    work()
    assert tasks_of(test_key, run)[0]["task"] == "File a.pdf [steps:1]"


def test_everything_wrong_with_a_start_is_said_at_once(live: Api) -> None:
    workflow = saved(live, [task("a")], inputs_schema={"file": {"required": True}})
    body = {"inputs": {}, "priority": 10, "agent": "nobody", "version": "one", "nonsense": 1}
    refused = live.post(f"/workflows/{workflow['id']}/runs", body)
    places = {tuple(d["loc"]) for d in refused.json()["error"]["details"]}
    expected = ("inputs", "file"), ("priority",), ("agent",), ("version",), ("nonsense",), ("machine_id",)
    assert places == {("body", *place) for place in expected}


def test_the_limits_of_the_definition_hold_where_the_start_says_nothing(test_key: Api) -> None:
    body = {"steps": TWO, "budget_cents": 5, "max_iterations": 7, "deadline_seconds": 99}
    workflow = saved(test_key, [], definition=body)
    run = started(test_key, workflow)
    assert [run[name] for name in ("budget_cents", "max_iterations", "deadline_seconds")] == [5, 7, 99]
    run = started(test_key, workflow, budget_cents=0, max_iterations=8, deadline_seconds=98)
    assert [run[name] for name in ("budget_cents", "max_iterations", "deadline_seconds")] == [0, 8, 98]


def test_the_same_call_with_a_key_starts_one_run(test_key: Api) -> None:
    workflow = saved(test_key, [approval("ok")])
    first, second = (
        test_key.post(f"/workflows/{workflow['id']}/runs", {}, Idempotency_Key="once").json() for _ in range(2)
    )
    assert first["id"] == second["id"]
    assert Run.objects.count() == 1


def test_runs_are_filtered_by_their_workflow(test_key: Api) -> None:
    workflow = saved(test_key, [check("c", 1, 1)])
    run = started(test_key, workflow)
    ran(test_key, [check("c", 1, 1)])
    for path in ("/runs", "/workflows/runs"):
        listed = test_key.get(f"{path}?workflow_id={workflow['id']}").json()["data"]
        assert [each["id"] for each in listed] == [run["id"]]


def test_a_month_of_a_workflow_costs_no_more_than_its_budget(live: Api) -> None:
    workflow = saved(live, TWO, budget_cents_month=10)
    machine = simulated(live)
    run = started(live, workflow, machine_id=machine)
    work()
    assert show(live, run["id"])["status"] == "succeeded"
    (budget,) = live.get("/billing/balance").json()["budgets"]
    assert (budget["scope"], budget["id"], budget["spent_cents"]) == ("workflow", workflow["id"], 10)
    refused = live.post(f"/workflows/{workflow['id']}/runs", {"machine_id": machine})
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "BUDGET_EXCEEDED")
    assert refused.json()["error"]["scope"] == "workflow"
    assert saved(live, TWO)["budget_cents_month"] == 10  # posted again without it: a limit does not vanish
    live.request("PUT", f"/workflows/{workflow['id']}", {"budget_cents_month": 15})
    run = started(live, workflow, machine_id=machine)
    work()
    ended = show(live, run["id"])
    assert (ended["status"], ended["cost_cents"], ended["error"]["details"]["scope"]) == ("failed", 5, "workflow")
    live.request("PUT", f"/workflows/{workflow['id']}", {"budget_cents_month": 0})
    assert live.get("/billing/balance").json()["budgets"] == []


def test_a_month_may_be_lifted_for_one_run_by_an_admin(live: Api, cast: Cast) -> None:
    workflow = saved(live, TWO, budget_cents_month=5)
    run = started(live, workflow, machine_id=simulated(live), on_budget="ask")
    work()
    (approval_id,) = show(live, run["id"])["open_approvals"]
    asked = live.get(f"/approvals/{approval_id}").json()
    assert asked["budget"]["scope"] == "workflow"
    ana, adam = cast.browser("ana"), cast.browser("adam")
    decide = f"/v1/approvals/{approval_id}/decide"
    assert ana.post(decide, {"verdict": "approve"}, content_type="application/json").status_code == 403
    assert adam.post(decide, {"verdict": "approve"}, content_type="application/json").status_code == 200
    work()
    assert show(live, run["id"])["status"] == "succeeded"
