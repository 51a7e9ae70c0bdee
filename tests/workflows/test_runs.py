"""Workflow runs against the database: child runs, people, money and the log."""

from tests.cast import Api
from tests.runs.driving import data_of, kinds, show
from tests.workflows.engine import approval, check, ran, task, tasks_of, work


def test_a_run_of_two_tasks_goes_to_its_end(test_key: Api) -> None:
    run = ran(test_key, [task("a"), check("passed", "{{a.passed}}", True), task("b")], {"cost": "{{b.cost_cents}}"})
    assert (run["status"], run["object"], run["output"]) == ("succeeded", "workflow.run", {"cost": 5})
    assert (run["steps_completed"], run["cost_cents"], run["spent_cents"]) == (2, 10, 10)
    assert [t["status"] for t in tasks_of(test_key, run)] == ["succeeded", "succeeded"]
    assert kinds(run["id"]) == [
        "queued", "running", "step", "billing", "step", "step", "billing", "succeeded", "done",
    ]  # fmt: skip
    assert data_of(run["id"], "billing")[-1] == {"spent_cents": 10, "cost_cents": 10, "credits_charged": 5}


def test_an_approval_waits_and_goes_on(test_key: Api) -> None:
    run = ran(test_key, [task("a"), approval("ok", message="Is {{a.status}} right?"), task("b")])
    assert (run["status"], run["awaiting_step_id"]) == ("awaiting_human", "ok")
    assert run["awaiting_human_reason"] == "Is succeeded right?"
    answer = test_key.post(f"/workflows/runs/{run['id']}/resume", {"approved": True, "note": "fine"})
    assert answer.json()["status"] == "running", answer.content
    work()
    assert show(test_key, run["id"])["status"] == "succeeded"
