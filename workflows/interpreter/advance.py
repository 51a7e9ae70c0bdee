"""The interpreter of workflows: a pure function from a state and a trigger to the next state and what is to be done.

The caller holds the run's lock, applies the effects in their order and stores the state in the same transaction. A trigger
that has had its turn (an unknown ticket, an ended run) gives the same state and no effects, so everything may be delivered twice.
One call is short: control flow is cut into slices by the effect GoOn. A definition is one that `documents.check_document` found
no fault with.
"""

from workflows.interpreter import single_steps
from workflows.interpreter.control_flow import fail_step, go
from workflows.interpreter.effects import Effect
from workflows.interpreter.single_steps import StepFailed
from workflows.interpreter.state import Branch, Definition, Progress, State, begun
from workflows.interpreter.triggers import RequestDecided, Resumed, Started, TaskEnded, Trigger


def advance(definition: Definition, state: State, trigger: Trigger) -> tuple[State, list[Effect]]:
    """Apply one trigger. A run that has not begun has the state {}; neither argument is changed."""
    begins = not state
    if begins != isinstance(trigger, Started):
        return state, []
    run = Progress(definition, begun(trigger) if isinstance(trigger, Started) else state)
    if run.ended or not _apply(run, trigger):
        return state, []
    return run.as_json(), run.effects


def _apply(run: Progress, trigger: Trigger) -> bool:
    """False when the trigger has had its turn."""
    match trigger:
        case Started():
            go(run)
            return True
        case Resumed():
            return _go_on(run, trigger)
        case TaskEnded():
            return _end_task(run, run.waiting(trigger.ticket, "task"), trigger)
        case RequestDecided():
            return _take_decision(run, run.waiting(trigger.ticket, "request"), trigger)


def _go_on(run: Progress, resumed: Resumed) -> bool:
    if not run.state["cut"] or resumed.slice != run.state["slice"]:
        return False
    go(run)
    return True


def _end_task(run: Progress, branch: Branch | None, ended: TaskEnded) -> bool:
    if branch is None:
        return False
    single_steps.end_task(run, branch, ended)
    go(run)
    return True


def _take_decision(run: Progress, branch: Branch | None, decided: RequestDecided) -> bool:
    if branch is None:
        return False
    try:
        single_steps.take_decision(run, branch, decided)
    except StepFailed as failed:
        fail_step(run, branch, failed.error)
    go(run)
    return True


def iterations_used(state: State) -> int:
    return int(state.get("iterations_used", 0))
