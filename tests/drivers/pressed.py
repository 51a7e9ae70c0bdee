"""Pages that keep a record of their own of what was pressed on them, and how tests read it."""

from typing import Any

from machines.drivers.base import Action, ActResult, Element
from tests.drivers.conftest import Machine, Site

# Listeners of the document: what our guard stops does not come this far. Frames tell the topmost page.
RECORD = """<script>
window.hits = [];
const say = (word) => (top === window ? hits.push(word) : top.postMessage({ word }, '*'));
addEventListener('message', (event) => event.data.word && hits.push(event.data.word));
const nameOf = (event) => event.composedPath()[0].id || event.composedPath()[0].localName || 'document';
document.addEventListener('click', (event) => event.isTrusted && say(nameOf(event)), true);
document.addEventListener('mousedown', (event) => say('down:' + nameOf(event)), true);
</script>"""


def html(body: str, style: str = "margin: 20px") -> str:
    return f'<!doctype html><meta charset=utf-8>{RECORD}<body style="{style}">{body}'


async def show(machine: Machine, site: Site, body: str, path: str = "/", **frames: str) -> None:
    """Open a page; `frames` are further pages by name, at /NAME."""
    for name, inner in frames.items():
        site.page(html(inner, "margin: 10px"), f"/{name}")
    result = await machine.do("open_url", url=site.page(html(body), path))
    assert result.success, result.error


async def run(machine: Machine, expression: str) -> Any:
    """The value of an expression in the page's own world."""
    params = {"expression": expression, "returnByValue": True, "awaitPromise": True}
    return (await machine.session.send("Runtime.evaluate", params))["result"].get("value")  # type: ignore[attr-defined]


async def pressed(machine: Machine) -> list[str]:
    """What the page says was pressed since the last time, message of frames included."""
    later = "new Promise((done) => setTimeout(() => done(hits.splice(0)), 50))"
    return [word for word in await run(machine, later) if not word.startswith("down:")]


async def element(machine: Machine, name: str, role: str | None = None) -> Element | None:
    """The only element of that name."""
    shown = [one for one in await machine.session.elements() if one.name == name and role in (None, one.role)]
    assert len(shown) < 2, shown
    return shown[0] if shown else None


async def click(machine: Machine, target: Element, **more: Any) -> ActResult:
    """As the playbook does it: reach, then press by ref."""
    reach = await machine.session.reach(target.ref or "")
    assert reach is not None
    if reach.point is None:
        return ActResult(False, reach.problem, {"unreached": True, "hidden": reach.hidden})
    x, y = reach.point
    params = {"x": x, "y": y, "button": "left", "count": 1}
    return await machine.session.act(Action("click", params, 10_000, target.ref, **more))
