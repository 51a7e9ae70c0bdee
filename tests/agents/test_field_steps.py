"""The steps that fill, choose, upload, point and leave: each is one action about the element that its sentence names."""

from dataclasses import replace
from typing import Any

import pytest

from machines.actions.canonical import ActionError, Screen, canonical
from machines.drivers.base import MachineState, Reach
from runs.agents.base import Act, Finish
from runs.agents.playbook import agent
from runs.agents.playbook.language.plan import Instruction
from runs.agents.playbook.scene import Reply, Scene
from tests.agents.machines import HASTY, FakeSession, Player, context, element

SHOWN = [
    element("textbox", "Note", 200, 100, ref="F/1"),
    element("Date", "Birthday", 200, 140, ref="F/2"),
    element("popupbutton", "Size", 200, 180, value="Any", ref="F/3"),
    element("button", "Upload", 200, 220, ref="F/4"),
    element("listitem", "Card A", 200, 260, ref="F/5"),
    element("listitem", "Card B", 500, 260, ref="F/6"),
    element("label", "Birthday", 100, 140),
]
STEPS = [
    ("fill", {"label": "Birthday", "text": "1990-04-12"}, "fill", {"x": 240, "y": 150, "text": "1990-04-12"}, "F/2"),
    ("clear", {"label": "Note"}, "fill", {"x": 240, "y": 110, "text": ""}, "F/1"),
    (
        "select_option",
        {"label": "Size", "option": "Large"},
        "select_option",
        {"x": 240, "y": 190, "option": "Large"},
        "F/3",
    ),
    ("upload", {"label": "Upload", "name": "cv.pdf"}, "upload", {"x": 240, "y": 230, "file": "cv.pdf"}, "F/4"),
    ("hover", {"label": "Upload"}, "move", {"x": 240, "y": 230}, "F/4"),
    (
        "drag",
        {"from": "Card A", "to": "Card B"},
        "drag",
        {"from_x": 240, "from_y": 270, "to_x": 540, "to_y": 270},
        None,
    ),
    ("go_back", {}, "go_back", {}, None),
    ("reload", {}, "reload", {}, None),
]


async def reply_to(session: FakeSession, action: str, params: dict[str, Any]) -> Reply:
    scene = Scene(Instruction(action, 1, action, params), context("x", step_index=2), session, HASTY, {})
    return await agent._STEPS[action](scene)


@pytest.mark.parametrize(("action", "params", "name", "done", "ref"), STEPS)
async def test_each_step_is_one_action_about_its_element(
    action: str, params: dict[str, Any], name: str, done: dict[str, Any], ref: str | None
) -> None:
    reply = await reply_to(FakeSession(shown=SHOWN), action, params)
    assert isinstance(reply.move, Act)
    made = reply.move.action
    assert (made.name, made.params, made.ref, reply.done) == (name, done, ref, True)
    assert canonical(name, made.params, Screen(1280, 720), "browser") == (name, made.params)


@pytest.mark.parametrize("name", ["upload", "go_back", "reload"])
def test_what_only_browsers_do_is_refused_elsewhere(name: str) -> None:
    params = {"x": 1, "y": 1, "file": "a"} if name == "upload" else {}
    assert canonical(name, params, Screen(1280, 720), "browser") == (name, params)
    with pytest.raises(ActionError, match="Unknown command"):
        canonical(name, params, Screen(1280, 720), "terminal")
    if name == "upload":
        with pytest.raises(ActionError, match="file: Must not be empty"):
            canonical(name, {**params, "file": " "}, Screen(1280, 720), "browser")


async def test_what_is_dragged_has_to_stay_on_the_screen_with_its_goal() -> None:
    session = FakeSession(shown=SHOWN)
    looks = iter(range(100, 900, 7))

    async def reach(ref: str) -> Reach:
        return Reach((300, next(looks)), scrolled=True)

    session.reach = reach  # type: ignore[method-assign]
    reply = await reply_to(session, "drag", {"from": "Card A", "to": "Card B"})
    assert isinstance(reply.move, Finish)
    assert "do not stay on the screen together" in reply.move.summary


async def test_a_dialog_that_was_left_open_is_closed_first_and_only_at_the_beginning() -> None:
    session = FakeSession(shown=[element("button", "OK")], now=MachineState(dialog="Sure?"))
    player = Player('click "Card A" and click "Card B"', session)
    first = await player.next()
    assert isinstance(first.move, Act)
    assert (first.move.action.name, first.move.action.params) == ("key_press", {"key": "escape"})
    assert 'A dialog was left open and is dismissed: "Sure?".' in first.text
    player.context = replace(player.context, memory=first.memory, step_index=2)
    session.shown, session.now = SHOWN, MachineState()
    assert await player.play() == Finish(True, "Done: 2 instructions.")
    session.shown, session.now = [element("button", "OK")], MachineState(dialog="Sure?")
    assert not isinstance((await Player('click "Card A"', session, step_index=2).next()).move, Act)
    assert (await Player('click "OK"', session).next()).text.endswith('Click button "OK".')
