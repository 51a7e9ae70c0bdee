"""Memory is JSON: any worker goes on with it, and what a vendor sent is kept byte for byte."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, replace

import pytest

from inference.wires.base import Json
from runs.agents.base import Act, Ask, Finish
from runs.agents.model import old_logs
from runs.agents.model.agent_memory import MOST_DONE, State
from tests.agents.model.fakes import (
    Run,
    Vendor,
    act,
    answered,
    approve,
    bad,
    click,
    finish,
    look,
    reject,
    thought_of,
    tool,
)
from web.json_values import unstorable_at

TURNS = (
    [click(10), act("type_text", text="mîlk\u2028"), act("key_press", key="enter")],
    [look(), look("zoom", "zoom", region=[0, 0, 100, 100])],
    [act("scroll", x=5, y=5, direction="down", amount=3), act("drag", from_x=1, from_y=1, to_x=9, to_y=9)],
    [bad("Broken.")],
    [tool("ask_human", question="Which?", kind="question")],
    [click(20), click(30)],
    [click(40)],
    [finish()],
)


async def story(run: Run) -> list[str]:
    """Ten moves with an edit, a refusal and a question; what was returned, move by move."""
    moves: list[str] = []
    while True:
        decision = await run.decide()
        if isinstance(decision.move, Ask):
            run.asked(decision)
            decision = await run.decide(answered("the red one"))
        assert json.loads(json.dumps(decision.memory)) == decision.memory
        assert State.of(decision.memory).memory() == decision.memory
        moves.append(repr(decision.move))
        if isinstance(decision.move, Finish):
            return moves
        assert isinstance(decision.move, Act)
        x = decision.move.action.params.get("x")
        if x == 20:
            edited = {**decision.move.action.params, "x": 21}
            await run.do(await run.decide(approve(edited_action={"name": "click", "params": edited})), edited=edited)
        elif x == 30:
            await run.do(await run.decide(reject("no")), refused="no")
        else:
            await run.do(decision)


async def test_a_story_is_the_same_however_often_each_move_is_asked_for() -> None:
    once = Run(Vendor(*TURNS))
    moves = await story(once)

    class Twice(Run):
        """Each next() is asked for three times, as after a crash: only what was committed counts."""

        async def once(self, *messages):  # type: ignore[no-untyped-def]
            decision = await super().once(*messages)
            if decision.thought:
                return decision
            for _ in range(2):
                again = await super().once()
                assert (again.move, again.memory) == (decision.move, decision.memory)
            return decision

    thrice = Twice(Vendor(*TURNS))
    assert await story(thrice) == moves
    assert thrice.vendor.log == once.vendor.log
    assert len(thrice.vendor.requests) == len(once.vendor.requests) == len(TURNS)
    assert thrice.state.done == once.state.done
    assert len(once.calls) == len(TURNS)


async def test_a_log_only_grows_at_its_end() -> None:
    run = Run(Vendor(*TURNS))
    await story(run)
    logs: Sequence[Sequence[Json]] = [request.log for request in run.vendor.requests]
    for before, after in itertools.pairwise(logs):
        assert json.dumps(list(after)).startswith(json.dumps(list(before))[:-1])
    assert {request.system for request in run.vendor.requests} == {run.vendor.requests[0].system}
    assert all(request.tools == run.vendor.requests[0].tools for request in run.vendor.requests)


async def test_what_came_back_is_kept_byte_for_byte() -> None:
    sent = {"z": 1, "calls": ["c10#1"], "a": {"b": "nul \0, half \ud800, é≠\u2028", "a": 1.0}}
    run = Run(Vendor(replace(thought_of([click(10)], 1), items=(sent,)), [finish()]))
    await run.play()
    assert json.dumps(run.vendor.log[1]) == json.dumps(sent)


async def test_what_cannot_be_stored_is_neither_typed_nor_said() -> None:
    said = replace(thought_of([act("type_text", text="a\0b")], 1), text="I \0 type", reasoning="\ud800")
    run = Run(
        Vendor(
            said, [tool("ask_human", question="Which \0?", kind="question", options=["A\0"])], [finish(summary="\0.")]
        )
    )
    first = await run.once()
    ask = await run.play()
    assert isinstance(ask, Ask)
    end = await run.play(answered("A"))
    assert isinstance(end, Finish)
    assert unstorable_at(json.loads(json.dumps([first.text, first.reasoning, asdict(ask), asdict(end)]))) is None
    assert not run.actions


async def test_memory_of_another_release_is_read() -> None:
    run = Run(Vendor([click(10)], [finish()]))
    await run.do(await run.decide())
    run.memory = {key: value for key, value in run.memory.items() if key != "misfits"} | {"news": 1}
    assert isinstance((await run.decide()).move, Finish)


@pytest.mark.parametrize("turn", range(len(TURNS)))
async def test_an_answer_that_did_not_come_leaves_nothing_behind(turn: int) -> None:
    """The vendor is busy once, before each answer in turn: the same question is asked again, and nothing else changes."""
    from inference.errors import ModelBusy

    plain = Run(Vendor(*TURNS))
    moves = await story(plain)

    class Patient(Run):
        async def once(self, *messages):  # type: ignore[no-untyped-def]
            try:
                return await super().once(*messages)
            except ModelBusy:
                return await super().once()

    turns = [*TURNS[:turn], ModelBusy("Too many requests.", 3600.0), *TURNS[turn:]]
    patient = Patient(Vendor(*turns))
    assert await story(patient) == moves
    assert patient.vendor.requests[turn].log == patient.vendor.requests[turn + 1].log
    assert patient.vendor.log == plain.vendor.log


def test_what_was_done_is_kept_short() -> None:
    state = State()
    for n in range(MOST_DONE + 5):
        state.record("type_text", {"text": "x" * 70_000, "n": n}, "y" * 9000)
    assert len(state.done) == MOST_DONE
    assert state.done[-1][1]["n"] == MOST_DONE + 4
    assert len(json.dumps(state.done)) < 256 * 1024


@pytest.mark.parametrize("change", [{"v": 0}, {"v": 2, "log": None}, {"log": [{"role": "user"}]}, {"now": {"step": 1}}])
async def test_a_memory_of_another_release_begins_a_new_episode_and_forgets_nothing_that_people_said(
    change: dict[str, object],
) -> None:
    run = Run(Vendor([click(10)], [click(20)], [click(30)], [finish()]))
    await run.do(await run.decide(answered("the red one")))
    await run.do(await run.decide())
    run.memory |= change
    assert isinstance(await run.play(), Finish)
    assert run.points == [10, 20, 30]
    assert (run.state.episode, len(run.state.old)) == (2, 1)
    assert "the red one" in run.vendor.log[0]["opening"]
    assert '"x": 10' in run.vendor.log[0]["opening"]
    assert old_logs.read(run.state.old[0])["log"][0]["memory"]["v"] == change.get("v", 1)
