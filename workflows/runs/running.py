"""Running workflows: each trigger is one transaction. Lock, advance, do what follows, keep the new state."""

import time
from collections.abc import Callable

from django.db import transaction
from django.utils import timezone
from django_q.tasks import async_task

from approvals.access import decision_of
from approvals.models import Approval
from database.sql import fetch, save
from machines.errors import MachineNotFound
from runs import services
from runs.access import run_of, totals
from runs.agents.base import Bound
from runs.errors import run_error
from runs.log import Event, record
from runs.models import Run
from runs.requests import services as requests
from runs.secrets.services import kept_secrets
from runs.starting import services as starting
from web.times import rfc3339
from workflows import sql
from workflows.interpreter.advance import advance, iterations_used
from workflows.interpreter.effects import CancelTasks, Effect, Finish, OpenRequest, StartTask, Write
from workflows.interpreter.triggers import RequestDecided, Resumed, Started, TaskEnded, Trigger
from workflows.models import Execution, Ticket


def begin(run_id: str, turn: float = 0.0) -> bool:
    """A worker takes the run up. False when that was done before, or the run has ended.

    `turn`, here and below: so many seconds this caller has for the control flow that follows; what is left is queued.
    """
    return _run_slices(_apply(run_id, _started), turn)


def go_on(run_id: str, turn: float = 0.0) -> bool:
    """The next slice of control flow. False when there is none."""
    return _run_slices(_apply(run_id, _resumed), turn)


def task_ended(task_id: str, turn: float = 0.0) -> bool:
    """A child run has ended. False when the workflow run knows, or no longer wants to."""
    return _run_slices(_close_ticket(task_id, _task_ended), turn)


def request_decided(approval_id: str, turn: float = 0.0) -> bool:
    """A request of a human_approval step was decided, and that took effect. False as for tasks."""
    return _run_slices(_close_ticket(approval_id, _request_decided), turn)


def _run_slices(execution: Execution | None, turn: float) -> bool:
    """Slice after slice, each its own transaction: between them others get at the run, and nothing is lost with the worker."""
    end = time.monotonic() + turn
    happened = execution is not None
    while execution is not None and execution.cut:
        if time.monotonic() >= end:
            async_task("workflows.tasks.go_on", execution.run_id)
            break
        execution = _apply(execution.run_id, _resumed)
    return happened


def _started(execution: Execution) -> Started:
    run = execution.run
    return Started(
        run.inputs or {},
        task=run.task,
        max_iterations=run.max_iterations,
        on_awaiting_human=run.on_awaiting_human,  # type: ignore[arg-type]
        on_timeout=run.on_timeout,
        awaiting_human_timeout_seconds=run.awaiting_human_timeout_seconds,
    )


def _resumed(execution: Execution) -> Resumed:
    return Resumed(execution.state.get("slice", 0))


def _close_ticket(ref: str, trigger_of: Callable[[Ticket], Trigger]) -> Execution | None:
    ticket = Ticket.objects.filter(ref=ref, open=True).first()
    return None if ticket is None else _apply(ticket.execution_id, lambda _: trigger_of(ticket), ticket)


def _task_ended(ticket: Ticket) -> TaskEnded:
    task = run_of(ticket.ref)
    result = task.result or {}
    return TaskEnded(
        ticket.number,
        task.id,
        task.status,
        bool(result.get("passed")),
        result.get("summary"),
        task.steps_completed,
        task.cost_cents,
        task.error,
        result.get("output"),
    )


def _request_decided(ticket: Ticket) -> RequestDecided:
    decision = decision_of(Approval.objects.get(id=ticket.ref))
    assert decision is not None  # it took effect
    sealed = kept_secrets(run_of(ticket.execution_id))
    secrets = tuple(name.partition(":")[2] for name in sealed if name.startswith(f"{ticket.ref}:"))
    return RequestDecided(
        ticket.number,
        decision.verdict,
        decision.note,
        decision.actor,
        rfc3339(decision.at),
        decision.values,
        secrets,
        ticket.ref,
    )


def _apply(run_id: str, trigger_of: Callable[[Execution], Trigger], ticket: Ticket | None = None) -> Execution | None:
    """Where the run stands after what happened; None when nothing changed."""
    with transaction.atomic():
        run = services.lock_run(run_id, run_id)
        if run.is_terminal or run.stopped_at:  # after a stop the clock tells what was not told
            return None
        execution = fetch(Execution, sql.OF_RUN, {"run": run_id})
        assert execution is not None  # made with the run
        execution.run = run
        if ticket is not None and not Ticket.objects.filter(id=ticket.id, open=True).update(open=False):
            return None
        trigger = trigger_of(execution)
        state, effects = advance(execution.definition, execution.state, trigger)
        if state == execution.state:
            return None
        if run.status == "queued":
            services.move(run, "running", started_at=timezone.now())
        execution.state, execution.cut, execution.changed_at = state, bool(state["cut"]), timezone.now()
        save(execution, ["state", "cut", "changed_at"])
        run.iterations_used = iterations_used(state)
        _Effects(run, execution, trigger).apply(effects)
        return execution


class _Effects:
    """Does the effects of one trigger, in their order; events in a row are written together."""

    def __init__(self, run: Run, execution: Execution, trigger: Trigger) -> None:
        self.run = run
        self.execution = execution
        self.ended = trigger if isinstance(trigger, TaskEnded) else None
        self.events: list[Event] = []
        self.cancelled: list[Run] = []

    def apply(self, effects: list[Effect]) -> None:
        try:
            for effect in effects:
                self._do(effect)
        except MachineNotFound:
            self._break("MACHINE_UNAVAILABLE")
        if not self.run.is_terminal:
            self._write_down()
        services.give_back_money(self.cancelled)

    def _do(self, effect: Effect) -> None:
        match effect:
            case Write():
                self.events.append((effect.name, effect.data))
                if effect.name == "step" and effect.data["type"] == "task":
                    self.events.append(self._bill())
            case StartTask():
                self._start(effect)
            case OpenRequest():
                self._ask(effect)
            case CancelTasks():
                self._give_up(effect)
            case Finish():
                self._finish(effect)

    def _bill(self) -> Event:
        """What all tasks cost so far, and what the one that ended cost."""
        assert self.ended is not None
        sums = totals(self.run)
        self.run.steps_completed, cents = sums["steps_completed"], sums["cost_cents"]
        self.run.cost_cents = cents
        return services.billed(cents, self.ended.cost_cents)

    def _start(self, effect: StartTask) -> None:
        if effect.options.get("machine_id", "") is None and not self.run.test:
            raise MachineNotFound
        sealed = kept_secrets(self.run) if any(place.secret for place in effect.bound) else {}
        bound = [Bound(p.at, p.length, p.path if p.secret in sealed else None) for p in effect.bound]
        secrets = {p.path: sealed[p.secret] for p in effect.bound if p.secret in sealed}
        choosing = not self.execution.machine_named and "machine_id" not in effect.options
        task = starting.create_task(
            self.run, effect.step_id, effect.task, effect.options, bound, secrets, choosing=choosing
        )
        self._note(effect.ticket, "task", effect.step_id, task.id, effect.branch)

    def _ask(self, effect: OpenRequest) -> None:
        self._write_down()
        approval = requests.open_for_step(
            self.run,
            effect.step_id,
            effect.kind,
            effect.message,
            closed=effect.closed,
            quorum=effect.approvers or [],
            four_eyes=effect.four_eyes,
            assignee=effect.assignee,
            timeout_seconds=effect.timeout_seconds,
            on_timeout=effect.on_timeout,
            input_schema=effect.input_schema,
        )
        self._note(effect.ticket, "request", effect.step_id, approval.id)

    def _note(self, number: int, kind: str, step_id: str, ref: str, branch: int = 0) -> None:
        Ticket.objects.create(
            execution=self.execution, number=number, kind=kind, step_id=step_id, ref=ref, branch=branch
        )

    def _give_up(self, effect: CancelTasks) -> None:
        self._write_down()
        tickets = self.execution.tickets.filter(number__in=effect.tickets)
        given_up = services.cancel_tasks(self.run, list(tickets.values_list("ref", flat=True)))
        tickets.update(open=False)
        self.cancelled += given_up
        total = totals(self.run)["cost_cents"]  # what they have done stays billed
        self.events += [services.billed(total, task.cost_cents) for task in given_up if task.cost_cents]

    def _finish(self, effect: Finish) -> None:
        done = {"output": effect.output, "message": effect.message}
        services.finish(
            self.run,
            effect.status,
            summary=effect.summary,
            passed=effect.status == "succeeded",
            error=effect.error,
            before=tuple(self.events),
            fatal=effect.fatal,
            done_facts=done,
            output=effect.output,
            iterations_used=self.run.iterations_used,
        )
        self.events = []

    def _break(self, code: str) -> None:
        """What a task needs is not there: that ends the run, whatever its document does next."""
        self.execution.cut = False
        self.execution.save(update_fields=["cut"])
        self._finish(Finish("failed", error=run_error(code), fatal=True))

    def _write_down(self) -> None:
        record(self.run, *self.events, save=("iterations_used", "steps_completed", "cost_cents"))
        self.events = []
