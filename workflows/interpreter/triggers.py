"""What can happen to a workflow run: the third argument of `interpreter.advance`.

A cancel, a deadline, silence and a machine that is not there are not among them: they end the run as they end any other
(runs/services.py).

A ticket is the number that an effect gave to a child run or a request. A trigger whose ticket is not waited for any more, or
that was delivered before, changes nothing.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

APPROVING = frozenset({"approve", "submit", "answer"})


@dataclass(frozen=True)
class Started:
    """A worker took the run up; its state is None until then.

    `task` is readable as inputs.task unless inputs has that key. `task_defaults` holds for every task step that does not say
    otherwise: cua_version, instructions, system_prompt, max_steps, on_awaiting_human. `on_awaiting_human` fail or cancel also ends
    the run at a human_approval step. `on_timeout` and `awaiting_human_timeout_seconds` are those of the run.
    """

    inputs: dict[str, Any]
    task: str | None = None
    max_iterations: int | None = None
    on_awaiting_human: Literal["pause", "fail", "cancel"] = "pause"
    on_timeout: str = "cancel"
    awaiting_human_timeout_seconds: int | None = None
    task_defaults: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Resumed:
    """Go on after the effect GoOn with this slice."""

    slice: int


@dataclass(frozen=True)
class TaskEnded:
    """A child run ended. `error` is the child's own, with all its keys."""

    ticket: int
    run_id: str
    status: str
    passed: bool
    result: str | None = None  # the text of its summary
    steps: int = 0
    cost_cents: int = 0
    error: dict[str, Any] | None = None
    output: Any = None  # what it handed over


@dataclass(frozen=True)
class RequestDecided:
    """A request of a human_approval step was decided, by a person, or by the system as on_timeout says.

    `by` and `values` are bound and logged as they are: secrets have been taken out.
    """

    ticket: int
    verdict: str
    note: str | None = None
    by: dict[str, Any] | None = None
    decided_at: str | None = None
    values: dict[str, Any] | None = None
    secrets: tuple[str, ...] = ()  # the dotted paths of what was taken out of `values`
    ref: str | None = None  # under which the run keeps what was taken out


Trigger = Started | Resumed | TaskEnded | RequestDecided
