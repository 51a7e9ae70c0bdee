"""What happens between looking and pressing: a page that moves things is noticed, and what received a press is said."""

from typing import Any

import pytest

from machines.drivers.base import Action, Target
from tests.drivers.conftest import Machine, Site
from tests.drivers.pressed import click, element, html, pressed, run, show
from tests.drivers.test_reach import SAVE, either, either_machine, root  # noqa: F401

pytestmark = pytest.mark.browser
# "Delete" comes over "Save" when the pointer arrives.
TRAP = """<button id=t style="width:120px;height:40px">Save</button><script>
t.onmouseenter = () => { t.insertAdjacentHTML('afterend', `COVER`); };
window.done = [];
</script>"""
OVER = "position:absolute;left:20px;top:20px;width:200px;height:100px;border:0"
DELETE = f"<button id=d style='{OVER}' onmousedown='done.push(1)' onpointerdown='done.push(2)' onclick='done.push(3)'>Delete</button>"


async def bare(machine: Machine, x: int, y: int, **more: Any) -> Any:
    params = {"x": x, "y": y, "button": "left", "count": 1, **more}
    result = await machine.session.act(Action("click", params, 10_000))
    assert result.success, result.error
    return result.data.get("hit")


async def meant(machine: Machine, name: str, role: str = "button") -> Any:
    target = await element(machine, name, role)
    assert target is not None
    return target


async def test_what_comes_under_the_pointer_is_not_pressed(either: Machine, site: Site) -> None:  # noqa: F811
    await show(either, site, TRAP.replace("COVER", DELETE))
    result = await click(either, await meant(either, "Save"))
    assert result.error == 'The click was stopped: "Delete" (button) came under the pointer.'
    assert result.data["hit"] == {"role": "button", "name": "Delete", "tag": "button"}
    assert await run(either, "done") == []
    assert await pressed(either) == []
    await bare(either, 60, 60)  # nothing stands in the way of who means it
    assert await run(either, "done") == [2, 1, 3]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_frame_that_comes_under_the_pointer_gets_nothing(either: Machine, site: Site, host: str) -> None:  # noqa: F811
    port = site.host.rpartition(":")[2]
    cover = f"<iframe id=d style='{OVER}' src='http://{host}:{port}/inner'></iframe>"
    trap = TRAP.replace("t.onmouseenter = () =>", "window.spring = () =>").replace("COVER", cover)
    await show(either, site, f"{trap}<script>spring(); d.style.display = 'none';"
               "t.onmouseenter = () => { d.style.display = 'block'; d.offsetTop; }</script>",
               inner="<button style='position:fixed;inset:0'>Delete</button>")  # fmt: skip
    target = await meant(either, "Save")
    result = await click(either, target)
    assert not result.success
    assert await pressed(either) == []


async def test_an_element_of_another_frame_is_what_it_was(either: Machine, site: Site) -> None:  # noqa: F811
    """Objects keep the classes of the frame in which they were first looked at."""
    await show(either, site, "<p>x</p><iframe id=f src=/inner></iframe>", inner="<button id=t>Save</button><p>word</p>")
    assert "word" in await either.session.text()
    (covered,) = [one for one in await either.session.elements() if one.name == "Save"]
    await run(either, "f.style.marginTop = '10px'; document.body.insertAdjacentHTML('beforeend', "
              "'<div id=c style=\"position:fixed;inset:0\">cover</div>')")  # fmt: skip
    reach = await either.session.reach(covered.ref or "")
    assert reach is not None
    assert reach.point is None  # the frame has looked at what lies over it
    await run(either, "c.remove(); document.body.append(...f.contentDocument.body.children); f.remove()")
    assert "word" in await either.session.text()
    result = await click(either, await meant(either, "Save"))
    assert result.success, result.error
    assert await bare(either, 5, 700) == {"role": "generic", "name": "", "tag": "html"}


async def test_what_moved_is_pressed_where_it_is_now(either: Machine, site: Site) -> None:  # noqa: F811
    await show(either, site, SAVE + "<button id=o style='position:absolute;left:20px;top:300px'>Other</button>")
    target = await meant(either, "Save")
    await run(either, "t.style.cssText = 'position:absolute;left:400px;top:300px'; o.style.top = '20px'")
    result = await either.session.act(Action("click", {"x": 60, "y": 40}, 10_000, target.ref))
    assert result.success, result.error
    assert await pressed(either) == ["t"]


STALE = {
    "another page": "location.href = '/other'",
    "the same page again": "location.reload()",
    "removed": "t.remove()",
    "replaced": "t.outerHTML = t.outerHTML",
}


@pytest.mark.parametrize("change", STALE.values(), ids=STALE)
async def test_what_is_gone_is_not_pressed_at_its_old_place(either: Machine, site: Site, change: str) -> None:  # noqa: F811
    site.page(html(SAVE), "/other")
    await show(either, site, SAVE)
    target = await meant(either, "Save")
    await run(either, change)
    await either.do("wait", ms=1)
    await either.session.ask("settled", 10, seconds=2)  # type: ignore[attr-defined]
    reach = await either.session.reach(target.ref)
    assert reach is not None
    assert reach.point is None
    result = await either.session.act(Action("click", {"x": 60, "y": 40}, 10_000, target.ref))
    assert (result.success, result.data.get("stale")) == (False, True)
    assert "has changed" in str(result.error)
    assert await pressed(either) == []


@pytest.mark.parametrize("ref", ["", "x", "x/1", "/", "dialog/3", "{frame}/999999", "{frame}/x", "{frame}/-1"])
async def test_a_ref_that_means_nothing_presses_nothing(either: Machine, site: Site, ref: str) -> None:  # noqa: F811
    await show(either, site, SAVE)
    target = await meant(either, "Save")
    ref = ref.replace("{frame}", target.ref.partition("/")[0])
    result = await either.session.act(Action("click", {"x": 60, "y": 40}, 10_000, ref or "//"))
    assert (result.success, result.data.get("stale")) == (False, True)
    assert await pressed(either) == []


async def test_a_click_that_leads_away_says_what_it_hit(either: Machine, site: Site) -> None:  # noqa: F811
    site.page("<title>Next</title>", "/next")
    await show(either, site, '<a id=t href="/next">Go on</a>')
    result = await click(either, await meant(either, "Go on", "link"))
    assert result.data["hit"] == {"role": "link", "name": "Go on", "tag": "a"}
    assert str(result.data["url"]).endswith("/next")


@pytest.mark.parametrize("event", ["click", "mousedown"])
async def test_a_click_that_opens_a_dialog_says_what_it_hit(either: Machine, site: Site, event: str) -> None:  # noqa: F811
    await show(either, site, f'<button id=t on{event}="alert(1)" style="width:100px;height:40px">Save</button>')
    result = await click(either, await meant(either, "Save"))
    assert result.success, result.error
    assert result.data["dialog"] == "1"
    assert result.data["hit"] == {"role": "button", "name": "Save", "tag": "button"}
    refused = await either.session.act(Action("click", {"x": 60, "y": 40}, 10_000, "x/1"))
    assert "A dialog is open" in str(refused.error)
    (ok,) = [one for one in await either.session.elements() if one.name == "OK"]
    x, y = ok.center
    answered = Action("click", {"x": x, "y": y}, 10_000, ok.ref)
    assert (await either.session.act(answered)).success
    assert (await either.session.act(answered)).data["stale"]  # it does not go to the page behind


async def test_a_page_may_take_the_press_for_the_click(either: Machine, site: Site) -> None:  # noqa: F811
    """Menus do: they are drawn anew at the press."""
    await show(either, site, '<div id=m><button onmousedown="m.innerHTML = `<b>open</b>`">Menu</button></div>')
    result = await click(either, await meant(either, "Menu"))
    assert result.success, result.error
    assert result.data["hit"]["name"] == "Menu"


async def test_a_page_may_catch_the_pointer(either: Machine, site: Site) -> None:  # noqa: F811
    caught = "this.parentNode.setPointerCapture(event.pointerId)"
    await show(
        either, site, f"<div id=track style='padding:9px'><button id=t onpointerdown='{caught}'>Thumb</button></div>"
    )
    result = await click(either, await meant(either, "Thumb"))
    assert result.success, result.error
    assert await pressed(either) in (["track"], ["t"])


async def test_a_button_that_takes_no_click_is_a_failure(either: Machine, site: Site) -> None:  # noqa: F811
    await show(either, site, "<fieldset id=f><button id=t>Save</button></fieldset>")
    target = await meant(either, "Save")
    await run(either, "f.disabled = true")
    result = await click(either, target)
    assert not result.success
    assert await pressed(either) == []


@pytest.mark.parametrize(("button", "event"), [("right", "contextmenu"), ("middle", "auxclick")])
async def test_other_buttons_are_watched_as_well(either: Machine, site: Site, button: str, event: str) -> None:  # noqa: F811
    await show(either, site, SAVE + f"<script>t.addEventListener('{event}', () => document.title = '{event}')</script>")
    target = await meant(either, "Save")
    params = {"x": 60, "y": 40, "button": button, "count": 1}
    result = await either.session.act(Action("click", params, 10_000, target.ref))
    assert result.success, result.error
    assert (await either.session.state()).title == event


async def test_a_second_click_on_something_else_is_stopped(either: Machine, site: Site) -> None:  # noqa: F811
    await show(either, site, f"{SAVE}<script>t.onclick = () => document.body.insertAdjacentHTML('beforeend', `{DELETE}`);"
               "window.done = []</script>")  # fmt: skip
    target = await meant(either, "Save")
    params = {"x": 60, "y": 40, "button": "left", "count": 2}
    result = await either.session.act(Action("click", params, 10_000, target.ref))
    assert "Delete" in str(result.error)
    assert await run(either, "done") == []
    assert await pressed(either) == ["t"]


HITS: dict[str, tuple[str, dict[str, str]]] = {
    "a button": (SAVE, {"role": "button", "name": "Save", "tag": "button"}),
    "a span in a button": (
        "<button><span style='padding:30px'>Save</span></button>", {"role": "button", "name": "Save", "tag": "button"}
    ),
    "a button in a closed root": (root("closed"), {"role": "button", "name": "Save", "tag": "button"}),
    "a frame's button": (
        "<iframe src=/inner style='border:0;position:fixed;left:0;top:0'></iframe>",
        {"role": "button", "name": "Save", "tag": "button"},
    ),
    "another site's button": (
        "<iframe src='http://localhost:{port}/inner' style='border:0;position:fixed;left:0;top:0'></iframe>",
        {"role": "button", "name": "Save", "tag": "button"},
    ),
    "a field with a label": (
        "<label style='position:fixed;left:300px'>Name</label><input aria-label=Name style='width:200px;height:50px'>",
        {"role": "textbox", "name": "Name", "tag": "input"},
    ),
    "a drawn box of a label": (
        "<label><b style='padding:30px'>x</b><input type=checkbox style='display:none'></label>",
        {"role": "generic", "name": "x", "tag": "b"},
    ),
    "a paragraph": ("<p style='height:60px;margin:0'>text</p>", {"role": "paragraph", "name": "text", "tag": "p"}),
    "a disabled button": (SAVE.replace("id=t", "disabled"), {"role": "button", "name": "Save", "tag": "button"}),
    "nothing": ("<p style='height:900px'></p>", {"role": "paragraph", "name": "", "tag": "p"}),
    "the page itself": ("<style>body{height:500px}</style>", {"role": "generic", "name": "", "tag": "body"}),
    "what comes under the pointer": (TRAP.replace("COVER", DELETE), {"role": "button", "name": "Delete", "tag": "button"}),
}  # fmt: skip


@pytest.mark.parametrize("name", HITS)
async def test_a_bare_click_says_what_received_it(either: Machine, site: Site, name: str) -> None:  # noqa: F811
    """People and models point at pixels: nothing is tested, what was hit is said."""
    body, hit = HITS[name]
    await show(either, site, body.replace("{port}", site.host.rpartition(":")[2]), inner=SAVE)
    assert await bare(either, 40, 40) == hit


async def test_nothing_of_it_stays_in_the_page(either: Machine, site: Site) -> None:  # noqa: F811
    await show(either, site, TRAP.replace("COVER", DELETE))
    names = "Object.getOwnPropertyNames(window).length"
    before = await run(either, names)
    await click(either, await meant(either, "Save"))
    assert await run(either, names) == before
    await run(either, "d.remove(), t.onmouseenter = null, document.body.append(Object.assign(document.createElement"
              "('button'), {id: 'o', textContent: 'Other'}))")  # fmt: skip
    await bare(either, *(await meant(either, "Other")).center)
    assert await pressed(either) == ["o"]  # a listener that had stayed would have stopped it


BOXES = {
    "a checkbox": ("<label><input type=checkbox id=t>Box</label>", "checkbox", True, True),
    "a hidden one": ("<label><input type=checkbox id=t style='display:none'>Box</label>", "checkbox", True, True),
    "a radio button": ("<label><input type=radio id=t>Box</label>", "radio", True, True),
    "a switch": (
        "<button role=switch aria-checked=false aria-label=Box onclick='this.ariaChecked = true'>x</button>", "switch",
        True, True,
    ),
    "one that follows later": (
        "<button role=checkbox aria-checked=false onclick='setTimeout(() => this.ariaChecked = true, 300)'>Box</button>",
        "checkbox", True, True,
    ),
    "one that refuses": ("<label><input type=checkbox id=t onclick='return false'>Box</label>", "checkbox", True, False),
    "one that is so already": ("<label><input type=checkbox id=t checked>Box</label>", "checkbox", True, True),
    "one that is taken away": ("<label><input type=checkbox id=t checked>Box</label>", "checkbox", False, True),
    "a radio button that cannot": ("<label><input type=radio id=t checked>Box</label>", "radio", False, False),
    "one that is neither": (
        "<label><input type=checkbox id=t>Box</label><script>t.indeterminate = true</script>", "checkbox", True, True
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BOXES)
async def test_the_state_of_a_box_is_read_back(either: Machine, site: Site, name: str) -> None:  # noqa: F811
    body, role, wanted, works = BOXES[name]
    await show(either, site, body)
    result = await click(either, await meant(either, "Box", role), checked=wanted)
    assert result.success is works, result.error
    assert result.data["hit"]["role"] == role
    box = await meant(either, "Box", role)
    assert (box.checked is wanted) is works
    if name == "one that is so already":
        assert await pressed(either) == []
    if not works:
        assert "still" in str(result.error)


FORM = """<form aria-label=Checkout><h2>Payment</h2><label>Card <input autocomplete="section-a cc-number"></label>
<label>Code <input type=password autocomplete=one-time-code></label><label>Mail <input type=email></label>
<button><span>Pay <b>now</b></span></button></form><form><label>Search <input></label><button>Find</button></form>
<a href="#x"><b>Terms</b></a><p style="margin:0">text</p><div role=button tabindex=0>Div</div>"""
TARGETS = [
    ("Card", "textbox", Target("textbox", "Card", "cc-number", "Checkout: Pay now")),
    ("Code", "textbox", Target("textbox", "Code", "password", "Checkout: Pay now")),
    ("Mail", "textbox", Target("textbox", "Mail", "email", "Checkout: Pay now")),
    ("Pay now", "button", Target("button", "Pay now", "submit", "Checkout")),
    ("Search", "textbox", Target("textbox", "Search", "text", "Find")),
    ("Find", "button", Target("button", "Find", "submit", "Search Find")),
    ("Terms", "link", Target("link", "Terms")),
    ("text", "text", Target("paragraph", "text")),
    ("Div", "button", Target("button", "Div")),
]


@pytest.mark.parametrize("place", ["page", "frame", "other site", "closed root"])
async def test_what_an_action_would_reach_is_said(either: Machine, site: Site, place: str) -> None:  # noqa: F811
    host = "" if place == "frame" else f"http://localhost:{site.host.rpartition(':')[2]}"
    frame = (
        f"<iframe src='{host}/inner' style='width:600px;height:400px;border:9px solid;transform:scale(.9)'></iframe>"
    )
    body = {"page": FORM, "closed root": root("closed", FORM.replace("\n", " "))}.get(place, frame)
    await show(either, site, body, inner=FORM)
    for name, role, target in TARGETS:
        one = await meant(either, name, role)
        x, y = one.center
        said = await either.session.target(Action("click", {"x": x, "y": y}))
        assert said == await either.session.target(Action("click", {"x": 0, "y": 0}, ref=one.ref))
        assert said == target
    assert await either.session.target(Action("key_press", {"key": "enter"})) is None
    assert await either.session.target(Action("drag", {"from_x": 5, "from_y": 5, "to_x": 9, "to_y": 9})) is not None
    assert await pressed(either) == []


async def test_a_dialog_is_no_target_of_the_page(either: Machine, site: Site) -> None:  # noqa: F811
    await show(either, site, SAVE.replace("id=t", "onclick=alert(1)"))
    await bare(either, 60, 40)
    assert await either.session.target(Action("click", {"x": 60, "y": 40})) is None
    await either.do("key_press", key="escape")
