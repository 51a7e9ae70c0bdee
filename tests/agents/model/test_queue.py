"""What a model sent in one answer is done one by one; a failure, a refusal or another screen ends it."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from inference.wires.base import Check, Thought
from machines.drivers.base import Action, ActResult
from runs.agents.base import Act, Again, Ask, Decision, Finish
from tests.agents.model.fakes import (
    HEIGHT,
    WIDTH,
    Run,
    Screen,
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
    thought_of,
    tool,
)

CHECK = Check("chk_1", "malicious_instructions", "The page may try to instruct you.")


def quick(session: Screen) -> Callable[[Action], Awaitable[ActResult]]:
    async def noted(action: Action) -> ActResult:
        session.done.append(action)
        return ActResult(True)

    return noted


def failing(name: str) -> Screen:
    return Screen(react=lambda session, action: ActResult(False, "It is covered.") if action.name == name else None)


async def test_after_a_failed_action_the_rest_is_not_executed() -> None:
    run = Run(Vendor([click(10), act("type_text", text="a"), click(30), finish()], [finish(False, "No.")]))
    run.session = failing("type_text")
    assert await run.play() == Finish(False, "No.")
    assert run.points == [10]
    texts = [r["text"] for r in run.vendor.results]
    assert texts[1] == "Failed: It is covered."
    assert texts[2:] == ["Not executed: an action before it in the same answer was not done."] * 2


async def test_a_click_that_is_not_the_first_waits_for_no_other_screen() -> None:
    run = Run(Vendor([click(10), click(20), click(30)], [finish()]))
    run.session.after = lambda screen, action: "much:new page" if action.params["x"] == 10 else None
    await run.play()
    assert run.points == [10]
    assert [r["text"] for r in run.vendor.results[1:]] == [
        "Not executed: the screen has changed since you decided on this."
    ] * 2


async def test_keys_go_on_although_the_screen_changed() -> None:
    run = Run(Vendor([click(10), act("type_text", text="milk"), act("key_press", key="enter")], [finish()]))
    run.session.after = lambda screen, action: "much:new page"
    await run.play()
    assert [name for name, _ in run.actions] == ["click", "type_text", "key_press"]


async def test_a_queue_that_was_approved_is_not_measured_by_the_screen() -> None:
    """Its approval is bound to the action and, where the team wants it, to the screen: that is the drive loop's."""
    run = Run(Vendor([click(10), click(20)], [finish()]))
    await run.do(await run.decide())
    shown = await run.decide()
    run.session.shows, run.frame = "much:other", None
    assert (await run.decide(approve())).move == shown.move


async def test_nothing_of_an_answer_starts_while_an_earlier_part_of_it_waits() -> None:
    run = Run(Vendor([click(10), tool("ask_human", question="Go on?", kind="approval"), click(20)], [finish()]))
    await run.do(await run.decide())
    run.asked(await run.decide())
    for _ in range(2):
        assert isinstance((await run.decide()).move, Ask)
    assert run.points == [10]


async def test_the_end_comes_after_what_stands_before_it() -> None:
    run = Run(Vendor([click(10), finish()]))
    assert await run.play() == Finish(True, "All done.")
    assert run.points == [10]


async def test_no_more_than_fifty_calls_are_taken_of_one_answer() -> None:
    run = Run(Vendor([act("wait", f"w{n}", ms=n) for n in range(60)], [finish()]))
    run.session.act = quick(run.session)  # type: ignore[method-assign]
    await run.play()
    assert len(run.session.done) == 50
    assert [r["ok"] for r in run.vendor.results] == [True] * 50 + [False] * 10


# --- safety checks of vendors


async def test_an_approved_check_is_acknowledged() -> None:
    run = Run(Vendor([click(10, checks=[CHECK])], [finish()]))
    shown = await run.decide()
    assert isinstance(shown.move, Act)
    assert shown.move.checks == (CHECK,)
    approved = await run.decide(approve())
    assert approved.move == shown.move
    await run.do(approved)
    await run.play()
    assert [r["acknowledged"] for r in run.vendor.results] == [True]


async def test_a_refused_check_is_answered_as_refused_and_never_acknowledged() -> None:
    run = Run(Vendor([click(10, call="c", last=False, checks=[CHECK]), act("type_text", "c", text="a")], [finish()]))
    await run.decide()
    await run.do(await run.decide(reject("No")), refused="No")
    await run.play()
    assert [(r["ok"], r["acknowledged"]) for r in run.vendor.results] == [(False, False)] * 2
    assert not run.actions


async def test_a_check_that_nobody_saw_is_never_acknowledged() -> None:
    run = Run(Vendor([click(10, checks=[CHECK])], [finish()]), changes={"may_ask": False})
    await run.do(await run.decide(), refused="Nobody can be asked.")  # the guard denied it
    await run.play()
    assert [(r["ok"], r["acknowledged"]) for r in run.vendor.results] == [(False, False)]


async def test_an_approval_of_one_check_is_none_of_the_next() -> None:
    other = replace(CHECK, id="chk_2")
    run = Run(Vendor([click(10, checks=[CHECK]), click(20, checks=[other])], [finish()]))
    await run.decide()
    await run.do(await run.decide(approve()))
    second = await run.decide()
    assert isinstance(second.move, Act)
    assert second.move.checks == (other,)
    await run.do(second, refused="denied")
    await run.play()
    assert [r["acknowledged"] for r in run.vendor.results] == [True, False]


async def test_a_look_that_the_vendor_doubts_is_for_a_person_to_allow() -> None:
    run = Run(Vendor([replace(look(), checks=(CHECK,))], [finish()]))
    shown = await run.decide()
    assert isinstance(shown.move, Act)
    assert (shown.move.action.name, shown.move.checks) == ("screenshot", (CHECK,))
    await run.do(await run.decide(approve()))
    await run.play()
    assert [(r["ok"], r["acknowledged"]) for r in run.vendor.results] == [(True, True)]


# --- what is no use


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (bad("The arguments are no JSON."), "The arguments are no JSON."),
        (click(WIDTH + 5), f"x: Must be between 0 and {WIDTH - 1}."),
        (click(5, HEIGHT), f"y: Must be between 0 and {HEIGHT - 1}."),
        (act("click"), "x: Field required."),
        (act("fly", x=1), "Unknown command 'fly'"),
        (act("done"), "There is no action 'done'."),
        (act("click", x=1, y=1, speed=9), "speed: Extra inputs are not permitted."),
        (act("run_line", command="ls"), "Unknown command 'run_line'"),
        (tool("run_line", command="ls"), "There is no tool 'run_line'."),
        (act("open_url", url="ftp://a"), "url: Must start with http:// or https://."),
        (act("open_url", address="a.test"), "url: Field required."),
        (act("open_url", url=7), "url: Must be a string."),
        (act("type_text", text="a\0"), "text: Holds a character that cannot be typed or stored."),
        (tool("finish", summary="x"), "finish needs passed: true or false."),
        (tool("finish", passed=True, summary=" "), "finish needs a summary."),
        (tool("ask_human", question=""), "ask_human needs a question."),
        (tool("ask_human", question="a", kind="vote"), "kind must be one of question, approval, input, takeover."),
        (tool("ask_human", question="a", kind="question", options=["A", "A"]), "options must be different texts"),
        (tool("ask_human", question="a", kind="input", fields=[{"name": "{{x}}"}]), "The name of a field"),
        (tool("nonsense"), "There is no tool 'nonsense'."),
    ],
)
async def test_the_model_is_told_what_is_wrong(wanted: object, words: str) -> None:
    run = Run(Vendor([wanted, click(20)], [finish()]))  # type: ignore[list-item]
    decision = await run.once()
    assert isinstance(decision.move, Again)
    assert isinstance(await run.play(), Finish)
    first, second = run.vendor.results
    assert not first["ok"]
    assert words in first["text"]
    assert "Not executed" in second["text"]
    assert not run.actions


async def test_after_three_answers_that_are_no_use_a_person_is_asked() -> None:
    vendor = Vendor(*[[bad(f"Wrong {n}.")] for n in range(1, 5)], [finish()])
    ask = await (run := Run(vendor)).play()
    assert isinstance(ask, Ask)
    assert ask.message == "4 answers of the model in a row could not be used. It was told: “Wrong 4.”"
    assert [o["label"] for o in ask.questions[0]["options"]] == ["Try again", "Take over", "Stop"]
    assert len(vendor.requests) == 4
    assert isinstance(await run.play(answered("Use the menu")), Finish)
    assert "A person says: Use the menu" in vendor.notes
    assert [r["text"] for r in vendor.results] == ["Wrong 4."]


async def test_where_people_are_off_the_run_ends_then() -> None:
    run = Run(Vendor(*[[bad("Wrong.")]] * 4), changes={"may_ask": False})
    end = await run.play()
    assert isinstance(end, Finish)
    assert not end.passed
    assert "Wrong." in end.summary


async def test_a_good_answer_in_between_begins_the_count_anew() -> None:
    run = Run(Vendor([bad("1")], [bad("2")], [bad("3")], [click(10)], [bad("4")], [bad("5")], [bad("6")], [finish()]))
    assert isinstance(await run.play(), Finish)


@pytest.mark.parametrize("choice", ["Stop", "Take over", "Try again"])
async def test_a_person_chooses_how_it_goes_on(choice: str) -> None:
    run = Run(Vendor(*[[bad("Wrong.")]] * 4, [finish()]))
    await run.play()
    end = await run.play(answered(choice))
    if choice == "Take over":
        assert isinstance(end, Ask)
        assert end.kind == "takeover"
        end = await run.play(message("takeover", "approve", note="Signed in"))
        assert "A person did something by hand and gave the machine back. Signed in" in run.vendor.notes
    assert isinstance(end, Finish)
    assert end.passed == (choice != "Stop")


async def test_a_person_is_never_asked_by_a_tool_where_people_are_off() -> None:
    run = Run(Vendor([tool("ask_human", question="May I?", kind="approval")], [finish()]), changes={"may_ask": False})
    assert isinstance(await run.play(), Finish)
    assert "There is no tool 'ask_human'." in run.vendor.results[0]["text"]
    assert "ask_human" not in [each.name for each in run.vendor.requests[0].tools]


# --- how an answer ends


def ended(end: str, *wanted: object, text: str = "", items: bool = True) -> Thought:
    thought = thought_of(list(wanted), 1)  # type: ignore[arg-type]
    return replace(thought, end=end, text=text, items=thought.items if items else ())  # type: ignore[arg-type]


async def test_nothing_of_an_answer_that_was_cut_runs_and_the_next_may_be_longer() -> None:
    run = Run(Vendor(ended("cut", click(10), items=False), [click(20)], [finish()]))
    assert isinstance((await run.once()).move, Again)
    assert isinstance(await run.play(), Finish)
    assert run.points == [20]
    assert [r.longer for r in run.vendor.requests] == [False, True, False]
    assert run.vendor.requests[0].log == run.vendor.requests[1].log


async def test_an_answer_that_is_cut_again_is_no_use() -> None:
    cut = ended("cut", items=False)
    run = Run(Vendor(cut, cut, [finish()]))
    assert isinstance(await run.play(), Finish)
    assert "Your last answer was cut off" in run.vendor.notes
    assert [r.longer for r in run.vendor.requests] == [False, True, True]


async def test_a_paused_answer_is_sent_back_as_it_is() -> None:
    paused = Thought(({"said": "…", "n": 0},), "paused")
    run = Run(Vendor(paused, [finish()]))
    assert isinstance(await run.play(), Finish)
    assert run.vendor.log == [*run.vendor.requests[0].log, {"said": "…", "n": 0}]


@pytest.mark.parametrize(
    ("words", "passed"), [("DONE. Milk is bought.", True), ("FAILED: no milk", False), ("I think I am done", False)]
)
async def test_a_model_that_only_talks_is_asked_once_what_it_means(words: str, passed: bool) -> None:
    run = Run(Vendor("I have bought the milk.", words))
    assert await run.play() == Finish(passed, words)
    assert "You called no tool." in run.vendor.notes
    assert len(run.vendor.requests) == 2


async def test_a_model_that_goes_on_after_talking_is_not_ended() -> None:
    run = Run(Vendor("Let me see.", [click(10)], "And now?", [finish()]))
    assert isinstance(await run.play(), Finish)
    assert run.points == [10]


async def test_a_decision_says_what_the_model_said() -> None:
    thought = replace(
        thought_of([click(10, why="Open the menu"), click(20, why="Choose")], 1), text="I will.", reasoning="Hm."
    )
    run = Run(Vendor(thought, [finish()]))
    first = await run.decide()
    assert (first.text, first.reasoning) == ("I will.\nOpen the menu", "Hm.")
    await run.do(first)
    second: Decision = await run.decide()
    assert (second.text, second.reasoning) == ("Choose", "")


async def test_a_point_that_was_left_out_is_where_the_last_action_was() -> None:
    run = Run(Vendor([act("click", button="right")], [finish()]), changes={"cursor": (33, 44)})
    await run.play()
    assert run.actions == [("click", {"x": 33, "y": 44, "button": "right", "count": 1})]
    assert run.vendor.requests[0].cursor == (33, 44)


async def test_a_long_wait_is_given_its_time() -> None:
    run = Run(Vendor([act("wait", ms=45_000)], [finish()]))
    decision = await run.decide()
    assert isinstance(decision.move, Act)
    assert decision.move.action == Action("wait", {"ms": 45_000}, timeout_ms=75_000)
