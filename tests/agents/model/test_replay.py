"""What became of the kept move: the table of runs/agents/model/replay.py, row by row. No decision is asked for twice."""

import pytest

from runs.agents.base import Act, Ask, Finish
from tests.agents.model.fakes import Run, Vendor, answered, approve, click, finish, look, message, reject, tool


async def test_a_thought_is_committed_and_then_comes_from_memory() -> None:
    run = Run(Vendor([click(10), click(20)], [finish()]))
    first = await run.once()
    again = await run.once()
    third = await run.once()
    assert first.thought
    assert (again.thought, again.calls, again.move) == (False, (), first.move)
    assert (third.move, third.text) == (first.move, first.text)
    assert len(run.vendor.requests) == 1
    assert run.memory == again.memory


async def test_its_result_is_that_of_its_own_step_and_the_next_of_the_queue_costs_no_call() -> None:
    run = Run(Vendor([click(10), click(20)], [finish()]))
    await run.do(await run.decide())
    second = await run.decide()
    assert (second.thought, second.calls) == (False, ())
    await run.do(second)
    end = await run.decide()
    assert end.move == Finish(True, "All done.")
    assert run.points == [10, 20]
    assert [(r["call"], r["ok"], r["text"]) for r in run.vendor.results] == [
        ("c10#1", True, "Done."),
        ("c20#1", True, "Done."),
    ]


@pytest.mark.parametrize("position", [0, 1])
async def test_an_approved_action_is_the_one_that_was_shown(position: int) -> None:
    run = Run(Vendor([click(10), click(20)], [finish()]))
    for _ in range(position):
        await run.do(await run.decide())
    shown = await run.decide()
    approved = await run.decide(approve(note="go"))
    assert approved.move == shown.move
    assert not approved.thought
    await run.do(approved)
    await run.play()
    assert run.points == [10, 20]
    assert "A person says: go" in run.vendor.results[position]["text"]
    assert len(run.vendor.requests) == 2


async def test_an_approved_action_stays_the_same_on_another_screen() -> None:
    """Whether it may still be done there is for the drive loop, as the team wants it."""
    run = Run(Vendor([click(10)], [finish()]))
    shown = await run.decide()
    run.session.shows, run.frame = "much:other", None
    assert (await run.decide(approve())).move == shown.move


async def test_the_model_is_told_what_a_person_changed() -> None:
    run = Run(Vendor([click(10)], [finish()]))
    await run.decide()
    edited = {"x": 99, "y": 50, "button": "left", "count": 1}
    decision = await run.decide(approve(edited_action={"name": "click", "params": edited}))
    await run.do(decision, edited=edited)
    await run.play()
    assert run.points == [99]
    (result,) = run.vendor.results
    assert result["ok"]
    assert '"x": 99' in result["text"]
    assert "A person changed this action" in result["text"]
    assert run.state.done[0][1]["x"] == 99


@pytest.mark.parametrize("position", [0, 1])
async def test_a_refused_action_is_returned_unchanged_and_the_rest_is_not_executed(position: int) -> None:
    run = Run(Vendor([click(10), click(20), click(30)], [finish(False)]))
    for _ in range(position):
        await run.do(await run.decide())
    shown = await run.decide()
    refused = await run.decide(reject("Not that one"))
    assert refused.move == shown.move
    await run.do(refused, refused="Not that one")
    assert isinstance((await run.decide()).move, Finish)
    assert run.points == [10, 20][:position]
    result = run.vendor.results[position]
    assert not result["ok"]
    assert "a person refused this" in result["text"]
    assert "Not that one" in result["text"]
    assert all("Not executed" in r["text"] for r in run.vendor.results[position + 1 :])
    assert len(run.vendor.results) == 3


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("position", [0, 1])
async def test_what_was_interrupted_is_not_repeated_and_the_rest_is_not_executed(position: int, done: bool) -> None:
    run = Run(Vendor([click(10), click(20), click(30)], [click(40)], [finish()]))
    for _ in range(position):
        await run.do(await run.decide())
    await run.die(await run.decide(), done=done)
    decision = await run.decide()
    assert isinstance(decision.move, Act)
    assert decision.move.action.params["x"] == 40
    results = run.vendor.results
    assert [r["ok"] for r in results] == [True] * position + [False] * (3 - position)
    assert "outcome is unknown" in results[position]["text"]
    assert all("Not executed" in r["text"] for r in results[position + 1 :])


async def test_an_interruption_after_an_approval_is_no_approval_of_the_next_action() -> None:
    run = Run(Vendor([click(10)], [click(40)], [finish()]))
    await run.decide()
    await run.die(await run.decide(approve()), done=True)
    assert run.inbox  # given back with the interrupted step
    decision = await run.decide()
    assert isinstance(decision.move, Act)
    assert decision.move.action.params["x"] == 40
    assert run.state.now is not None
    assert "approved" not in run.state.now


async def test_an_action_after_an_answer_that_was_interrupted_is_not_repeated() -> None:
    """The question and the action that follows it in the same answer have the same step index."""
    run = Run(Vendor([tool("ask_human", question="Go?", kind="question"), click(20)], [finish()]))
    run.asked(await run.decide())
    clicking = await run.decide(answered("yes"))
    await run.die(clicking, done=True)
    assert isinstance((await run.decide()).move, Finish)
    assert run.points == [20]
    assert [r["ok"] for r in run.vendor.results] == [True, False]
    assert "outcome is unknown" in run.vendor.results[1]["text"]


async def test_a_question_is_put_again_until_it_is_answered() -> None:
    run = Run(Vendor([tool("ask_human", question="Which?", kind="question", options=["A", "B"])], [finish()]))
    first = run.asked(await run.decide())
    assert run.asked(await run.decide()) == first
    assert first == Ask(
        "question",
        "Which?",
        [
            {
                "id": "answer", "header": "Question", "question": "Which?", "multi_select": False, "allow_custom": True,
                "secret": False, "options": [
                    {"label": "A", "description": "", "recommended": False},
                    {"label": "B", "description": "", "recommended": False},
                ],
            }
        ],
    )  # fmt: skip
    assert isinstance((await run.decide(answered("B"))).move, Finish)
    assert run.vendor.results[0]["text"] == "The person answered: B"
    assert len(run.vendor.requests) == 2


async def test_a_declined_question_ends_the_rest_of_the_answer() -> None:
    run = Run(Vendor([tool("ask_human", question="Which?", kind="question"), click(10)], [finish()]))
    run.asked(await run.decide())
    await run.decide(message("question", "reject", reason="Find out yourself"))
    assert run.points == []
    first, second = run.vendor.results
    assert (first["ok"], first["text"]) == (False, "The person declined. They say: Find out yourself")
    assert "Not executed" in second["text"]


@pytest.mark.parametrize(
    "verdict", [message("takeover", "approve", note="I signed in"), message("takeover", "approve")]
)
@pytest.mark.parametrize("position", [0, 1])
async def test_after_a_takeover_nothing_of_the_answer_is_done(position: int, verdict: object) -> None:
    run = Run(Vendor([click(10), click(20)], [finish()]))
    for _ in range(position):
        await run.do(await run.decide())
    await run.decide()
    assert isinstance((await run.decide(verdict)).move, Finish)  # type: ignore[arg-type]
    assert run.points == [10][:position]
    assert all("Not executed: a person" in r["text"] for r in run.vendor.results[position:])
    assert len(run.vendor.results) == 2
    assert "A person worked on the machine and gave it back" in run.vendor.notes
    assert ("I signed in" in run.vendor.notes) == bool(verdict.payload)  # type: ignore[attr-defined]


async def test_a_kept_end_is_claimed_again_unless_people_say_something() -> None:
    run = Run(Vendor([finish()], [finish(False, "No.")]))
    first = await run.decide()
    assert (await run.decide()).move == first.move
    assert (await run.decide(message("takeover", "approve", note="Not yet"))).move == Finish(False, "No.")


async def test_a_restarted_machine_is_looked_at_before_anything_is_done() -> None:
    run = Run(Vendor([click(10), click(20)], [finish()]))
    await run.decide()
    run.restarted, run.frame = True, None
    assert isinstance((await run.decide()).move, Finish)
    assert run.points == []
    assert "The machine was restarted" in run.vendor.notes


async def test_a_kept_action_is_not_done_on_a_screen_that_changed_much() -> None:
    run = Run(Vendor([click(10)], [finish()]))
    shown = await run.decide()
    run.session.shows, run.frame = "little", None
    assert (await run.decide()).move == shown.move
    run.session.shows, run.frame = "much:other", None
    assert isinstance((await run.decide()).move, Finish)
    assert "the screen has changed" in run.vendor.results[0]["text"]


@pytest.mark.parametrize("note", ["", "The last time"])
@pytest.mark.parametrize("position", [0, 1])
async def test_money_that_was_added_changes_nothing_but_its_words_are_told(position: int, note: str) -> None:
    run = Run(Vendor([click(10), click(20)], [finish()]))
    for _ in range(position):
        await run.do(await run.decide())
    shown = await run.decide()
    more = {"note": note} if note else {}
    decision = await run.decide(message("budget", "approve", values={"add_cents": 10}, **more))
    assert decision.move == shown.move
    await run.do(decision)
    await run.play()
    assert run.points == [10, 20]
    assert len(run.vendor.requests) == 2
    assert run.vendor.notes == ("A person says: The last time" if note else "")


async def test_a_look_in_the_middle_of_an_answer_is_made_again_when_the_action_behind_it_is_decided() -> None:
    run = Run(Vendor([click(10), look(), click(20)], [finish()]))
    await run.do(await run.decide())
    shown = await run.decide()
    assert (await run.decide(approve())).move == shown.move
    await run.do(await run.decide())
    await run.play()
    assert run.points == [10, 20]
    assert [r["ok"] for r in run.vendor.results] == [True, True, True]
    assert len(run.vendor.requests) == 2
