"""The sentences that find something on the screen and use it."""

from typing import Any

from machines.drivers.base import Action, Element
from runs.agents.base import Act
from runs.agents.playbook.scene import Reply, Scene, act, fail, look
from runs.agents.playbook.screen import grounding
from runs.agents.playbook.screen.grounding import Target
from runs.agents.playbook.screen.locating import chosen, located, named


async def open_url(scene: Scene) -> Reply:
    return act("open_url", {"url": scene.params["url"]}, f"Open {scene.params['url']}.")


async def click(scene: Scene) -> Reply:
    element = await located(scene)
    if isinstance(element, Reply):
        return element
    how = {"button": scene.params["button"], "count": scene.params["count"]}
    row = f' in the row "{grounding.short(scene.params["row"], 80)}"' if "row" in scene.params else ""
    return _click(element, f"Click {named(element)}{row}.", **how)


def _click(element: Element, text: str, button: str = "left", count: int = 1, *, checked: bool | None = None) -> Reply:
    """`checked`: the state in which a box has to be after it."""
    params = {**_at(element), "button": button, "count": count}
    return Reply(Act(Action("click", params, ref=element.ref, checked=checked if element.ref else None)), text)


async def fill(scene: Scene) -> Reply:
    return await _fill(scene, scene.params["text"])


async def clear(scene: Scene) -> Reply:
    return await _fill(scene, "")


async def _fill(scene: Scene, text: str) -> Reply:
    element = await located(scene, only="field")
    if isinstance(element, Reply):
        return element
    words = f"{'Fill' if text else 'Clear'} {named(element)}."
    return act("fill", {**_at(element), "text": text}, words, element.ref)


async def select_option(scene: Scene) -> Reply:
    element = await located(scene, only="list")
    if isinstance(element, Reply):
        return element
    option = scene.params["option"]
    words = f'Select "{option}" in {named(element)}.'
    return act("select_option", {**_at(element), "option": option}, words, element.ref)


async def upload(scene: Scene) -> Reply:
    """Into the field of this name, or through whatever of this name makes the page ask for a file."""
    element = await located(scene)
    if isinstance(element, Reply):
        return element
    file = scene.params["name"]
    return act("upload", {**_at(element), "file": file}, f'Upload "{file}" to {named(element)}.', element.ref)


async def hover(scene: Scene) -> Reply:
    element = await located(scene)
    if isinstance(element, Reply):
        return element
    return act("move", _at(element), f"Move the mouse over {named(element)}.", element.ref)


async def drag(scene: Scene) -> Reply:
    """Looking for one end may scroll the other away: both are looked for until they stay where they are."""
    ends: dict[str, int] = {}
    for _ in range(3):
        start = await chosen(scene, Target(scene.params["from"]))
        if isinstance(start, Reply):
            return start
        end = await chosen(scene, Target(scene.params["to"]))
        if isinstance(end, Reply):
            return end
        before, (x, y), (to_x, to_y) = ends, start.center, end.center
        ends = {"from_x": x, "from_y": y, "to_x": to_x, "to_y": to_y}
        if ends == before or not scene.looking.scrolled:
            return act("drag", ends, f"Drag {named(start)} to {named(end)}.")
    return fail(f'"{scene.params["from"]}" and "{scene.params["to"]}" do not stay on the screen together.')


async def go_back(scene: Scene) -> Reply:
    return act("go_back", {}, "Go back to the page before.")


async def reload(scene: Scene) -> Reply:
    return act("reload", {}, "Load the page again.")


async def check(scene: Scene) -> Reply:
    return await _switch(scene, on=True)


async def uncheck(scene: Scene) -> Reply:
    return await _switch(scene, on=False)


async def _switch(scene: Scene, on: bool) -> Reply:
    element = await located(scene, only="box")
    if isinstance(element, Reply):
        return element
    if bool(element.checked) == on:
        return look(f"{named(element)} is {'checked' if on else 'unchecked'} already.")
    return _click(element, f"{'Check' if on else 'Uncheck'} {named(element)}.", checked=on)


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
    element = await chosen(scene, Target(scene.params["label"]), covered=True)
    return element if isinstance(element, Reply) else look(f"{named(element)} is on the screen.")


def _at(element: Element) -> dict[str, Any]:
    x, y = element.center
    return {"x": x, "y": y}
