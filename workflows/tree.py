"""What a workflow run has done, step by step, as its page shows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from approvals.models import Approval
from runs.models import Run
from workflows.graph import Mark
from workflows.models import Execution, Ticket
from workflows.steps import Step, walk
from workflows.words import TYPES, says

SHOWN = 5  # of the times that a step was come to, the last
_OF_TASK: dict[str, Mark] = {
    "queued": "running", "running": "running", "awaiting_human": "waiting", "succeeded": "done", "failed": "failed",
    "cancelled": "failed", "timed_out": "failed",
}  # fmt: skip
_OF_REQUEST: dict[str, Mark] = {"pending": "waiting", "approved": "done", "answered": "done"}
_STRONGEST: tuple[Mark, ...] = ("waiting", "running")


@dataclass
class Row:
    """One step. `depth` 0 is the top list, `lane` says which list of its parent it stands in."""

    step: Step
    depth: int
    lane: str
    visits: int
    mark: Mark | None = None
    tasks: list[Run] = field(default_factory=list)
    requests: list[Approval] = field(default_factory=list)
    hidden: int = 0  # earlier tasks and requests that are not shown
    value: Any = None  # what it was bound to

    @property
    def kind(self) -> str:
        return TYPES[self.step["type"]]

    @property
    def text(self) -> str:
        return says(self.step)


def rows_of(run: Run, execution: Execution) -> list[Row]:
    """The steps in the order of the document, each with what came of it."""
    state: dict[str, Any] = execution.state
    visits, verdicts = state.get("visits", {}), state.get("verdicts", {})
    places = list(walk(execution.definition["steps"]))
    rows = [Row(step, sum(isinstance(p, str) for p in at), _lane(at), visits.get(step["id"], 0)) for at, step in places]
    _add_tickets(rows, execution)
    for row in rows:
        row.mark = _mark(row, verdicts, run)
        row.value = state.get("bindings", {}).get(row.step["id"])
    _mark_holders(rows)
    return rows


def marks_of(rows: list[Row]) -> dict[str, Mark]:
    return {row.step["id"]: row.mark for row in rows if row.mark is not None}


def _lane(at: tuple[str | int, ...]) -> str:
    names = [n for n, part in enumerate(at) if isinstance(part, str)]
    if not names:
        return ""
    word = str(at[names[-1]])
    return f"branch {int(at[names[-1] + 1]) + 1}" if word == "branches" else {"body": ""}.get(word, word)


def _add_tickets(rows: list[Row], execution: Execution) -> None:
    by_step: dict[str, list[Ticket]] = {}
    for ticket in execution.tickets.order_by("number"):
        by_step.setdefault(ticket.step_id, []).append(ticket)
    shown = [ticket for tickets in by_step.values() for ticket in tickets[-SHOWN:]]
    tasks = Run.objects.in_bulk([ticket.ref for ticket in shown if ticket.kind == "task"])
    requests = Approval.objects.in_bulk([ticket.ref for ticket in shown if ticket.kind == "request"])
    for row in rows:
        tickets = by_step.get(row.step["id"], [])
        row.hidden = max(0, len(tickets) - SHOWN)
        row.tasks = [tasks[t.ref] for t in tickets[-SHOWN:] if t.ref in tasks]
        row.requests = [requests[t.ref] for t in tickets[-SHOWN:] if t.ref in requests]


def _mark(row: Row, verdicts: Mapping[str, bool], run: Run) -> Mark | None:
    if not row.visits:
        return "skipped" if run.is_terminal else None
    if row.tasks:
        return _OF_TASK[row.tasks[-1].status]
    if row.requests:
        return _OF_REQUEST.get(row.requests[-1].status, "failed")
    failed = row.step["type"] == "fail" or verdicts.get(row.step["id"]) is False
    return "failed" if failed else "done"


def _mark_holders(rows: list[Row]) -> None:
    """A step that holds others is at work, or waits, while one of them is or does."""
    for number, row in enumerate(rows):
        inner: set[Mark | None] = set()
        for below in rows[number + 1 :]:
            if below.depth <= row.depth:
                break
            inner.add(below.mark)
        row.mark = next((mark for mark in _STRONGEST if mark in inner), row.mark)
