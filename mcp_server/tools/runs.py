"""Tools that start, look at and cancel runs, as /v1/runs does."""

import hashlib
import json
from typing import Annotated, Any

from pydantic import Field

from accounts.errors import IdempotencyKeyReused
from accounts.idempotency import once_named
from mcp_server.tools.tool import Call, ExternalId, Outcome, Tool
from runs import services
from runs.access import get_run, show
from runs.models import Run
from runs.schemas import RunCreate
from runs.starting.services import create_run
from web.bodies import Body
from web.errors import Invalid
from web.links import address, origin

RunId = Annotated[str, Field(max_length=128, description="The id that start_run answered, such as run_8Kq2.")]
_SHOWN = (
    "id", "status", "task", "agent", "machine_id", "steps_completed", "waiting_on", "open_approvals", "result", "error",
    "cost_cents", "created_at", "started_at", "finished_at", "test",
)  # fmt: skip
_NEXT = {
    "queued": "It has not begun yet. Call get_run later.",
    "running": "It is at work. Call get_run later.",
    "awaiting_human": "A person is asked in Countersign, which may take hours. Call get_run later; do not start it again.",
}


class StartRun(Body):
    task: Annotated[
        str, Field(min_length=1, max_length=16_000, description="What the agent is to do, in plain sentences.")
    ]
    machine: (
        Annotated[
            str,
            Field(
                min_length=1, max_length=128, description="Id of the machine, such as mch_4dE; a free one by default."
            ),
        ]
        | None
    ) = None
    agent: (
        Annotated[str, Field(min_length=1, max_length=64, description="Name of the agent; the usual one by default.")]
        | None
    ) = None
    external_id: ExternalId | None = None


class GetRun(Body):
    id: RunId


class CancelRun(Body):
    id: RunId
    reason: Annotated[str, Field(max_length=2000, description="Why, for the log of the run.")] | None = None


def run_data(call: Call, run: Run) -> dict[str, Any]:
    """The run as far as whoever asked for it needs it."""
    run_object: Any = show(run)
    data: dict[str, Any] = {name: run_object[name] for name in _SHOWN}
    data["url"] = address(origin(call.request), "run", run.id)
    if not run.is_terminal:
        data["next"] = _NEXT[run.status]
    return data


def _start(call: Call, arguments: StartRun) -> Outcome:
    try:
        run_id = _started(call, arguments)
    except Invalid as invalid:
        raise Invalid(*((_as_argument(loc), message, kind) for loc, message, kind in invalid.violations)) from invalid
    return Outcome(run_data(call, get_run(call.actor, run_id)), task_id=run_id if call.actor.may("runs:read") else None)


def _as_argument(loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Where it stands in the arguments of the tool, by where it stands in the body of POST /v1/runs."""
    place = loc[1:] if loc[:1] == ("body",) else loc
    return ("machine", *place[1:]) if place[:1] == ("machine_id",) else place


def _started(call: Call, arguments: StartRun) -> str:
    body = RunCreate(task=arguments.task, machine_id=arguments.machine, agent=arguments.agent)

    def create() -> dict[str, str]:
        return {"id": create_run(call.actor, body, call.request.request_id).id}

    if arguments.external_id is None:
        return create()["id"]
    key = "start_run:" + hashlib.sha256(arguments.external_id.encode()).hexdigest()
    content = {"tool": "start_run", **arguments.model_dump(exclude={"external_id"})}
    try:
        response = once_named(call.request, key, content, create)
    except IdempotencyKeyReused:
        message = "Another run was started under this name with other arguments. Use a name of its own for each run."
        raise Invalid((("external_id",), message, "value_error")) from None
    return str(json.loads(response.content)["id"])


def _get(call: Call, arguments: GetRun) -> Outcome:
    return Outcome(run_data(call, get_run(call.actor, arguments.id)))


def _cancel(call: Call, arguments: CancelRun) -> Outcome:
    run = get_run(call.actor, arguments.id)
    return Outcome(run_data(call, services.cancel_run(call.actor, run.id, arguments.reason)))


TOOLS: tuple[Tool[Any], ...] = (
    Tool(
        name="start_run",
        title="Start a run",
        description=(
            "Let an agent of Countersign do a task on a real machine (browser, terminal or desktop). Answers at once with "
            "the id of the run, which may take minutes, and hours where a person is asked; call get_run with it later."
        ),
        arguments=StartRun,
        scopes=("runs:write",),
        run=_start,
        annotations={"readOnlyHint": False, "destructiveHint": True, "idempotentHint": False, "openWorldHint": True},
    ),
    Tool(
        name="get_run",
        title="Look at a run",
        description="How far a run is, what it waits for, and what came of it.",
        arguments=GetRun,
        scopes=("runs:read",),
        run=_get,
        annotations={"readOnlyHint": True, "openWorldHint": False},
    ),
    Tool(
        name="cancel_run",
        title="Cancel a run",
        description="Stop a run for good. No action of it starts any more; what it did stays done.",
        arguments=CancelRun,
        scopes=("runs:write",),
        run=_cancel,
        annotations={"readOnlyHint": False, "destructiveHint": True, "idempotentHint": True, "openWorldHint": False},
    ),
)
