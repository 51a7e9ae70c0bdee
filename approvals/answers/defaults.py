"""Answers that nobody composed: when the time is over, and when `resume` says no more than yes."""

from typing import Any

from approvals.answers import examples, reading
from approvals.answers.answer import Answer
from approvals.errors import AnswerRequired
from approvals.models import Approval
from web.errors import Invalid


def default_answer(approval: Approval) -> Answer | None:
    """What on_timeout default_answer sends: recommended options or schema defaults; None where that is impossible."""
    try:
        return answer_by_note(approval, None) if approval.traits.takes_data else None
    except AnswerRequired:
        return None


def answer_by_note(approval: Approval, note: str | None) -> Answer:
    """How `resume` answers: one question takes the note, else every question its recommended option; an input its defaults.

    Raises AnswerRequired.
    """
    if approval.traits.form == "values":
        _require_defaults(approval)
        return Answer("submit", values={}, note=note)
    questions = approval.questions
    if note and note.strip() and len(questions) == 1:
        return _answer_of_note(questions[0], note)
    answers = reading.recommended(questions)
    if answers is None:
        missing = [q["id"] for q in questions if not any(option["recommended"] for option in q["options"])]
        raise AnswerRequired(missing, {"answers": examples.of_questions(questions)}, approval.run_id)
    return Answer("answer", answers=answers, note=note)


def _require_defaults(approval: Approval) -> None:
    """Raises AnswerRequired when the schema's defaults are not enough."""
    try:
        reading.read_values(approval.input_schema, {}, ())
    except Invalid as error:
        missing = ["/" + "/".join(str(part) for part in detail["loc"]) for detail in error.facts["details"]]
        example = {"answers": examples.of_schema(approval.input_schema)}
        raise AnswerRequired(missing, example, approval.run_id) from error


def _answer_of_note(question: dict[str, Any], note: str) -> Answer:
    """The note is the answer; it stays readable as the decision's note unless the question asks for a secret."""
    answers = {question["id"]: note}
    try:
        reading.read_answers([question], answers, ())
    except Invalid as error:
        raise Invalid(*((("body", "note"), d["msg"], d["type"]) for d in error.facts["details"])) from error
    return Answer("answer", answers=answers, note=None if question["secret"] else note)
