"""An agent that thinks, with a model that is a story: deterministic, and it counts what it is asked.

The story is a list of turns, each a batch of things wanted: (action name, params), an Ask, a Finish, or "look". Which thing is
due is derived from the conversation alone, as a model does: whatever had no known outcome is wanted again.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from inference.records import CallRecord
from inference.wires.base import Check
from machines.drivers.base import Action, Session
from runs.agents.base import Act, Again, Ask, Context, Decision, Finish, Memory, Message, Plan, Verdict
from tests.cast import Api
from tests.runs.driving import drive_all, request_of, show

Want = tuple[str, dict[str, Any]] | Ask | Finish | str


def record(status: str = "ok", purpose: str = "act") -> CallRecord:
    now = timezone.now()
    return CallRecord("thinker", "anthropic", "a-model", purpose, status, now, now)  # type: ignore[arg-type]


@dataclass
class Model:
    """`faults`: what the next attempts raise instead of an answer."""

    story: list[list[Want]]
    calls: int = 0
    faults: list[Exception] = field(default_factory=list)
    before: Any = None  # called, and awaited if it can be, before each answer

    async def answer(self, log: list[dict[str, Any]]) -> tuple[int, int]:
        """The places in the story that the next batch begins at and ends before."""
        if self.faults:
            raise self.faults.pop(0)
        self.calls += 1
        if self.before is not None:
            await self.before()
        done, at = sum(item["kind"] == "result" and item["known"] for item in log), 0
        for turn in self.story:
            if at + len(turn) > done:
                return done, at + len(turn)
            at += len(turn)
        raise AssertionError("The story is over.")

    @property
    def wants(self) -> list[Want]:
        return [want for turn in self.story for want in turn]


class Thinker:
    """Follows the table of what a kept move is, as every agent with a model has to. `checks`: on actions of these names."""

    thinks = True

    def __init__(self, *story: list[Want], checks: dict[str, tuple[Check, ...]] | None = None) -> None:
        self.model = Model(list(story))
        self.checks = checks or {}
        self.contexts: list[Context] = []
        self.verdicts: list[Verdict | Exception] = []

    async def next(self, context: Context, session: Session) -> Decision:
        self.contexts.append(context)
        memory = deepcopy(context.memory) or {"log": [], "todo": [], "now": None}
        if (kept := self._replayed(context, memory)) is not None:
            return kept
        if memory["todo"] and not context.interrupted:
            return self._following(context, memory)
        return await self._thought(context, memory)

    def _replayed(self, context: Context, memory: Memory) -> Decision | None:
        now, closes = memory["now"], any(m.kind == "takeover" or m.verdict == "revise" for m in context.messages)
        if now is None:
            self._note(memory, context.messages)
            return None
        if (
            context.interrupted and now["step"] < context.step_index
        ):  # it was the next of the batch, of which memory has nothing
            self._of_last(context, memory)
            memory["now"] = {"at": memory["todo"].pop(0)}
        if context.interrupted or closes:
            self._note(memory, context.messages)
            self._result(memory, known=False, text="outcome unknown" if context.interrupted else "not executed")
            memory["todo"] = []
        elif now["kind"] != "act":
            answers = [m for m in context.messages if m.kind != "tool"]
            if not answers and now["kind"] != "look":
                return Decision(self._move(now["at"]), memory, now["text"])
            self._result(memory, known=True, text=str([m.redacted for m in answers]))
        elif now["step"] == context.step_index:
            if edited := next(
                (m.payload["edited_action"] for m in context.messages if "edited_action" in m.payload), None
            ):
                now["edited"] = edited
            now["acknowledged"] = any(m.kind == "tool" and m.verdict == "approve" for m in context.messages)
            return Decision(self._move(now["at"]), memory, now["text"])
        else:
            self._of_last(context, memory)
        return None

    def _of_last(self, context: Context, memory: Memory) -> None:
        last = context.last
        assert last is not None
        self._result(memory, known=True, text=f"{last.success} {last.error}", edited=memory["now"].get("edited"))

    def _following(self, context: Context, memory: Memory) -> Decision:
        at = memory["todo"].pop(0)
        return self._decision(context, memory, at, f"next: {at}", Decision(self._move(at), memory))

    async def _thought(self, context: Context, memory: Memory) -> Decision:
        begin, end = await self.model.answer(memory["log"])
        memory["log"].append({"kind": "answer", "picture": context.picture})
        memory["todo"] = list(range(begin + 1, end))
        made = Decision(self._move(begin), memory, reasoning=f"why {begin}", thought=True, calls=(record(),))
        return self._decision(context, memory, begin, f"thought: {begin}", made)

    def _decision(self, context: Context, memory: Memory, at: int, text: str, made: Decision) -> Decision:
        move = made.move
        kind = {Act: "act", Ask: "ask", Finish: "finish", Again: "look"}[type(move)]
        memory["now"] = {"step": context.step_index, "at": at, "kind": kind, "text": text}
        return Decision(move, memory, text, made.reasoning, thought=made.thought, calls=made.calls)

    def _move(self, at: int) -> Act | Ask | Finish | Again:
        want = self.model.wants[at]
        if isinstance(want, tuple):
            return Act(Action(*want), checks=self.checks.get(want[0], ()))
        return Again() if isinstance(want, str) else want

    def _result(self, memory: Memory, *, known: bool, text: str, **more: Any) -> None:
        memory["log"].append({"kind": "result", "at": memory["now"]["at"], "known": known, "text": text, **more})
        memory["now"] = None

    def _note(self, memory: Memory, messages: tuple[Message, ...]) -> None:
        memory["log"] += [{"kind": "note", "of": m.kind, "verdict": m.verdict, "payload": m.redacted} for m in messages]

    async def plan(self, context: Context, session: Session) -> Plan:
        memory = deepcopy(context.memory)
        self.model.calls += 1
        memory["log"].append({"kind": "plan"})
        return Plan(f"plan {sum(i['kind'] == 'plan' for i in memory['log'])}", memory, (record(purpose="plan"),))

    async def verify(self, context: Context, session: Session, claim: Finish) -> Verdict:
        verdict = (
            self.verdicts.pop(0)
            if self.verdicts
            else Verdict(True, "pass", "It is so.", ("the page says so",), (record(),))
        )
        if isinstance(verdict, Exception):
            raise verdict
        return verdict


# --- what the tests of it share

Play = Callable[..., Thinker]
ASKING: dict[str, Any] = {"human_in_the_loop": True, "permission_mode": "approval"}
KEY: Want = ("key_press", {"key": "enter"})
TEXT: Want = ("type_text", {"text": "hello"})
DONE = Finish(True, "All done.")


def click(x: int) -> Want:
    return "click", {"x": x, "y": 200, "button": "left", "count": 1}


def decide(api: Api, run: dict[str, Any], verdict: str = "approve", **more: Any) -> dict[str, Any]:
    """Decide what the run asks, and drive it on. Returns the run."""
    answer = api.post(f"/approvals/{request_of(api, run)['id']}/decide", {"verdict": verdict, **more})
    assert answer.status_code == 200, answer.content
    drive_all()
    return show(api, run["id"])
