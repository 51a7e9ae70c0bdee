"""The sentences that find something on the screen and use it."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from machines.drivers.base import Element
from runs.agents.playbook import grounding, people
from runs.agents.playbook.grounding import Target
from runs.agents.playbook.scene import Reply, Scene, act, look, stuck

MOST_CANDIDATES = 10
PIXELS_PER_NOTCH = 100  # of the wheel
MOST_SCROLLS = 5  # to bring one target onto the screen


async def open_url(scene: Scene) -> Reply:
    return act("open_url", {"url": scene.params["url"]}, f"Open {scene.params['url']}.")


async def click(scene: Scene) -> Reply:
    found = await _located(scene)
    if isinstance(found, Reply):
        return found
    how = {"button": scene.params["button"], "count": scene.params["count"]}
    row = f' in the row "{grounding.short(scene.params["row"], 80)}"' if "row" in scene.params else ""
    return act("click", {**_at(found), **how}, f"Click {_named(found)}{row}.")


async def fill(scene: Scene) -> Reply:
    found = await _located(scene, only="field")
    if isinstance(found, Reply):
        return found
    return act("fill", {**_at(found), "text": scene.params["text"]}, f"Fill {_named(found)}.")


async def select_option(scene: Scene) -> Reply:
    found = await _located(scene, only="list")
    if isinstance(found, Reply):
        return found
    option = scene.params["option"]
    return act("select_option", {**_at(found), "option": option}, f'Select "{option}" in {_named(found)}.')


async def check(scene: Scene) -> Reply:
    return await _switch(scene, on=True)


async def uncheck(scene: Scene) -> Reply:
    return await _switch(scene, on=False)


async def _switch(scene: Scene, on: bool) -> Reply:
    found = await _located(scene, only="box")
    if isinstance(found, Reply):
        return found
    if bool(found.checked) == on:
        return look(f"{_named(found)} is {'checked' if on else 'unchecked'} already.")
    text = f"{'Check' if on else 'Uncheck'} {_named(found)}."
    return act("click", {**_at(found), "button": "left", "count": 1}, text)


async def type_text(scene: Scene) -> Reply:
    return act("type_text", {"text": scene.params["text"]}, "Type the text.")


async def press(scene: Scene) -> Reply:
    keys = scene.params["keys"]
    text = f"Press {'+'.join(keys)}."
    if len(keys) == 1:
        return act("key_press", {"key": keys[0]}, text)
    return act("key_combo", {"keys": keys}, text)


async def scroll(scene: Scene) -> Reply:
    middle = {"x": scene.context.width // 2, "y": scene.context.height // 2}
    return act("scroll", {**middle, **scene.params}, f"Scroll {scene.params['direction']}.")


async def scroll_to(scene: Scene) -> Reply:
    found = await _chosen(scene, Target(scene.params["label"]))
    if isinstance(found, Reply):
        return found
    if _on_screen(scene, found):
        return look(f"{_named(found)} is on the screen.")
    return _scroll_towards(scene, found)


async def _located(scene: Scene, only: str | None = None) -> Element | Reply:
    """The element that the instruction names, on the screen; else the move that has to come before it."""
    given = {key: scene.params.get(key) for key in ("role", "row", "ordinal")}
    found = await _chosen(scene, Target(scene.params["label"], only=only, **given))
    if isinstance(found, Reply) or _on_screen(scene, found):
        return found
    scrolled: int = scene.here.get("scrolled", 0)
    if scrolled >= MOST_SCROLLS:
        return _trouble(scene, f"{_named(found)} is outside the screen and scrolling does not reach it.")
    towards = _scroll_towards(scene, found)
    return replace(towards, done=False, here={"scrolled": scrolled + 1})


async def _chosen(scene: Scene, target: Target) -> Element | Reply:
    """The one element that fits, or the one that a person picked; else a question."""
    elements, found = await _look_for(scene, target)
    if len(found) == 1:
        return found[0]
    candidates = found or grounding.similar(elements, target)
    choices = grounding.labelled(candidates, elements)
    picked: str | None = scene.here.get("picked")
    offered: list[str] = scene.here.get("choices", [])
    if picked in choices:
        return choices[picked]
    if picked in offered and "scrolled" in scene.here and len(offered) == len(candidates):
        return candidates[offered.index(picked)]  # our own scrolling moved it: its place changed, its turn did not
    if found:
        return _ambiguous(scene, target, list(choices))
    return _missing(scene, target, list(choices), disabled=bool(grounding.best(elements, target)))


async def _look_for(scene: Scene, target: Target) -> tuple[Sequence[Element], list[Element]]:
    deadline = time.monotonic() + (0 if "picked" in scene.here else scene.patience.target)
    while True:
        elements = await scene.session.elements()
        found = grounding.find(elements, target)
        if found or time.monotonic() >= deadline:
            return elements, found
        await asyncio.sleep(scene.patience.poll)


def _ambiguous(scene: Scene, target: Target, choices: list[str]) -> Reply:
    shown = choices[:MOST_CANDIDATES]
    more = f" The first {len(shown)} are offered." if len(choices) > len(shown) else ""
    message = f"{len(choices)} things fit {_wanted(target)} equally well.{more} Which one is meant?"
    asked = stuck(scene, "choice", message, [*shown, people.SKIP, people.TAKE_OVER, people.STOP])
    return replace(asked, here={"choices": choices})


def _missing(scene: Scene, target: Target, choices: list[str], *, disabled: bool) -> Reply:
    shown = choices[:MOST_CANDIDATES]
    message = f"{_wanted(target)} is disabled." if disabled else f"I cannot find {_wanted(target)} on the screen."
    asked = _trouble(scene, f"{message} Is one of these meant?" if shown else message, shown)
    return replace(asked, here={"choices": choices}) if shown else asked


def _trouble(scene: Scene, message: str, choices: Sequence[str] = ()) -> Reply:
    return stuck(scene, "target", message, [*choices, people.RETRY, people.SKIP, people.TAKE_OVER, people.STOP])


def _wanted(target: Target) -> str:
    """The target in words: 'the second link "Delete" in the row "X"'."""
    number = {None: "", -1: "last "}.get(target.ordinal, f"number {target.ordinal} ")
    noun = target.role or target.only or ""
    name = f'"{grounding.short(target.label, 100)}"'
    row = f' in the row "{grounding.short(target.row, 100)}"' if target.row else ""
    return f"the {number}{noun} {name}{row}".replace("  ", " ") if number or noun else f"{name}{row}"


def _named(element: Element) -> str:
    return f'{element.role} "{grounding.short(element.name or element.value or "", 80)}"'


def _at(element: Element) -> dict[str, Any]:
    x, y = element.center
    return {"x": x, "y": y}


def _on_screen(scene: Scene, element: Element) -> bool:
    x, y = element.center
    return 0 <= x < scene.context.width and 0 <= y < scene.context.height


def _scroll_towards(scene: Scene, element: Element) -> Reply:
    """One turn of the wheel that brings the element to the middle of the screen."""
    (x, y), width, height = element.center, scene.context.width, scene.context.height
    off, direction = (y - height // 2, "down") if not 0 <= y < height else (x - width // 2, "right")
    if off < 0:
        direction = {"down": "up", "right": "left"}[direction]
    at: dict[str, Any] = {"x": min(max(x, 0), width - 1), "y": height // 2}
    amount = min(max(round(abs(off) / PIXELS_PER_NOTCH), 1), 100)
    return act("scroll", {**at, "direction": direction, "amount": amount}, f"Scroll {direction} to {_named(element)}.")
