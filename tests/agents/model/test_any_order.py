"""People, crashes and screens in any order: whatever happens, a log stays whole and nothing is done twice or against a refusal.

The vendor of fakes.py checks each request: every call answered once and in order. Here: what was done, and how often.
"""

import json
import random
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from inference.errors import ModelBusy
from inference.wires.base import Thought
from runs.agents.base import Act, Ask, Decision, Finish, Message
from runs.agents.model import conversation
from tests.agents.model.fakes import (
    Run,
    Screen,
    Turn,
    Vendor,
    act,
    answered,
    approve,
    bad,
    click,
    finish,
    look,
    message,
    reject,
    tool,
)

ROUNDS = 60


class Story:
    """Random answers of a model; each action has a number of its own."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.numbers = iter(range(10, 630))

    def wanted(self) -> Any:
        number = next(self.numbers)
        return self.chance.choice(
            [
                lambda: click(number, call=f"c{number}"),
                lambda: click(number, call=f"c{number}"),
                lambda: act("type_text", f"c{number}", text=str(number)),
                lambda: look(call=f"c{number}"),
                lambda: look("zoom", f"c{number}", region=[0, 0, 50, 50]),
                lambda: tool("ask_human", f"c{number}", question="Which?", kind=self.chance.choice(KINDS)),
                lambda: bad("Broken.", f"c{number}"),
            ]
        )()

    def turn(self) -> Turn:
        wanted = [self.wanted() for _ in range(self.chance.randint(1, 4))]
        kind = self.chance.random()
        if kind < 0.06:
            return ModelBusy("Busy.", 1.0)
        if kind < 0.1:
            return Thought((), self.chance.choice(["cut", "full"]))
        if kind < 0.14:
            return Thought(({"said": "Hm.", "n": next(self.numbers)},), "said", text="Hm.")
        if kind < 0.17:
            return Thought(({"said": "…", "n": next(self.numbers)},), "paused")
        return wanted


KINDS = ("question", "approval", "input", "takeover")
REPLIES = {
    "question": answered("red"), "approval": message("approval", "approve", note="ok"),
    "input": message("input", "submit", values={"value": "1"}), "takeover": message("takeover", "approve"),
}  # fmt: skip


class World:
    """A run among people. `lost`: numbers whose outcome nobody knows; `refused`: what people said no to."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.story = Story(self.chance)
        session = Screen(after=lambda screen, action: self.chance.choice(["a", "b", "much:1", "much:22", None]))
        self.run = Run(Vendor(*[self.story.turn() for _ in range(25)], *[[finish()]] * 30), session=session)
        self.refused: set[int] = set()
        self.lost: set[int] = set()

    def number(self, decision: Decision) -> int:
        assert isinstance(decision.move, Act)
        params = decision.move.action.params
        return int(params.get("x", params.get("text")))

    async def decide(self, *messages: Message) -> Decision:
        for _ in range(60):
            try:
                return await self.run.decide(*messages)
            except ModelBusy:
                messages = ()
        raise AssertionError("It never decided.")

    async def play(self) -> Finish:
        for _ in range(300):
            decision = await self.decide(*self.news())
            if isinstance(decision.move, Finish):
                return decision.move
            if isinstance(decision.move, Ask):
                await self.asked(decision)
            else:
                await self.act(decision)
        raise AssertionError("It never ended.")

    def news(self) -> list[Message]:
        """What comes in between: a takeover, money, a restart, another screen, a worker that forgot its picture."""
        kind = self.chance.random()
        if kind < 0.05:
            return [message("takeover", "approve", note="I was here")]
        if kind < 0.1:
            return [message("budget", "approve", values={"add_cents": 5})]
        if kind < 0.13:
            self.run.restarted, self.run.frame = True, None
        elif kind < 0.2:
            self.run.session.shows, self.run.frame = self.chance.choice(["a", "much:3"]), None
        return []

    async def asked(self, decision: Decision) -> None:
        ask = self.run.asked(decision)
        if self.chance.random() < 0.2:
            self.run.inbox.append(
                message("question", "reject", reason="no") if ask.kind == "question" else REPLIES[ask.kind]
            )
        else:
            self.run.inbox.append(REPLIES[ask.kind])

    async def act(self, decision: Decision) -> None:
        kind, number = self.chance.random(), self.number(decision)
        if kind < 0.15:
            await self.run.die(decision, done=self.chance.random() < 0.5)
            self.lost.add(number)
        elif kind < 0.4:
            await self.judged(decision, number)
        else:
            await self.run.do(decision)

    async def judged(self, decision: Decision, number: int) -> None:
        """People are asked about the action: it comes back as it was, and what they said is done to it."""
        how = self.chance.choice(["approve", "edit", "reject"])
        params = {**decision.move.action.params}  # type: ignore[union-attr]
        edited = {**params, "y": 99} if how == "edit" and "x" in params else None
        verdict = {
            "approve": approve(note="go"), "reject": reject("no"),
            "edit": approve(edited_action={"name": "click", "params": edited}) if edited else approve(),
        }[how]  # fmt: skip
        again = await self.decide(verdict)
        assert again.move == decision.move
        if how == "reject":
            self.refused.add(number)
            await self.run.do(again, refused="no")
        else:
            await self.run.do(again, edited=edited)


@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_whatever_happens_nothing_is_done_twice_and_every_call_is_answered(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "MOST_PICTURES", 12)
    world = World(seed)
    world.run.spec = replace(world.run.spec, limits={"depth": 1000})
    await world.play()
    run = world.run
    done = [int(a.params.get("x", a.params.get("text"))) for a in run.session.done]
    assert len(done) == len(set(done))
    assert not world.refused & set(done)
    answers = len([turn for turn in run.calls if turn.purpose in ("act", "summary")])
    assert answers == run.vendor.answered == len(run.calls)
    for before, after in pairwise(run.vendor.requests):
        if before.log[0] == after.log[0] and len(before.log) <= len(after.log):  # the same episode
            assert json.dumps(list(after.log)).startswith(json.dumps(list(before.log))[:-1])
