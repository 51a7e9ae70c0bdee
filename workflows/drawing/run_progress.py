"""What a workflow run has done, step by step, as its page shows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from django.db.models import Count, F, Window
from django.db.models.functions import RowNumber

from approvals.models import Approval
from runs.models import Run
from workflows.definition.step_types import Step, walk
from workflows.drawing.layout import Mark
from workflows.drawing.sentences import TYPES, says
from workflows.models import Execution

SHOWN = 5  # of the times that a step was come to, the last
SHOWN_OF_ALL = 200  # and of all steps together; one of each at least
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
    def earlier(self) -> list[Run]:
        """The tasks before the last one, which the page folds."""
        return self.tasks[:-1]

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
    _mark_holders(rows, run)
    return rows


def marks_of(rows: list[Row]) -> dict[str, Mark]:
    return {row.step["id"]: row.mark for row in rows if row.mark is not None}


def ended_at(rows: list[Row], run: Run) -> Row | None:
    """The innermost step that a run which did not succeed ended in."""
    return next((row for row in reversed(rows) if _ended(row, run)), None)


def _lane(at: tuple[str | int, ...]) -> str:
    names = [n for n, part in enumerate(at) if isinstance(part, str)]
    if not names:
        return ""
    word = str(at[names[-1]])
    return f"branch {int(at[names[-1] + 1]) + 1}" if word == "branches" else {"body": ""}.get(word, word)


def _add_tickets(rows: list[Row], execution: Execution) -> None:
    """However often the steps were come to, only the tickets that are shown are read."""
    most = max(1, min(SHOWN, SHOWN_OF_ALL // len(rows)))
    ranked = execution.tickets.annotate(
        nth=Window(RowNumber(), partition_by="step_id", order_by=F("number").desc()),
        of=Window(Count("number"), partition_by="step_id"),
    )
    by_step: dict[str, list[Any]] = {}
    for ticket in ranked.filter(nth__lte=most).order_by("number"):
        by_step.setdefault(ticket.step_id, []).append(ticket)
    shown = [ticket for tickets in by_step.values() for ticket in tickets]
    tasks = Run.objects.in_bulk([ticket.ref for ticket in shown if ticket.kind == "task"])
    requests = Approval.objects.in_bulk([ticket.ref for ticket in shown if ticket.kind == "request"])
    for row in rows:
        tickets = by_step.get(row.step["id"], [])
        row.hidden = tickets[0].of - len(tickets) if tickets else 0
        row.tasks = [tasks[t.ref] for t in tickets if t.ref in tasks]
        row.requests = [requests[t.ref] for t in tickets if t.ref in requests]


def _mark(row: Row, verdicts: Mapping[str, bool], run: Run) -> Mark | None:
    if not row.visits:
        return "skipped" if run.is_terminal else None
    if row.tasks:
        return _OF_TASK[row.tasks[-1].status]
    if row.requests:
        return _OF_REQUEST.get(row.requests[-1].status, "failed")
    failed = row.step["type"] == "fail" or verdicts.get(row.step["id"]) is False
    return "failed" if failed else "done"


def _mark_holders(rows: list[Row], run: Run) -> None:
    """A step that holds others is at work, or waits, while one of them is or does; it failed when one of them ended the run."""
    for number, row in enumerate(rows):
        inner = _inside(rows, number)
        marks = {below.mark for below in inner}
        ended = any(_ended(below, run) for below in inner) or _ended_by_iterations(row, rows, run)
        row.mark = next((mark for mark in _STRONGEST if mark in marks), "failed" if ended else row.mark)


def _inside(rows: list[Row], number: int) -> list[Row]:
    depth = rows[number].depth
    return list(takewhile(lambda below: below.depth > depth, rows[number + 1 :]))


def _ended(row: Row, run: Run) -> bool:
    """Did the run end in this step? A task that failed ends it only by a limit that holds for the whole run."""
    if row.mark != "failed" or not run.is_terminal or run.status == "succeeded":
        return False
    return row.step["type"] != "task" or (run.error or {}).get("code") not in ("STEP_FAILED", "WORKFLOW_FAILED")


def _ended_by_iterations(row: Row, rows: list[Row], run: Run) -> bool:
    """Which loop it was is not written down; it is in the last step of the top list that was come to."""
    last = next((each for each in reversed(rows) if each.depth == 0 and each.visits), None)
    return row is last and (run.error or {}).get("reason_code") == "max_iterations"
