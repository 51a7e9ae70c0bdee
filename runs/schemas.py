"""Request bodies and answers of runs."""

from typing import Annotated, Any, Literal

from django.db.models import Q
from django.utils import timezone
from ninja import FilterSchema
from pydantic import AfterValidator, ConfigDict, Field
from pydantic.config import JsonDict
from typing_extensions import TypedDict

from accounts.actor import ActorId
from accounts.webhooks.schemas import Url
from approvals.schemas import ApprovalObject, Note
from runs.models import Run, RunStatus, Screenshot
from runs.outputs import schema_problem
from web.bodies import Body, Int, SmallObject, exactly_one_of
from web.errors import InvalidFilter, InvalidStatusFilter
from web.filters import Text, one_of, several_of, words_of
from web.times import Timestamp, rfc3339


def _schema(value: dict[str, Any]) -> dict[str, Any]:
    if problem := schema_problem(value):
        raise ValueError(f"The schema {problem}.")
    return value


OutputSchema = Annotated[dict[str, Any], AfterValidator(_schema)]  # JSON Schema 2020-12


class Terms(Body):
    """What a caller says of a run of either kind (docs/api/runs.md section 2)."""

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
    webhook_url: Url | None = None
    metadata: SmallObject | None = None
    human_in_the_loop: bool | None = None
    permission_mode: Literal["autonomous", "approval", "plan"] = "autonomous"
    end_user: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    agent: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    priority: Annotated[Int, Field(ge=0, le=9)] = 5


GOAL: JsonDict = {
    "required": ["goal"],
    "properties": {"goal": {"type": "string", "minLength": 1, "maxLength": 16_000}},
}


class RunCreate(Terms):
    """POST /v1/runs."""

    model_config = ConfigDict(json_schema_extra=exactly_one_of("task", "input"))

    input: Annotated[SmallObject, Field(json_schema_extra=GOAL)] | None = None
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


class WorkflowResumeBody(ResumeBody):
    """As the document shows it: of a workflow run it is said whether it goes on."""

    approved: bool


class ParseBody(Body):
    task: Annotated[str, Field(min_length=1, max_length=16_000)]


class ReasonObject(TypedDict):
    """Why a run does not move; `ref` names what it waits for."""

    code: str
    message: str
    ref: str | None


class RunObject(TypedDict):
    id: str
    run_id: str
    object: str
    status: str
    state: str
    parent_id: str | None
    root_id: str
    machine_id: str | None
    task: str | None
    input: dict[str, Any] | None
    cua_version: str
    agent: str
    instructions: str | None
    max_steps: int
    steps_completed: int
    deadline_seconds: int | None
    deadline_clock: str
    deadline_at: Timestamp | None
    active_seconds: int
    on_awaiting_human: str
    awaiting_human_timeout_seconds: int | None
    on_timeout: str
    awaiting_human_reason: str | None
    awaiting_human_since: Timestamp | None
    open_approvals: list[str]
    parked_at: Timestamp | None
    resume_at: Timestamp | None
    waiting_on: ReasonObject | None
    human_in_the_loop: bool | None
    permission_mode: str
    end_user: str | None
    priority: int
    credits_charged: int
    cost_cents: int
    budget_cents: int
    on_budget: str
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    metadata: dict[str, Any] | None
    webhook_url: str | None
    webhook_secret: str | None
    test: bool
    created_by: ActorId
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None
    cancel_requested_at: Timestamp | None
    stop_confirmed_at: Timestamp | None
    request_id: str


class OfWorkflow(TypedDict):
    """The keys that a workflow run has besides (docs/api/workflows.md section 8)."""

    workflow_id: str | None
    workflow_version: int | None
    inputs: dict[str, Any] | None
    output: Any
    awaiting_step_id: str | None
    iterations_used: int
    max_iterations: int | None
    spent_cents: int


class WorkflowRunObject(RunObject, OfWorkflow):
    """A run of a workflow: what every run has, and what only it has."""


KINDS = ("agent", "workflow")


class RunFilters(FilterSchema):
    """The filters of GET /v1/runs and GET /v1/workflows/runs; `state` is another name of `status`."""

    status: Annotated[Text, several_of(RunStatus.values)] = None
    state: Annotated[Text, several_of(RunStatus.values)] = None
    workflow_id: Text = None
    machine_id: Text = None
    end_user: Text = None
    kind: Annotated[Text, one_of(KINDS)] = None

    def filter_status(self, status: str | None) -> Q:
        """Raises InvalidStatusFilter."""
        unknown = InvalidStatusFilter(valid_options=list(RunStatus.values))
        return Q(status__in=words_of(status, RunStatus.values, unknown)) if status else Q()

    def filter_state(self, state: str | None) -> Q:
        return Q() if self.status else self.filter_status(state)

    def filter_kind(self, kind: str | None) -> Q:
        """Raises InvalidFilter."""
        if kind is None:
            return Q()
        if kind not in KINDS:
            raise InvalidFilter(parameter="kind", valid_options=list(KINDS))
        return Q(kind=kind)


def run_object(
    run: Run,
    *,
    open_approvals: list[str] | None = None,
    waiting_on: ReasonObject | None = None,
    webhook_secret: str | None = None,
) -> RunObject | WorkflowRunObject:
    """The run as the API shows it (docs/api/runs.md section 4): every key, null when empty."""
    shown: RunObject = {
        "id": run.id,
        "run_id": run.id,
        "object": f"{run.kind}.run",
        "status": run.status,
        "state": run.status,
        "parent_id": run.parent_id,
        "root_id": run.root_id,
        "machine_id": run.machine_id,
        "task": run.task,
        "input": run.input,
        "cua_version": run.cua_version,
        "agent": run.agent,
        "instructions": run.instructions,
        "max_steps": run.max_steps,
        "steps_completed": run.steps_completed,
        "deadline_seconds": run.deadline_seconds,
        "deadline_clock": run.deadline_clock,
        "deadline_at": None if run.stopped_at else rfc3339(run.deadline_at),
        "active_seconds": run.active_seconds(timezone.now()),
        "on_awaiting_human": run.on_awaiting_human,
        "awaiting_human_timeout_seconds": run.awaiting_human_timeout_seconds,
        "on_timeout": run.on_timeout,
        "awaiting_human_reason": run.awaiting_human_reason,
        "awaiting_human_since": rfc3339(run.awaiting_human_since),
        "open_approvals": open_approvals or [],
        "parked_at": rfc3339(run.parked_at),
        "resume_at": rfc3339(run.resume_at),
        "waiting_on": waiting_on,
        "human_in_the_loop": run.human_in_the_loop,
        "permission_mode": run.permission_mode,
        "end_user": run.end_user,
        "priority": run.priority,
        "credits_charged": run.cost_cents,
        "cost_cents": run.cost_cents,
        "budget_cents": run.budget_cents,
        "on_budget": run.on_budget,
        "result": run.result,
        "error": run.error,
        "metadata": run.metadata,
        "webhook_url": run.webhook_url,
        "webhook_secret": webhook_secret,
        "test": run.test,
        "created_by": {"type": run.created_by["type"], "id": run.created_by["id"]},
        "created_at": rfc3339(run.created_at),
        "started_at": rfc3339(run.started_at),
        "finished_at": rfc3339(run.finished_at),
        "cancel_requested_at": rfc3339(run.cancel_requested_at),
        "stop_confirmed_at": rfc3339(run.stop_confirmed_at),
        "request_id": run.request_id,
    }
    return shown if run.kind == "agent" else {**_of_workflow(run), **shown}


def _of_workflow(run: Run) -> OfWorkflow:
    return {
        "workflow_id": run.workflow_id,
        "workflow_version": run.workflow_version,
        "inputs": run.inputs,
        "output": run.output,
        "awaiting_step_id": run.awaiting_step_id,
        "iterations_used": run.iterations_used,
        "max_iterations": run.max_iterations,
        "spent_cents": run.cost_cents,
    }


class ScreenshotObject(TypedDict):
    index: int
    step: int
    phase: str
    taken_at: Timestamp
    width: int
    height: int
    sha256: str


def screenshot_object(row: Screenshot) -> ScreenshotObject:
    return {
        "index": row.index,
        "step": row.step,
        "phase": row.phase,
        "taken_at": rfc3339(row.taken_at),
        "width": row.width,
        "height": row.height,
        "sha256": row.sha256,
    }


class SignalObject(TypedDict):
    object: str
    id: str | None
    action: str
    run_id: str
    approval_id: str
    status: str
    state: str
    resumed: bool


class PermissionObject(ApprovalObject):
    """A request as the permissions list shows it: its status in other words: allowed, denied, answered, timeout, cancelled."""

    tool_name: str
    tool_input: dict[str, Any]


class PermissionResultObject(PermissionObject):
    resumed: bool
    remembered: bool


class AnswerResultObject(TypedDict):
    status: str
    resumed: bool
    run_status: str
    approval: ApprovalObject


class PermissionModeObject(TypedDict):
    """`resolved`: the ids of the requests that the change of mode approved."""

    run_id: str
    permission_mode: str
    resolved: list[str]


class InstructionObject(TypedDict):
    text: str
    action: str
    params: dict[str, Any]


class UnknownObject(TypedDict):
    """`column` counts from 1 over the whole task."""

    text: str
    column: int


class PlanObject(TypedDict):
    steps: list[InstructionObject]
    unknown: list[UnknownObject]
