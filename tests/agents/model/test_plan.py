"""Mode plan: words before anything is done, another plan when people want one, and one conversation with what follows."""

import itertools
import json
from dataclasses import replace

import pytest

from inference.errors import ModelBusy
from runs.agents.base import Act, Finish, Plan
from runs.agents.model.planning import NO_PLAN
from tests.agents.model.fakes import Run, Vendor, approve, click, finish, message, thought_of

FIRST, SECOND = "1. Open the shop\n2. Buy milk", "1. Buy milk at the market"


async def test_a_plan_takes_the_place_of_the_first_action_and_the_conversation_goes_on() -> None:
    run = Run(Vendor([click(10), click(20)], FIRST, [click(30)], [finish()]))
    assert isinstance((await run.decide()).move, Act)
    plan = await run.plan()
    assert (plan.text, len(plan.calls)) == (FIRST, 1)
    assert run.vendor.purposes == ["act", "plan"]
    assert [r["text"] for r in run.vendor.results] == ["Not executed: a person wants to see a plan first."] * 2
    decision = await run.decide(message("plan", "approve", note="Be quick"))
    assert isinstance(decision.move, Act)
    assert "A person approved your plan: carry it out. They say: Be quick" in run.vendor.notes
    await run.do(decision)
    assert isinstance(await run.play(), Finish)
    assert run.points == [30]
    logs = [json.dumps(list(request.log))[:-1] for request in run.vendor.requests]
    assert all(after.startswith(before) for before, after in itertools.pairwise(logs))


async def test_a_plan_before_anything_was_thought() -> None:
    run = Run(Vendor(FIRST, [finish()]))
    assert (await run.plan()).text == FIRST
    assert isinstance(await run.play(message("plan", "approve")), Finish)


@pytest.mark.parametrize("straight", [True, False])
async def test_another_plan_is_made_with_what_the_person_said(straight: bool) -> None:
    """Whether plan() is asked at once, or after next()."""
    turns = [[click(10)], FIRST, *([] if straight else [[click(20)]]), SECOND, [finish()]]
    run = Run(Vendor(*turns))
    await run.decide()
    await run.plan()
    revise = message("plan", "revise", feedback="Not that shop", plan=FIRST)
    if straight:
        plan: Plan = await run.plan(revise)
    else:
        await run.decide(revise)
        plan = await run.plan()
    assert plan.text == SECOND
    assert "A person wants another plan. They say: Not that shop" in run.vendor.notes
    assert isinstance(await run.play(message("plan", "approve")), Finish)
    assert not run.points


async def test_a_plan_is_words_and_nothing_that_comes_with_it_is_done() -> None:
    both = replace(thought_of([click(10)], 1), text=FIRST)
    run = Run(Vendor(both, [finish()]))
    assert (await run.plan()).text == FIRST
    assert isinstance(await run.play(message("plan", "approve")), Finish)
    assert not run.points


async def test_a_model_that_only_acts_is_told_to_write() -> None:
    run = Run(Vendor([click(10)], [click(10)], FIRST, [finish()]))
    plan = await run.plan()
    assert (plan.text, len(plan.calls)) == (FIRST, 3)
    none = Run(Vendor([click(10)], [click(10)], [click(10)]))
    assert (await none.plan()).text == NO_PLAN


async def test_a_plan_that_fails_in_the_middle_tells_of_the_calls_before() -> None:
    run = Run(Vendor([click(10)], ModelBusy("Busy.", 1.0)))
    with pytest.raises(ModelBusy) as busy:
        await run.plan()
    assert len(busy.value.calls) == 1  # type: ignore[attr-defined]
    assert run.memory == {}


async def test_an_action_after_the_plan_is_approved_by_itself() -> None:
    run = Run(Vendor(FIRST, [click(10)], [finish()]))
    await run.plan()
    shown = await run.decide(message("plan", "approve"))
    assert (await run.decide(approve())).move == shown.move
