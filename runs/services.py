"""Changes of a run's state. Each is one transaction: lock, test, write, record, queue."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django_q.tasks import async_task

from accounts.access import get_team
from accounts.actor import Actor, system
from accounts.errors import Invalid, InvalidState
from accounts.json_values import Detail
from accounts.limits import spend
from accounts.models import Team
from accounts.sealing import seal
from accounts.times import rfc3339
from accounts.webhooks import targets
from accounts.webhooks.signing import new_secret
from approvals import effects
from approvals.models import Approval
from approvals.services import close_pending
from billing.services import release_holds, run_gate, step_price
from machines.access import get_machine, machines_of
from machines.errors import MachineNotFound
from machines.models import Machine
from machines.services import release, reserve
from runs import webhook_bodies
from runs.agents.registry import PROFILES
from runs.errors import TooManyRuns, run_error
from runs.events import Event, begin, record, wake_workers
from runs.models import ACTIVE, MOVES, Run, Step
from runs.schemas import RunCreate


def move(run: Run, to: str, *, before: tuple[Event, ...] = (), after: tuple[Event, ...] = (), **fields: Any) -> None:
    """The only writer of a run's status. The caller holds the run's lock; `fields` are saved with it.

    Events `before`, the status event and events `after` are appended in this order. Raises InvalidState.
    """
    if to not in MOVES[run.status]:
        raise InvalidState(current_state=run.status, allowed_from=[s for s, nexts in MOVES.items() if to in nexts])
    run.status = to
    for name, value in fields.items():
        setattr(run, name, value)
    record(run, *before, ("status", {"status": to}), *after, save=("status", *fields))


# --- start


def create_run(actor: Actor, body: RunCreate, request_id: str) -> Run:
    """A new queued run. Raises Invalid, MachineNotFound, InsufficientCredits, BudgetExceeded, TooManyRuns, RateLimited."""
    agent = _agent(actor, body.agent)
    if wrong := violations(actor, body.model_dump() | {"agent": agent}):
        raise Invalid(*wrong)
    machine = _find_machine(actor, body)
    run_gate(actor, step_price(body.cua_version))
    spend(actor, "runs", settings.RATE_LIMIT_RUNS_PER_MINUTE)
    now = timezone.now()
    given = body.model_dump(exclude={"task", "machine_id", "agent", "on_awaiting_human", "max_steps"})
    with transaction.atomic():
        team = Team.objects.select_for_update(no_key=True).get(id=actor.team_id)
        _check_room(actor, team)
        run = Run(
            **given, team=team, test=actor.test, task=body.goal, agent=agent,
            machine_id=machine.id if machine else body.machine_id, machine_kind=machine.kind if machine else "simulated",
            owns_machine=machine is None, max_steps=min(body.max_steps, settings.MAX_STEPS_CEILING),
            on_awaiting_human=body.on_awaiting_human or ("fail" if body.human_in_the_loop is False else "pause"),
            created_by=actor.ref(), owner_id=actor.owner_id, request_id=request_id, created_at=now,
            deadline_at=now + timedelta(seconds=body.deadline_seconds) if body.deadline_seconds else None,
            webhook_secret=seal(new_secret()) if body.webhook_url else None,
        )  # fmt: skip
        run.root_id = run.id
        run.machine_id = run.machine_id or f"mch_of_{run.id}"
        begin(run, ("status", {"status": "queued"}))
        wake_workers(run.id)
        async_task("runs.tasks.drive", run.id)
    return run


def violations(actor: Actor, given: Mapping[str, Any]) -> list[Detail]:
    """What is wrong with a new run beyond the form of each field; the values in `given` may be of any type."""
    return [
        *_check_task(given),
        *_check_people(given),
        *_check_agent(actor, given.get("agent")),
        *_check_webhook(given),
    ]


def _check_task(given: Mapping[str, Any]) -> list[Detail]:
    task, data = given.get("task"), given.get("input")
    if task is None and data is None:
        return [(("body", "task"), "Give exactly one of task and input.", "missing")]
    wrong: list[Detail] = []
    if task is not None and data is not None:
        wrong.append((("body", "task"), "Give exactly one of task and input.", "value_error"))
    if isinstance(data, dict) and (kind := _wrong_goal(data.get("goal"))):
        wrong.append((("body", "input", "goal"), "Must be text of 1 to 16000 characters.", kind))
    return wrong


def _wrong_goal(goal: Any) -> str | None:
    if goal is None:
        return "missing"
    if not isinstance(goal, str):
        return "type_error"
    return None if 1 <= len(goal) <= 16_000 else "value_error"


def _check_people(given: Mapping[str, Any]) -> list[Detail]:
    """Whether the ways of calling for a person fit together (contract/runs.md section 3)."""
    people = given.get("human_in_the_loop")
    wrong: list[Detail] = []
    if given.get("permission_mode") in ("approval", "plan") and people is not True:
        wrong.append((("body", "permission_mode"), "Needs human_in_the_loop true.", "value_error"))
    if people is False and given.get("on_awaiting_human") == "pause":
        wrong.append((("body", "on_awaiting_human"), "A run without people cannot pause for one.", "value_error"))
    if people is False and given.get("on_budget") == "ask":
        wrong.append((("body", "on_budget"), "A run without people cannot ask one.", "value_error"))
    return wrong


def _check_agent(actor: Actor, asked: Any) -> list[Detail]:
    agent = _agent(actor, asked if isinstance(asked, str) else None)
    if agent not in PROFILES:
        return [(("body", "agent"), f"Unknown agent profile. Known: {', '.join(PROFILES)}.", "value_error")]
    if agent == "scripted" and not actor.test and not settings.ALLOW_SCRIPTED_LIVE:
        return [(("body", "agent"), "The scripted agent works with test keys only.", "value_error")]
    return []


def _check_webhook(given: Mapping[str, Any]) -> list[Detail]:
    url = given.get("webhook_url")
    problem = targets.problem(url) if isinstance(url, str) else None
    return [(("body", "webhook_url"), problem, "value_error")] if problem else []


def _agent(actor: Actor, asked: str | None) -> str:
    if asked:
        return asked
    return "scripted" if actor.test else get_team(actor).default_agent or str(settings.DEFAULT_AGENT)


def _find_machine(actor: Actor, body: RunCreate) -> Machine | None:
    """The machine of the run; None in the test world when it names none that exists: it gets one of its own."""
    if actor.test:
        return (
            machines_of(actor).filter(id=body.machine_id).exclude(status="terminated").first()
            if body.machine_id
            else None
        )
    machine_id = body.machine_id or get_team(actor).default_machine_id
    if machine_id is None:
        raise Invalid((("body", "machine_id"), "Name a machine; the team has no default machine.", "missing"))
    machine = get_machine(actor, machine_id)
    if machine.status in ("terminated", "terminating"):
        raise MachineNotFound
    return machine


def _check_room(actor: Actor, team: Team) -> None:
    active = Run.objects.filter(team=team, test=actor.test, parent__isnull=True, finished_at__isnull=True).count()
    if active >= team.max_active_runs:
        raise TooManyRuns(limit=team.max_active_runs, retry_after=5)


def start(run_id: str, epoch: int) -> bool:
    """queued -> running: a worker that leased the run takes its machine. False when the machine is taken or the run gone on."""
    with transaction.atomic():
        run = Run.objects.select_for_update().get(id=run_id)
        if run.status != "queued" or run.lease_epoch != epoch:
            return False
        if not run.owns_machine and not reserve(run.machine_id or "", run.id):
            give_back(run)
            return False
        move(run, "running", started_at=timezone.now())
        return True


def give_back(run: Run) -> None:
    """Let go of the lease so that any worker may claim the run at once; the caller holds the run's lock."""
    run.lease_owner = run.lease_until = None
    run.save(update_fields=["lease_owner", "lease_until"])


# --- waiting and the clock


def deadline_after_wait(run: Run, now: datetime) -> datetime | None:
    """When the deadline falls once the present wait has ended."""
    if run.deadline_seconds is None:
        return None
    waited = run.waited_seconds(now) if run.deadline_clock == "active" else 0
    return run.created_at + timedelta(seconds=run.deadline_seconds + waited)


def end_wait(run: Run, now: datetime) -> dict[str, Any]:
    """The fields of a run whose wait ends now. Workers lost before a person answered are not "in a row" with later ones."""
    waited = run.waited_seconds(now)
    return {
        "deadline_at": deadline_after_wait(run, now), "waited_ms": int(waited * 1000), "awaiting_human_reason": None,
        "parked_at": None, "resume_at": None, "takeovers": 0,
    }  # fmt: skip


# --- the end


def finish(
    run: Run, status: str, *, summary: str = "", passed: bool = False, verdict: str | None = None,
    error: dict[str, Any] | None = None, before: tuple[Event, ...] = (), fatal: bool = False, **fields: Any,
) -> None:  # fmt: skip
    """End the run: machine and holds are let go, an open intent is dropped. The caller holds the run's lock."""
    now = timezone.now()
    if run.status == "awaiting_human":
        effects.drop(run.id)
    result = None
    if status in ("succeeded", "failed"):
        text = summary or (error["message"] if error else "")
        result = {"passed": passed and status == "succeeded", "status": status, "summary": text, "verdict": verdict}
    waited = int(run.waited_seconds(now) * 1000)
    if fatal and error:
        before = (*before, ("error", error | {"fatal": True}))
    Step.objects.filter(run=run, status="acting").update(status="dropped", finished_at=now, inbox_secrets=None)
    move(
        run, status, before=before, after=(("done", {"status": status, "result": result, "error": error}),),
        result=result, error=error, finished_at=now, waited_ms=waited, awaiting_human_reason=None, parked_at=None,
        resume_at=None, deadline_at=None, inbox=[], inbox_secrets=None, **fields,
    )  # fmt: skip
    if not run.owns_machine:
        release(run.machine_id or "", run.id)
    if not run.test:  # the wallet is locked last, as everywhere
        release_holds(run.id)
    webhook_bodies.ended(run)
    wake_workers(run.id)


def fail(
    run: Run, code: str, message: str | None = None, *, fatal: bool = False, before: tuple[Event, ...] = (), **more: Any
) -> None:
    """End the run as failed with one of the errors of contract/runs.md section 7."""
    finish(run, "failed", error=run_error(code, message, **more), before=before, fatal=fatal)


def close_requests(run: Run, actor: Actor) -> tuple[Event, ...]:
    """Cancel what the run has open; returns the events that tell so. The caller holds the run's lock and ends the run."""
    return tuple(closed_event(row, actor) for row in close_pending([run.id], "cancelled", "cancel", actor))


def closed_event(row: Approval, actor: Actor) -> Event:
    return "approval", {"approval_id": row.id, "change": row.status, "by": actor.ref(), "at": rfc3339(row.resolved_at)}


def cancel_run(actor: Actor, run_id: str, reason: str | None = None) -> Run:
    """Cancel at once: no action starts after the commit. Raises InvalidState for a run that has ended."""
    with transaction.atomic():
        run = lock_run(run_id)
        if run.is_terminal:
            raise InvalidState(current_state=run.status, allowed_from=list(ACTIVE))
        now = timezone.now()
        closed = close_requests(run, actor)
        driven = run.lease_owner is not None and run.lease_until is not None and run.lease_until > now
        said: tuple[Event, ...] = (("text", {"text": f"Cancelled by {actor.name}: {reason}"}),) if reason else ()
        confirmed = None if driven else now
        finish(run, "cancelled", before=(*said, *closed), cancel_requested_at=now, stop_confirmed_at=confirmed)
        return run


def confirm_stop(run_ids: list[str]) -> int:
    """Cancelled runs whose worker has let go: the one field that is filled in after the end."""
    rows = Run.objects.filter(
        id__in=run_ids, status="cancelled", stop_confirmed_at__isnull=True, cancel_requested_at__isnull=False
    )
    return rows.update(stop_confirmed_at=timezone.now())


def lock_run(run_id: str, root_id: str | None = None) -> Run:
    """The run, locked after its root (the order of locks everywhere). The caller is inside atomic()."""
    root_id = root_id or Run.objects.values_list("root_id", flat=True).get(id=run_id)
    rows = {r.id: r for r in Run.objects.select_for_update().filter(id=root_id)}
    return rows.get(run_id) or Run.objects.select_for_update().get(id=run_id)


def time_out(run_id: str) -> bool:
    """The deadline fell: the run is timed out, open requests are cancelled. False when its turn has passed."""
    with transaction.atomic():
        run = lock_run(run_id)
        now = timezone.now()
        if run.is_terminal or run.deadline_at is None or run.deadline_at > now:
            return False
        closed = close_requests(run, system(run.team_id, run.test))
        finish(run, "timed_out", error=run_error("DEADLINE_EXCEEDED"), before=closed, fatal=True)
        return True


def machine_gone(machine_id: str, run_id: str | None = None) -> int:
    """The machine will not come back: unfinished runs that are bound to it fail with MACHINE_UNAVAILABLE."""
    found = Run.objects.filter(machine_id=machine_id, owns_machine=False, finished_at__isnull=True).values_list(
        "id", flat=True
    )
    ended = 0
    for each in found:
        with transaction.atomic():
            run = lock_run(each)
            if not run.is_terminal:
                closed = close_requests(run, system(run.team_id, run.test))
                fail(run, "MACHINE_UNAVAILABLE", before=closed, fatal=True)
                ended += 1
    return ended
