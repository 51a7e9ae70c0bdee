"""What people sent, sorted by what it means for the move at hand, and in the words that the model is told."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from inference.wires.base import Json
from runs.agents.base import Ask, Message
from runs.secrets.redaction import REDACTED

GO_ON, TAKE_OVER, STOP = "Try again", "Take over", "Stop"
_CLEARS = frozenset({"takeover", "plan"})  # what stands in the newest answer is no longer what should be done
_MEANINGS = {
    GO_ON: "The model looks again and goes on.",
    TAKE_OVER: "Do it by hand, then hand back; the model goes on from there.",
    STOP: "End the run here.",
}


@dataclass(frozen=True)
class News:
    """`verdict`: what was decided on an action. `reply`: the answer to the agent's open question. `words`: what else people
    said; `clears`: it makes the model think anew. `plan`: its plan was approved."""

    verdict: Message | None = None
    reply: Message | None = None
    words: tuple[str, ...] = ()
    clears: bool = False

    @classmethod
    def of(cls, messages: Sequence[Message], now: Json | None) -> "News":
        verdict = reply = None
        words: list[str] = []
        clears = False
        open_kind = now["ask"]["kind"] if now is not None and now["kind"] == "ask" else None
        for message in messages:
            if message.kind == "tool":
                verdict = message
            elif message.kind == open_kind and reply is None:
                reply = message
            else:
                clears = clears or (message.kind in _CLEARS and (message.kind, message.verdict) != ("plan", "approve"))
                words += _news(message)
        return cls(verdict, reply, tuple(words), clears)


def _news(message: Message) -> list[str]:
    words = words_of(message)
    if message.kind == "plan":
        if message.verdict == "approve":
            return [_sentence("A person approved your plan: carry it out.", words)]
        return [_sentence("A person wants another plan.", words)]
    if message.kind == "takeover":
        return [_sentence("A person worked on the machine and gave it back. Look at the screen anew.", words)]
    return [f"A person says: {words}"] if words else []


def _sentence(first: str, words: str) -> str:
    return f"{first} They say: {words}" if words else first


def words_of(message: Message) -> str:
    """Note, reason, feedback, answers and values as text; what was given in confidence by its handle."""
    shown = message.redacted
    parts = [str(shown[key]).strip() for key in ("note", "reason", "feedback") if shown.get(key)]
    for part in ("answers", "values", "context"):
        items = shown.get(part)
        if not isinstance(items, dict) or message.kind == "budget":
            continue
        for key, value in items.items():
            hidden = _hidden_at(value, key)
            text = _in_confidence(hidden) if hidden else _text(value)
            parts.append(text if part == "answers" and len(items) == 1 else f"{key}: {text}")
    return "; ".join(filter(None, parts))


def _hidden_at(value: Any, path: str) -> str | None:
    """Under which name the run keeps what was redacted in this value (runs.secrets.services.secret_values): its dotted path."""
    if value == REDACTED:
        return path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return next((place for key, item in children if (place := _hidden_at(item, f"{path}.{key}"))), None)


def _in_confidence(name: str) -> str:
    return f"given in confidence, type it as {{{{secret:{name}}}}}"


def _text(value: Any) -> str:
    """An answer is kept as {value, custom}, or as a list of these; other values are JSON of any kind."""
    items = value if isinstance(value, list) else [value]
    plain = [item["value"] if isinstance(item, dict) and "value" in item else item for item in items]
    texts = (item if isinstance(item, str) else json.dumps(item, ensure_ascii=False) for item in plain)
    return ", ".join(text for text in texts if text != "null")


def answer_of(reply: Message) -> tuple[bool, str]:
    """The answer to the model's own question: whether it got one, and the words."""
    words = words_of(reply)
    if reply.verdict in ("reject", "skip"):
        return False, f"The person declined.{f' They say: {words}' if words else ''}"
    if reply.kind == "approval":
        return True, _sentence("A person approved this.", words)
    if reply.kind == "takeover":
        return True, _sentence("A person did it by hand and gave the machine back.", words)
    return True, f"The person answered: {words}"


# --- the agent's own questions


def trouble(message: str) -> Ask:
    """How to go on when the model alone does not."""
    options = [{"label": label, "description": text, "recommended": False} for label, text in _MEANINGS.items()]
    question = {
        "id": "trouble",
        "header": "Agent",
        "question": message[:2000],
        "multi_select": False,
        "allow_custom": True,
        "secret": False,
        "options": options,
    }
    return Ask("question", message, [question])


def hand_over(message: str) -> Ask:
    return Ask("takeover", f"Please take over: {message}"[:2000])
