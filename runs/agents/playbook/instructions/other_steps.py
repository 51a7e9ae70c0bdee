"""The sentences that wait, check, call for a person or end the run."""

from typing import Any

from machines.drivers.base import Action
from runs.agents.base import Act, Ask, Finish
from runs.agents.playbook import person_questions
from runs.agents.playbook.agent_memory import Progress
from runs.agents.playbook.checks.machine_conditions import describe, wait_until
from runs.agents.playbook.language.plan import Instruction
from runs.agents.playbook.scene import Reply, Scene, act, fail
from runs.agents.playbook.screen.grounding import short

LONGEST_STEP_MS = 60_000  # of one wait action; longer waits are several steps


async def wait(scene: Scene) -> Reply:
    left = scene.params["duration"] - scene.here.get("waited", 0)
    ms = min(left, LONGEST_STEP_MS)
    move = Act(Action("wait", {"ms": ms}, timeout_ms=ms + 30_000))
    waited = scene.here.get("waited", 0) + ms
    return Reply(move, f"Wait {ms / 1000:g} s.", done=ms == left, here={"waited": waited})


async def wait_for(scene: Scene) -> Reply:
    condition, limit = scene.params["condition"], scene.params["limit"] / 1000
    waited = await wait_until(condition, scene.session, limit, scene.patience.poll)
    if waited is None:
        return fail(f"Waited {limit:g} s in vain for this: {describe(condition)}.")
    return act("wait", {"ms": 0}, f"Waited {waited:.1f} s until {describe(condition)}.")


async def check_that(scene: Scene) -> Reply:
    condition = scene.params["condition"]
    patience = scene.patience
    if await wait_until(condition, scene.session, patience.target, patience.poll) is None:
        return fail(f"Check failed: {describe(condition)}.")
    move = Act(Action("screenshot"))
    return Reply(move, f"Checked: {describe(condition)} — holds.", lasting={"check": condition})


async def ask_question(scene: Scene) -> Reply:
    text, labels = scene.params["question"], scene.params.get("options", [])
    question = person_questions.question("question", "Question", text, dict.fromkeys(labels))
    return _call(scene, Ask("question", text, [question]))


async def ask_approval(scene: Scene) -> Reply:
    purpose = scene.params.get("purpose")
    return _call(
        scene, Ask("approval", f"Approval is needed {purpose}." if purpose else "Approval is needed to go on.")
    )


async def ask_input(scene: Scene) -> Reply:
    return _call(scene, person_questions.value_question(scene.params["value"]))


async def hand_over(scene: Scene) -> Reply:
    return _call(scene, person_questions.takeover(scene.params.get("reason", "")))


def _call(scene: Scene, ask: Ask) -> Reply:
    if not scene.context.may_ask:
        return fail(f"This needs a person, and the run may not ask: {scene.instruction.text}")
    return Reply(ask, ask.message, done=False)


async def fail_run(scene: Scene) -> Reply:
    return fail(scene.params.get("reason") or "The task says to fail here.")


async def refused(scene: Scene) -> Reply:
    return fail(refusal(scene.instruction))


def refusal(instruction: Instruction) -> str:
    """Why an instruction that is understood must not be carried out."""
    return f"This is not carried out: {short(instruction.text, 500)}. {instruction.params['reason']}"


def finished(progress: Progress, summary: str | None, output: dict[str, Any] | None = None) -> Reply:
    """The end of a task that was gone through: what was left out is said, and is never called passed."""
    done, skipped = progress.done, progress.skipped
    total = done + skipped
    if skipped and not done:
        text = f"{skipped} of {total} skipped: nothing was done."
        return Reply(Finish(False, text, skipped), text, done=False)
    left_out = f"{skipped} of {total} skipped." if skipped else ""
    words = summary or f"Done: {done} instruction{'' if done == 1 else 's'}."
    text = f"{words} {left_out}".strip()
    return Reply(Finish(True, text, skipped, output=output), text, done=False)
