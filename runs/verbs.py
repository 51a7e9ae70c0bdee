"""What the verbs of a run mean for the request that it waits for: resume, signal, approve, answer (docs/api/approvals.md
section 4). Each finds the request and hands the answer to the one decision function (approvals/deciding.py).

Data never counts as consent: submit_input cannot approve an action, approve cannot invent data.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import transaction

from accounts.actor import Actor
from approvals.access import approvals_of, open_below, pending_of_root
from approvals.answers.answer import Answer, sent_back
from approvals.answers.defaults import answer_by_note
from approvals.deciding import DecisionResult, lock_and_decide
from approvals.errors import ApprovalNotFound, SignalDoesNotFit, WrongEndpoint
from approvals.models import Approval, Decision
from approvals.schemas import MAX_NOTE
from runs import control
from runs.access import get_run
from runs.errors import AmbiguousTarget, NotAwaitingHuman, ResumeConflict
from runs.models import Run
from runs.schemas import ResumeBody
from runs.services import lock_row, lock_run
from runs.subject import LockedRun, locked_run, take_late_effects
from web.errors import Invalid, Refusal

# --- the request of a run

Compose = Callable[[Approval], Answer]  # the answer, once the request is locked


def decide_for_run(
    actor: Actor,
    run_id: str,
    approval_id: str | None,
    answer: Compose,
    *,
    terminal: type[Refusal] = NotAwaitingHuman,
    kinds: frozenset[str] = frozenset(),
) -> DecisionResult[LockedRun]:
    """Decide the request of a run: the named one, or the one that is open at the call's turn.

    With `kinds` it is the oldest open one of these, if there is any.
    Raises as deciding.decide(), and ApprovalNotFound, AmbiguousTarget, NotAwaitingHuman, ResumeConflict (`terminal` for an
    ended run).
    """
    if approval_id:
        return lock_and_decide(actor, partial(_lock_named, _named(actor, run_id, approval_id)), answer, "api")
    return lock_and_decide(actor, partial(_lock_open, run_id, terminal, kinds), answer, "api")


def _named(actor: Actor, run_id: str, approval_id: str) -> Approval:
    below = Run.objects.values("root_id").filter(id=run_id)[:1]
    approval = approvals_of(actor).filter(id=approval_id, root_run_id=below).first()
    if approval is None or run_id not in (approval.run_id, approval.root_run_id):
        raise ApprovalNotFound
    return approval


def _lock_named(approval: Approval) -> tuple[LockedRun, str]:
    return locked_run(approval), approval.id


def _lock_open(run_id: str, terminal: type[Refusal], kinds: frozenset[str]) -> tuple[LockedRun, str]:
    run = lock_run(run_id)
    approval_id, asking_id = _the_open_one(run, terminal, kinds)
    return LockedRun(run if asking_id == run.id else lock_row(asking_id)), approval_id


def _the_open_one(run: Run, terminal: type[Refusal], kinds: frozenset[str]) -> tuple[str, str]:
    """The ids of the one open request and of its run. Raises AmbiguousTarget, NotAwaitingHuman or `terminal`."""
    pending = [row for row in open_below(run.root_id) if run.parent_id is None or row[1] == run.id]
    oldest = next((row for row in pending if row[2] in kinds), None)
    if oldest is None and len(pending) > 1:
        raise AmbiguousTarget(open=[approval_id for approval_id, _, _ in pending])
    if not pending:
        raise _nothing_open(run, terminal)
    approval_id, asking_id, _ = oldest or pending[0]
    return approval_id, asking_id


def _nothing_open(run: Run, terminal: type[Refusal]) -> Refusal:
    facts: dict[str, Any] = {"current_state": run.status, "allowed_from": ["awaiting_human"]}
    if run.is_terminal and terminal is ResumeConflict:
        below = {"approval__run_id" if run.parent_id else "approval__root_run_id": run.id}
        last = Decision.objects.filter(**below, counts=True).order_by("-at").first()
        return ResumeConflict(**facts, last_decision=last.id if last else None)
    return NotAwaitingHuman(**facts)


# --- resume


def resume(actor: Actor, run_id: str, approval_id: str | None, answer: Compose) -> Run:
    """Decide what the run waits for; the holder of its machine gives it back thereby.

    Raises as decide_for_run(), and MachineInTakeover while somebody else controls the machine.
    """
    below = Run.objects.filter(root_id=Run.objects.filter(id=run_id).values("root_id")[:1])
    if not below.filter(controlled_by__isnull=False, finished_at__isnull=True).exists():
        return _decided(actor, run_id, approval_id, answer)
    with transaction.atomic():
        if _ends_the_wait(actor, lock_run(run_id), approval_id, answer):
            return get_run(actor, run_id)
        return _decided(actor, run_id, approval_id, answer)


def _decided(actor: Actor, run_id: str, approval_id: str | None, answer: Compose) -> Run:
    result = decide_for_run(actor, run_id, approval_id, answer, terminal=ResumeConflict)
    return result.subject.run if result.subject.id == run_id else get_run(actor, run_id)


def _ends_the_wait(actor: Actor, run: Run, approval_id: str | None, answer: Compose) -> bool:
    """Give the machine back, unless the decision itself will; True when nothing is left to decide."""
    asking = _asking(run, approval_id)
    lease = control.require_controller(actor, asking) if asking is not None else None
    if lease is None or asking is None:
        return False
    takeover = control.request_of(lease)
    if takeover is not None and answer(takeover).verdict == "approve":
        return False
    control.give_back(asking, lease)
    take_late_effects(asking)
    return approval_id is None and not pending_of_root(asking.root_id).filter(run_id=asking.id).exists()


def _asking(run: Run, approval_id: str | None) -> Run | None:
    """The agent run that the call is about, locked: itself, or the child whose request is meant."""
    if run.kind == "agent":
        return run
    pending = list(pending_of_root(run.root_id).filter(**({"id": approval_id} if approval_id else {})))
    return locked_run(pending[0]).run if len(pending) == 1 and pending[0].run_id != run.id else None


# --- what each verb means for each kind


def by_resume(approval: Approval, body: ResumeBody) -> Answer:
    if body.approved is False:
        return sent_back(approval, Answer("reject", note=body.note))
    if approval.traits.takes_data:
        return answer_by_note(approval, body.note)
    return Answer("approve", note=body.note)


def by_signal(approval: Approval, action: str, payload: dict[str, Any]) -> Answer:
    """Raises SignalDoesNotFit, and Invalid for words that are too long."""
    if action not in approval.traits.signals:
        raise SignalDoesNotFit(kind=approval.kind, allowed=approval.traits.signals)
    at = ("body", "payload")
    if action == "approve":
        return Answer("approve", note=_words(payload.get("note"), (*at, "note")))
    if action == "reject":
        effect = "fail_step" if approval.on_reject == "fail_step" else "fail_run"
        return Answer("reject", note=_words(payload.get("reason"), (*at, "reason")), effect=effect)
    if approval.traits.takes_revision:
        return Answer("revise", note=_feedback(payload, at))
    return _by_data(approval, payload, at, lenient=True)


def by_approve(approval: Approval, allow: bool, reason: str | None, remember: bool) -> Answer:
    """Raises WrongEndpoint for kinds that need data."""
    if approval.traits.by_answer:
        raise WrongEndpoint(kind=approval.kind, use="answer")
    return Answer("approve" if allow else "reject", note=reason, remember=remember)


def by_answer(approval: Approval, answers: dict[str, Any]) -> Answer:
    """Raises WrongEndpoint for kinds that take no data, and Invalid for what is no verdict on a plan."""
    if not approval.traits.by_answer:
        raise WrongEndpoint(kind=approval.kind, use="approve")
    if approval.traits.takes_revision:
        return _on_plan(answers)
    return _by_data(approval, answers, ("body", "answers"), lenient=False)


def _by_data(approval: Approval, data: dict[str, Any], at: tuple[str, ...], *, lenient: bool) -> Answer:
    if approval.traits.form == "questions":
        return Answer("answer", answers=data, lenient=lenient, data_at=at)
    return Answer("submit", values=data, data_at=at)


def _on_plan(answers: dict[str, Any]) -> Answer:
    """The one key is anything; "approve" approves, every other text is a revision."""
    at = ("body", "answers")
    if len(answers) != 1:
        raise Invalid((at, "A plan takes one answer.", "value_error"))
    ((key, text),) = answers.items()
    if not isinstance(text, str):
        raise Invalid(((*at, key), "Must be text.", "type_error"))
    if not text.strip():
        raise Invalid(((*at, key), "Must not be empty.", "value_error"))
    if text.strip().lower() == "approve":
        return Answer("approve")
    return Answer("revise", note=_words(text, (*at, key)))


def _feedback(payload: dict[str, Any], at: tuple[str, ...]) -> str | None:
    """A signal carries feedback on a plan and never its approval."""
    feedback = payload.get("feedback")
    if isinstance(feedback, str) and feedback.strip():
        return _words(feedback, (*at, "feedback"))
    return _words(payload, at)


def _words(value: Any, at: tuple[str, ...]) -> str | None:
    """Words of a payload; anything but text as JSON. Raises Invalid rather than cut what somebody said."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) > MAX_NOTE:
        raise Invalid((at, f"Must have at most {MAX_NOTE} characters.", "value_error"))
    return text


def tool_of(approval: Approval) -> tuple[str, dict[str, Any]]:
    """(tool_name, tool_input) of the permissions list."""
    if approval.action:
        return approval.action["name"], approval.action["params"]
    return approval.traits.tool_name, _tool_input(approval)


def _tool_input(approval: Approval) -> dict[str, Any]:
    if approval.traits.form == "questions":
        return {"questions": approval.questions}
    if approval.traits.form == "values":
        return {"questions": [], "input_schema": approval.input_schema}
    if approval.plan:
        options = [{"label": "Approve"}, {"label": "Revise"}]
        return {"questions": [{"header": "Plan Approval", "question": approval.plan["text"], "options": options}]}
    return {"message": approval.message}


PERMISSION_STATUS = {
    "pending": "pending",
    "approved": "allowed",
    "rejected": "denied",
    "answered": "answered",
    "revised": "denied",
    "expired": "timeout",
    "cancelled": "cancelled",
    "void": "cancelled",
}
