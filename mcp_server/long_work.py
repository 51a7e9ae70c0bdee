"""The extension Tasks of MCP (io.modelcontextprotocol/tasks): a handle for what takes longer than a call.

A task is a run that the key has started or a request that it has asked, by the id of either; it has no row of its own, and
each look at it asks for the rights anew. What a person said is the result of the task, a "no" too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from accounts.access import require
from approvals.access import find_approval
from approvals.errors import AlreadyDecided, ApprovalExpired, ApprovalVoid
from approvals.external import services as external
from approvals.models import Approval
from mcp_server.errors import InvalidParams
from mcp_server.tools.requests import approval_data
from mcp_server.tools.runs import run_data
from mcp_server.tools.tool import Call, Outcome
from runs import services
from runs.access import get_run
from runs.errors import RunNotFound
from runs.models import Run
from web.errors import InvalidState, following_up
from web.times import rfc3339

EXTENSION = "io.modelcontextprotocol/tasks"
# How often a client is to look, in milliseconds, by how long the task has gone on: who waits for hours need not ask each second.
_INTERVALS = ((timedelta(minutes=1), 1000), (timedelta(minutes=10), 5000))
_LONGEST_INTERVAL = 15_000


@dataclass(frozen=True)
class Task:
    """`status`: working, completed or cancelled. `result` stands where it is completed; `cancel` ends what it stands for."""

    id: str
    status: str
    message: str
    created_at: datetime
    updated_at: datetime
    result: Outcome
    cancel: Callable[[], object]

    def object(self) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "taskId": self.id,
            "status": self.status,
            "statusMessage": self.message,
            "createdAt": rfc3339(self.created_at),
            "lastUpdatedAt": rfc3339(self.updated_at),
            "ttlMs": None,
            "pollIntervalMs": _interval(timezone.now() - self.created_at),
        }
        return shown | ({"result": self.result.result()} if self.status == "completed" else {})


def _interval(age: timedelta) -> int:
    return next((interval for limit, interval in _INTERVALS if age < limit), _LONGEST_INTERVAL)


def task_of(call: Call, task_id: str) -> Task:
    """Raises InvalidParams for what is no task of this key, InsufficientScope."""
    task = _of_run(call, task_id) or _of_request(call, task_id)
    if task is None:
        raise InvalidParams("There is no such task of this key.")
    return task


_RUN_STATUS = {"queued": "working", "running": "working", "awaiting_human": "working", "cancelled": "cancelled"}
_RUN_MESSAGES = {"queued": "Waiting to begin", "running": "At work", "awaiting_human": "Waiting for a person"}


def _of_run(call: Call, run_id: str) -> Task | None:
    try:
        run = get_run(call.actor, run_id)
    except RunNotFound:
        return None
    if run.created_by["id"] != call.actor.id:
        return None
    require(call.actor, "runs:read")
    return Task(
        id=run.id,
        status=_RUN_STATUS.get(run.status, "completed"),
        message=_RUN_MESSAGES.get(run.status, f"The run has ended: {run.get_status_display()}"),
        created_at=run.created_at,
        updated_at=_changed_at(run),
        result=Outcome(run_data(call, run), is_error=run.status in ("failed", "timed_out")),
        cancel=lambda: _cancel_run(call, run),
    )


def _changed_at(run: Run) -> datetime:
    times = (run.created_at, run.started_at, run.awaiting_human_since, run.finished_at)
    return max(time for time in times if time is not None)


def _cancel_run(call: Call, run: Run) -> None:
    require(call.actor, "runs:write")
    try:
        services.cancel_run(call.actor, run.id, None)
    except InvalidState:  # it has ended by itself, which is as good
        return


def _of_request(call: Call, approval_id: str) -> Task | None:
    approval = find_approval(call.actor, approval_id)
    if approval is None or approval.asker_id != call.actor.id:
        return None
    require(call.actor, "approvals:request", "approvals:read")
    is_cancelled = approval.status == "cancelled"
    return Task(
        id=approval.id,
        status="working" if approval.is_unsettled else "cancelled" if is_cancelled else "completed",
        message=_message(approval),
        created_at=approval.created_at,
        updated_at=approval.resolved_at or approval.created_at,
        result=Outcome(approval_data(call, approval)),
        cancel=lambda: _cancel_request(call, approval),
    )


def _message(approval: Approval) -> str:
    if approval.effect_pending:
        return "A person has answered, and can still take it back"
    return "Waiting for a person" if approval.is_unsettled else approval.outcome


def _cancel_request(call: Call, approval: Approval) -> None:
    require(call.actor, "approvals:request")
    try:
        with following_up():
            external.cancel(call.actor, approval.id)
    except (
        AlreadyDecided,
        ApprovalExpired,
        ApprovalVoid,
    ):  # somebody was quicker, and the next look tells what they said
        return
