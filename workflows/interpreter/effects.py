"""What the caller of `interpreter.advance` has to do, in the order given, in the transaction that stores the new state."""

from dataclasses import dataclass, field
from typing import Any, Literal

from workflows.definition.templates import Place


@dataclass(frozen=True)
class StartTask:
    """Start a child run. `options` holds what the step, or the run's defaults for tasks, say; the rest is the parent's.

    `machine_id` is among them only if the step has one: None then says that its template names no machine
    (live: MACHINE_UNAVAILABLE). `branch` is 0 outside parallel. `bound`: where values of templates stand in the task.
    """

    ticket: int
    step_id: str
    task: str
    options: dict[str, Any] = field(default_factory=dict)
    branch: int = 0
    bound: tuple[Place, ...] = ()


@dataclass(frozen=True)
class CancelTasks:
    """Cancel these child runs, while the run goes on. Their end will change nothing."""

    tickets: tuple[int, ...]


@dataclass(frozen=True)
class OpenRequest:
    """Ask people; kind input has an input_schema. With `closed` the request is only recorded: the run ends, as
    on_awaiting_human says, in the same call.
    """

    ticket: int
    step_id: str
    kind: Literal["approval", "input"]
    message: str
    approvers: list[dict[str, Any]] | None
    four_eyes: bool
    assignee: str | None
    timeout_seconds: int | None
    on_timeout: str
    input_schema: dict[str, Any] | None
    closed: bool = False


@dataclass(frozen=True)
class Write:
    """Append an event, `step` or `text`. A step of type task is followed by its billing event."""

    name: Literal["step", "text"]
    data: dict[str, Any]


@dataclass(frozen=True)
class GoOn:
    """Control flow was cut after some time, as the state says (`cut`): call again with Resumed(slice), soon."""

    slice: int


@dataclass(frozen=True)
class Finish:
    """End the run, and its child runs with it. `summary` is that of its result, `message` that of its done event.

    With `fatal` an error event comes first.
    """

    status: Literal["succeeded", "failed", "cancelled"]
    output: Any = None
    error: dict[str, Any] | None = None
    message: str | None = None
    fatal: bool = False

    @property
    def summary(self) -> str:
        return self.message or (self.error["message"] if self.error else "")


Effect = StartTask | CancelTasks | OpenRequest | Write | GoOn | Finish
