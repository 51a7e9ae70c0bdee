"""What the drive loop reads and writes between two moves of an agent. Synchronous: the loop calls these in its threads."""

import logging
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.access import team_setting
from accounts.team.rules_version import rules_still
from approvals.access import lifted_cents
from approvals.policies.rules import Ruling
from billing.errors import BudgetReached
from billing.services import release_holds
from database.sealing import seal, unseal
from database.sql import save
from inference.calls.services import record_calls
from inference.models import Call
from inference.records import CallRecord
from machines.drivers.base import Prompt
from runs import control, services
from runs.access import run_of
from runs.agents.base import Act, Ask, Finish, Message, Verdict
from runs.driving.inbox import readable
from runs.driving.steps import LeaseLost, Picture, delivered
from runs.errors import run_error
from runs.log import Event, record
from runs.models import Run, Step
from runs.outputs import misfit
from runs.requests import services as requests
from runs.requests import stale_approvals
from runs.requests.action_contents import KeptContents
from runs.secrets.services import cleared, kept_secrets, know_machine

log = logging.getLogger(__name__)
MAX_TAKEOVERS = 3


@dataclass
class Job:
    """A leased run as its worker knows it; the counters are this worker's to move while it holds the lease."""

    run: Run
    epoch: int
    interrupted: bool = False
    approved: dict[str, Any] | None = None  # the action a person allowed, for one execution
    denied: dict[str, Any] | None = None
    inbox: list[dict[str, Any]] = field(default_factory=list)
    readable: list[dict[str, Any]] = field(default_factory=list)
    lifted: dict[str, int] = field(
        default_factory=dict
    )  # cents that people added to limits, by scope, for this run only
    url: str | None = None  # where the browser was when somebody was asked
    prompt: Prompt | None = None  # what stood at the terminal's prompt then
    contents: KeptContents | None = None  # what the action worked with then

    @property
    def messages(self) -> tuple[Message, ...]:
        pairs = zip(self.inbox, self.readable, strict=True)
        return tuple(Message(m["kind"], m["verdict"], full, m["payload"]) for m, full in pairs)


def load(run_id: str, epoch: int) -> Job:
    """The run as the lease's holder finds it: a queued run is started, an interrupted step is closed. Raises LeaseLost."""
    run = run_of(run_id)
    if run.status == "queued" and not services.start(run_id, epoch):
        raise LeaseLost
    with transaction.atomic():
        run = services.lock_run(run_id)
        if run.lease_epoch != epoch or run.status not in ("running", "awaiting_human") or run.stopped_at:
            raise LeaseLost
        given_up = run.takeovers >= MAX_TAKEOVERS
        if not given_up:
            _close_interrupted(run)
        if given_up:
            services.fail(run, "WORKER_LOST", fatal=True)
    if given_up:  # raised outside, where it undoes nothing
        raise LeaseLost
    job = Job(run, epoch, run.interrupted)
    _read_inbox(job)
    return job


def _close_interrupted(run: Run) -> None:
    """An intent without an outcome: its worker died. It is never repeated blindly; the agent decides anew. Of one that was
    denied the outcome is known: nothing was done."""
    step = Step.objects.filter(run=run, status="acting").first()
    if step is None:
        return
    run.inbox = [*map(stale_approvals.used_up, step.inbox), *run.inbox]
    secrets = [
        *(unseal(step.inbox_secrets) if step.inbox_secrets else []),
        *(unseal(run.inbox_secrets) if run.inbox_secrets else []),
    ]
    run.inbox_secrets = seal(secrets) if secrets else None
    step.status, step.finished_at, step.error = (
        "interrupted",
        timezone.now(),
        "The worker was lost before the outcome was known.",
    )
    step.inbox, step.inbox_secrets = [], None
    step.save(update_fields=["status", "finished_at", "error", "inbox", "inbox_secrets"])
    if not run.test:
        release_holds(run.id)
    run.interrupted = not step.skipped
    result = {
        "step": step.index,
        "call_id": step.call_id,
        "success": False,
        "skipped": step.skipped,
        "error": "interrupted",
        "approval_id": step.approval_id,
    }
    record(run, ("tool_result", result), save=("inbox", "inbox_secrets", "interrupted"))


def _read_inbox(job: Job) -> None:
    run = job.run
    know_machine(run)
    job.inbox = list(run.inbox)
    job.readable = readable(run)
    # What was allowed or denied is the last word on the action at hand; a budget may have been lifted in between.
    last = next((m for m in reversed(job.inbox) if m["kind"] != "budget"), None)
    if last and last["kind"] == "tool" and not last.get("used"):
        job.approved = last if last["verdict"] == "approve" else None
        job.denied = last if last["verdict"] == "reject" else None
    if run.on_budget == "ask":
        job.lifted = lifted_cents(run.root_id)


def reload(job: Job) -> Job | None:
    """The job after a wait; None while the run still waits. Raises LeaseLost when it ended, was taken over, or is stopped."""
    run = run_of(job.run.id)
    if run.lease_epoch != job.epoch or run.is_terminal:
        raise LeaseLost
    if run.status == "awaiting_human":
        job.run = run
        return None
    if run.stopped_at:
        raise LeaseLost
    fresh = Job(run, job.epoch, run.interrupted)
    _read_inbox(fresh)
    return fresh


def stand_aside(job: Job) -> Job | None:
    """A write was refused. When a person controls the machine the run stands; as reload() otherwise."""
    with transaction.atomic():
        run = services.lock_run(job.run.id)
        if run.lease_epoch == job.epoch and run.status == "running" and run.controlled_by and not run.stopped_at:
            control.stand(run)
    return reload(job)


def require_unstopped(job: Job) -> None:
    """Raises LeaseLost when the run has ended, is another worker's, or a stop holds it."""
    mine = Run.objects.filter(id=job.run.id, lease_epoch=job.epoch, finished_at__isnull=True)
    if not mine.filter(stopped_at__isnull=True).exists():
        raise LeaseLost


def locked(job: Job, *, barred: bool = False) -> Run:
    """The run, locked, while this worker may write to it; `barred`: also while a person controls its machine, or sent
    something that the agent has not read. Never while a stop holds it."""
    run = services.lock_run(job.run.id)
    if run.lease_epoch != job.epoch or run.status != "running" or run.stopped_at:
        raise LeaseLost
    if not barred and (run.controlled_by or len(run.inbox) != len(job.inbox)):
        raise LeaseLost
    return run


def write_calls(run: Run, calls: tuple[CallRecord, ...]) -> bool:
    """The calls of a model, in the caller's transaction. False when they were written before the connection broke."""
    if (
        not calls
        or Call.objects.filter(run_id=run.id, started_at=calls[-1].started_at, ended_at=calls[-1].ended_at).exists()
    ):
        return False
    record_calls(calls, team_id=run.team_id, test=run.test, run_id=run.id, step_index=run.steps_completed + 1)
    return True


def _write_observation(run: Run, job: Job, texts: tuple[Event, ...], picture: Picture | None) -> None:
    """Words and picture of a move that is no step; the inbox was read with it."""
    events = (*texts, *((picture.event(run.steps_completed),) if picture else ()))
    delivered(job.inbox, timezone.now())
    if picture:
        _keep_picture(run, picture)
    run.inbox, run.inbox_secrets, run.machine_restarts = [], None, job.run.machine_restarts
    run.interrupted = False
    record(
        run, *events, save=("inbox", "inbox_secrets", "next_screenshot", "memory", "machine_restarts", "interrupted")
    )
    job.inbox, job.readable = [], []


def _keep_picture(run: Run, picture: Picture) -> None:
    run.next_screenshot = picture.index + 1
    run.screenshots.create(step=run.steps_completed, taken_at=timezone.now(), **picture.row)


def ask(job: Job, move: Ask, memory: dict[str, Any], texts: tuple[Event, ...], picture: Picture | None) -> None:
    """Open the request that the agent raised and let the run wait."""
    with transaction.atomic():
        run = locked(job)
        run.memory = memory
        _write_observation(run, job, texts, picture)
        requests.open_for_ask(run, move, job.url)
        job.run = run


def ask_before(
    job: Job,
    act: Act,
    call_id: str,
    ruling: Ruling,
    text: str,
    picture: Picture | None,
    voided: stale_approvals.Voided | None = None,
) -> None:
    """Open a tool request. Memory and inbox stay as they were: the agent decides again once the person has, and whatever
    it read for this decision it reads again with the verdict. Raises LeaseLost when the rules changed since they were asked."""
    with transaction.atomic():
        run = locked(job)
        if ruling.version is not None and not rules_still(run.team_id, run.test, ruling.version):
            raise LeaseLost
        show_picture(run, job, picture)
        if voided:
            stale_approvals.ask_again(run, voided, act, call_id, ruling, text, job.url, job.prompt, job.contents)
        else:
            requests.open_for_act(run, act, call_id, ruling, text, job.url, prompt=job.prompt, contents=job.contents)
        job.run = run


def not_started(job: Job, problem: str) -> bool:
    """What a person approved could not begin. True when people are asked again, False when that was done often enough."""
    with transaction.atomic():
        run = locked(job, barred=True)
        asks_again = job.approved is not None and stale_approvals.start_again(run, job.approved["approval_id"], problem)
        job.run = run
        return asks_again


def ask_about_machine(job: Job, problem: str) -> bool:
    """The machine is of no use before a person did something: where there is one, the run waits for that. False: it may not."""
    with transaction.atomic():
        run = locked(job, barred=True)
        if run.human_in_the_loop is not False:
            requests.open_for_machine(run, problem)
        job.run = run
        return run.human_in_the_loop is not False


def show_picture(run: Run, job: Job, picture: Picture | None) -> None:
    if picture:
        _keep_picture(run, picture)
        run.machine_restarts = job.run.machine_restarts
        record(run, picture.event(run.steps_completed), save=("next_screenshot", "machine_restarts"))


def ask_for_money(job: Job, reached: BudgetReached) -> None:
    """Open a budget request. Nothing of the agent's move was written: it decides again once the person has."""
    with transaction.atomic():
        run = locked(job)
        if run.parent_id is None:
            requests.open_for_budget(run, reached)
        else:
            requests.wait_for_budget(run, run_of(run.parent_id), reached)
        job.run = run


def end(job: Job, claim: Finish, verdict: Verdict | None, texts: tuple[Event, ...]) -> None:
    """The agent declared the end; on engine v4 the verifier had the last word, and no run succeeds whose output does not fit."""
    kept = kept_secrets(job.run)
    output = cleared(claim.output, kept)
    claim = replace(claim, summary=cleared(claim.summary, kept))
    verdict = replace(verdict, summary=cleared(verdict.summary, kept)) if verdict else None
    problem = misfit(job.run.output_schema, output)
    output = None if problem else output
    if problem and claim.by_person:
        problem = f"{claim.summary} {problem}"
    word, skipped = verdict.verdict if verdict else None, claim.skipped
    with transaction.atomic():
        run = locked(job)
        delivered(job.inbox, timezone.now())
        if texts or (verdict and verdict.evidence):
            record(run, *texts, *_evidence(job, verdict))
        write_calls(run, verdict.calls if verdict else ())
        if failure := _failure(claim, verdict, problem):
            code, words = failure
            error = run_error(code, words)
            services.finish(run, "failed", summary=words, verdict=word, error=error, skipped=skipped, output=output)
        else:
            services.finish(
                run,
                "succeeded",
                summary=claim.summary,
                passed=not skipped,
                verdict=word,
                skipped=skipped,
                output=output,
            )
        job.run = run


def _failure(claim: Finish, verdict: Verdict | None, problem: str | None) -> tuple[str, str] | None:
    """Code and words of what keeps the run from success: the agent's own word, the verifier's, an output that does not fit."""
    if not claim.passed:
        return "TASK_FAILED", claim.summary
    if verdict is not None and not verdict.passed:
        return "VERIFICATION_FAILED", verdict.summary
    return ("TASK_FAILED", problem) if problem else None


def _evidence(job: Job, verdict: Verdict | None) -> tuple[Event, ...]:
    """What the verifier saw, in its words: not those of the agent."""
    if verdict is None or not verdict.evidence:
        return ()
    text = cleared("\n".join(verdict.evidence), kept_secrets(job.run))
    return (("reasoning", {"text": text, "by": "verifier"}),)


def break_off(job: Job, code: str, message: str | None = None, **more: Any) -> None:
    """A guard, the wallet, the machine or the agent itself ended the run; completed steps stay billed."""
    with transaction.atomic():
        run = locked(job, barred=True)
        services.fail(run, code, message, fatal=True, **more)
        job.run = run


def note(job: Job, text: str) -> None:
    with transaction.atomic():
        record(locked(job), ("text", {"text": text}))


def hot_window(team_id: str) -> float:
    """How long a worker stays attached to a run that waits, in seconds."""
    return float(team_setting(team_id, "hot_window_seconds"))


def park(run_id: str, epoch: int) -> bool:
    """The hot window is over: the worker lets go of a run that still waits. False when it goes on."""
    with transaction.atomic():
        run = services.lock_row(run_id)
        if run.lease_epoch != epoch or run.status != "awaiting_human":
            return False
        run.parked_at = timezone.now()
        run.lease_owner = run.lease_until = None
        save(run, ("parked_at", "lease_owner", "lease_until"))
        return True
