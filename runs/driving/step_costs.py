"""What a step may cost, and what happens when that is too much. Synchronous: the drive loop calls these in its threads."""

from typing import Any

from billing.errors import BudgetReached
from billing.services import step_price
from runs.driving import jobs
from runs.driving.jobs import Job
from runs.models import Run


def hold(job: Job, index: int) -> dict[str, Any] | None:
    """Arguments of the hold of one step; test runs bill nothing."""
    run = job.run
    if run.test:
        return None
    key = run.created_by["id"] if run.created_by["type"] == "api_key" else None
    return {
        "team_id": run.team_id,
        "run_id": run.id,
        "step_index": index,
        "cents": step_price(run.cua_version),
        "key_id": key,
        "created_by": run.created_by,
        "workflow_id": run.workflow_id,
        "lifted": job.lifted,
    }


def check_budget(run: Run) -> None:
    """That of the run itself; that of the workflow run above is checked with the intent, where its tasks cannot race."""
    if run.budget_cents and run.cost_cents + step_price(run.cua_version) > run.budget_cents:
        raise BudgetReached("run", run.budget_cents, run.cost_cents)


def budget_reached(job: Job, reached: BudgetReached) -> None:
    if job.run.on_budget == "ask":
        jobs.ask_for_money(job, reached)
        return
    jobs.break_off(job, "GUARD_EXCEEDED", str(reached), reason_code="budget_cents", details=reached.details)
