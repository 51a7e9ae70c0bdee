"""What somebody sends to decide a request: whether it fits what was asked, and what of it reaches the agent."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from approvals.answers import reading
from approvals.errors import AnswerRequired
from approvals.kinds import VERDICTS
from approvals.models import Approval
from approvals.policies import conditions
from approvals.schemas import MAX_NOTE
from database.sealing import keyed_hash
from web.errors import Invalid
from web.json_values import Detail

MAX_ADD_CENTS = 10_000_000
Payload = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """A verdict with what belongs to it. `data_at` tells where in the body answers or values stand."""

    verdict: str
    note: str | None = None
    answers: dict[str, Any] | None = None
    values: dict[str, Any] | None = None
    edited_action: dict[str, Any] | None = None
    edited_hash: str | None = None  # of the action as edited
    remember: bool | str = False
    remember_when: list[dict[str, Any]] | None = None  # what is remembered only counts where these conditions hold
    action_hash: str | None = None
    effect: str | None = None  # overrides on_reject (signal reject ends the run)
    lenient: bool = False  # unknown answer keys are context for the agent
    data_at: tuple[str, ...] | None = None

    def where(self, name: str) -> tuple[str, ...]:
        return self.data_at or ("body", name)


def sent_back(approval: Approval, answer: Answer) -> Answer:
    """A rejected plan is a revision, unless the rejection is to end the run."""
    if not approval.traits.takes_revision or answer.verdict != "reject" or answer.effect is not None:
        return answer
    return replace(answer, verdict="revise", note=(answer.note or "").strip() or "Rejected without a comment.")


def require_fitting(approval: Approval, answer: Answer) -> None:
    """Raises Invalid for a verdict, or what comes with it, that does not fit the request."""
    traits = approval.traits
    if answer.verdict not in traits.verdicts:
        allowed = ", ".join(traits.verdicts)
        raise Invalid((("body", "verdict"), f"A request of kind {approval.kind} takes {allowed}.", "value_error"))
    if wrong := list(_misfits(approval, answer)):
        raise Invalid(*wrong)


def _misfits(approval: Approval, answer: Answer) -> Iterator[Detail]:
    for name in ("answers", "values", "edited_action", "remember", "remember_when", "action_hash"):
        if getattr(answer, name) not in (None, False) and name not in VERDICTS[answer.verdict].fields:
            yield ("body", name), f"Does not fit the verdict {answer.verdict}.", "value_error"
    of_kind = f"Does not fit a request of kind {approval.kind}."
    if answer.verdict == "approve" and answer.values is not None and not approval.traits.lifts_budget:
        yield ("body", "values"), of_kind, "value_error"
    if answer.edited_action is not None and not approval.traits.runs_action:
        yield ("body", "edited_action"), of_kind, "value_error"
    if answer.remember_when is not None:
        yield from _narrowing_misfits(approval, answer, answer.remember_when)
    if len(answer.note or "") > MAX_NOTE:
        yield ("body", "note"), f"Must have at most {MAX_NOTE} characters.", "value_error"
    if answer.verdict == "revise" and not (answer.note or "").strip():
        yield ("body", "note"), "Say what should change.", "missing"


def _narrowing_misfits(approval: Approval, answer: Answer, when: list[dict[str, Any]]) -> Iterator[Detail]:
    """What is remembered may be narrower than the action that is approved, and never about another one."""
    loc = ("body", "remember_when")
    if not answer.remember or not approval.traits.runs_action:
        yield loc, "Only what is remembered with an action can be narrowed.", "value_error"
    if wrong := list(conditions.problems(when, loc)):
        yield from wrong
        return
    action = approval.action or {}
    params = (answer.edited_action or approval.action_now or {}).get("params")
    for number, condition in enumerate(when):
        if not conditions.holds(condition, params, action.get("class", "")):
            yield (*loc, number), "Does not hold for the action that is approved.", "value_error"


def payload(approval: Approval, answer: Answer) -> tuple[Payload, Payload]:
    """What reaches the agent, and the same as it may be written down. Raises Invalid, AnswerRequired."""
    note = {"reason" if answer.verdict == "reject" else "note": answer.note} if answer.note else {}
    if answer.verdict == "answer":
        readable, redacted = _answers(approval, answer)
    elif answer.verdict == "submit":
        readable, redacted = _values(approval, answer)
    elif answer.verdict == "revise":
        readable = redacted = {"feedback": answer.note, "plan": (approval.plan or {}).get("text")}
        note = {}
    elif answer.verdict == "approve" and approval.traits.lifts_budget:
        readable = redacted = {"values": {"add_cents": _add_cents(approval, answer)}}
    else:
        readable = redacted = {}
    return readable | note, redacted | note


def _answers(approval: Approval, answer: Answer) -> tuple[Payload, Payload]:
    questions, where = approval.questions, answer.where("answers")
    try:
        answers, context = reading.read_answers(questions, answer.answers or {}, where, lenient=answer.lenient)
    except AnswerRequired as refusal:
        raise _without_run(approval, refusal) from None
    extra = {"context": context} if context else {}
    return {"answers": answers} | extra, {"answers": reading.redact_answers(questions, answers)} | extra


def _without_run(approval: Approval, refusal: AnswerRequired) -> AnswerRequired:
    """What no run asked is answered at one address only."""
    if approval.run_id is not None:
        return refusal
    example = {"verdict": "answer"} | refusal.facts["example"]
    return AnswerRequired(refusal.facts["missing"], example, send_to=f"POST /v1/approvals/{approval.id}/decide")


def _values(approval: Approval, answer: Answer) -> tuple[Payload, Payload]:
    schema = approval.input_schema
    values = reading.read_values(schema, answer.values or {}, answer.where("values"))
    return {"values": values}, {"values": reading.redact_values(schema, values)}


def _add_cents(approval: Approval, answer: Answer) -> int:
    """By how much a budget is lifted; the default is the size of the limit that was hit. Raises Invalid."""
    values, where = dict(answer.values or {}), answer.where("values")
    cents = values.pop("add_cents", (approval.budget or {}).get("suggested_add_cents", 1))
    wrong: list[Detail] = [((*where, name), "Unknown value.", "extra_forbidden") for name in values]
    if isinstance(cents, bool) or not isinstance(cents, int):
        wrong.append(((*where, "add_cents"), "Must be a whole number of cents.", "type_error"))
    elif not 1 <= cents <= MAX_ADD_CENTS:
        wrong.append(((*where, "add_cents"), f"Must be between 1 and {MAX_ADD_CENTS}.", "value_error"))
    if wrong:
        raise Invalid(*wrong)
    return int(cents)


def fingerprint(answer: Answer, readable: Payload) -> str:
    """The same for two decisions that are the same in everything but the words beside them. Keyed: there may be secrets."""
    content = {name: value for name, value in readable.items() if name not in ("note", "reason", "plan")}
    return keyed_hash(json.dumps([answer.verdict, content, answer.edited_action], sort_keys=True))
