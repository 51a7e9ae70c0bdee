"""Changes of a run's state. Each is one transaction: lock, test, write, record, queue."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import IntegerField, QuerySet, Sum
from django.db.models.fields.json import KT
from django.db.models.functions import Cast
from django.utils import timezone

from accounts.actor import Actor, system
from approvals.models import Approval
from approvals.services import close_pending, drop_effects
from billing.services import release_holds
from database.messages import publish
from database.sql import fetch
from machines.services import release, reserve
from runs import sql, webhooks
from runs.access import last_output, oldest_wait, run_of, skipped_below, totals, wanting_money
from runs.errors import run_error
from runs.log import Event, record, wake_workers
from runs.models import ACTIVE, MOVES, Run, RunEvent, Step
from runs.stops.holding import hold_at_once, is_held
from web.errors import InvalidState
from web.times import rfc3339

OF_PARENTS = frozenset({"awaiting_human", "resumed"})  # events of a task that stand in its workflow run's log


def move(
    run: Run,
    to: str,
    *,
    before: tuple[Event, ...] = (),
    after: tuple[Event, ...] = (),
    quietly: bool = False,
    **fields: Any,
) -> None:
    """The only writer of a run's status. The caller holds the run's lock; `fields` are saved with it.

    Events `before`, the status event and events `after` are appended in this order. A workflow run follows its child runs: it
    waits while one of them does, and logs what they ask unless it happens `quietly`. Raises InvalidState.
    """
    waited = run.status == "awaiting_human"
    _write(run, to, before, after, fields)
    if run.parent_id and (waited or to == "awaiting_human"):
        follow(run_of(run.parent_id), run.step_id, *(() if quietly else (*before, *after)))


def _write(run: Run, to: str, before: tuple[Event, ...], after: tuple[Event, ...], fields: dict[str, Any]) -> None:
    if to not in MOVES[run.status]:
        raise InvalidState(current_state=run.status, allowed_from=[s for s, nexts in MOVES.items() if to in nexts])
    run.status = to
    if run.model_wait and to != "running":
        fields = fields | {"model_wait": None}
    for name, value in fields.items():
        setattr(run, name, value)
    record(run, *before, ("status", {"status": to}), *after, save=("status", *fields))


# --- waiting and the clock


def start(run_id: str, epoch: int) -> bool:
    """queued -> running: a worker that leased the run takes its machine. False when the machine is taken or the run gone on."""
    with transaction.atomic():
        run = lock_row(run_id)
        if run.status != "queued" or run.lease_epoch != epoch:
            return False
        has_machine = run.owns_machine or reserve(run.machine_id or "", run.id)
        if has_machine and is_held(run):  # the machine is locked: a stop of it has committed, or waits for us
            if not run.owns_machine:
                release(run.machine_id or "", run.id)
            hold_at_once(run, timezone.now())
            has_machine = False
        if not has_machine:
            give_back(run)
            return False
        move(run, "running", started_at=timezone.now())
        return True


def give_back(run: Run) -> None:
    """Let go of the lease so that any worker may claim the run at once; the caller holds the run's lock."""
    run.lease_owner = run.lease_until = None
    run.save(update_fields=["lease_owner", "lease_until"])


def deadline_after_wait(run: Run, now: datetime) -> datetime | None:
    """When the deadline falls once the present wait has ended."""
    if run.deadline_seconds is None:
        return None
    waited = run.waited_seconds(now) if run.deadline_clock == "active" else 0
    return run.created_at + timedelta(seconds=run.deadline_seconds + waited + run.stopped_seconds(now))


def end_wait(run: Run, now: datetime) -> dict[str, Any]:
    """The fields of a run whose wait ends now. Workers lost before a person answered are not "in a row" with later ones."""
    waited = run.waited_seconds(now)
    return {
        "deadline_at": deadline_after_wait(run, now),
        "waited_ms": int(waited * 1000),
        "awaiting_human_reason": None,
        "parked_at": None,
        "resume_at": None,
        "takeovers": 0,
    }


# --- a workflow run and its tasks


def follow(parent: Run, step_id: str | None, *events: Event) -> None:
    """A workflow run waits while a run below it waits. What people are asked there and answer stands in its log, too.

    `step_id`: the step of the run that asks. The caller holds the locks of both.
    """
    if parent.is_terminal:
        return
    ids = {"step_id": step_id, "awaiting_step_id": step_id}
    shown = tuple(
        (kind, data | ids if kind == "awaiting_human" else data) for kind, data in events if kind in OF_PARENTS
    )
    oldest = oldest_wait(parent)
    now = timezone.now()
    if oldest is None:
        fields = end_wait(parent, now) | {"awaiting_step_id": None}
        if parent.status == "awaiting_human":
            _write(parent, "running", shown, (), fields)
        elif shown:
            record(parent, *shown)
        return
    fields = {"awaiting_human_reason": oldest.reason, "awaiting_step_id": oldest.step_id}
    if parent.status == "awaiting_human":
        parent.awaiting_human_reason, parent.awaiting_step_id = oldest.reason, oldest.step_id
        record(parent, *shown, save=tuple(fields))
    else:
        stands_still = {"deadline_at": None} if parent.deadline_clock == "active" else {}
        _write(parent, "awaiting_human", (), shown, fields | {"awaiting_human_since": now} | stands_still)


def unfinished_tasks(parent: Run) -> QuerySet[Run]:
    return Run.objects.filter(parent=parent, finished_at__isnull=True)


def cancel_tasks(parent: Run, run_ids: Collection[str]) -> list[Run]:
    """A workflow run that goes on no longer wants these child runs; what they have done stays billed.

    The caller hands what this returns to give_back_money(), when it locks no more rows.
    """
    cancelled = _cancel_tasks(unfinished_tasks(parent).filter(id__in=run_ids))
    _close_unwanted(parent)
    follow(parent, None)
    return cancelled


def _cancel_tasks(tasks: QuerySet[Run]) -> list[Run]:
    """Their parent is not told: it ends, or wants it so."""
    rows = list(tasks.select_for_update().order_by("id"))
    for task in rows:
        closed = close_requests(task, system(task.team_id, task.test))
        done = {"status": "cancelled", "result": None, "error": None}
        _end(task, "cancelled", closed, done, **_stop(task))
    return rows


def give_back_money(ended: Iterable[Run]) -> None:
    """What these runs held. The wallet is locked last, as everywhere: after all runs, requests and machines."""
    for run in ended:
        if not run.test and run.kind == "agent":
            release_holds(run.id)


def _close_unwanted(parent: Run) -> None:
    """Nobody is asked for money any more when the last task that wanted it has ended."""
    if parent.is_terminal or wanting_money(parent).exists():
        return
    actor = system(parent.team_id, parent.test)
    closed = close_pending(parent.id, "cancelled", "cancel", actor, kind="budget")
    if closed:
        record(parent, *(closed_event(row, actor) for row in closed))


def billed(total: int, cents: int) -> Event:
    """What the tasks of a workflow run cost so far, and what those that ended cost."""
    return "billing", {"spent_cents": total, "cost_cents": total, "credits_charged": cents}


def _not_billed(run: Run, total: int, before: tuple[Event, ...]) -> tuple[Event, ...]:
    """Tasks that end with their workflow run, or ended unnoticed, are billed in its log too; `before` is not written yet."""
    rows = RunEvent.objects.filter(run=run, type="billing")
    billed_before = rows.aggregate(cents=Sum(Cast(KT("data__credits_charged"), IntegerField())))["cents"] or 0
    rest = total - billed_before - sum(data["credits_charged"] for kind, data in before if kind == "billing")
    return (billed(total, rest),) if rest > 0 else ()


# --- the end


def finish(
    run: Run,
    status: str,
    *,
    summary: str = "",
    passed: bool = False,
    verdict: str | None = None,
    error: dict[str, Any] | None = None,
    before: tuple[Event, ...] = (),
    fatal: bool = False,
    skipped: int = 0,
    done_facts: dict[str, Any] | None = None,
    **fields: Any,
) -> None:
    """End the run: child runs are cancelled, machine and holds let go, an open intent is dropped.

    `skipped`: how many instructions were left out. `done_facts`: what `done` says beside status, result and error. The caller
    holds the run's lock, and that of its root.
    """
    ended = [run]
    if run.kind == "workflow":
        ended += _cancel_tasks(unfinished_tasks(run))
        sums = totals(run)
        before = (*before, *_not_billed(run, sums["cost_cents"], before))
        before = (*before, *close_requests(run, system(run.team_id, run.test)))
        fields |= sums | {"awaiting_step_id": None}
        done_facts = {"output": None, "message": None} | (done_facts or {})
    waited = run.status == "awaiting_human"
    if fatal and error:
        before = (*before, ("error", error | {"fatal": True}))
    result = None
    if status in ("succeeded", "failed"):
        result = {
            "passed": passed and status == "succeeded",
            "status": status,
            "summary": summary or (error["message"] if error else ""),
            "verdict": verdict,
            "output": fields.get("output"),
            "output_text": last_output(run),
            "skipped": skipped + skipped_below(run),
        }
    done = {"status": status, "result": result, "error": error} | (done_facts or {})
    _end(run, status, before, done, result=result, error=error, **fields)
    if run.parent_id:
        if waited:
            parent = run_of(run.parent_id)
            _close_unwanted(parent)
            follow(parent, run.step_id, *before)
        publish("task.ended", run.id)
    give_back_money(ended)


def _end(run: Run, status: str, before: tuple[Event, ...], done: dict[str, Any], **fields: Any) -> None:
    now = timezone.now()
    if run.status == "awaiting_human" or run.kind == "workflow":
        drop_effects(Approval.objects.filter(run_id=run.id))
    waited = int(run.waited_seconds(now) * 1000)
    Step.objects.filter(run=run, status="acting").update(status="dropped", finished_at=now, inbox_secrets=None)
    over = {
        "finished_at": now,
        "waited_ms": waited,
        "awaiting_human_reason": None,
        "parked_at": None,
        "resume_at": None,
        "deadline_at": None,
        "inbox": [],
        "inbox_secrets": None,
        "secrets": None,
        "stopped_at": None,
        "stopped_ms": int(run.stopped_seconds(now) * 1000) or None,
    }
    _write(run, status, before, (("done", done),), over | fields)
    if not run.owns_machine:
        release(run.machine_id or "", run.id)
    webhooks.ended(run)
    wake_workers(run.id)


def fail(
    run: Run, code: str, message: str | None = None, *, fatal: bool = False, before: tuple[Event, ...] = (), **more: Any
) -> None:
    """End the run as failed with one of the errors of docs/api/runs.md section 7."""
    finish(run, "failed", error=run_error(code, message, **more), before=before, fatal=fatal)


def close_requests(run: Run, actor: Actor) -> tuple[Event, ...]:
    """Cancel what the run has open; returns the events that tell so. The caller holds the run's lock and ends the run."""
    return tuple(closed_event(row, actor) for row in close_pending(run.id, "cancelled", "cancel", actor))


def closed_event(row: Approval, actor: Actor) -> Event:
    return "approval", {"approval_id": row.id, "change": row.status, "by": actor.ref(), "at": rfc3339(row.resolved_at)}


def cancel_run(actor: Actor, run_id: str, reason: str | None = None) -> Run:
    """Cancel at once: no action starts after the commit. Raises InvalidState for a run that has ended."""
    with transaction.atomic():
        run = lock_run(run_id)
        if run.is_terminal:
            raise InvalidState(current_state=run.status, allowed_from=list(ACTIVE))
        closed = close_requests(run, actor)
        events: tuple[Event, ...] = (("text", {"text": f"Cancelled by {actor.name}: {reason}"}),) if reason else ()
        finish(run, "cancelled", before=(*events, *closed), **_stop(run))
        return run


def _stop(run: Run) -> dict[str, Any]:
    """The fields of a cancelled run: its stop is confirmed when no worker drives it or a task of it, else by the clock."""
    now = timezone.now()
    driven = _is_driven(run, now) or any(_is_driven(task, now) for task in unfinished_tasks(run))
    return {"cancel_requested_at": now, "stop_confirmed_at": None if driven else now}


def _is_driven(run: Run, now: datetime) -> bool:
    return run.lease_owner is not None and run.lease_until is not None and run.lease_until > now


def confirm_stop(run_ids: list[str]) -> int:
    """Cancelled runs whose worker has let go: the one field that is filled in after the end."""
    rows = Run.objects.filter(
        id__in=run_ids, status="cancelled", stop_confirmed_at__isnull=True, cancel_requested_at__isnull=False
    )
    return rows.update(stop_confirmed_at=timezone.now())


def lock_run(run_id: str, root_id: str | None = None) -> Run:
    """The run, locked after its root (the order of locks everywhere). The caller is inside atomic()."""
    root = lock_row(root_id) if root_id else fetch(Run, sql.ROOT_LOCKED, {"id": run_id})
    if root is None:
        raise Run.DoesNotExist
    return root if root.id == run_id else lock_row(run_id)


def lock_row(run_id: str) -> Run:
    """The run alone, locked: nothing that concerns its root may be done with it."""
    run = fetch(Run, sql.RUN_LOCKED, {"id": run_id})
    assert run is not None
    return run


def time_out(run_id: str) -> bool:
    """The deadline fell: the run is timed out, open requests are cancelled. False when its turn has passed."""
    with transaction.atomic():
        run = lock_run(run_id)
        now = timezone.now()
        if run.is_terminal or run.deadline_at is None or run.deadline_at > now or run.stopped_at:
            return False
        closed = close_requests(run, system(run.team_id, run.test))
        finish(run, "timed_out", error=run_error("DEADLINE_EXCEEDED"), before=closed, fatal=True)
        return True


def machine_gone(machine_id: str) -> int:
    """The machine will not come back: unfinished runs that are bound to it fail with MACHINE_UNAVAILABLE."""
    bound = Run.objects.filter(machine_id=machine_id, owns_machine=False, finished_at__isnull=True)
    ended = 0
    for each in bound.values_list("id", flat=True):
        with transaction.atomic():
            run = lock_run(each)
            if not run.is_terminal:
                closed = close_requests(run, system(run.team_id, run.test))
                fail(run, "MACHINE_UNAVAILABLE", before=closed, fatal=True)
                ended += 1
    return ended
