"""The interpreter of workflows: a pure function from a state and a happening to the next state and what is to be done.

The caller holds the run's lock, applies the effects in their order and stores the state in the same transaction. A happening
that has had its turn (an unknown ticket, an ended run) gives the same state and no effects, so everything may be delivered twice.
One call is short: control flow is cut into slices by the effect GoOn. A definition is one that `documents.check_document` found
no fault with.
"""

from typing import Any

from runs.errors import run_error
from workflows import leaves
from workflows.control import fail_step, go
from workflows.effects import Effect, Finish
from workflows.happenings import (
    Broken,
    Cancelled,
    DeadlineReached,
    Happening,
    RequestDecided,
    RequestExpired,
    Resumed,
    Started,
    TaskEnded,
    TaskGoesOn,
    TaskWaits,
)
from workflows.leaves import StepFailed
from workflows.state import Branch, Definition, Progress, State, begun


def advance(definition: Definition, state: State, happening: Happening) -> tuple[State, list[Effect]]:
    """Apply one happening. A run that has not begun has the state {}; neither argument is changed."""
    begins = not state
    if begins:
        if not isinstance(happening, Started | Cancelled | DeadlineReached | Broken):
            return state, []
        state = begun(happening if isinstance(happening, Started) else Started({}))
    run = Progress(definition, state)
    if run.ended or not (begins or _has_its_turn(run, happening)):
        return state, []
    _apply(run, happening)
    return run.as_json(), run.effects


def _has_its_turn(run: Progress, happening: Happening) -> bool:
    match happening:
        case Started():
            return False
        case Resumed():
            return bool(run.kept["cut"] and happening.slice == run.kept["slice"])
        case TaskEnded() | TaskWaits() | TaskGoesOn():
            branch = run.waiting(happening.ticket, "task")
            return branch is not None and _fits(branch.wait or {}, happening)
        case RequestDecided() | RequestExpired():
            return run.waiting(happening.ticket, "request") is not None
    return True


def _fits(wait: dict[str, Any], happening: TaskEnded | TaskWaits | TaskGoesOn) -> bool:
    """Requests of a child run are told in the order of their numbers; what comes late is passed over."""
    if isinstance(happening, TaskWaits):
        return bool(wait["number"] < happening.number)
    return isinstance(happening, TaskEnded) or (wait["since"] is not None and wait["number"] == happening.number)


def _apply(run: Progress, happening: Happening) -> None:
    match happening:
        case Started() | Resumed():
            go(run)
        case TaskEnded():
            leaves.end_task(run, _waiting(run, happening.ticket, "task"), happening)
            go(run)
        case RequestDecided():
            branch = _waiting(run, happening.ticket, "request")
            try:
                leaves.take_decision(run, branch, happening)
            except StepFailed as failed:
                fail_step(run, branch, failed.error)
            go(run)
        case TaskWaits():
            wait = _waiting(run, happening.ticket, "task").wait
            wait |= {"since": run.count("last_wait"), "number": happening.number, "reason": happening.reason}
        case TaskGoesOn():
            wait = _waiting(run, happening.ticket, "task").wait
            wait |= {"since": None, "reason": None}
        case RequestExpired():
            _waiting(run, happening.ticket, "request").wait = None  # it is closed already
            run.finish(_end(happening))
        case _:
            run.finish(_end(happening))


def _waiting(run: Progress, ticket: int, kind: str) -> Any:
    branch: Branch | None = run.waiting(ticket, kind)
    assert branch is not None  # it has its turn
    return branch


def _end(happening: RequestExpired | Cancelled | DeadlineReached | Broken) -> Finish:
    match happening:
        case RequestExpired():
            return Finish(
                "cancelled" if happening.on_timeout == "cancel" else "failed", error=run_error("SIGNAL_TIMEOUT")
            )
        case DeadlineReached():
            return Finish("timed_out", error=run_error("DEADLINE_EXCEEDED"), fatal=True)
        case Broken():
            return Finish("failed", error=happening.error, fatal=True)
    return Finish("cancelled")


# --- what pages and services ask of a state


def awaiting(definition: Definition, state: State) -> tuple[str, str] | None:
    """(step id, reason) of the oldest wait for a person, a child run's included; None when nobody is waited for."""
    waits = [branch["wait"] for branch in state.get("branches", ()) if branch["wait"] and branch["wait"]["since"]]
    if not waits:
        return None
    oldest = min(waits, key=lambda wait: int(wait["since"]))
    return Progress(definition, state).find(oldest["at"])["id"], oldest["reason"]


def outstanding(state: State) -> list[int]:
    """Tickets of the child runs and requests that the run still waits for."""
    return [branch["wait"]["ticket"] for branch in state.get("branches", ()) if branch["wait"]]


def iterations_used(state: State) -> int:
    return int(state.get("iterations_used", 0))
