"""Engine v4: what an instruction leaves behind is looked at again at the end (docs/api/runs.md section 9)."""

from dataclasses import replace
from typing import Any

import pytest

from machines.drivers.base import Action, ActResult, MachineState
from runs.agents.base import Ask, Finish, Message, Verdict
from runs.agents.playbook.checks import leaving
from tests.agents.machines import FakeSession, Player, element

PAGE = MachineState(url="http://a.test/form")


async def verified(player: Player, *messages: Message) -> tuple[Finish, Verdict]:
    end = await player.play(*messages)
    assert isinstance(end, Finish), end
    return end, await player.agent.verify(player.context, player.session, end)


def form(**values: Any) -> FakeSession:
    shown = [element("textbox", name, 100, 100 + 40 * n, value=value) for n, (name, value) in enumerate(values.items())]
    return FakeSession(
        [*shown, element("checkbox", "Agree", 100, 400, checked=False), element("button", "Send", 100, 500)], now=PAGE
    )


def obeys(session: FakeSession, action: Action) -> ActResult | None:
    """A page whose fields hold what is put in, and whose box changes when it is clicked."""
    at = (action.params.get("x"), action.params.get("y"))
    for n, each in enumerate(session.shown):
        if each.center == at and action.name in ("fill", "select_option"):
            session.shown[n] = replace(each, value=action.params.get("text", action.params.get("option")))
        elif each.center == at and each.checked is not None:
            session.shown[n] = replace(each, checked=not each.checked)
    return None


async def test_a_file_is_there_with_its_text_or_the_run_has_not_passed() -> None:
    for content, passed in ((b"hello", True), (b"hullo", False), (None, False)):
        session = FakeSession()

        def react(session: FakeSession, action: Action) -> ActResult | None:
            session.files["n.txt"] = b"hello"
            return ActResult(True, data={"finished": True, "exit_code": 0})

        session.react = react
        task = 'create a file named n.txt with the text "hello", ask for approval and stop'
        player = Player(task, session, machine_kind="terminal", engine="v4")
        assert isinstance(await player.play(), Ask)
        session.files = {} if content is None else {"n.txt": content}
        _, verdict = await verified(player, Message("approval", "approve", {}, {}))
        assert (verdict.passed, verdict.verdict) == (passed, "pass" if passed else "fail")


async def test_a_file_that_a_later_command_is_about_is_not_missed() -> None:
    session = FakeSession()
    session.react = lambda session, action: (
        session.files.update({"n.txt": b""})
        or ActResult(  # type: ignore[func-returns-value]
            True, data={"finished": True, "exit_code": 0}
        )
    )
    task = "create a file named n.txt, run `rm n.txt`, ask for approval"
    player = Player(task, session, machine_kind="terminal", engine="v4")
    await player.play()
    session.files = {}
    _, verdict = await verified(player, Message("approval", "approve", {}, {}))
    assert (verdict.passed, verdict.verdict) == (True, "pass")
    assert "rm n.txt ended with exit code 0" in verdict.summary


@pytest.mark.parametrize(
    ("after", "passed"), [("Ada", True), ("ADA ", True), ("Bob", False), ("", False), (None, False)]
)
async def test_a_field_holds_what_was_put_in(after: str | None, passed: bool) -> None:
    session = form(Name="")
    session.react = obeys
    player = Player('fill "Name" with "Ada", ask for approval', session, engine="v4")
    await player.play()
    session.shown[0] = element("textbox", "Name", 100, 100, value=after)
    _, verdict = await verified(player, Message("approval", "approve", {}, {}))
    assert verdict.passed is passed, verdict


async def test_a_page_that_was_left_says_nothing_of_its_fields() -> None:
    session = form(Name="")
    session.react = obeys
    player = Player('fill "Name" with "Ada", ask for approval', session, engine="v4")
    await player.play()
    session.shown, session.now = [], MachineState(url="http://a.test/sent")
    _, verdict = await verified(player, Message("approval", "approve", {}, {}))
    assert (verdict.passed, verdict.verdict) == (False, "unknown")
    assert "nothing that could be seen" in verdict.summary


async def test_a_field_that_was_sent_off_is_empty_and_no_failure() -> None:
    session = form(Message="")

    def react(session: FakeSession, action: Action) -> ActResult | None:
        if action.name == "key_press":
            session.shown[0] = element("textbox", "Message", 100, 100, value="")
        return obeys(session, action)

    session.react = react
    task = 'open http://a.test/form, type "hi" into "Message", press Enter'
    _, verdict = await verified(Player(task, session, engine="v4"))
    assert (verdict.passed, verdict.verdict) == (True, "pass")


async def test_a_box_that_changes_back_is_noticed() -> None:
    session = form()
    session.react = obeys
    player = Player('check "Agree", ask for approval', session, engine="v4")
    await player.play()
    session.shown[0] = element("checkbox", "Agree", 100, 400, checked=False)
    _, verdict = await verified(player, Message("approval", "approve", {}, {}))
    assert (verdict.passed, verdict.verdict) == (False, "fail")
    assert '"Agree" is checked' in verdict.summary


@pytest.mark.parametrize("task", ['click "Send"', "press Enter", "scroll down", "wait 1 ms", "stop"])
async def test_what_leaves_nothing_is_unknown_and_says_so(task: str) -> None:
    session = form()
    end, verdict = await verified(Player(task, session, engine="v4"))
    assert end.passed
    assert (verdict.passed, verdict.verdict) == (False, "unknown")
    assert "leaves nothing that could be seen" in verdict.summary


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ('"Agree" is checked', False),
        ('"Agree" is not checked', True),
        ('the "Name" field contains "ada"', True),
        ('the "Name" field is "Ada L"', True),
        ('the "Name" field does not contain "Bob"', True),
        ('the "Name" field is empty', False),
        ('the "Other" field is empty', True),
        ('the "Nowhere" field is empty', False),
        ('the "Nowhere" field does not contain "x"', False),
    ],
)
async def test_fields_and_boxes_can_be_checked(condition: str, holds: bool) -> None:
    player = Player(f"check that {condition}", form(Name="Ada L", Other=""))
    end = await player.play()
    assert isinstance(end, Finish)
    assert end.passed is holds, end


async def test_what_a_person_edited_is_what_has_to_be_left() -> None:
    session = form(Name="")
    session.react = obeys
    player = Player('fill "Name" with "Ada"', session, engine="v4")
    edit = {"edited_action": {"name": "fill", "params": {"x": 140, "y": 110, "text": "Eve"}}}
    decision = await player.next(Message("tool", "approve", edit, edit))
    player.context = replace(player.context, memory=decision.memory, last=ActResult(True))
    for held, passed in (("Eve", True), ("Ada", False)):
        session.shown[0] = element("textbox", "Name", 100, 100, value=held)
        _, verdict = await verified(player)
        assert verdict.passed is passed, verdict
    assert leaving.edited({"is": "file_is", "name": "a", "text": "5"}, {"command": "true"}) == {
        "is": "ended_well", "command": "true"}  # fmt: skip
    assert leaving.edited({"is": "box_checked", "label": "A"}, {"x": 1, "y": 2}) is None
    assert leaving.edited({"is": "reached", "url": "a"}, {"url": "b"}) == {"is": "reached", "url": "b"}
