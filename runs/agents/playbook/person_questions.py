"""Calling for a person: the questions this agent asks and what their answers mean."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from runs.agents.base import Ask, Message

SKIP, TAKE_OVER, STOP = "Skip", "Take over", "Stop"
RETRY, AGAIN = "Retry", "Run again"
LOOK_AGAIN, BY_HAND = "Look again", "Type it by hand"

_MEANINGS = {
    SKIP: "Leave this instruction out and go on with the next one.",
    TAKE_OVER: "Do it by hand, then hand back; the run goes on with the next instruction.",
    STOP: "End the run here.",
    RETRY: "Look again and try once more.",
    AGAIN: "Carry the instruction out once more.",
    LOOK_AGAIN: "It has been seen to, or will go on by itself.",
    BY_HAND: "Take control, type what it waits for, then hand back; the run goes on with the command's end.",
}
_QUESTION_LIMIT = 2000  # characters


@dataclass(frozen=True)
class Answer:
    """What a person decided about one question: a label that was offered, or words of their own."""

    chosen: str | None = None
    custom: str | None = None


def trouble(key: str, message: str, labels: Iterable[str]) -> Ask:
    """A question about one instruction that cannot go on; words of the person's own replace the instruction."""
    return Ask("question", message, [question(key, "Instruction", message, labels)])


def question(key: str, header: str, text: str, labels: Iterable[str]) -> dict[str, Any]:
    return {
        "id": key,
        "header": header,
        "question": text[:_QUESTION_LIMIT],
        "multi_select": False,
        "allow_custom": True,
        "secret": False,
        "options": [{"label": s, "description": _MEANINGS.get(s, ""), "recommended": False} for s in labels],
    }


def value_key(name: str) -> str:
    """Under which the value of that name is asked for and given."""
    return name[:100] or "value"


def value_question(name: str) -> Ask:
    """Ask for one value; it is hidden like a password when its name says that it is one."""
    key = value_key(name)
    secret = any(word in key.lower() for word in ("password", "passphrase", "secret", "pin code", "api key"))
    schema: dict[str, Any] = {"type": "string", **({"format": "password"} if secret else {})}
    return Ask(
        "input",
        f"Please give the {key}.",
        input_schema={"type": "object", "properties": {key: schema}, "required": [key]},
    )


def takeover(reason: str) -> Ask:
    return Ask("takeover", f"Please take over: {reason}" if reason else "Please take over.")


def reply_to(kind: str, messages: tuple[Message, ...]) -> Message | None:
    """The answer to the question of that kind among what people sent."""
    return next((m for m in reversed(messages) if m.kind == kind and m.verdict != "skip"), None)


def denies(message: Message) -> bool:
    """A person said no to the action that was proposed."""
    return message.verdict == "skip" or (message.kind == "tool" and message.verdict == "reject")


def answer_of(message: Message, labels: Iterable[str], key: str | None = None) -> Answer:
    """The answer to a question that had these options; with `key` to that of several. A person who declined to answer
    wants it left out."""
    if message.verdict == "reject":
        return Answer(chosen=SKIP)
    text = answer_text(message, key)
    chosen = next((label for label in labels if label.casefold() == text.casefold()), None)
    return Answer(chosen=chosen) if chosen or not text else Answer(custom=text)


def answer_text(message: Message, key: str | None = None) -> str:
    """What was answered, as text; "" for nothing. Several choices are joined by commas."""
    answers = message.payload.get("answers") or {}
    answer = answers.get(key) if key is not None else next(iter(answers.values()), None)
    items = answer if isinstance(answer, list) else [answer]
    values = [item.get("value") if isinstance(item, dict) else item for item in items]
    return ", ".join(str(value).strip() for value in values if value is not None)


def value_of(message: Message, name: str) -> list[str] | None:
    """What was given for that name, as [kind, text]: a secret is kept by the run, and only named here."""
    key = value_key(name)
    values, shown = message.payload.get("values") or {}, message.redacted.get("values") or {}
    if key not in values:
        return None
    return ["text", str(values[key])] if shown.get(key) == values[key] else ["secret", key]
