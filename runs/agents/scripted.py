"""The scripted agent: deterministic steps steered by markers in the task, for tests and demonstrations.

The markers and what they do are listed in `script()`; everything the agent remembers is how many of its questions were
asked and what people sent, so the same context always gives the same decision.
"""

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any

from machines.drivers.base import Action, Session
from runs.agents.base import Act, Ask, Context, Decision, Finish, Memory, Message, Plan, Verdict

PLAN_TEXT = "1. click\n2. type\n3. press"

MAX_STEPS = 1000
MAX_TYPED = 65_536  # characters: what type_text accepts
SPEND_HOST = "shop.test"

_MARKER = re.compile(r"\[([a-z]+)(?::([a-z]+|\d{1,9}))?\]", re.IGNORECASE)


@dataclass(frozen=True)
class _Script:
    """What the markers of one task ask for; `asks` are (step after which to ask, the question), in order."""

    steps: int = 3
    slow_ms: int = 0
    passed: bool = True
    verified: bool = True
    spend: bool = False
    typed: int | None = None
    drift: bool = False
    asks: tuple[tuple[int, Ask], ...] = ()


def script(task: str) -> _Script:
    """Read the markers: [steps:N] [slow:MS] [fail] [unverified] [pause] [pause:N] [question] [question:rec]
    [question:multi] [questions:2] [questions:same] [input] [secret] [takeover] [spend] [type:N] [drift]."""
    markers = [(name.lower(), argument.lower()) for name, argument in _MARKER.findall(task)]
    numbers = {name: int(argument) for name, argument in markers if argument.isdigit()}
    flags = {name for name, argument in markers if not argument}
    asks = [ask for ask in (_ask(name, argument) for name, argument in markers) if ask is not None]
    return _Script(
        steps=min(numbers.get("steps", 3), MAX_STEPS),
        slow_ms=numbers.get("slow", 0),
        passed="fail" not in flags,
        verified="unverified" not in flags,
        spend="spend" in flags,
        typed=min(numbers["type"], MAX_TYPED) if "type" in numbers else None,
        drift="drift" in flags,
        asks=tuple(sorted(asks, key=lambda ask: ask[0])),
    )


def _ask(name: str, argument: str) -> tuple[int, Ask] | None:
    if name == "pause" and (not argument or argument.isdigit()):
        after = int(argument or 1)
        return after, Ask("approval", f"Scripted run asks for approval after step {after}.")
    asks = {
        ("question", ""): _questions(_inbox()),
        ("question", "rec"): _questions(_inbox(recommended=1)),
        ("question", "multi"): _questions(_inbox(multi_select=True)),
        ("questions", "2"): _questions(_inbox(), _question("q2", "Tone", "Which tone?", ["Formal", "Friendly"])),
        ("questions", "same"): _questions(
            _question("q1", "A", "Which one?", ["Yes", "No"]), _question("q2", "B", "Which one?", ["Yes", "No"])
        ),
        ("input", ""): Ask("input", "Who is the recipient, and what is the subject?", input_schema=_MAIL),
        ("secret", ""): Ask("input", "What is the password?", input_schema=_PASSWORD),
        ("takeover", ""): Ask("takeover", "Scripted run asks a person to take over."),
    }
    ask = asks.get((name, argument))
    return (1, ask) if ask else None


_MAIL: dict[str, Any] = {
    "type": "object",
    "properties": {"recipient": {"type": "string"}, "subject": {"type": "string", "default": "Hello"}},
    "required": ["recipient"],
}
_PASSWORD: dict[str, Any] = {
    "type": "object",
    "properties": {"password": {"type": "string", "format": "password"}},
    "required": ["password"],
}


def _questions(*questions: dict[str, Any]) -> Ask:
    return Ask("question", " ".join(dict.fromkeys(q["question"] for q in questions)), list(questions))


def _inbox(recommended: int | None = None, multi_select: bool = False) -> dict[str, Any]:
    return _question(
        "q1", "Inbox", "Which inbox?", ["Sales", "Support"], recommended=recommended, multi_select=multi_select
    )


def _question(
    key: str, header: str, text: str, labels: list[str], *, recommended: int | None = None, multi_select: bool = False
) -> dict[str, Any]:
    return {
        "id": key,
        "header": header,
        "question": text,
        "multi_select": multi_select,
        "allow_custom": True,
        "secret": False,
        "options": [{"label": s, "description": "", "recommended": i == recommended} for i, s in enumerate(labels)],
    }


class ScriptedAgent:
    """Needs no machine: it decides by the step index and its markers alone.

    With [drift] it must be asked again after a tool approval, that approval among its messages: it then answers with an
    action that differs from the approved one, once.
    """

    thinks = False

    async def plan(self, context: Context, session: Session) -> Plan:
        return Plan(PLAN_TEXT, context.memory)

    async def next(self, context: Context, session: Session) -> Decision:
        plan = script(context.task)
        received = [_received(m) for m in context.messages if m.redacted]
        memory: Memory = {**context.memory, "received": [*context.memory.get("received", []), *received]}
        due = [ask for after, ask in plan.asks if after < context.step_index]
        number = memory.get("asked", 0)
        if context.may_ask and number < len(due):
            return Decision(due[number], {**memory, "asked": number + 1}, _say(received, due[number].message))
        if context.step_index > plan.steps:
            summary = " ".join([f"Scripted run finished: {context.task}", *memory["received"]])
            return Decision(Finish(plan.passed, summary), memory, _say(received, "All steps are done."))
        await asyncio.sleep(plan.slow_ms / 1000)  # the time a model would have taken
        act = _act(plan, context)
        if plan.drift and not memory.get("drifted") and _was_approved(context.messages):
            act, memory = _drifted(act), {**memory, "drifted": True}
        text = f"Step {context.step_index} of {plan.steps}: {act.action.name}."
        return Decision(act, memory, _say(received, text))

    async def verify(self, context: Context, session: Session, claim: Finish) -> Verdict:
        """The simulated verifier of engine v4: agrees, unless the task says [unverified]."""
        if script(context.task).verified:
            return Verdict(True, "pass", "The scripted verifier agrees.")
        return Verdict(False, "fail", "The scripted verifier disagrees.")


def _act(plan: _Script, context: Context) -> Act:
    """Step k, from 1: click, type, press and again; [spend] and [type:N] change the last one."""
    k = context.step_index
    at = {"x": (100 + k) % context.width, "y": min(200, context.height - 1), "button": "left", "count": 1}
    if plan.spend and k == plan.steps:
        return Act(Action("click", at), risk="spend", host=SPEND_HOST)
    if plan.typed is not None and k == plan.steps:
        return Act(Action("type_text", {"text": "x" * plan.typed}))
    cycle = [Action("key_press", {"key": "enter"}), Action("click", at), Action("type_text", {"text": "hello"})]
    return Act(cycle[k % 3])


def _was_approved(messages: tuple[Message, ...]) -> bool:
    """Also after the voided approval was followed by one of the new action: it is that one that is meant now."""
    return any(m.kind == "tool" and m.verdict == "approve" for m in messages)


def _drifted(act: Act) -> Act:
    name, params = act.action.name, act.action.params
    changes: dict[str, dict[str, Any]] = {
        "click": {"y": params.get("y", 0) - 1},
        "type_text": {"text": str(params.get("text"))[:-1] + "!"},
        "key_press": {"key": "tab"},
    }
    return Act(Action(name, {**params, **changes[name]}), act.risk, act.host)


def _received(message: Message) -> str:
    return "Received: " + json.dumps(message.redacted, separators=(",", ":"), ensure_ascii=False)


def _say(received: list[str], text: str) -> str:
    return "\n".join([*received, text])
