"""Control flow: lists, if, loop, retry and parallel, and what happens when a step fails (docs/api/workflows.md 6)."""

from collections.abc import Callable
from typing import Any

from runs.errors import run_error
from workflows.definition import conditions
from workflows.definition.step_types import WHILE_ITERATIONS, Step
from workflows.definition.value_rules import MAX_WORK, TooMuchWork, Work
from workflows.interpreter import single_steps
from workflows.interpreter.effects import Finish, GoOn
from workflows.interpreter.single_steps import StepFailed
from workflows.interpreter.state import Branch, Frame, Path, Progress, list_frame

SLICE = 2000  # steps of control flow in one go


def go(run: Progress) -> None:
    """Go on until every branch waits, the run has ended, or the slice is used up. Branches take turns, step by step."""
    run.state["cut"] = False
    steps = work = 0
    while not run.ended and (ready := [b for b in run.branches.values() if b.ready]):
        if steps >= SLICE or work >= MAX_WORK:
            run.state["cut"] = True
            run.effects.append(GoOn(run.count("slice")))
            return
        for branch in ready:
            if branch.id in run.branches:  # it may have been dropped in this round
                work += _one_step(run, branch)
                steps += 1


def _one_step(run: Progress, branch: Branch) -> int:
    """Returns the work it took."""
    work = Work()
    try:
        frame = branch.frames[-1]
        steps = run.find(frame["at"])
        if frame["next"] < len(steps):
            at = [*frame["at"], frame["next"]]
            frame["next"] += 1
            step = run.find(at)
            run.come_to(step)
            _DO[step["type"]](run, branch, step, at, work)
        else:
            branch.frames.pop()
            _list_ended(run, branch, work)
    except StepFailed as failed:
        fail_step(run, branch, failed.error)
    except TooMuchWork:
        fail_step(run, branch, StepFailed("The values of a step are too large to be looked at.").error)
    return work.done


def _list_ended(run: Progress, branch: Branch, work: Work) -> None:
    if not branch.frames:
        _branch_ended(run, branch, work)
    elif branch.frames[-1]["kind"] == "loop":
        _next_iteration(run, branch, work)
    elif branch.frames[-1]["kind"] == "retry":
        _attempt_ended(run, branch)


def _branch_ended(run: Progress, branch: Branch, work: Work) -> None:
    if branch.up is None:
        run.finish(Finish("succeeded", single_steps.output(run.definition.get("output"), run.scope(branch), work)))
        return
    del run.branches[branch.id]
    above = run.branches[branch.up]
    above.frames[-1]["left"] -= 1
    if above.frames[-1]["left"] == 0:
        above.frames.pop()


def fail_step(run: Progress, branch: Branch, error: dict[str, Any]) -> None:
    """STEP_FAILED goes outwards to the next retry that has attempts left; a parallel step on its way fails too."""
    while branch.frames:
        frame = branch.frames[-1]
        if frame["kind"] == "retry" and _try_again(run, branch, frame, error["message"]):
            return
        run.leave(branch)
    if branch.up is None:
        run.finish(Finish("failed", error=error))
        return
    above = run.branches[branch.up]
    run.drop_branches(above.id)
    above.frames.pop()
    fail_step(run, above, error)


# --- if, loop


def _choose(run: Progress, branch: Branch, step: Step, at: Path, work: Work) -> None:
    key = "then" if conditions.holds(step["condition"], run.scope(branch), work) else "else"
    if step.get(key):
        branch.frames.append(list_frame([*at, key]))


def _loop(run: Progress, branch: Branch, _step: Step, at: Path, work: Work) -> None:
    branch.frames.append({"kind": "loop", "at": at, "iteration": 0})
    _next_iteration(run, branch, work)


def _next_iteration(run: Progress, branch: Branch, work: Work) -> None:
    frame = branch.frames[-1]
    if not _goes_on(run, branch, run.find(frame["at"]), frame, work):
        run.leave(branch)
        return
    used, most = run.count("iterations_used"), run.options["max_iterations"]
    if most is not None and used > most:
        details = {"guard": "max_iterations", "scope": "run", "limit": most, "used": used}
        message = f"The run may make {most} iterations; the next one would be number {used}."
        error = run_error("GUARD_EXCEEDED", message, reason_code="max_iterations", details=details)
        run.finish(Finish("failed", error=error, fatal=True))
        return
    frame["iteration"] += 1
    branch.frames.append(list_frame([*frame["at"], "body"]))


def _goes_on(run: Progress, branch: Branch, step: Step, frame: Frame, work: Work) -> bool:
    """Does the loop have another iteration? Its condition sees the number of finished ones."""
    most = step.get("max_iterations")
    if step.get("count") is not None:
        return bool(frame["iteration"] < min(step["count"], most or step["count"]))
    if frame["iteration"] >= (most or WHILE_ITERATIONS):
        return False
    return conditions.holds(step["while"], run.scope(branch), work)


# --- retry


def _retry(run: Progress, branch: Branch, _step: Step, at: Path, _work: Work) -> None:
    frame = {"kind": "retry", "at": at, "attempt": 1, "unpassed": None}
    branch.frames += [frame, list_frame([*at, "body"])]


def _attempt_ended(run: Progress, branch: Branch) -> None:
    """An attempt that ran to its end has failed all the same if a task in it did not pass."""
    frame = branch.frames[-1]
    unpassed = frame["unpassed"]
    if unpassed is None or not _try_again(run, branch, frame, f"task '{unpassed}' did not pass"):
        run.leave(branch)


def _try_again(run: Progress, branch: Branch, frame: Frame, why: str) -> bool:
    """Say that the attempt failed; begin the next one if there is one. The retry's frame is on top."""
    step = run.find(frame["at"])
    most = int(step["max_attempts"])
    run.write("text", text=f"Attempt {frame['attempt']} of {most} of '{step['id']}' failed: {why}")
    if frame["attempt"] >= most:
        return False
    frame |= {"attempt": frame["attempt"] + 1, "unpassed": None}
    branch.frames.append(list_frame([*frame["at"], "body"]))
    return True


# --- parallel


def _parallel(run: Progress, branch: Branch, step: Step, at: Path, _work: Work) -> None:
    branch.frames.append({"kind": "parallel", "at": at, "left": len(step["branches"])})
    for b in range(len(step["branches"])):
        inner = Branch(run.count("last_branch"), branch.id, [list_frame([*at, "branches", b])])
        run.branches[inner.id] = inner


_DO: dict[str, Callable[[Progress, Branch, Step, Path, Work], None]] = {
    "task": single_steps.start_task, "assert": single_steps.judge, "if": _choose, "loop": _loop, "parallel": _parallel,
    "human_approval": single_steps.ask, "retry": _retry, "succeed": single_steps.succeed, "fail": single_steps.fail,
}  # fmt: skip
