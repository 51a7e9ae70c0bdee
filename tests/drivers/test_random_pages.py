"""Pages made by chance, with things over, in and around each other: a click says what received it, or it has failed."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machines.drivers.base import Action, ActResult, Element
from tests.chance import PAGES, SOME_TRIED
from tests.drivers.conftest import Machine, Site
from tests.drivers.pressed import run
from tests.drivers.test_reach import EITHER, start

pytestmark = pytest.mark.browser

# Each frame notes what arrives at its document, closed roots correct it to what is inside them, and the topmost page
# collects the notes. Things have numbers, "data-n"; a note is [type, number of the nearest thing, tag of the receiver].
NOTES = """<script>
window.notes = [];
const deepest = (path) => {
  const thing = path.find((e) => e.dataset && e.dataset.n);
  return [thing ? Number(thing.dataset.n) : null, path[0].localName || 'document'];
};
const local = [];
const note = (event) => {
  if (!event.isTrusted) return;
  local.push([event.type, ...deepest(event.composedPath())]);
  setTimeout(() => { const all = local.splice(0); if (all.length) top.postMessage({ all }, '*'); }, 0);
};
for (const type of ['pointerdown', 'mousedown', 'click']) document.addEventListener(type, note, true);
addEventListener('message', (event) => { if (event.data.all) notes.push(...event.data.all); });
const inside = (root) => {
  for (const type of ['pointerdown', 'mousedown', 'click']) root.addEventListener(type, (event) => {
    if (event.isTrusted && local.length) local[local.length - 1] = [event.type, ...deepest(event.composedPath())];
  }, true);
};
</script>"""
Tree = dict[str, Any]

sizes = st.integers(20, 260)
places = st.tuples(st.integers(-40, 900), st.integers(-40, 700))
transforms = st.sampled_from(
    [
        "none",
        "none",
        "scale(.5)",
        "scale(1.4)",
        "rotate(20deg)",
        "translate(30px, 40px)",
        "skewX(15deg)",
        "translateX(-2000px)",
    ]
)
positions = st.sampled_from(["static", "static", "absolute", "fixed", "relative"])
things = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["button", "link", "text", "box", "drawn box", "nested", "springs"]),
        "position": positions, "at": places, "width": sizes, "height": st.integers(12, 90), "transform": transforms,
        "faded": st.sampled_from([1, 1, 1, 1, 0.5, 0]), "pointer": st.sampled_from(["auto", "auto", "auto", "none"]),
    }
)  # fmt: skip
covers = st.fixed_dictionaries(
    {
        "kind": st.just("cover"), "position": st.sampled_from(["absolute", "fixed"]), "at": places, "width": sizes,
        "height": sizes, "transform": transforms, "faded": st.sampled_from([1, 0.5, 0]),
        "pointer": st.sampled_from(["auto", "auto", "none"]),
    }
)  # fmt: skip


def around(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    return st.fixed_dictionaries(
        {
            "kind": st.sampled_from(
                ["scroller", "clip", "open root", "closed root", "frame", "other site", "plain", "spacer"]
            ),
            "position": positions, "at": places, "width": st.integers(80, 500), "height": st.integers(40, 300),
            "transform": transforms, "faded": st.sampled_from([1, 1, 1, 0.5]), "pointer": st.just("auto"),
            "children": st.lists(inner, min_size=1, max_size=4),
        }
    )  # fmt: skip


pages = st.lists(st.recursive(things | covers, around, max_leaves=8), min_size=1, max_size=6)
points = st.lists(st.tuples(st.integers(0, 1279), st.integers(0, 719)), min_size=1, max_size=2)


class Drawn:
    """A page as HTML, with the pages of its frames."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.frames: dict[str, str] = {}
        self.count = 0

    def page(self, trees: list[Tree]) -> str:
        body = "".join(map(self.thing, trees))
        return f"<!doctype html><meta charset=utf-8>{NOTES}<body>{body}</body>"

    def thing(self, tree: Tree) -> str:
        self.count += 1
        x, y = tree["at"]
        style = (
            f"position:{tree['position']};left:{x}px;top:{y}px;width:{tree['width']}px;height:{tree['height']}px;"
            f"transform:{tree['transform']};opacity:{tree['faded']};pointer-events:{tree['pointer']};"
        )
        draw = getattr(self, f"_{tree['kind'].replace(' ', '_')}")
        return str(draw(tree, self.count, style))

    def _inner(self, tree: Tree) -> str:
        return "".join(map(self.thing, tree["children"]))

    def _button(self, tree: Tree, n: int, style: str) -> str:
        return f'<button data-n={n} style="{style}">Thing {n}</button>'

    def _link(self, tree: Tree, n: int, style: str) -> str:
        return f'<a data-n={n} href="#{n}" style="display:inline-block;{style}">Thing <b>{n}</b></a>'

    def _text(self, tree: Tree, n: int, style: str) -> str:
        return f'<p data-n={n} style="{style}">Thing {n}</p>'

    def _box(self, tree: Tree, n: int, style: str) -> str:
        return f'<label style="{style}"><input type=checkbox data-n={n}>Thing {n}</label>'

    def _drawn_box(self, tree: Tree, n: int, style: str) -> str:
        hidden = ["display:none", "position:absolute;left:-9999px", "opacity:0;width:0;height:0"][n % 3]
        return f'<label style="display:inline-block;{style}"><input type=checkbox data-n={n} style="{hidden}">Thing {n}</label>'

    def _nested(self, tree: Tree, n: int, style: str) -> str:
        self.count += 1
        inner = f'<button data-n={self.count} style="width:60%;height:60%">Thing {self.count}</button>'
        return f'<div role=button tabindex=0 aria-label="Thing {n}" data-n={n} style="{style}">{inner}</div>'

    def _springs(self, tree: Tree, n: int, style: str) -> str:
        """Something else comes over it when the pointer arrives."""
        self.count += 1
        cover = f"<button data-n={self.count} style='position:fixed;inset:0;z-index:9'>Thing {self.count}</button>"
        return f'<button data-n={n} style="{style}" onmouseenter="this.insertAdjacentHTML(`afterend`, `{cover}`)">Thing {n}</button>'

    def _cover(self, tree: Tree, n: int, style: str) -> str:
        return f'<div data-n={n} style="background:#888;{style}"></div>'

    def _scroller(self, tree: Tree, n: int, style: str) -> str:
        return f'<div style="{style}overflow:auto"><div style="height:{n * 90}px"></div>{self._inner(tree)}</div>'

    def _clip(self, tree: Tree, n: int, style: str) -> str:
        return f'<div style="{style}overflow:hidden">{self._inner(tree)}</div>'

    def _plain(self, tree: Tree, n: int, style: str) -> str:
        return f'<div style="{style}background:#eee">{self._inner(tree)}</div>'

    def _spacer(self, tree: Tree, n: int, style: str) -> str:
        return f'<div style="height:{n * 300}px"></div>{self._inner(tree)}'

    def _open_root(self, tree: Tree, n: int, style: str) -> str:
        return f'<div style="{style}"><template shadowrootmode=open>{self._inner(tree)}</template></div>'

    def _closed_root(self, tree: Tree, n: int, style: str) -> str:
        inner = json.dumps(self._inner(tree)).replace("</", "<\\/")
        script = f"const root = r{n}.attachShadow({{mode: 'closed'}}); inside(root); root.setHTMLUnsafe({inner});"
        return f'<div id=r{n} style="{style}"></div><script>{{{script}}}</script>'

    def _frame(self, tree: Tree, n: int, style: str) -> str:
        self.frames[f"/frame{n}"] = self.page(tree["children"])
        return f'<iframe src="/frame{n}" style="{style}border:3px solid;padding:7px"></iframe>'

    def _other_site(self, tree: Tree, n: int, style: str) -> str:
        return self._frame(tree, n, style).replace('src="', f'src="http://localhost:{self.host.rpartition(":")[2]}')


@pytest.fixture(scope="module", params=EITHER)
def machine(request: pytest.FixtureRequest, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machine = start(site, tmp_path_factory, *request.param)
    yield machine
    asyncio.run(machine.driver.stop(machine.spec, machine.handle))


@settings(SOME_TRIED, max_examples=PAGES)
@given(trees=pages, bare=points)
def test_a_click_says_what_received_it_or_has_failed(
    machine: Machine, site: Site, trees: list[Tree], bare: list[tuple[int, int]]
) -> None:
    asyncio.run(_play(machine, site, trees, bare))


async def _play(machine: Machine, site: Site, trees: list[Tree], bare: list[tuple[int, int]]) -> None:
    drawn = Drawn(site.host)
    address = site.page(drawn.page(trees))
    for path, html in drawn.frames.items():
        site.page(html, path)
    machine.session = await machine.driver.attach(machine.spec, machine.handle)
    try:
        assert (await machine.do("open_url", url=address)).success
        elements = [one for one in await machine.session.elements() if one.name.startswith("Thing ")]
        for target in _some(elements):
            await _press(machine, target)
        for x, y in bare:
            params = {"x": x, "y": y, "button": "left", "count": 1}
            result = await machine.session.act(Action("click", params, 20_000))
            _is_true(result, await _noted(machine), None)
    finally:
        await machine.session.close()


def _some(elements: list[Element]) -> list[Element]:
    """At most four, from all over the page."""
    return elements[:: max(1, len(elements) // 4)][:4]


async def _press(machine: Machine, target: Element) -> None:
    reach = await machine.session.reach(target.ref or "")
    assert reach is not None
    x, y = reach.point or target.center
    inside = min(max(x, 0), 1279), min(max(y, 0), 719)
    params = {"x": inside[0], "y": inside[1], "button": "left", "count": 1}
    result = await machine.session.act(Action("click", params, 20_000, target.ref))
    _is_true(result, await _noted(machine), target)


async def _noted(machine: Machine) -> list[tuple[str, int | None, str]]:
    """The page's own notes since the last time."""
    later = "new Promise((done) => setTimeout(() => done(notes.splice(0)), 60))"
    return [(kind, number, tag) for kind, number, tag in await run(machine, later)]


def _is_true(result: ActResult, notes: list[tuple[str, int | None, str]], target: Element | None) -> None:
    """What was said of a click beside what the page noted."""
    about = f"{result} {notes} {target}"
    clicks = [(number, tag) for kind, number, tag in notes if kind == "click"]
    if target is None:
        assert result.success, about
        hit = result.data.get("hit")
        received = clicks[:1] or [(number, tag) for _, number, tag in notes][:1]
        assert bool(hit) == bool(received), about
        if hit and hit["role"] in ("button", "link", "checkbox"):
            assert hit["name"] in {f"Thing {number}" for number, _ in received}, about
        elif hit:
            assert hit["tag"] == received[0][1], about
        return
    if not result.success:
        assert notes == [], about  # nothing was pressed at all
        return
    number = int(target.name.split()[1])
    assert number in [n for n, _ in clicks], about
    assert {n for _, n, _ in notes} <= {number, None}, about
    assert result.data["hit"]["name"] == target.name, about
