"""What the other ways of deciding mean for each kind of request (contract/approvals.md section 4). Pure tables.

Data never counts as consent: submit_input cannot approve an action, approve cannot invent data.
"""

import json
from typing import Any

from approvals.answers.answer import Answer
from approvals.errors import SignalDoesNotFit, WrongEndpoint
from approvals.models import Approval
from approvals.schemas import MAX_NOTE
from web.errors import Invalid

SIGNALS = ("approve", "reject", "submit_input")
_APPROVABLE = frozenset({"approval", "takeover", "tool", "plan", "budget"})
_BY_APPROVE = frozenset({"approval", "takeover", "tool", "budget"})
BY_ANSWER = frozenset({"plan", "question", "input"})
_USE = {"question": "answer", "input": "answer", "plan": "answer"}


def signals_of(kind: str) -> list[str]:
    fits = {"approve": kind in _APPROVABLE, "reject": True, "submit_input": kind in BY_ANSWER}
    return [name for name in SIGNALS if fits[name]]


def by_signal(approval: Approval, action: str, payload: dict[str, Any]) -> Answer:
    """Raises SignalDoesNotFit, and Invalid for words that are too long."""
    if action not in signals_of(approval.kind):
        raise SignalDoesNotFit(kind=approval.kind, allowed=signals_of(approval.kind))
    at = ("body", "payload")
    if action == "approve":
        return Answer("approve", note=_words(payload.get("note"), (*at, "note")))
    if action == "reject":
        effect = "fail_step" if approval.on_reject == "fail_step" else "fail_run"
        return Answer("reject", note=_words(payload.get("reason"), (*at, "reason")), effect=effect)
    if approval.kind == "plan":
        return Answer("revise", note=_feedback(payload, at))
    return _by_data(approval, payload, at, lenient=True)


def by_approve(approval: Approval, allow: bool, reason: str | None, remember: bool) -> Answer:
    """Raises WrongEndpoint for kinds that need data."""
    if approval.kind not in _BY_APPROVE:
        raise WrongEndpoint(kind=approval.kind, use=_USE.get(approval.kind, "decide"))
    return Answer("approve" if allow else "reject", note=reason, remember=remember)


def by_answer(approval: Approval, answers: dict[str, Any]) -> Answer:
    """Raises WrongEndpoint for kinds that take no data, and Invalid for what is no verdict on a plan."""
    if approval.kind not in BY_ANSWER:
        raise WrongEndpoint(kind=approval.kind, use="approve")
    if approval.kind == "plan":
        return _on_plan(answers)
    return _by_data(approval, answers, ("body", "answers"), lenient=False)


def _by_data(approval: Approval, data: dict[str, Any], at: tuple[str, ...], *, lenient: bool) -> Answer:
    if approval.kind == "question":
        return Answer("answer", answers=data, lenient=lenient, data_at=at)
    return Answer("submit", values=data, data_at=at)


def _on_plan(answers: dict[str, Any]) -> Answer:
    """The one key is anything; "approve" approves, every other text is a revision."""
    at = ("body", "answers")
    if len(answers) != 1:
        raise Invalid((at, "A plan takes one answer.", "value_error"))
    ((key, said),) = answers.items()
    if not isinstance(said, str):
        raise Invalid(((*at, key), "Must be text.", "type_error"))
    if not said.strip():
        raise Invalid(((*at, key), "Must not be empty.", "value_error"))
    if said.strip().lower() == "approve":
        return Answer("approve")
    return Answer("revise", note=_words(said, (*at, key)))


def _feedback(payload: dict[str, Any], at: tuple[str, ...]) -> str | None:
    """A signal carries feedback on a plan and never its approval."""
    feedback = payload.get("feedback")
    given = isinstance(feedback, str) and feedback.strip()
    return _words(feedback, (*at, "feedback")) if given else _words(payload, at)


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
    if approval.kind == "question":
        return "ask_user_question", {"questions": approval.questions}
    if approval.kind == "input":
        return "ask_user_question", {"questions": [], "input_schema": approval.input_schema}
    if approval.kind == "plan" and approval.plan:
        options = [{"label": "Approve"}, {"label": "Revise"}]
        return "plan_approval", {
            "questions": [{"header": "Plan Approval", "question": approval.plan["text"], "options": options}]
        }
    return ("request_takeover" if approval.kind == "takeover" else "human_approval"), {"message": approval.message}


PERMISSION_STATUS = {
    "pending": "pending", "approved": "allowed", "rejected": "denied", "answered": "answered", "revised": "denied",
    "expired": "timeout", "cancelled": "cancelled", "void": "cancelled",
}  # fmt: skip
