"""Reading runs, the actor first; and why a run waits."""

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, cast

from django.conf import settings
from django.db.models import Exists, Max, OuterRef, Q, QuerySet, Sum
from django.utils import timezone

from accounts.actor import Actor
from approvals.access import open_below, pending_of_root
from approvals.models import Approval
from database import disk
from database.sql import fetch, prepared
from machines.models import Machine, TakeoverLease
from runs import sql
from runs.errors import RunNotFound
from runs.models import Run, RunEvent, Screenshot
from runs.schemas import ReasonObject, RunObject, WorkflowRunObject, run_object
from runs.stops.holding import stop_of
from web.times import rfc3339

UNSETTLED = Q(status="pending") | Q(effect_pending=True)  # requests whose decision has not taken effect


def runs_of(actor: Actor) -> QuerySet[Run]:
    """The top-level runs of the actor's team and world. Without what agents remember: a model's conversation is long."""
    return Run.objects.filter(team_id=actor.team_id, test=actor.test, parent__isnull=True).defer("memory")


def tasks_of(actor: Actor, run_id: str) -> QuerySet[Run]:
    """The child runs of a workflow run. Raises RunNotFound."""
    return Run.objects.filter(parent=get_run(actor, run_id)).defer("memory")


def get_run(actor: Actor, run_id: str) -> Run:
    """Raises RunNotFound, also for another team's or world's run."""
    run = fetch(Run, sql.RUN_OF_ACTOR, {"id": run_id, "team": actor.team_id, "test": actor.test})
    if run is None:
        raise RunNotFound
    return run


def run_of(run_id: str) -> Run:
    """A run that is there, whoever it belongs to; for the product's own work."""
    run = fetch(Run, sql.RUN, {"id": run_id})
    assert run is not None
    return run


def screen_text(run_id: str, index: int | None) -> str | None:
    """What a terminal showed in the run's picture of that index, as lines, wrapped rows joined; None for other screens.

    For a request: its evidence's screenshot_index. Who calls this has fetched the run or the request for its actor.
    """
    picture = Screenshot.objects.only("text").filter(run_id=run_id, index=index).first() if index is not None else None
    return picture.text if picture else None


def show(run: Run, webhook_secret: str | None = None) -> RunObject | WorkflowRunObject:
    """The run object with what is derived at reading: open requests and why it waits."""
    if run.is_terminal:
        return run_object(run, webhook_secret=webhook_secret)
    pending = _open(run)
    waits = waiting_on(run, pending)
    shown = run_object(run, open_approvals=pending, waiting_on=waits, webhook_secret=webhook_secret)
    shown["resume_at"] = rfc3339(resume_at(run, pending))
    if run.kind == "workflow":
        sums = totals(run)
        shown["steps_completed"] = sums["steps_completed"]
        shown["cost_cents"] = shown["credits_charged"] = sums["cost_cents"]
        cast("WorkflowRunObject", shown)["spent_cents"] = sums["cost_cents"]
    return shown


@dataclass(frozen=True)
class Wait:
    """What a workflow run waits for: the reason shown to people and the step it is about."""

    reason: str
    step_id: str | None


def oldest_wait(run: Run) -> Wait | None:
    """The oldest wait for a person in a workflow run: of one of its tasks, or of a request of its own. A budget is
    waited for by tasks."""
    tasks = Run.objects.filter(parent=run, status="awaiting_human")
    own = Approval.objects.filter(UNSETTLED, run_id=run.id).exclude(kind="budget")
    waits = [
        *tasks.values_list("awaiting_human_since", "awaiting_human_reason", "step_id"),
        *own.values_list("created_at", "message", "step_id"),
    ]
    _, reason, step_id = min(waits, key=operator.itemgetter(0), default=(None, None, None))
    return Wait(reason, step_id) if reason else None


def wanting_money(run: Run) -> QuerySet[Run]:
    """The tasks of a workflow run that wait for a budget to be lifted: they wait, and nobody is asked anything on their own."""
    own = Approval.objects.filter(UNSETTLED, run_id=OuterRef("id"))
    return Run.objects.filter(~Exists(own), parent=run, status="awaiting_human")


def last_output(run: Run) -> str | None:
    """What the run's last command said, as the log has it: at most 4 KiB, marked where it was cut."""
    if run.kind != "agent":
        return None
    outputs = RunEvent.objects.filter(run=run, type="tool_result", data__has_key="output").order_by("-seq")
    data = outputs.values_list("data", flat=True).first()
    return data["output"] if data else None


def skipped_below(run: Run) -> int:
    """How many instructions the tasks of a workflow run left out."""
    if run.kind == "agent":
        return 0
    results = Run.objects.filter(parent=run, result__isnull=False).values_list("result", flat=True)
    return sum(result.get("skipped", 0) for result in results if result)


def totals(run: Run) -> dict[str, int]:
    """What the tasks of a workflow run have done and cost so far."""
    sums = {name: Sum(name, default=0) for name in ("steps_completed", "cost_cents")}
    return Run.objects.filter(parent=run).aggregate(**sums)


def _open(run: Run) -> list[str]:
    """The ids of what people are asked; only a run with other runs below it moves on while something is open."""
    if run.kind == "agent" and run.status != "awaiting_human":
        return []
    return [approval_id for approval_id, of, _ in open_below(run.root_id) if run.parent_id is None or of == run.id]


def resume_at(run: Run, pending: list[str]) -> datetime | None:
    """When what was decided takes effect; of a workflow run that asks nobody any more, what its tasks were told."""
    if run.kind == "agent" or run.status != "awaiting_human" or pending or run.resume_at is not None:
        return run.resume_at
    last: datetime | None = Run.objects.filter(parent=run, finished_at__isnull=True).aggregate(at=Max("resume_at"))[
        "at"
    ]
    return last


def _reason(code: str, message: str, ref: str | None = None) -> ReasonObject:
    return {"code": code, "message": message, "ref": ref}


def waiting_on(run: Run, pending: list[str] | None = None) -> ReasonObject | None:
    """Why the run does not move, as {code, message, ref}; None when it works or has ended."""
    if run.stopped_at and not run.is_terminal and (stopped := _stopped(run)):
        return stopped
    if run.status == "awaiting_human":
        return _why_waits(run, pending)
    if run.status == "queued":
        return _why_queued(run) if run.kind == "agent" else _why_undriven()
    if run.status == "running":
        return _why_still(run)
    return None


def _why_waits(run: Run, pending: list[str] | None) -> ReasonObject:
    if run.controlled_by and (controlled := _controlled(id=run.controlled_by)):
        return controlled
    ids = pending if pending is not None else [a.id for a in pending_of_root(run.root_id)]
    if (at := resume_at(run, ids)) is not None:
        return _reason("undo_window", f"Decided; takes effect at {at:%H:%M:%S}")
    since = run.awaiting_human_since
    return _reason("human", f"Waiting for a person since {since:%H:%M}", ids[0] if ids else None)


def _stopped(run: Run) -> ReasonObject | None:
    stop = stop_of(run.id)
    if stop is None:
        return None
    return _reason("stopped", f"Stopped by {stop['by']} since {stop['at']:%H:%M}: {stop['reason']}", stop["id"])


def _controlled(**which: str) -> ReasonObject | None:
    lease = TakeoverLease.objects.filter(**which, ended_at__isnull=True).first()
    if lease is None:
        return None
    return _reason("takeover", f"{lease.holder['name']} controls the machine since {lease.taken_at:%H:%M}", lease.id)


def _why_queued(run: Run) -> ReasonObject | None:
    machine = None if run.owns_machine else Machine.objects.filter(id=run.machine_id).first()
    if machine is not None and (controlled := _controlled(machine_id=machine.id)):
        return controlled
    if machine is not None and machine.current_run_id not in (None, run.id):
        return _reason("machine_busy", _whose_turn(machine.current_run_id), machine.current_run_id)
    if machine is not None and machine.status in ("creating", "starting"):
        return _reason("machine_starting", "The machine is starting", machine.id)
    if machine is not None and machine.status != "running":
        return _reason("machine_stopped", machine.problem or f"The machine is {machine.status}", machine.id)
    return _why_undriven()


def _whose_turn(run_id: str) -> str:
    """What the run that has the machine does with it; the request that it waits for is named."""
    root_id = Run.objects.filter(id=run_id).values_list("root_id", flat=True).first()
    requests = [approval_id for approval_id, of, _ in open_below(root_id or run_id) if of in (run_id, root_id)]
    if requests and Run.objects.filter(id=run_id, status="awaiting_human").exists():
        return f"Another run has the machine and waits for a person: request {requests[0]}"
    return "Another run drives the machine"


def why_queued(runs: Iterable[Run]) -> dict[str, ReasonObject]:
    """Why these queued runs wait, by id; runs that queue for one machine wait for the same thing."""
    reasons: dict[str, ReasonObject] = {}
    of_machine: dict[str, ReasonObject | None] = {}
    for run in runs:
        at_machine = run.kind == "agent" and not run.owns_machine and run.stopped_at is None
        key = str(run.machine_id if at_machine else run.id)
        if key not in of_machine:
            of_machine[key] = waiting_on(run)
        if reason := of_machine[key]:
            reasons[run.id] = reason
    return reasons


def _why_still(run: Run) -> ReasonObject | None:
    now = timezone.now()
    if run.lease_until is not None and run.lease_until > now:
        return _disk_full(living_workers(run.lease_owner).disk_full) or _model_busy(run)
    if (
        run.lease_until is not None
        and (now - run.lease_until).total_seconds() + settings.LEASE_SECONDS > settings.STUCK_SECONDS
    ):
        return _reason("stuck", "The worker that drove this run is silent; another one takes over", run.lease_owner)
    return _why_undriven()


def _model_busy(run: Run) -> ReasonObject | None:
    if not run.model_wait:
        return None
    since, until = (datetime.fromisoformat(run.model_wait[name]) for name in ("since", "until"))
    if run.model_wait.get("turn"):
        return _reason("model_busy", f"{run.model_wait['why']} Waiting for its turn since {since:%H:%M:%S}")
    why = run.model_wait["why"]
    stop = "" if why.endswith((".", "!", "?", "…")) else "."  # of what a vendor wrote
    message = f"{why}{stop} Waiting for the model since {since:%H:%M}; it is asked again at {until:%H:%M:%S}"
    return _reason("model_busy", message)


def _disk_full(worker_says_so: bool) -> ReasonObject | None:
    """While there is no room, as this process sees it, or a worker elsewhere."""
    room = disk.room()
    if room.low:
        return _reason("disk_full", f"{room}; runs go on when there is more room")
    if worker_says_so:
        return _reason(
            "disk_full",
            "The worker finds no room on its disk, or on that of the database; runs go on when there is some",
        )
    return None


def _why_undriven() -> ReasonObject | None:
    """None when a worker is about to take the run up."""
    workers = living_workers()
    if full := _disk_full(workers.disk_full):
        return full
    if workers.least_driven is None:
        return _reason("no_worker", "No worker is running; start one with `manage.py qcluster`")
    if workers.least_driven >= settings.RUN_LOOP_CAPACITY:
        return _reason("concurrency_limit", f"Every worker drives {workers.least_driven} runs, the most it may")
    return None


class LivingWorkers(NamedTuple):
    """How many runs the one with the fewest drives, None when there is none; and whether any waits for room on a disk."""

    least_driven: int | None
    disk_full: bool


def living_workers(name: str | None = None) -> LivingWorkers:
    """All, or the one of that name."""
    since = timezone.now() - timedelta(seconds=settings.LEASE_SECONDS * 2)
    row = prepared(sql.LIVING_WORKERS, {"since": since, "name": name})
    assert row is not None  # an aggregate
    return LivingWorkers(*row)
