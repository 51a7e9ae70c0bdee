"""What the drive loop writes of agents that think: a thought before anything is done with it, the calls that were made, and
what becomes of a run whose model does not answer. Synchronous: the loop calls these in its threads.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from database.sealing import seal
from inference.errors import ModelBusy, ModelProblem
from inference.records import CallRecord
from runs import services
from runs.agents.base import Decision, GuardReached, Plan
from runs.driving import inbox
from runs.driving.jobs import Job, locked, show_picture, write_calls
from runs.driving.looks import keep_looks
from runs.driving.steps import LeaseLost, Picture, delivered
from runs.log import Event, record
from runs.models import Run
from runs.requests import services as requests
from runs.secrets.services import cleared, kept_secrets
from web.times import rfc3339

NOTED_WAIT = 10.0  # seconds: of shorter waits in a row only the first stands in the log
LEAST_WAIT = 1.0  # seconds between two attempts at a busy model, whatever it says
_GUARDS = {
    "budget_tokens": "The run has used {used} tokens of its model; the model's profile allows {limit}.",
    "depth": "The model was asked {used} times in a row without a step; the model's profile allows {limit}.",
}
_READ = ("memory", "inbox", "inbox_secrets", "interrupted", "model_wait", "machine_restarts")


def thought(job: Job, decision: Decision, words: tuple[Event, ...]) -> None:
    """Commit what was thought, before the guard sees it. From now on it comes from memory and is not paid again.

    Also while a person controls the machine, or a stop holds the run; but then, and when people sent something meanwhile,
    nothing is done with it: LeaseLost, and the agent is asked again. Of a run that ended or is another worker's only the calls are written.
    """
    stays = _staying(job)
    with transaction.atomic():
        run = services.lock_run(job.run.id)
        ours = run.lease_epoch == job.epoch and not run.is_terminal
        fresh = write_calls(run, decision.calls)
        if ours and (fresh or not decision.calls):
            run.memory = decision.memory
            keep_looks(run, decision.looks)
            _take_in(run, job, *words)
    barred = run.controlled_by or run.stopped_at
    if not ours or run.status != "running" or barred or len(run.inbox) > len(stays):
        raise LeaseLost
    job.run, job.interrupted = run, False
    job.inbox, job.readable = [job.inbox[n] for n in stays], [job.readable[n] for n in stays]


def _staying(job: Job) -> list[int]:
    """Where in the inbox the verdict on the action at hand stands, which is for the drive loop to act on."""
    verdict = job.approved or job.denied
    return [n for n, message in enumerate(job.inbox) if message is verdict]


def _take_in(run: Run, job: Job, *words: Event) -> None:
    """The agent has read its messages, and what happened to its last action; it has not read what came meanwhile."""
    stays, newer = _staying(job), range(len(job.inbox), len(run.inbox))
    delivered([message for n, message in enumerate(job.inbox) if n not in stays], timezone.now())
    readable = inbox.readable(run)
    run.inbox = [run.inbox[n] for n in (*stays, *newer)]
    run.inbox_secrets = seal([readable[n] for n in (*stays, *newer)]) if run.inbox else None
    run.interrupted, run.model_wait, run.machine_restarts = False, None, job.run.machine_restarts
    record(run, *words, save=_READ)


def note_calls(job: Job, calls: tuple[CallRecord, ...]) -> None:
    """Calls of which nothing came, whatever became of the run."""
    with transaction.atomic():
        write_calls(job.run, calls)


def ask_for_plan(job: Job, plan: Plan, picture: Picture | None, thinks: bool) -> None:
    """Open a plan request. Nothing of the agent's move is kept, as with a tool request; of one that thinks what it thought is."""
    with transaction.atomic():
        run = locked(job)
        show_picture(run, job, picture)
        write_calls(run, plan.calls)
        if thinks:
            run.memory = plan.memory
            _take_in(run, job)
        requests.open_for_plan(run, cleared(plan.text, kept_secrets(run)), job.url, is_literal=not thinks)
        job.run = run


# --- a model that does not answer


def busy(job: Job, problem: ModelBusy) -> None:
    """The run waits for its model, as long as the installation is patient; then it fails."""
    with transaction.atomic():
        run = locked(job)
        now = timezone.now()
        failing = run.model_wait and not run.model_wait.get("turn")
        since = datetime.fromisoformat(run.model_wait["since"]) if run.model_wait and failing else now
        ends = since + timedelta(seconds=settings.MODEL_PATIENCE)
        if now >= ends:
            minutes = round((now - since).total_seconds() / 60)
            why = f"The model could not be asked for {minutes} minutes. {problem.why}"
            services.fail(run, "MODEL_UNAVAILABLE", why, fatal=True)
        else:
            until = min(now + timedelta(seconds=max(problem.retry_after, LEAST_WAIT)), ends)
            noted = run.model_wait is None or (until - now).total_seconds() >= NOTED_WAIT
            run.model_wait = {"since": rfc3339(since), "until": rfc3339(until), "why": problem.why}
            words = f"{problem.why} The model is asked again at {until:%H:%M:%S} UTC."
            # An event is what makes the pages look again.
            record(run, *((("text", {"text": words, "by": "system"}),) if noted else ()), save=("model_wait",))
        job.run = run


def waits_for_turn(job: Job, why: str) -> None:
    """The model is there, but others are asking it: that takes as long as it takes, and no patience ends. A run that waits for a
    model that failed says so already."""
    with transaction.atomic():
        run = services.lock_run(job.run.id)
        if run.lease_epoch != job.epoch or run.status != "running" or run.model_wait or run.stopped_at:
            return
        now = rfc3339(timezone.now())
        run.model_wait = {"since": now, "until": now, "why": why, "turn": True}
        record(run, ("text", {"text": f"{why} This run waits for its turn.", "by": "system"}), save=("model_wait",))


def has_its_turn(job: Job) -> None:
    with transaction.atomic():
        run = services.lock_run(job.run.id)
        if run.lease_epoch == job.epoch and run.model_wait and run.model_wait.get("turn"):
            run.model_wait = None
            record(run, save=("model_wait",))


def seconds_to_wait(run: Run) -> float:
    """How long the model is to be left alone; 0 when it may be asked."""
    if not run.model_wait:
        return 0.0
    return (datetime.fromisoformat(run.model_wait["until"]) - timezone.now()).total_seconds()


def ask_about_model(job: Job, problem: ModelProblem) -> None:
    """Asking again does not help before a person did something: where there is one, the run waits for that."""
    with transaction.atomic():
        run = locked(job)
        if run.human_in_the_loop is False:
            services.fail(run, "MODEL_ERROR", problem.why, fatal=True)
        else:
            requests.open_for_model(run, problem)
        job.run = run


def guard_reached(job: Job, reached: GuardReached) -> None:
    """The run has used what its model's profile allows one run."""
    details = {"guard": reached.guard, "scope": "run", "limit": reached.limit, "used": reached.used}
    words = _GUARDS.get(reached.guard, "The run has used {used} of {limit}.").format(
        used=reached.used, limit=reached.limit
    )
    with transaction.atomic():
        run = locked(job, barred=True)
        services.fail(run, "GUARD_EXCEEDED", words, reason_code=reached.guard, details=details, fatal=True)
        job.run = run
