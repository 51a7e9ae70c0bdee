"""Where a model goes round in circles, takes too much, or gives what was not asked for."""

from dataclasses import replace
from typing import Any

import pytest

from inference.errors import ModelMisconfigured, ModelRefused
from runs import outputs
from runs.agents.base import Ask, Finish, GuardReached
from runs.agents.model import conversation
from runs.agents.model.agent_memory import State
from runs.agents.model.turn import MOST_MISFITS
from tests.agents.model.fakes import SPEC, Run, Screen, Vendor, act, answered, bad, click, finish, look, tool

SCHEMA = {
    "type": "object", "properties": {"price": {"type": "number", "minimum": 0}}, "required": ["price"],
    "additionalProperties": False,
}  # fmt: skip


def still() -> Screen:
    return Screen(after=lambda screen, action: None)


async def test_the_same_action_that_changes_nothing_is_noticed() -> None:
    run = Run(Vendor(*[[click(10)]] * 5, [finish()]), session=still())
    ask = await run.play()
    assert isinstance(ask, Ask)
    assert ask.message.endswith("done the same thing 5 times and the screen has not changed: Click at 10, 50.")
    assert "You have done exactly this 3 times" in run.vendor.requests[3].log[-1]["note"]
    assert not any("exactly this" in str(r.log) for r in run.vendor.requests[:3])
    assert isinstance(await run.play(answered("Try again")), Finish)


async def test_where_people_are_off_a_run_that_goes_in_circles_ends() -> None:
    run = Run(Vendor(*[[click(10)]] * 5), session=still(), changes={"may_ask": False})
    end = await run.play()
    assert isinstance(end, Finish)
    assert not end.passed


@pytest.mark.parametrize(
    "turns",
    [
        [[act("wait", ms=10_000)]] * 7,
        [[click(10)], [click(20)]] * 2,
    ],
)
async def test_short_waits_and_other_actions_are_no_circle(turns: list[Any]) -> None:
    run = Run(Vendor(*turns, [finish()]), session=still())
    assert isinstance(await run.play(), Finish)
    assert not run.vendor.notes


async def test_long_waits_are_one() -> None:
    session = still()

    async def no_wait(action: Any) -> Any:
        session.done.append(action)
        from machines.drivers.base import ActResult

        return ActResult(True)

    session.act = no_wait  # type: ignore[method-assign]
    run = Run(Vendor(*[[act("wait", ms=10_001)]] * 5), session=session)
    assert isinstance(await run.play(), Ask)


async def test_keys_that_change_only_a_little_are_no_circle() -> None:
    session = Screen(after=lambda screen, action: str(len(screen.done)))  # a digit among 64x36 cells
    run = Run(Vendor(*[[act("key_press", key="tab")]] * 8, [finish()]), session=session)
    assert isinstance(await run.play(), Finish)
    assert not run.vendor.notes


async def test_an_action_that_works_in_between_begins_the_count_anew() -> None:
    session = Screen(after=lambda screen, action: "much:now" if len(screen.done) == 4 else None)
    run = Run(Vendor(*[[click(10)]] * 6, [finish()]), session=session)
    assert isinstance(await run.play(), Finish)


# --- what a profile allows a run


async def test_tokens_of_a_run() -> None:
    run = Run(Vendor(*[[click(10 + n)] for n in range(9)]))
    run.spec = replace(SPEC, limits={"tokens": 300})
    with pytest.raises(GuardReached) as reached:
        await run.play()
    assert (reached.value.guard, reached.value.limit, reached.value.used) == ("budget_tokens", 300, 330)
    assert run.points == [10, 11, 12]
    assert len(run.calls) == 3


@pytest.mark.parametrize("limits", [{"depth": 4}, {}])
async def test_calls_in_a_row_without_a_step(limits: dict[str, int]) -> None:
    depth = limits.get("depth", 12)
    run = Run(Vendor(*[[look()]] * 20))
    run.spec = replace(SPEC, limits=limits)
    with pytest.raises(GuardReached) as reached:
        await run.play()
    assert (reached.value.guard, reached.value.limit) == ("depth", depth)
    assert len(run.calls) == depth


async def test_a_step_begins_the_depth_anew() -> None:
    run = Run(Vendor(*[[look()], [click(10)], [look()], [look()], [click(20)]] * 2, [finish()]))
    run.spec = replace(SPEC, limits={"depth": 3})
    assert isinstance(await run.play(), Finish)


@pytest.mark.parametrize("problem", [ModelRefused("No.", "policy"), ModelMisconfigured("Key refused.")])
async def test_what_a_person_has_to_solve_reaches_the_drive_loop_and_the_run_goes_on_afterwards(
    problem: Exception,
) -> None:
    run = Run(Vendor([click(10)], problem, [finish()]))
    with pytest.raises(type(problem)):
        await run.play()
    assert isinstance(await run.play(), Finish)
    assert run.vendor.requests[1].log == run.vendor.requests[2].log


# --- results that have to fit


async def test_the_output_fits_or_the_model_is_told_what_is_wrong() -> None:
    vendor = Vendor([finish()], [finish(output={"price": "cheap"})], [finish(output={"price": 3})])
    run = Run(vendor, changes={"output_schema": SCHEMA})
    assert await run.play() == Finish(True, "All done.", output={"price": 3})
    texts = [item["results"][0]["text"] for item in vendor.log if "results" in item]
    assert texts[0] == outputs.NOTHING
    assert "price: 'cheap' is not of type 'number'" in texts[1]
    (tool,) = [each for each in vendor.requests[0].tools if each.name == "finish"]
    assert tool.schema["properties"]["output"] == SCHEMA


async def test_after_three_corrections_the_run_fails_saying_what_did_not_fit() -> None:
    vendor = Vendor(*[[finish(output={"price": -1})]] * (MOST_MISFITS + 1))
    end = await Run(vendor, changes={"output_schema": SCHEMA}).play()
    assert isinstance(end, Finish)
    assert not end.passed
    assert "price: -1 is less than the minimum of 0. All done." in end.summary
    assert end.output is None
    assert len(vendor.requests) == 4


@pytest.mark.parametrize("schema", [None, {}])
async def test_an_output_that_cannot_be_kept_is_told_the_model_too(schema: dict[str, Any] | None) -> None:
    """It would else fail the run at its very end (runs.outputs.misfit), with the model's work done."""
    vendor = Vendor([finish(output=[0] * 65_537)], [finish(output="x" * 65_537)], [finish(output="fits")])
    assert await Run(vendor, changes={"output_schema": schema}).play() == Finish(True, "All done.", output="fits")
    texts = [item["results"][0]["text"] for item in vendor.log if "results" in item]
    assert ["64 KiB" in text for text in texts] == [True, True]


async def test_who_has_failed_owes_no_output() -> None:
    run = Run(Vendor([finish(False, "Sold out.")]), changes={"output_schema": SCHEMA})
    assert await run.play() == Finish(False, "Sold out.")


async def test_a_schema_that_refers_to_itself_is_told_in_words() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": "string"}}}
    run = Run(Vendor([finish(output={"a": 1})], [finish(output={"a": "b"})]), changes={"output_schema": schema})
    assert await run.play() == Finish(True, "All done.", output={"a": "b"})
    (tool,) = [each for each in run.vendor.requests[0].tools if each.name == "finish"]
    assert "$ref" not in tool.schema["properties"]["output"]
    assert "#/$defs/x" in tool.schema["properties"]["output"]["description"]


@pytest.mark.parametrize("schema", [None, {"type": ["string", "number"]}])
@pytest.mark.parametrize(
    ("output", "why"), [("x" * 70_000, "larger than 64 KiB"), (float("inf"), "that JSON does not have")]
)
async def test_an_output_that_nobody_can_keep_is_told_like_one_that_does_not_fit(
    schema: dict[str, Any] | None, output: Any, why: str
) -> None:
    run = Run(Vendor([finish(output=output)], [finish(output="short")]), changes={"output_schema": schema})
    assert await run.play() == Finish(True, "All done.", output="short")
    (text,) = [item["results"][0]["text"] for item in run.vendor.log if "results" in item]
    assert why in text


async def test_what_people_said_at_length_leaves_room_for_what_comes() -> None:
    run = Run(Vendor([click(10)], [click(20)], [click(30)], [finish()]))
    for _ in range(60):
        run.memory = _heard(run.memory, "何" * 5000)
    assert isinstance(await run.play(), Finish)
    assert run.points == [10, 20, 30]
    assert run.vendor.purposes == ["act"] * 4
    assert run.state.words


def _heard(memory: dict[str, Any], words: str) -> dict[str, Any]:
    state = State.of(memory)
    state.heard("Which?", words)
    return state.memory()


async def test_episodes_that_are_too_long_from_the_beginning_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "MOST_BYTES", 10)
    run = Run(Vendor(*["Summary."] * 50))
    with pytest.raises(GuardReached) as reached:
        await run.decide()
    assert (reached.value.guard, run.vendor.answered) == ("depth", 12)


async def test_a_batch_of_two_hundred_is_cut_and_the_model_is_told() -> None:
    run = Run(Vendor([click(n + 1, call=f"c{n}") for n in range(200)], [finish()]))
    assert isinstance(await run.play(), Finish)
    assert len(run.points) == 50
    assert "at most 50 calls are taken of one answer" in run.vendor.results[50]["text"]
    assert len(run.vendor.results) == 200


@pytest.mark.parametrize("length", [65_536, 65_537])
async def test_the_longest_text_is_typed_and_a_longer_one_is_a_bad_answer(length: int) -> None:
    run = Run(Vendor([act("type_text", text="x" * length)], [finish()]))
    assert isinstance(await run.play(), Finish)
    assert [len(str(params["text"])) for _, params in run.actions] == [length] * (length == 65_536)


async def test_a_long_question_is_cut_visibly_and_a_hundred_options_are_a_bad_answer() -> None:
    wide = tool("ask_human", question="Which?", kind="question", options=[f"Option {n}" for n in range(100)])
    run = Run(Vendor([wide], [tool("ask_human", question="a\u202e\0b" * 4000, kind="approval")]))
    ask = await run.play()
    assert isinstance(ask, Ask)
    assert len(ask.message) == 2000
    assert ask.message.endswith("[...]")
    assert "at most 10 texts" in run.vendor.results[0]["text"]


async def test_bad_answers_for_ever_are_a_matter_for_people() -> None:
    run = Run(Vendor(*[[bad("No such key.")]] * 20))
    ask = await run.play()
    assert isinstance(ask, Ask)
    assert run.vendor.answered == 4
    run = Run(Vendor(*[[bad("No such key.")]] * 20), changes={"may_ask": False})
    assert await run.play() == Finish(
        False, "4 answers of the model in a row could not be used. It was told: “No such key.”"
    )


async def test_looks_for_ever_end_the_run() -> None:
    run = Run(Vendor(*[[look()]] * 20))
    with pytest.raises(GuardReached):
        await run.play()
    assert run.vendor.answered == 12
