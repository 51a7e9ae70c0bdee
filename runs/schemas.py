"""Request bodies and answers of runs."""

from typing import Annotated, Any, Literal

from django.utils import timezone
from pydantic import AfterValidator, Field

from approvals.schemas import Note
from runs.models import Run
from runs.outputs import schema_problem
from web.bodies import Body, Int
from web.json_values import too_big
from web.times import rfc3339


def _small(value: dict[str, Any]) -> dict[str, Any]:
    if problem := too_big(value):
        raise ValueError(problem)
    return value


SmallObject = Annotated[dict[str, Any], AfterValidator(_small)]


def _schema(value: dict[str, Any]) -> dict[str, Any]:
    if problem := schema_problem(value):
        raise ValueError(f"The schema {problem}.")
    return value


OutputSchema = Annotated[dict[str, Any], AfterValidator(_schema)]  # JSON Schema 2020-12


class Terms(Body):
    """What a caller says of a run of either kind (contract/runs.md section 2)."""

    machine_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    task: Annotated[str, Field(min_length=1, max_length=16_000)] | None = None
    cua_version: Literal["v1", "v3", "v4"] = "v3"
    instructions: Annotated[str, Field(max_length=16_000)] | None = None
    system_prompt: Annotated[str, Field(max_length=32_000)] | None = None
    max_steps: Annotated[Int, Field(ge=1, le=1000)] = 50
    deadline_seconds: Annotated[Int, Field(ge=1, le=86_400)] | None = None
    deadline_clock: Literal["active", "wall"] = "active"
    on_awaiting_human: Literal["pause", "fail", "cancel"] | None = None
    awaiting_human_timeout_seconds: Annotated[Int, Field(ge=1, le=86_400)] | None = None
    on_timeout: Literal["cancel", "fail", "reject", "default_answer"] = "cancel"
    budget_cents: Annotated[Int, Field(ge=0, le=10_000_000)] = 0
    on_budget: Literal["fail", "ask"] = "fail"
    webhook_url: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    metadata: SmallObject | None = None
    human_in_the_loop: bool | None = None
    permission_mode: Literal["autonomous", "approval", "plan"] = "autonomous"
    end_user: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    agent: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    priority: Annotated[Int, Field(ge=0, le=9)] = 5


class RunCreate(Terms):
    """POST /v1/runs."""

    input: SmallObject | None = None
    output_schema: OutputSchema | None = None

    @property
    def goal(self) -> str | None:
        """The task's text, whichever way it was given."""
        return self.task if self.input is None else self.input["goal"]


class CancelBody(Body):
    reason: Note | None = None


class ResumeBody(Body):
    approved: bool | None = None
    note: Note | None = None
    approval_id: str | None = None


class ParseBody(Body):
    task: Annotated[str, Field(min_length=1, max_length=16_000)]


def run_object(
    run: Run, *, open_approvals: list[str] | None = None, waiting_on: dict[str, Any] | None = None,
    webhook_secret: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The run as the API shows it (contract/runs.md section 4): every key, null when empty."""
    of_workflow = _of_workflow(run) if run.kind == "workflow" else {}
    return of_workflow | {
        "id": run.id, "run_id": run.id, "object": f"{run.kind}.run", "status": run.status, "state": run.status,
        "parent_id": run.parent_id, "root_id": run.root_id, "machine_id": run.machine_id, "task": run.task,
        "input": run.input, "cua_version": run.cua_version, "agent": run.agent, "instructions": run.instructions,
        "max_steps": run.max_steps, "steps_completed": run.steps_completed, "deadline_seconds": run.deadline_seconds,
        "deadline_clock": run.deadline_clock, "deadline_at": None if run.stopped_at else rfc3339(run.deadline_at),
        "active_seconds": run.active_seconds(timezone.now()), "on_awaiting_human": run.on_awaiting_human,
        "awaiting_human_timeout_seconds": run.awaiting_human_timeout_seconds, "on_timeout": run.on_timeout,
        "awaiting_human_reason": run.awaiting_human_reason, "awaiting_human_since": rfc3339(run.awaiting_human_since),
        "open_approvals": open_approvals or [], "parked_at": rfc3339(run.parked_at), "resume_at": rfc3339(run.resume_at),
        "waiting_on": waiting_on, "human_in_the_loop": run.human_in_the_loop, "permission_mode": run.permission_mode,
        "end_user": run.end_user, "priority": run.priority, "credits_charged": run.cost_cents, "cost_cents": run.cost_cents,
        "budget_cents": run.budget_cents, "on_budget": run.on_budget, "result": run.result, "error": run.error,
        "metadata": run.metadata, "webhook_url": run.webhook_url, "webhook_secret": webhook_secret, "test": run.test,
        "created_by": {"type": run.created_by["type"], "id": run.created_by["id"]}, "created_at": rfc3339(run.created_at),
        "started_at": rfc3339(run.started_at), "finished_at": rfc3339(run.finished_at),
        "cancel_requested_at": rfc3339(run.cancel_requested_at), "stop_confirmed_at": rfc3339(run.stop_confirmed_at),
        "request_id": run.request_id,
    }  # fmt: skip


def _of_workflow(run: Run) -> dict[str, Any]:
    """The keys that a workflow run has besides (contract/workflows.md section 8)."""
    return {
        "workflow_id": run.workflow_id, "workflow_version": run.workflow_version, "inputs": run.inputs, "output": run.output,
        "awaiting_step_id": run.awaiting_step_id, "iterations_used": run.iterations_used,
        "max_iterations": run.max_iterations, "spent_cents": run.cost_cents,
    }  # fmt: skip
