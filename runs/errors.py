"""Refusals of runs, and the codes found inside a run's `error` (docs/api/runs.md section 7)."""

from typing import Any

from web.errors import Refusal


class RunNotFound(Refusal):
    """There is no such run."""

    code, status = "RUN_NOT_FOUND", 404


class NotAwaitingHuman(Refusal):
    """The run is {current_state} and waits for nobody."""

    code, status, reason_code = "NOT_AWAITING_HUMAN", 409, "run_not_awaiting_input"


class ResumeConflict(Refusal):
    """The run is {current_state}; it cannot be resumed any more."""

    code, status = "RESUME_CONFLICT", 409


class AmbiguousTarget(Refusal):
    """Several requests are open: name one of {open}."""

    code, status = "AMBIGUOUS_TARGET", 409


class TooManyRuns(Refusal):
    """The team has {limit} unfinished runs, the most it may have. Wait for one to end or cancel one."""

    code, status = "TOO_MANY_RUNS", 429


RUN_ERRORS = {
    "DEADLINE_EXCEEDED": "The run used up its deadline.",
    "AWAITING_HUMAN": "A person was needed, and the run was started not to wait for one.",
    "SIGNAL_TIMEOUT": "Nobody answered in time.",
    "REJECTED": "Rejected by a person.",
    "MAX_STEPS_REACHED": "The run used all its steps without declaring the end.",
    "TASK_FAILED": "The agent declared that the task failed.",
    "VERIFICATION_FAILED": "The agent claimed success, the verifier disagreed.",
    "GUARD_EXCEEDED": "A guard of the run was reached.",
    "MODEL_UNAVAILABLE": "The model of the run did not answer for too long.",
    "MODEL_ERROR": "The model of the run cannot be used, and no person could be asked.",
    "WALLET_EXHAUSTED": "The wallet cannot cover the next step. Top it up and start the run again.",
    "PLAN_REVISION_LIMIT": "The plan was sent back too often.",
    "MACHINE_UNAVAILABLE": "The machine of the run is gone.",
    "WORKER_LOST": "Three workers in a row were lost without completing a step.",
    "AGENT_ERROR": "The agent broke off with an error.",
    "STEP_FAILED": "A step of the workflow failed.",
    "WORKFLOW_FAILED": "The workflow came to a step that fails it.",
}


def run_error(
    code: str, message: str | None = None, *, reason_code: str | None = None, details: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The `error` of a run: {code, reason_code, message, details}."""
    return {
        "code": code,
        "reason_code": reason_code or code.lower(),
        "message": message or RUN_ERRORS[code],
        "details": details,
    }
