"""Steps without steps in them: task, assert, human_approval, succeed, fail (docs/api/workflows.md 3 and 6)."""

from typing import Any

from runs.errors import run_error
from workflows.definition import conditions
from workflows.definition.step_types import Step
from workflows.definition.templates import Scope, expand, expand_bound, expand_text, too_large
from workflows.definition.value_rules import Work
from workflows.interpreter.effects import Finish, OpenRequest, StartTask
from workflows.interpreter.state import Branch, Path, Progress
from workflows.interpreter.triggers import APPROVING, RequestDecided, TaskEnded

MAX_TASK = 16_000  # characters, as of instructions
MAX_SYSTEM_PROMPT = 32_000
MAX_MACHINE_ID = 128
MAX_MESSAGE = 16_000  # longer messages are cut
MAX_OUTPUT = 256 * 1024  # characters of an output as JSON
_PLAIN = ("cua_version", "max_steps", "on_awaiting_human", "agent", "output_schema")
_TEXTS = {"instructions": MAX_TASK, "system_prompt": MAX_SYSTEM_PROMPT}
_ENDS_ALL = {("WALLET_EXHAUSTED", "wallet_exhausted"), ("GUARD_EXCEEDED", "budget_cents")}


class StepFailed(Exception):
    """The step fails with STEP_FAILED: an enclosing retry may catch it."""

    def __init__(self, message: str, reason_code: str | None = None) -> None:
        super().__init__(message)
        self.error = run_error("STEP_FAILED", message, reason_code=reason_code)


# --- task


def start_task(run: Progress, branch: Branch, step: Step, at: Path, work: Work) -> None:
    scope = run.scope(branch)
    task, bound = expand_bound(step["task"], scope, run.state.get("secrets", {}), MAX_TASK + 1, work)
    if len(task) > MAX_TASK:
        raise StepFailed(f"The task of '{step['id']}' has more than {MAX_TASK} characters.")
    if not task.strip():
        raise StepFailed(f"The task of '{step['id']}' is empty.")
    ticket = run.count("last_ticket")
    options = _options(run.options["task_defaults"], step, scope, work)
    run.effects.append(StartTask(ticket, step["id"], task, options, branch.id, bound))
    branch.wait = {"kind": "task", "ticket": ticket, "at": at}


def _options(defaults: dict[str, Any], step: Step, scope: Scope, work: Work) -> dict[str, Any]:
    own = {key: step[key] for key in _PLAIN if step.get(key) is not None}
    own |= {key: _text(step, key, most, scope, work) for key, most in _TEXTS.items() if step.get(key) is not None}
    if "max_steps" in own:
        own["max_steps"] = int(own["max_steps"])
    if step.get("machine_id") is not None:
        named = expand_text(step["machine_id"], scope, MAX_MACHINE_ID + 1, work)
        own["machine_id"] = named if 0 < len(named) <= MAX_MACHINE_ID else None
    return {key: value for key, value in defaults.items() if value is not None} | own


def _text(step: Step, key: str, most: int, scope: Scope, work: Work) -> str:
    text = expand_text(step[key], scope, most + 1, work)
    if len(text) > most:
        raise StepFailed(f"The {key} of '{step['id']}' has more than {most} characters.")
    return text


def end_task(run: Progress, branch: Branch, ended: TaskEnded) -> None:
    """Bind the result. A child that did not pass is no failure of its step, but of every attempt it ran in."""
    step = _leave_wait(run, branch)
    passed = ended.passed and ended.status == "succeeded"
    error = ended.error and {"code": ended.error["code"], "message": ended.error["message"]}
    handed_over = {} if ended.output is None else {"output": ended.output}
    run.bind(
        step,
        {
            "status": ended.status,
            "passed": passed,
            "result": ended.result,
            "run_id": ended.run_id,
            "steps": ended.steps,
            "error": error,
            "cost_cents": ended.cost_cents,
            **handed_over,
        },
    )
    run.write("step", step_id=step["id"], type="task", passed=passed, status=ended.status, run_id=ended.run_id)
    if ended.error and (ended.error["code"], ended.error["reason_code"]) in _ENDS_ALL:
        run.finish(Finish("failed", error=ended.error, fatal=True))
    elif not passed:
        for frame in run.frames_around(branch):
            if frame["kind"] == "retry":
                frame["unpassed"] = step["id"]


def _leave_wait(run: Progress, branch: Branch) -> Step:
    """The step that was waited at; the branch goes on."""
    assert branch.wait is not None
    step: Step = run.find(branch.wait["at"])
    branch.wait = None
    return step


# --- human_approval


def ask(run: Progress, branch: Branch, step: Step, at: Path, work: Work) -> None:
    template = step.get("message") if step.get("message") is not None else step.get("instruction")
    message = _message(template, run.scope(branch), work) or "Human approval required"
    ends = run.options["on_awaiting_human"]
    seconds = step.get("timeout_seconds") or run.options["awaiting_human_timeout_seconds"]
    schema = step.get("input_schema")
    ticket = run.count("last_ticket")
    run.effects.append(
        OpenRequest(
            ticket,
            step["id"],
            "approval" if schema is None else "input",
            message,
            approvers=step.get("approvers"),
            four_eyes=bool(step.get("four_eyes")),
            assignee=step.get("assignee"),
            input_schema=schema,
            timeout_seconds=seconds and int(seconds),
            on_timeout=step.get("on_timeout") or run.options["on_timeout"],
            closed=ends != "pause",
        )
    )
    if ends == "pause":
        branch.wait = {"kind": "request", "ticket": ticket, "at": at}
    else:
        error = run_error("AWAITING_HUMAN", f"A person was needed: {message}")
        run.finish(Finish("failed" if ends == "fail" else "cancelled", error=error))


def take_decision(run: Progress, branch: Branch, decided: RequestDecided) -> None:
    """Bind the decision. Raises StepFailed for a rejection."""
    step = _leave_wait(run, branch)
    approved = decided.verdict in APPROVING
    run.bind(
        step,
        {
            "approved": approved,
            "verdict": decided.verdict,
            "note": decided.note,
            "by": decided.by,
            "decided_at": decided.decided_at,
            "values": decided.values,
        },
    )
    run.keep_secrets(step, decided.ref, decided.secrets)
    run.write("step", step_id=step["id"], type="human_approval", approved=approved, note=decided.note, by=decided.by)
    if not approved:
        why = f": {decided.note}" if decided.note else ""
        raise StepFailed(f"human_approval '{step['id']}' rejected{why}", "approval_rejected")


# --- assert, succeed, fail


def judge(run: Progress, branch: Branch, step: Step, _at: Path, work: Work) -> None:
    scope = run.scope(branch)
    passed = conditions.holds(step["condition"], scope, work)
    run.state["verdicts"][step["id"]] = passed
    run.write("step", step_id=step["id"], type="assert", passed=passed)
    if not passed:
        raise StepFailed(_message(step.get("message"), scope, work) or f"assert '{step['id']}' failed")


def succeed(run: Progress, branch: Branch, step: Step, _at: Path, work: Work) -> None:
    scope = run.scope(branch)
    value = output(step.get("output"), scope, work)
    message = _message(step.get("message"), scope, work)
    if message:
        run.write("text", text=message)
    run.finish(Finish("succeeded", value, message=message))


def fail(run: Progress, branch: Branch, step: Step, _at: Path, work: Work) -> None:
    message = _message(step.get("message"), run.scope(branch), work) or f"fail step '{step['id']}'"
    run.finish(Finish("failed", error=run_error("WORKFLOW_FAILED", message)))


def output(template: Any, scope: Scope, work: Work) -> Any:
    """The output with its templates filled in; null for none. Raises StepFailed when it is too large."""
    value = None if template is None else expand(template, scope, work)
    if too_large(value, MAX_OUTPUT):
        raise StepFailed(f"The output is larger than {MAX_OUTPUT // 1024} KiB.")
    return value


def _message(template: str | None, scope: Scope, work: Work) -> str | None:
    return (expand_text(template, scope, MAX_MESSAGE, work) or None) if template is not None else None
