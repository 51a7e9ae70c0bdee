"""Tasks for the official client of MCP (package mcp, 2.3 or newer), which leaves that extension to its users.

    async with Client(transport, mode="2026-07-28", extensions=[Tasks(keep=remember)]) as client:
        result = await client.call_tool("request_approval", {...})  # hours later, as soon as a person has decided

When the server cannot be reached the official client ends as a whole. Open a new one and go on with the id that was kept:
`await finished(client.session, task_id)`.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Literal

from mcp import types
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.session import ClientSession
from mcp.shared.exceptions import MCPError

EXTENSION = "io.modelcontextprotocol/tasks"
INTERVAL = 1000  # milliseconds between two looks where the server names none


class Handle(types.Result):
    """What a call answers that takes longer."""

    result_type: Literal["task"] = "task"
    task_id: str
    status: str
    poll_interval_ms: int | None = None


class TaskParams(types.RequestParams):
    task_id: str


class GetTask(types.Request[TaskParams, Literal["tasks/get"]]):
    method: Literal["tasks/get"] = "tasks/get"
    params: TaskParams
    name_param = "taskId"  # repeated in the header Mcp-Name


class CancelTask(types.Request[TaskParams, Literal["tasks/cancel"]]):
    method: Literal["tasks/cancel"] = "tasks/cancel"
    params: TaskParams
    name_param = "taskId"


class TaskState(types.Result):
    task_id: str
    status: str
    status_message: str | None = None
    poll_interval_ms: int | None = None
    result: dict[str, Any] | None = None


class Tasks(ClientExtension):
    """`keep` is called with the id of each task before it is waited for."""

    identifier = EXTENSION

    def __init__(self, keep: Callable[[str], None] | None = None) -> None:
        self._keep = keep

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=Handle, resolve=self._resolve)]

    async def _resolve(self, handle: Handle, context: ClaimContext) -> types.CallToolResult:
        if self._keep is not None:
            self._keep(handle.task_id)
        await asyncio.sleep((handle.poll_interval_ms or INTERVAL) / 1000)
        return await finished(context.session, handle.task_id)


async def finished(session: ClientSession, task_id: str) -> types.CallToolResult:
    """Wait until the task has ended. One that was cancelled is an error of the tool."""
    while True:
        try:
            state = await session.send_request(GetTask(params=TaskParams(task_id=task_id)), TaskState)
        except MCPError as error:
            await asyncio.sleep(_pause_after(error))
            continue
        if state.status == "completed":
            return types.CallToolResult.model_validate(state.result)
        if state.status in ("cancelled", "failed"):
            text = types.TextContent(type="text", text=state.status_message or state.status)
            return types.CallToolResult(content=[text], is_error=True)
        await asyncio.sleep((state.poll_interval_ms or INTERVAL) / 1000)


def _pause_after(error: MCPError) -> float:
    """Seconds after which the server wants to be asked again. Raises the error where it says nothing of that."""
    data = error.error.data
    if isinstance(data, dict) and "retry_after" in data:
        return float(data["retry_after"])
    raise error


async def cancel(session: ClientSession, task_id: str) -> None:
    """Take the request back, or cancel the run; one that has ended stays as it is."""
    await session.send_request(CancelTask(params=TaskParams(task_id=task_id)), types.EmptyResult)
