"""Opening requests to people: the request, the run's wait and their events are one transaction.

Titles are the server's (runs/agents/action_summary.py); words of the agent appear only in `agent_message`.
"""

from typing import Any

from django.utils import timezone

from accounts.access import team_setting
from accounts.actor import system
from approvals import services as approvals
from approvals.action_hash import action_hash
from approvals.answers.answer import MAX_ADD_CENTS
from approvals.kinds import KINDS
from approvals.mail import outbox
from approvals.models import Approval
from approvals.policies.rules import Ruling
from billing.errors import BudgetReached
from inference.errors import ModelProblem, ModelRefused
from machines.actions.classes import class_of_plan
from machines.drivers.base import Prompt
from machines.models import Machine
from runs import webhooks
from runs.access import UNSETTLED
from runs.agents.action_summary import action_object, action_title, checks_object, raised_beyond_write
from runs.agents.base import Act, Ask
from runs.agents.registry import model_of
from runs.errors import run_error
from runs.log import Event
from runs.models import Run, Screenshot
from runs.requests.action_contents import KeptContents
from runs.services import finish, move
from web.times import rfc3339


def open_for_act(
    run: Run,
    act: Act,
    call_id: str,
    ruling: Ruling,
    text: str,
    url: str | None,
    previous: Approval | None = None,
    prompt: Prompt | None = None,
    contents: KeptContents | None = None,
) -> Approval:
    """A tool request before the step it stands before; `previous` is the one it replaces, `prompt` what stands at the
    terminal's prompt, `contents` what the action works with. The caller holds the run's lock.
    """
    action = action_object(run, act, call_id)
    raised = None if action["read_only"] else raised_beyond_write(act)
    title = action_title(act.action.name, act.action.params, act.host, raised, act.target)
    digest = action_hash(run.machine_id or "", act.action.name, act.action.params)
    evidence: dict[str, Any] = {"url": url}
    if prompt is not None:
        evidence |= {"prompt_at": prompt.at, "prompt_line": prompt.line}
    if act.checks:
        evidence["checks"] = checks_object(act)
    if previous is not None:
        evidence["previous_screenshot_index"] = previous.evidence.get("screenshot_index")
    items = (previous.context.get("contents") if previous else None) or None
    if contents is not None:
        evidence |= contents.evidence(items)
        items = contents.items
    return _open(
        run,
        kind="tool",
        title=title,
        message=ruling.why,
        agent_message=text or None,
        action=action,
        action_hash=digest,
        step_index=run.steps_completed + 1,
        can_remember=ruling.can_remember,
        quorum=ruling.quorum,
        four_eyes=ruling.four_eyes,
        by_rule=ruling.by_rule,
        policy_ids=list(ruling.policy_ids),
        previous_approval_id=previous.id if previous else None,
        evidence=evidence,
        more_context={"contents": items} if items else {},
    )


def open_for_plan(run: Run, text: str, url: str | None, *, is_literal: bool) -> Approval:
    """The plan, or its next revision; `is_literal`: of an agent that does exactly what it says. The caller holds the run's lock."""
    revision = (run.plan["revision"] + 1) if run.plan else 1
    most = team_setting(run.team_id, "plan_max_revisions")
    run.plan = {"text": text, "revision": revision, "approved": False}
    run.save(update_fields=["plan"])
    plan = {
        "text": text,
        "revision": revision,
        "max_revisions": most,
        "class": class_of_plan(text, is_literal=is_literal),
    }
    message, previous = "The agent proposes a plan before it acts.", None
    if revision > 1:
        message = f"The agent proposes revision {revision} of its plan."
        previous = (
            Approval.objects.filter(run_id=run.id, kind="plan").order_by("-seq").values_list("id", flat=True).first()
        )
    return _open(
        run,
        kind="plan",
        title=_title("agent", "plan"),
        message=message,
        plan=plan,
        evidence={"url": url},
        previous_approval_id=previous,
    )


def open_for_ask(run: Run, ask: Ask, url: str | None) -> Approval:
    """A request that the agent raised. The caller holds the run's lock; the run's new memory is already set on it."""
    title = _title("agent", ask.kind)
    reason = ask.message.strip() or title
    if len(ask.questions) == 1 and not ask.message.strip():
        reason = ask.questions[0]["question"]
    return _open(
        run,
        kind=ask.kind,
        title=title,
        message=reason,
        agent_message=ask.message or None,
        questions=ask.questions,
        input_schema=ask.input_schema,
        evidence={"url": url},
    )


def open_for_takeover(run: Run, name: str, note: str | None) -> Approval:
    """A person took control of the machine, and gives it back: nobody else is asked. The caller holds the run's lock."""
    message = f"{name} took control of the machine." + (f" {note}" if note else "")
    title = f"{name} took control of the machine"
    return _open(run, by_mail=False, kind="takeover", title=title, message=message)


def open_for_model(run: Run, problem: ModelProblem) -> Approval:
    """The run's model refuses, or cannot be used as it is set up. The answer is not for the agent, which has decided nothing:
    approved, the model is asked again. The caller holds the run's lock.
    """
    refused = isinstance(problem, ModelRefused)
    title = "The model refused to go on" if refused else "The model cannot be used"
    then = "Approve to ask it again." if refused else "Mend it on the page Models, then approve: the run tries again."
    return _open(
        run,
        kind="approval",
        title=title,
        message=f"{problem.why} {then}",
        step_index=run.steps_completed + 1,
        evidence={"model": {"profile": run.agent, "problem": "refused" if refused else "misconfigured"}},
    )


def open_for_machine(run: Run, problem: str) -> Approval:
    """The run's machine was stopped and has to be mended by a person; approved, the run tries again. As open_for_model()."""
    then = "Start it, take control and make room, then approve: the run tries again."
    return _open(
        run,
        kind="approval",
        title="The machine was stopped: its home is full",
        message=f"{problem} {then}",
        step_index=run.steps_completed + 1,
        evidence={"machine": {"id": run.machine_id, "problem": "home_full"}},
    )


def open_for_budget(run: Run, reached: BudgetReached) -> Approval:
    """May it cost more? The caller holds the run's lock."""
    return _open(run, **_budget_facts(run, reached))


def wait_for_budget(task: Run, root: Run, reached: BudgetReached) -> None:
    """A task has reached a limit: its workflow run asks, once for all its tasks. The caller holds the locks of both."""
    open_request = Approval.objects.filter(
        UNSETTLED, run_id=root.id, kind="budget", budget__scope=reached.scope
    ).first()
    approval = open_request or _request(root, step_id=task.step_id, **_budget_facts(root, reached))
    if root.on_awaiting_human != "pause":
        _end_instead(root, approval)
        return
    fields = _standstill(task, approval, approval.message)
    move(
        task,
        "awaiting_human",
        after=(_awaiting_event(approval, approval.message),),
        quietly=open_request is not None,
        **fields,
    )
    if open_request is None:
        webhooks.opened(root, approval)
        outbox.opened(approval)


def _budget_facts(run: Run, reached: BudgetReached) -> dict[str, Any]:
    budget = {
        "scope": reached.scope,
        "limit_cents": reached.limit,
        "used_cents": reached.used,
        "suggested_add_cents": min(reached.limit, MAX_ADD_CENTS),
    }
    title = f"The budget of the {reached.scope} is used up"
    return {
        "kind": "budget",
        "title": title,
        "message": str(reached),
        "budget": budget,
        "step_index": run.steps_completed + 1,
    }


def _context(run: Run, picture: Screenshot | None) -> dict[str, Any]:
    machine = None if run.owns_machine else Machine.objects.filter(id=run.machine_id).first()
    return {
        "task": run.task,
        "name": run.name,
        "kind": run.kind,
        "step_id": run.step_id,
        "agent": run.agent,
        "model": model_of(run),
        "machine_id": run.machine_id,
        "machine_name": machine.display_name if machine else "Simulated machine",
        "machine_kind": run.machine_kind,
        "width": picture.width if picture else None,
        "height": picture.height if picture else None,
        "started_by": run.created_by,
        "starter_owner_id": run.owner_id,
        "self_approval": team_setting(run.team_id, "forbid_self_approval"),
        "step": run.steps_completed + 1,
        "max_steps": run.max_steps,
        "cost_cents": run.cost_cents,
        "budget_cents": run.budget_cents,
        "picture": picture.sha256 if picture else None,
        "end_user": run.end_user,
    }


def open_for_step(run: Run, step_id: str, kind: str, message: str, *, closed: bool, **fields: Any) -> Approval:
    """What a step of a workflow run asks; `closed`: it is only recorded, the run ends. The caller holds the run's lock."""
    approval = _request(
        run,
        kind=kind,
        title=_title("workflow", kind),
        message=message,
        step_id=step_id,
        on_reject="fail_step",
        **fields,
    )
    if closed:
        _close_at_once(run, approval)
    else:
        _wait(run, approval)
        outbox.opened(approval)
    return approval


def _title(who: str, kind: str) -> str:
    return f"The {who} {KINDS[kind].asks}"


def _open(run: Run, *, by_mail: bool = True, **fields: Any) -> Approval:
    """`by_mail`: whoever may decide is told."""
    approval = _request(run, **fields)
    if run.on_awaiting_human == "pause":
        _wait(run, approval)
        if by_mail:
            outbox.opened(approval)
    else:
        _end_instead(run, approval)
    return approval


def _request(
    run: Run, *, evidence: dict[str, Any] | None = None, more_context: dict[str, Any] | None = None, **fields: Any
) -> Approval:
    picture = Screenshot.objects.filter(run=run).order_by("index").last()
    index = picture.index if picture else None
    usual = {"on_timeout": run.on_timeout, "timeout_seconds": run.awaiting_human_timeout_seconds}
    return approvals.open_request(
        **usual | fields,
        team_id=run.team_id,
        test=run.test,
        run_id=run.id,
        root_run_id=run.root_id,
        workflow_id=run.workflow_id,
        priority=run.priority,
        context=_context(run, picture) | (more_context or {}),
        evidence={"screenshot_index": index, "url": None, "step": run.steps_completed} | (evidence or {}),
    )


def _wait(run: Run, approval: Approval) -> None:
    reason = approval.reason
    move(run, "awaiting_human", after=(_awaiting_event(approval, reason),), **_standstill(run, approval, reason))
    webhooks.opened(run, approval)


def _awaiting_event(approval: Approval, reason: str) -> Event:
    return "awaiting_human", {
        "reason": reason,
        "approval_id": approval.id,
        "request_id": approval.id,
        "kind": approval.kind,
        "reason_code": approval.traits.reason_code,
        "input_kind": approval.traits.input_kind,
        "expires_at": rfc3339(approval.expires_at),
        "step_id": approval.step_id,
        "awaiting_step_id": approval.step_id,
        "message": reason,
    }


def _standstill(run: Run, approval: Approval, reason: str) -> dict[str, Any]:
    """The fields of a run that begins to wait; its memory is already set on it."""
    fields: dict[str, Any] = {
        "awaiting_human_reason": reason,
        "awaiting_human_since": timezone.now(),
        "memory": run.memory,
        "awaiting_step_id": approval.step_id,
    }
    return fields | ({"deadline_at": None} if run.deadline_clock == "active" else {})


def _end_instead(run: Run, approval: Approval) -> None:
    """on_awaiting_human fail or cancel: the run ends the moment a person is needed and never shows that it waits."""
    _close_at_once(run, approval)
    error = run_error("AWAITING_HUMAN", f"A person was needed: {approval.message}")
    finish(run, "failed" if run.on_awaiting_human == "fail" else "cancelled", error=error)


def _close_at_once(run: Run, approval: Approval) -> None:
    approvals.close(approval, "cancelled", "on_awaiting_human", system(run.team_id, run.test), timezone.now())
