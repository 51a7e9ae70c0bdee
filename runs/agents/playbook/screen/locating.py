"""The one thing on the screen that a sentence means, where it can be pressed; else a question to a person.

Names find the candidates; of those that fit best only what a person could see and press counts. So a menu that waits
outside the window does not make a name ambiguous, and what is covered is not pressed through its cover.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from machines.drivers.base import Element, Reach
from runs.agents.playbook import person_questions
from runs.agents.playbook.scene import Reply, Scene, act, stuck
from runs.agents.playbook.screen import grounding
from runs.agents.playbook.screen.grounding import Target

MOST_CANDIDATES = 10  # that a person is offered
MOST_TESTED = 60  # of one name; more than that are many anyway


@dataclass
class Sight:
    """One look at the screen: everything on it, and of the things that fit which can be pressed, with its point."""

    elements: Sequence[Element]
    pressable: list[Element] = field(default_factory=list)
    problems: list[tuple[Element, Reach]] = field(
        default_factory=list
    )  # what is seen and cannot be pressed, then hidden

    @property
    def covered(self) -> list[tuple[Element, Reach]]:
        return [(element, reach) for element, reach in self.problems if not reach.hidden]


async def located(scene: Scene, only: str | None = None) -> Element | Reply:
    """The element that the instruction names, its centre where it can be pressed; else a question."""
    named = {key: scene.params.get(key) for key in ("role", "row", "ordinal")}
    return await chosen(scene, Target(scene.params["label"], only=only, **named))


async def chosen(scene: Scene, target: Target, *, covered: bool = False) -> Element | Reply:
    """The one element that fits, or the one that a person picked. `covered`: it need not be pressable or enabled,
    only there."""
    sight = await _look_for(scene, target, covered=covered)
    if len(sight.pressable) == 1:
        return sight.pressable[0]
    if left := await _left_dialog(scene, sight):
        return left
    candidates = sight.pressable or ([] if sight.covered else _similar(sight, target))
    choices = grounding.labelled(candidates, sight.elements)
    picked = _picked(scene, choices, sight.elements)
    if picked is not None:
        return await _pressable(scene, target, picked)
    if sight.pressable:
        return _ambiguous(scene, target, choices)
    if sight.covered:
        element, reach = sight.covered[0]
        return _trouble(scene, f"{named(element)} is there, but it cannot be clicked. {reach.problem}")
    return _missing(scene, target, choices, sight, (await scene.session.state()).dialog)


async def _left_dialog(scene: Scene, sight: Sight) -> Reply | None:
    """Close a dialog that stands open as the run begins and is not what its first instruction is about."""
    if scene.context.step_index > 1 or sight.pressable or not (dialog := (await scene.session.state()).dialog):
        return None
    words = f'A dialog was left open and is dismissed: "{grounding.short(dialog, 500)}".'
    return replace(act("key_press", {"key": "escape"}, words), done=False)


def _similar(sight: Sight, target: Target) -> list[Element]:
    refused = [element for element, _ in sight.problems]
    return [element for element in grounding.similar(sight.elements, target) if element not in refused]


def _picked(scene: Scene, choices: dict[str, Element], elements: Sequence[Element]) -> Element | None:
    """What a person chose: by its ref, as its place may have changed since; else by its label."""
    label: str | None = scene.here.get("picked")
    offered: dict[str, str | None] = scene.here.get("choices") or {}
    ref = offered.get(label or "")
    same = [e for e in elements if ref and e.ref == ref and (e.name or e.value or "")]
    return same[0] if same else choices.get(label or "")


async def _pressable(scene: Scene, target: Target, element: Element) -> Element | Reply:
    reach = await _reach(scene, element)
    if reach.point is None:
        return _trouble(scene, f"{_in_words(target)} cannot be clicked. {reach.problem}")
    return _at(element, reach.point)


async def _look_for(scene: Scene, target: Target, *, covered: bool) -> Sight:
    """Look until something fits that can be pressed; what is covered or missing may come late."""
    deadline = time.monotonic() + (0 if "picked" in scene.here else scene.patience.target)
    while True:
        sight = await _sight(scene, target, covered=covered)
        if covered and not sight.pressable:
            sight.pressable = [element for element, _ in sight.covered]
        if sight.pressable or time.monotonic() >= deadline:
            return sight
        await asyncio.sleep(scene.patience.poll)


async def _sight(scene: Scene, target: Target, *, covered: bool) -> Sight:
    sight = Sight(await scene.session.elements())
    fitting = grounding.best(sight.elements, replace(target, ordinal=None))
    if target.ordinal is None:
        fitting = [element for element in fitting if covered or not element.disabled]
        if len(fitting) > MOST_TESTED:
            sight.pressable = fitting
            return sight
        for element in fitting:
            _sort(sight, element, await _reach(scene, element))
        return sight
    return await _counted(scene, sight, fitting, target.ordinal, covered=covered)


async def _counted(scene: Scene, sight: Sight, fitting: list[Element], ordinal: int, *, covered: bool) -> Sight:
    """Count as people do: what nobody sees is no first or second, what is covered or disabled is."""
    left = abs(ordinal)
    for element in fitting[::-1] if ordinal < 0 else fitting:
        reach = await _reach(scene, element)
        left -= not reach.hidden
        if left == 0 and (covered or not element.disabled):
            _sort(sight, element, reach)
        if left == 0:
            break
    return sight


def _sort(sight: Sight, element: Element, reach: Reach) -> None:
    if reach.point is not None:
        sight.pressable.append(_at(element, reach.point))
    else:
        sight.problems.append((element, reach))


async def _reach(scene: Scene, element: Element) -> Reach:
    """Where the element can be pressed. A kind of machine that cannot test it is believed about what it shows."""
    reach = await scene.session.reach(element.ref) if element.ref else None
    if reach is None:
        (x, y), context = element.center, scene.context
        on_screen = 0 <= x < context.width and 0 <= y < context.height
        return Reach((x, y)) if on_screen else Reach(None, "It is outside the screen.", hidden=True)
    scene.looking.scrolled = scene.looking.scrolled or reach.scrolled
    return reach


def _at(element: Element, point: tuple[int, int]) -> Element:
    """The element with this point as its centre."""
    return replace(element, x=point[0] - element.width // 2, y=point[1] - element.height // 2)


# Questions


def _ambiguous(scene: Scene, target: Target, choices: dict[str, Element]) -> Reply:
    shown = list(choices)[:MOST_CANDIDATES]
    more = f" The first {len(shown)} are offered." if len(choices) > len(shown) else ""
    message = f"{len(choices)} things fit {_in_words(target)} equally well.{more} Which one is meant?"
    question = stuck(
        scene, "choice", message, [*shown, person_questions.SKIP, person_questions.TAKE_OVER, person_questions.STOP]
    )
    return replace(question, here=_offer(choices))


def _missing(scene: Scene, target: Target, choices: dict[str, Element], sight: Sight, dialog: str | None) -> Reply:
    shown = list(choices)[:MOST_CANDIDATES]
    if any(element.disabled for element in grounding.best(sight.elements, target)):
        message = f"{_in_words(target)} is disabled."
    else:
        reason = f" {sight.problems[0][1].problem}" if sight.problems else ""
        opened = f' A dialog is open: "{grounding.short(dialog, 300)}".' if dialog else ""
        message = f"I cannot find {_in_words(target)} on the screen.{reason}{opened}"
    question = _trouble(scene, f"{message} Is one of these meant?" if shown else message, shown)
    return replace(question, here=_offer(choices)) if shown else question


def _offer(choices: dict[str, Element]) -> dict[str, dict[str, str | None]]:
    return {"choices": {label: element.ref for label, element in choices.items()}}


def _trouble(scene: Scene, message: str, choices: Sequence[str] = ()) -> Reply:
    return stuck(
        scene,
        "target",
        message,
        [*choices, person_questions.RETRY, person_questions.SKIP, person_questions.TAKE_OVER, person_questions.STOP],
    )


def _in_words(target: Target) -> str:
    """The target in words: 'the second link "Delete" in the row "X"'."""
    number = {None: "", -1: "last "}.get(target.ordinal, f"number {target.ordinal} ")
    noun = target.role or target.only or ""
    name = f'"{grounding.short(target.label, 100)}"'
    if not target.label:
        name = ""
    row = f' in the row "{grounding.short(target.row, 100)}"' if target.row else ""
    return f"the {number}{noun} {name}{row}".replace("  ", " ") if number or noun else f"{name}{row}"


def named(element: Element) -> str:
    return f'{element.role} "{grounding.short(element.name or element.value or "", 80)}"'
