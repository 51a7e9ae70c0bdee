"""The playbook agent at a browser: it acts on what it finds and asks when it cannot be sure."""

from dataclasses import replace
from typing import Any

import pytest

from machines.actions.canonical import Screen, canonical
from machines.drivers.base import Action, ActResult, Element, MachineState, Reach
from runs.agents.base import Act, Ask, Finish, Message
from runs.agents.playbook import PlaybookAgent
from runs.agents.playbook.checks import machine_conditions
from runs.agents.playbook.scene import Patience
from tests.agents.machines import FakeSession, Player, answered, element
from tests.agents.test_grounding import TABLE

FORM = [
    element("textbox", "Email", 200, 100),
    element("textbox", "Password", 200, 140),
    element("combobox", "Colour", 200, 180, value="Red"),
    element("checkbox", "I agree", 200, 220, checked=False),
    element("checkbox", "Newsletter", 200, 260, checked=True),
    element("button", "Sign in", 200, 300),
]


async def test_a_whole_form_is_filled_in_one_step_per_instruction() -> None:
    task = """
      1. open shop.test
      2. type "a@b.c" into "Email"
      3. fill "Password" with "x"
      4. select "Green" in "Colour"
      5. check "I agree"
      6. uncheck "Newsletter"
      7. check "Newsletter"
      8. click the "Sign in" button
      9. press Ctrl+Shift+R
      10. press Enter
      11. scroll up 2 times
      12. type "bye"
      13. wait 0.5 seconds
    """
    player = Player(task, FakeSession(shown=FORM))
    assert await player.play() == Finish(True, "Done: 13 instructions.")
    assert player.actions == [
        ("open_url", {"url": "http://shop.test"}),
        ("fill", {"x": 240, "y": 110, "text": "a@b.c"}),
        ("fill", {"x": 240, "y": 150, "text": "x"}),
        ("select_option", {"x": 240, "y": 190, "option": "Green"}),
        ("click", {"x": 240, "y": 230, "button": "left", "count": 1}),
        ("click", {"x": 240, "y": 270, "button": "left", "count": 1}),
        ("screenshot", {}),
        ("click", {"x": 240, "y": 310, "button": "left", "count": 1}),
        ("key_combo", {"keys": ["ctrl", "shift", "r"]}),
        ("key_press", {"key": "enter"}),
        ("scroll", {"x": 640, "y": 360, "direction": "up", "amount": 2}),
        ("type_text", {"text": "bye"}),
        ("wait", {"ms": 500}),
    ]
    for name, params in player.actions:
        assert canonical(name, params, Screen(1280, 720), "browser") == (name, params)
    assert player.said[0].startswith("Instruction 1 of 13: Open http://shop.test.")


async def test_a_target_may_come_late() -> None:
    session = FakeSession()

    async def elements() -> list[Element]:
        session.looks += 1
        return FORM if session.looks > 3 else []

    session.elements = elements  # type: ignore[method-assign]
    player = Player('click "Sign in"', session, PlaybookAgent(Patience(poll=0.001, target=30)))
    assert await player.play() == Finish(True, "Done: 1 instruction.")


async def test_a_missing_target_is_asked_about() -> None:
    player = Player('click the second link "Nowhere" in the row "X" and stop', FakeSession(shown=FORM))
    ask = await player.play()
    assert isinstance(ask, Ask)
    assert ask.kind == "question"
    assert 'the number 2 link "Nowhere" in the row "X"' in ask.message
    assert [o["label"] for o in ask.questions[0]["options"]] == ["Retry", "Skip", "Take over", "Stop"]
    assert ask.questions[0]["allow_custom"]
    assert not player.actions


@pytest.mark.parametrize(
    ("value", "end", "clicks"),
    [
        ("Skip", "Done: 1 instruction. 1 of 2 skipped.", [310]),
        ("skip", "Done: 1 instruction. 1 of 2 skipped.", [310]),
        ("Stop", 'Stopped by a person at: click "Nowhere"', []),
        ('click "Email"', "Done: 2 instructions.", [110, 310]),
        ('click "Email" and click "Password"', "Done: 3 instructions.", [110, 150, 310]),
    ],
)
async def test_the_answer_decides_how_it_goes_on(value: str, end: str, clicks: list[int]) -> None:
    player = Player('click "Nowhere" and click "Sign in"', FakeSession(shown=FORM))
    await player.play()
    finish = await player.play(answered(value, custom=value.startswith("click")))
    assert isinstance(finish, Finish)
    assert finish.summary == end
    assert finish.passed == (value != "Stop")
    assert [p["y"] for _, p in player.actions] == clicks
    assert any(text.startswith('Received: {"answers":') for text in player.said)


async def test_what_is_similar_to_a_missing_target_is_offered_and_never_taken() -> None:
    session = FakeSession(shown=[element("button", "Unsubscribe", 100, 900, ref="f/1")], reached=below)
    player = Player('click "Subscribe"', session)
    ask = await player.play()
    assert isinstance(ask, Ask)
    assert ask.message == 'I cannot find "Subscribe" on the screen. Is one of these meant?'
    labels = [o["label"] for o in ask.questions[0]["options"]]
    assert labels == ["Unsubscribe (button, at 140, 910)", "Retry", "Skip", "Take over", "Stop"]
    assert not player.actions
    assert await player.play(answered(labels[0])) == Finish(True, "Done: 1 instruction.")
    assert [(a.name, a.ref) for a in session.done] == [("click", "f/1")]


async def test_a_disabled_target_is_waited_for_and_named() -> None:
    session = FakeSession(shown=[element("button", "Pay", disabled=True), element("button", "Pay later", 300)])
    ask = await Player('click "Pay"', session).play()
    assert isinstance(ask, Ask)
    assert ask.message == '"Pay" is disabled.'


async def test_retry_looks_again() -> None:
    session = FakeSession()
    player = Player('click "Sign in"', session)
    await player.play()
    assert isinstance(await player.play(answered("Retry")), Ask)
    session.shown = FORM
    assert await player.play(answered("Retry")) == Finish(True, "Done: 1 instruction.")


async def test_take_over_hands_the_instruction_to_a_person() -> None:
    player = Player('click "Nowhere" and click "Sign in"', FakeSession(shown=FORM))
    await player.play()
    ask = await player.play(answered("Take over"))
    assert isinstance(ask, Ask)
    assert ask.kind == "takeover"
    assert 'click "Nowhere"' in ask.message
    end = await player.play(Message("takeover", "approve", {"note": "done"}, {"note": "done"}))
    assert end == Finish(True, "Done: 2 instructions.")
    assert len(player.actions) == 1


async def test_a_run_that_may_not_ask_fails_with_the_same_message() -> None:
    asked = await Player('click "Nowhere"').play()
    ended = await Player('click "Nowhere"', may_ask=False).play()
    assert isinstance(asked, Ask)
    assert ended == Finish(False, asked.message)


async def test_an_ambiguous_target_is_asked_about_with_its_candidates() -> None:
    player = Player('click "Approve"', FakeSession(shown=TABLE))
    ask = await player.play()
    assert isinstance(ask, Ask)
    assert ask.message == '3 things fit "Approve" equally well. Which one is meant?'
    labels = [o["label"] for o in ask.questions[0]["options"]]
    assert labels[1] == 'Approve (link, row "Ernst Handel")'
    assert labels[3:] == ["Skip", "Take over", "Stop"]
    assert await player.play(answered(labels[1], "choice")) == Finish(True, "Done: 1 instruction.")
    assert [p["y"] for _, p in player.actions] == [155]


async def test_at_most_ten_candidates_are_offered() -> None:
    many = [element("button", "Go", 10 + 90 * n) for n in range(12)]
    ask = await Player('click "Go"', FakeSession(shown=many)).play()
    assert isinstance(ask, Ask)
    assert len(ask.questions[0]["options"]) == 13
    assert "The first 10 are offered." in ask.message


async def test_a_choice_that_is_gone_is_asked_again() -> None:
    session = FakeSession(shown=TABLE)
    player = Player('click "Approve"', session)
    await player.play()
    session.shown = [e for e in TABLE if e.y not in (145, 147)]
    ask = await player.play(answered('Approve (link, row "Ernst Handel")', "choice"))
    assert isinstance(ask, Ask)
    assert not player.actions


def below(ref: str) -> Reach:
    """What has to be scrolled to, whatever it is."""
    return Reach((140, 360), scrolled=True)


async def test_what_is_outside_the_screen_is_brought_onto_it_in_the_same_step() -> None:
    session = FakeSession(shown=[element("link", "Terms", 100, 2400, ref="f/1")], reached=below)
    player = Player('click "Terms"', session)
    decision = await player.next()
    assert decision.scrolled  # people are shown the screen as it is now
    assert decision.move == Act(Action("click", {"x": 140, "y": 360, "button": "left", "count": 1}, ref="f/1"))


async def test_a_choice_survives_the_scrolling_to_it() -> None:
    go = [element("link", "Go", 100, 100, ref="f/1"), element("link", "Go", 100, 2400, ref="f/2")]
    session = FakeSession(shown=go, reached=below)
    player = Player('click "Go"', session)
    await player.play()
    session.shown = [replace(one, y=one.y - 2000) for one in go]
    await player.play(answered("Go (link, at 140, 360) at 140, 360", "choice"))
    assert [(a.name, a.ref) for a in session.done] == [("click", "f/2")]


async def test_what_scrolling_does_not_reach_is_asked_about() -> None:
    session = FakeSession(
        shown=[element("link", "Terms", 100, -400, ref="f/1")],
        reached=lambda ref: Reach(None, "It has no place on the screen.", hidden=True),
    )
    ask = await Player('click "Terms"', session).play()
    assert isinstance(ask, Ask)
    assert ask.message == 'I cannot find "Terms" on the screen. It has no place on the screen.'
    assert not session.done


@pytest.mark.parametrize("y", [2400, 200])
async def test_scrolling_to_a_text_is_one_step(y: int) -> None:
    session = FakeSession(shown=[element("StaticText", "Terms", 100, y, ref="f/1")], reached=below)
    player = Player('scroll to "Terms"', session)
    assert await player.play() == Finish(True, "Done: 1 instruction.")
    assert [name for name, _ in player.actions] == ["screenshot"]


COVER = Reach(None, '"Accept all" (button) covers it.')
OUT = Reach(None, "It has no place on the screen.", hidden=True)


def saves(*places: Reach) -> FakeSession:
    """Buttons of one name; what the hit test says of each."""
    shown = [element("button", "Save", 100, 100 + 40 * n, ref=f"f/{n}") for n in range(len(places))]
    return FakeSession(shown=shown, reached=lambda ref: places[int(ref[2:])])


async def test_what_covers_a_target_is_named_and_not_pressed() -> None:
    session = saves(COVER)
    ask = await Player('click "Save"', session).play()
    assert isinstance(ask, Ask)
    assert ask.message == 'button "Save" is there, but it cannot be clicked. "Accept all" (button) covers it.'
    assert not session.done
    end = await Player('click "Save"', saves(COVER), may_ask=False).play()
    assert end == Finish(False, ask.message)


@pytest.mark.parametrize(
    ("task", "places", "pressed"),
    [
        ('click "Save"', (OUT, Reach((5, 6)), COVER), "f/1"),  # the only one that can be pressed
        ('click the first "Save"', (OUT, Reach((5, 6)), Reach((7, 8))), "f/1"),  # nobody sees the one before it
        ('click the last "Save"', (Reach((5, 6)), Reach((7, 8)), OUT), "f/1"),
        ('click the second "Save"', (COVER, Reach((5, 6)), Reach((7, 8))), "f/1"),  # what is covered is counted
        ('click the first "Save"', (COVER, Reach((5, 6))), None),
        ('click "Save"', (Reach((5, 6)), Reach((7, 8))), None),
        ('click the third "Save"', (Reach((5, 6)), OUT, Reach((7, 8))), None),
    ],
)
async def test_of_several_only_what_can_be_pressed_counts(
    task: str, places: tuple[Reach, ...], pressed: str | None
) -> None:
    session = saves(*places)
    end = await Player(task, session).play()
    assert [action.ref for action in session.done] == ([pressed] if pressed else [])
    assert isinstance(end, Finish if pressed else Ask)


async def test_a_cover_that_goes_away_is_waited_for() -> None:
    places = [COVER, COVER, Reach((5, 6))]
    session = FakeSession(
        shown=[element("button", "Save", ref="f/1")], reached=lambda ref: places.pop(0) if places[1:] else places[0]
    )
    player = Player('click "Save"', session, PlaybookAgent(Patience(poll=0.001, target=30)))
    assert await player.play() == Finish(True, "Done: 1 instruction.")


async def test_a_page_that_changed_under_the_action_is_looked_at_again_once() -> None:
    def react(session: FakeSession, action: Action) -> ActResult:
        return ActResult(False, "The page has changed.", {"stale": True})

    session = saves(Reach((5, 6)))
    session.react = react
    ask = await Player('click "Save"', session).play()
    assert isinstance(ask, Ask)
    assert len(session.done) == 2
    assert "The page has changed." in ask.message


async def test_a_box_says_which_state_it_must_have_afterwards() -> None:
    shown = [replace(one, ref=f"f/{n}") for n, one in enumerate(FORM)]
    session = FakeSession(shown=shown, reached=lambda ref: Reach((5, 6)))
    await Player('check "I agree" and uncheck "Newsletter" and check "Newsletter"', session).play()
    assert [(a.name, a.checked) for a in session.done] == [("click", True), ("click", False), ("screenshot", None)]


async def test_waiting_for_a_text_tells_how_long_it_took() -> None:
    player = Player('wait for "welcome  ALICE"', FakeSession(page="Hello!\nWelcome\nAlice"))
    assert isinstance(await player.play(), Finish)
    assert player.actions == [("wait", {"ms": 0})]
    assert 'Waited 0.0 s until "welcome ALICE" is visible.' in player.said[0]


async def test_waiting_in_vain_fails() -> None:
    end = await Player('wait for "Welcome" for up to 20 ms').play()
    assert end == Finish(False, 'Waited 0.02 s in vain for this: "Welcome" is visible.')


async def test_long_waits_are_several_steps() -> None:
    player = Player("wait 2.5 minutes")
    assert await player.play() == Finish(True, "Done: 1 instruction.")
    assert [p["ms"] for _, p in player.actions] == [60_000, 60_000, 30_000]


@pytest.mark.parametrize(
    ("check", "true"),
    [
        ('"Welcome" is visible', True),
        ('"Sign in" is visible', False),  # only the name of a control
        ('"caf\u00e9" is visible', True),  # however it is composed
        ('"invoice" is visible', True),  # marks that nobody sees
        ('"Goodbye" is visible', False),
        ('"Goodbye" is not visible', True),
        ('"Welcome" is not visible', False),
        ('the URL contains "/done"', True),
        ('the URL does not contain "/done"', False),
        ("the file a.txt exists", True),
        ('the file a.txt contains "hello"', True),
        ('the file a.txt contains "bye"', False),
        ('the file a.txt does not contain "bye"', True),
        ("the file b.txt exists", False),
        ("the file b.txt does not exist", True),
        ('the file b.txt does not contain "x"', False),
        ("port 8080 is listening", True),
        ("port 8081 is listening", False),
        ("port 8081 is not listening", True),
    ],
)
async def test_checks_are_made_on_the_live_machine_and_again_by_the_verifier(check: str, true: bool) -> None:
    session = FakeSession(
        shown=FORM,
        page="Welcome, Alice. Cafe\u0301 in\u00advoice",
        files={"a.txt": b"hello"},
        now=MachineState(url="http://a.test/done", ports=(8080,)),
    )
    player = Player(f"check that {check}", session, engine="v4")
    end = await player.play()
    assert isinstance(end, Finish)
    assert end.passed == true
    if not true:
        assert end.summary == f"Check failed: {check}."
        return
    assert player.actions == [("screenshot", {})]
    assert player.said[0].endswith(f"Checked: {check} — holds.")
    verdict = await player.agent.verify(player.context, session, end)
    assert (verdict.passed, verdict.verdict) == (True, "pass")
    changed = FakeSession(page="Welcome, Goodbye", files={"b.txt": b""}, now=MachineState(ports=(8081,)))
    if check != '"Welcome" is visible':
        verdict = await player.agent.verify(player.context, changed, end)
        assert (verdict.passed, verdict.verdict) == (False, "fail")
        assert check in verdict.summary


async def test_what_nobody_sees_is_no_box_and_no_field_of_a_check() -> None:
    shown = [
        replace(one, ref=f"f/{n}") for n, one in enumerate([*FORM, replace(FORM[3], y=400), replace(FORM[4], y=440)])
    ]
    session = FakeSession(shown=shown, reached=lambda ref: OUT if ref == "f/6" else Reach((5, 6)))
    assert await machine_conditions.holds(
        {"is": "box_unchecked", "label": "I agree"}, session
    )  # the other of the name is hidden
    for kind in ("box_checked", "box_unchecked"):
        assert not await machine_conditions.holds({"is": kind, "label": "Newsletter"}, session)  # two that differ
    session.shown = [
        element("textbox", "Mail", value="a@b", ref="f/0"),
        element("checkbox", "All", checked=True, ref="f/1"),
    ]
    assert await machine_conditions.holds({"is": "field_contains", "label": "Mail", "text": "@"}, session)
    session.reached = lambda ref: OUT
    for kind in ("field_contains", "field_lacks", "field_is", "field_empty", "box_checked", "box_unchecked"):
        label = "All" if kind.startswith("box") else "Mail"
        assert not await machine_conditions.holds({"is": kind, "label": label, "text": "a@b"}, session), kind


async def test_without_any_check_the_verdict_is_unknown() -> None:
    player = Player("press Enter", engine="v4")
    end = await player.play()
    assert isinstance(end, Finish)
    verdict = await player.agent.verify(player.context, player.session, end)
    assert (verdict.passed, verdict.verdict) == (False, "unknown")
    assert "leaves nothing that could be seen" in verdict.summary


async def test_a_failed_action_is_asked_about() -> None:
    def react(session: FakeSession, action: Action) -> ActResult:
        return ActResult(len(session.done) > 1, "The page did not answer.")

    player = Player("open a.test and press Enter", FakeSession(react=react))
    ask = await player.play()
    assert isinstance(ask, Ask)
    assert ask.message == "This did not work: open a.test. The reason: The page did not answer."
    assert await player.play(answered("Retry")) == Finish(True, "Done: 2 instructions.")
    assert [name for name, _ in player.actions] == ["open_url", "open_url", "key_press"]


async def test_a_denied_action_is_left_out() -> None:
    """The loop asks again after the decision of a person: the same action, which is then written down as skipped."""
    player = Player('press Enter, press Tab and type "x"')
    first = await player.next()
    player.context = replace(player.context, memory=first.memory, step_index=2, last=ActResult(True))
    proposed = await player.next()
    denial = Message("tool", "reject", {"reason": "not now"}, {"reason": "not now"})
    denied = await player.next(denial)
    assert denied.move == proposed.move == Act(Action("key_press", {"key": "tab"}))
    assert denied.text.startswith('Received: {"reason":"not now"}\n')
    player.context = replace(player.context, memory=denied.memory, step_index=3, last=ActResult(False, "not now"))
    assert await player.play() == Finish(True, "Done: 2 instructions. 1 of 3 skipped.", skipped=1)
    assert player.actions == [("type_text", {"text": "x"})]


async def test_a_denied_check_is_not_verified() -> None:
    player = Player('check that "x" is not visible')
    denied = await player.next(Message("tool", "reject", {}, {}))
    verdict = await player.agent.verify(replace(player.context, memory=denied.memory), player.session, Finish(True, ""))
    assert verdict.verdict == "unknown"


async def test_an_approved_action_is_decided_again_in_the_same_way() -> None:
    player = Player('click "Sign in" and press Enter', FakeSession(shown=FORM))
    proposed = await player.next()
    assert (await player.next(Message("tool", "approve", {}, {}))).move == proposed.move


@pytest.mark.parametrize("task", ["run `ls`", "create a file named a", "start the web server", "run the test suite"])
async def test_a_browser_is_no_terminal(task: str) -> None:
    assert await Player(task).play() == Finish(False, f"This needs a terminal machine: {task}")


async def test_the_same_context_gives_the_same_decision() -> None:
    player = Player('click "Approve"', FakeSession(shown=TABLE))
    first: Any = await player.next()
    assert first == await player.next()
    assert isinstance(first.move, Ask)
    assert not isinstance(first.move, Act)


async def test_what_a_dialog_hides_is_asked_about_with_the_dialog() -> None:
    session = FakeSession([element("button", "OK")], now=MachineState(dialog="Session over"))
    player = Player('press Enter, click "Go"', session)
    ask = await player.play()
    assert isinstance(ask, Ask)
    assert ask.message == 'I cannot find "Go" on the screen. A dialog is open: "Session over".'
