"""The next actions for a task, from a picture of a screen."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from inference.calls.picture_questions import Question, ask, send_picture
from inference.dialects.language import NO_CALL
from inference.errors import ModelRefused
from inference.points import Size, moved
from inference.predict.step_words import action_words, step_words
from inference.prompts import FINISH, NOT_DONE, PREDICT, system_of
from inference.records import CallRecord
from inference.schemas import ACTION_TYPES, PredictBody
from inference.screenshots import Screenshot
from inference.specs import Spec
from inference.wires import wire_for
from inference.wires.base import Answer, Json, Thought, View, Wanted, Wire
from machines.actions.canonical import ENDS, ActionError, canonical
from machines.actions.canonical import Screen as Plane

Status = Literal["continue", "done", "fail"]
MOST_REASON = 2000  # characters of a fail action
ASKS = "The model's vendor asks for a person's consent before this goes on"


@dataclass(frozen=True)
class Prediction:
    """`actions` in the form of the API, their points in pixels of the caller's screen. `handed`: how many of the things that
    the model wanted were handed out, from the first."""

    status: Status
    reasoning: str
    actions: list[dict[str, Any]]
    input_tokens: int = 0
    output_tokens: int = 0
    handed: int = 0


@dataclass(frozen=True)
class Outcome:
    """A prediction and what the conversation became: `pending` [[Wanted JSON, handed out?]]."""

    prediction: Prediction
    log: list[Json] = field(default_factory=list)
    pending: list[list[Any]] = field(default_factory=list)


def as_answered(name: str, params: dict[str, Any], words: str = "") -> dict[str, Any]:
    return {"action_type": name, "params": params, "description": words or action_words(name, params)}


def question_of(spec: Spec, body: PredictBody, shots: Sequence[Screenshot]) -> Question:
    """The whole conversation of a stateless call. Heavy: it scales pictures."""
    wire, pictures = wire_for(spec), dict[str, bytes]()
    *old, newest = [(shot, *send_picture(wire, shot, pictures)) for shot in shots]
    texts = [f"The task: {body.instruction}"]
    for number, step in enumerate(body.trajectory, 1):
        actions = [action.as_pair for action in step.actions]
        view = old[number - 1][2]
        texts.append(step_words(number, [(n, as_seen(p, body.screen, view, wire)) for n, p in actions], step.reasoning))
    shown = [*(f"The screen before step {n}:" for n in range(1, len(old) + 1)), "The screen now:"]
    log: list[Json] = []
    for text, words, (_, sha, _) in zip(texts, shown, [*old, newest], strict=True):
        log += wire.note(f"{text}\n\n{words}", sha) if log else wire.opening(f"{text}\n\n{words}", sha)
    system = system_of(PREDICT, body.system_prompt, body.instructions)
    return Question(spec, wire, "predict", system, log, newest[0], newest[2], allowed(body.tools), (FINISH,), pictures)


def allowed(tools: Collection[str] | None) -> frozenset[str]:
    """The actions among these that are done on a screen; None = all."""
    return frozenset(ACTION_TYPES if tools is None else tools) - ENDS


def as_seen(params: dict[str, Any], screen: Size, view: View, wire: Wire) -> dict[str, Any]:
    """Parameters with their points as the model names them on a picture of this view."""
    return moved(params, screen, (wire.grid or view.sent_width, wire.grid or view.sent_height))


async def predict(question: Question, screen: Size, max_actions: int, calls: list[CallRecord]) -> Outcome:
    """Ask the model. A model that will not do it has answered too: status fail.

    Raises ModelBusy, ModelMisconfigured, PredictionFailed.
    """

    def understand(thought: Thought, again: bool) -> Prediction | None:
        return understood(thought, question, screen, max_actions, again=again)

    try:
        prediction, log, thought = await ask(question, understand, calls)
    except ModelRefused as refused:
        return Outcome(_counted(_failed(refused.why), calls))
    pending = [[wanted.as_json(), n < prediction.handed] for n, wanted in enumerate(thought.wanted)]
    return Outcome(_counted(prediction, calls), log, pending)


def understood(thought: Thought, question: Question, screen: Size, most: int, *, again: bool) -> Prediction | None:
    """What the answer means; None when nothing of it can be used. What stands behind something unusable is left out."""
    text = "\n\n".join(part for part in (thought.reasoning, thought.text) if part)
    if checks := [check for wanted in thought.wanted for check in wanted.checks]:
        vendor = "; ".join(check.message or check.code for check in checks)
        return _failed(f"{ASKS}: {vendor}", before=text)
    if all(wanted.kind == "bad" and wanted.problem == NO_CALL for wanted in thought.wanted):  # words alone
        return _failed(thought.text or "The model gave no action.", before=thought.reasoning) if again else None
    actions: list[dict[str, Any]] = []
    for number, wanted in enumerate(thought.wanted):
        if wanted.kind == "tool" and wanted.name == FINISH.name:
            return _finished(wanted, text, actions, handed=number + 1)
        action = _action(wanted, question, screen)
        if action is None or len(actions) == most:
            break
        actions.append(action)
        if wanted.name in ENDS:
            status: Status = "done" if wanted.name == "done" else "fail"
            return Prediction(status, text, actions, handed=number + 1)
    return Prediction("continue", text, actions, handed=len(actions)) if actions else None


def _action(wanted: Wanted, question: Question, screen: Size) -> dict[str, Any] | None:
    """Checked on the picture that the model saw, then moved to the screen."""
    if wanted.kind != "act" or wanted.name not in question.actions | ENDS:
        return None
    size = question.newest.size
    try:
        name, params = canonical(wanted.name, wanted.params, Plane(*size), "desktop")
    except ActionError:
        return None
    return as_answered(name, moved(params, size, screen), wanted.text[:MOST_REASON])


def _finished(wanted: Wanted, text: str, actions: list[dict[str, Any]], handed: int) -> Prediction:
    summary = str(wanted.params.get("summary") or "")
    reasoning = "\n\n".join(part for part in (text, summary) if part)
    if wanted.params.get("passed") is True:
        return Prediction("done", reasoning, [*actions, as_answered("done", {})], handed=handed)
    return Prediction(
        "fail", reasoning, [*actions, as_answered("fail", {"reason": summary[:MOST_REASON]})], handed=handed
    )


def _failed(why: str, before: str = "") -> Prediction:
    reasoning = f"{before}\n\n{why}" if before else why
    return Prediction("fail", reasoning, [as_answered("fail", {"reason": why[:MOST_REASON]})])


def _counted(prediction: Prediction, calls: Sequence[CallRecord]) -> Prediction:
    p = prediction
    return Prediction(p.status, p.reasoning, p.actions, *tokens(calls), p.handed)


def tokens(calls: Sequence[CallRecord]) -> tuple[int, int]:
    """Input and output tokens of all calls; what a vendor does not tell counts 0."""
    return sum(call.usage.input or 0 for call in calls), sum(call.usage.output or 0 for call in calls)


def answers_to(pending: Sequence[Sequence[Any]]) -> list[Answer]:
    """What the model is told about the things it wanted last: the caller has done what it was handed."""
    return [
        Answer(Wanted.from_json(kept), ok=bool(handed), text="" if handed else NOT_DONE) for kept, handed in pending
    ]
