"""What the other ways of deciding mean for each kind of request (contract/approvals.md section 4). Pure tables.

Data never counts as consent: submit_input cannot approve an action, approve cannot invent data.
"""

import json
from typing import Any

from approvals.errors import SignalDoesNotFit, WrongEndpoint
from approvals.models import Approval
from approvals.services import Answer

SIGNALS = ("approve", "reject", "submit_input")
_APPROVABLE = frozenset({"approval", "takeover", "tool", "plan", "budget"})
_BY_APPROVE = frozenset({"approval", "takeover", "tool", "budget"})
_BY_ANSWER = frozenset({"plan", "question", "input"})
_USE = {"question": "answer", "input": "answer", "plan": "answer"}


def signals_of(kind: str) -> list[str]:
    fits = {"approve": kind in _APPROVABLE, "reject": True, "submit_input": kind in _BY_ANSWER}
    return [name for name in SIGNALS if fits[name]]


def by_signal(approval: Approval, action: str, payload: dict[str, Any]) -> Answer:
    """Raises SignalDoesNotFit."""
    if action not in signals_of(approval.kind):
        raise SignalDoesNotFit(kind=approval.kind, allowed=signals_of(approval.kind))
    if action == "approve":
        return Answer("approve", note=_text(payload.get("note")), at=("body", "payload"))
    if action == "reject":
        effect = "fail_step" if approval.on_reject == "fail_step" else "fail_run"
        return Answer("reject", note=_text(payload.get("reason")), effect=effect, at=("body", "payload"))
    return _by_data(approval, payload, ("body", "payload"), lenient=True)


def by_approve(approval: Approval, allow: bool, reason: str | None, remember: bool) -> Answer:
    """Raises WrongEndpoint for kinds that need data."""
    if approval.kind not in _BY_APPROVE:
        raise WrongEndpoint(kind=approval.kind, use=_USE.get(approval.kind, "decide"))
    return Answer("approve" if allow else "reject", note=reason, remember=remember)


def by_answer(approval: Approval, answers: dict[str, Any]) -> Answer:
    """Raises WrongEndpoint for kinds that take no data."""
    if approval.kind not in _BY_ANSWER:
        raise WrongEndpoint(kind=approval.kind, use="approve")
    return _by_data(approval, answers, ("body",), lenient=False)


def _by_data(approval: Approval, data: dict[str, Any], at: tuple[str, ...], *, lenient: bool) -> Answer:
    if approval.kind == "question":
        return Answer("answer", answers=data, lenient=lenient, at=at)
    if approval.kind == "input":
        return Answer("submit", values=data, at=at)
    return _on_plan(data, lenient)


def _on_plan(data: dict[str, Any], lenient: bool) -> Answer:
    """The one key is anything; "approve" approves, every other text is a revision. A signal carries feedback only."""
    if lenient:
        feedback = data.get("feedback")
        text = feedback if isinstance(feedback, str) and feedback.strip() else json.dumps(data, ensure_ascii=False)
        return Answer("revise", note=text[:2000])
    said = next(iter(data.values()), "")
    text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    if text.strip().lower() == "approve":
        return Answer("approve")
    return Answer("revise", note=text[:2000])


def _text(value: Any) -> str | None:
    """Words of a payload, cut to what a note holds; anything else is written as JSON."""
    if value is None:
        return None
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))[:2000]


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
