"""A secret goes into a field of a listed page and nowhere else, whatever the page, its frames and what is around it do: on a
real browser. The site answers as 127.0.0.1 and as localhost, which are two hosts to a browser."""

import io
from typing import Any

import pytest
from PIL import Image, ImageChops

from machines.drivers.base import Action, ActResult, Element
from machines.drivers.browser.fields.scripts import READ
from machines.drivers.browser.input.element_nodes import Nodes
from machines.drivers.browser.page.masking import COLOR
from tests.drivers.conftest import (  # noqa: F401
    Machine,
    Site,
    browser,
    browser_machine,
    isolated,
    isolated_machine,
    site,
)

pytestmark = pytest.mark.browser
SECRET = "tr0ub4dor & 3é"
OURS, THEIRS = ("127.0.0.1",), ("localhost",)
HEARD = (
    "<script>addEventListener('input', (e) => fetch('/heard', {method: 'POST', body: e.target.value}), true);</script>"
)
FORM = f"<!doctype html><meta charset=utf-8>{HEARD}<label>Field <input id=f></label>"


async def field(machine: Machine, name: str = "Field") -> Element:
    return next(e for e in await machine.session.elements() if e.name == name and e.role in ("textbox", "spinbutton"))


async def fill(
    machine: Machine, *only: tuple[str, ...], text: str = SECRET, name: str = "Field", by: str = "ref"
) -> ActResult:
    element = await field(machine, name)
    x, y = element.center
    ref = element.ref if by == "ref" else None
    return await machine.session.act(Action("fill", {"x": x, "y": y, "text": text}, ref=ref, secret=True, only=only))


async def held(machine: Machine, name: str = "Field") -> str:
    """What the field holds: it is not told to anybody who looks at the elements."""
    element = await field(machine, name)
    nodes = Nodes(machine.session.pointer.finder)
    node = await nodes.of(element.ref or "")
    return str(await nodes.call(node, READ) or "")


def heard(site: Site) -> list[str]:  # noqa: F811
    return [line.removeprefix("POST /heard ") for line in site.asked if line.startswith("POST /heard")]


KINDS = {
    "text": "<label>Field <input></label>",
    "password": "<label>Field <input type=password></label>",
    "email": "<label>Field <input type=email></label>",
    "area": "<label>Field <textarea></textarea></label>",
    "editable": "<div contenteditable aria-label=Field>old</div>",
    "drawn anew": "<label>Field <input></label><script>const f = document.querySelector('input');"
    "f.oninput = () => { const v = f.value; f.value = ''; f.value = v; }</script>",
    "closed root": "<div id=h></div><script>h.attachShadow({mode: 'closed'}).innerHTML = '<label>Field <input></label>'</script>",
}


@pytest.mark.parametrize("by", ["ref", "point"])
@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_field_gets_it(browser: Machine, site: Site, kind: str, by: str) -> None:  # noqa: F811
    text = "a@b.test" if kind == "email" else SECRET
    await browser.do("open_url", url=site.page(f"<!doctype html><meta charset=utf-8>{KINDS[kind]}", "/kind"))
    result = await fill(browser, OURS, text=text, by=by)
    assert result.success, result.error
    assert await held(browser) == text
    assert (await field(browser)).value == len(text) * "•"


async def test_it_is_typed_where_the_cursor_is_and_on_to_the_next_field(browser: Machine, site: Site) -> None:  # noqa: F811
    page = f"{FORM}<label>Next <input></label>"
    await browser.do("open_url", url=site.page(page, "/focus"))
    await browser.do("click", **await browser.at("Field"))
    act = Action("type_text", {"text": f"ada\t{SECRET}"}, secret=True, only=(OURS,))
    assert (await browser.session.act(act)).success
    assert (await held(browser), await held(browser, "Next")) == ("ada", SECRET)


async def test_boxes_for_one_character_each_hold_a_code_together(browser: Machine, site: Site) -> None:  # noqa: F811
    boxes = "".join(f"<input aria-label='{n or 'Field'}' maxlength=1 size=1>" for n in range(6))
    script = "<script>addEventListener('input', (e) => e.target.nextElementSibling?.focus())</script>"
    await browser.do("open_url", url=site.page(f"<!doctype html><p>{boxes}</p>{script}", "/row"))
    result = await fill(browser, OURS, text="482913")
    assert result.success, result.error
    assert "".join([await held(browser, str(n or "Field")) for n in range(6)]) == "482913"


PLACES: list[tuple[str, str, tuple[tuple[str, ...], ...], str]] = [
    # what the page is, what its field is in, the lists, why not ("" for: it gets it)
    ("ours", "page", (OURS,), ""),
    ("ours", "page", (("*.0.0.1",),), "127.0.0.1 is not among its hosts"),
    ("theirs", "page", (OURS,), "localhost is not among its hosts"),
    ("theirs", "page", (OURS, THEIRS), "localhost is not among its hosts"),  # two secrets in one text
    ("ours", "frame of theirs", (OURS,), "localhost is not among its hosts"),
    ("theirs", "frame of ours", (OURS,), "localhost is not among its hosts, and it is around"),
    ("ours", "frame of theirs", ((*OURS, *THEIRS),), ""),
    ("ours", "frame of ours", (OURS,), ""),
    ("ours", "frame srcdoc", (OURS,), ""),
    ("theirs", "frame srcdoc", (OURS,), "localhost is not among its hosts"),
    ("ours", "frame data", (OURS,), "the page has no host of its own"),
    ("ours", "frame sandboxed", (OURS,), "the page has no host of its own"),
    ("ours", "window about:blank", (OURS,), ""),
    ("theirs", "window about:blank", (OURS,), "localhost is not among its hosts"),
]


def at(site: Site, which: str, path: str) -> str:  # noqa: F811
    url = f"http://{site.host}{path}"
    return url if which == "ours" else url.replace("127.0.0.1", "localhost")


def place(site: Site, which: str, inside: str) -> str:  # noqa: F811
    kind, _, what = inside.partition(" ")
    escaped = FORM.replace("&", "&amp;").replace('"', "&quot;")
    site.page(FORM, "/form")
    attributes = {
        "of ours": f'src="{at(site, "ours", "/form")}"', "of theirs": f'src="{at(site, "theirs", "/form")}"',
        "srcdoc": f'srcdoc="{escaped}"', "data": f'src="data:text/html,{escaped}"',
        "sandboxed": f'sandbox="allow-scripts" src="{at(site, "ours", "/form")}"',
    }  # fmt: skip
    pages = {
        "page": FORM,
        "frame": f"<!doctype html><iframe {attributes.get(what)} width=500 height=200></iframe>",
        "window": "<!doctype html><button onclick=\"const w = window.open('about:blank'); w.document.body.innerHTML ="
        " '<label>Field <input></label>'\">Open</button>",
    }
    site.page(pages[kind], "/place")
    return at(site, which, "/place")


@pytest.mark.parametrize("how", ["fill", "type_text"])
@pytest.mark.parametrize(("which", "inside", "only", "why"), PLACES)
async def test_only_listed_pages_get_it(
    browser: Machine,  # noqa: F811
    site: Site,  # noqa: F811
    which: str,
    inside: str,
    only: Any,
    why: str,
    how: str,
) -> None:
    await _only_listed(browser, site, which, inside, only, why, how)


@pytest.mark.again
@pytest.mark.parametrize(("which", "inside", "only", "why"), PLACES)
async def test_only_listed_pages_get_it_with_a_process_for_each_site(
    isolated: Machine,  # noqa: F811
    site: Site,  # noqa: F811
    which: str,
    inside: str,
    only: Any,
    why: str,
) -> None:
    await _only_listed(isolated, site, which, inside, only, why, "fill")


async def _only_listed(machine: Machine, site: Site, which: str, inside: str, only: Any, why: str, how: str) -> None:  # noqa: F811
    await machine.do("open_url", url=place(site, which, inside))
    if inside.startswith("window"):
        await machine.do("click", **await machine.at("Open"))
    site.asked.clear()
    if how == "fill":
        result = await fill(machine, *only)
    else:
        await machine.do("click", **await machine.at("Field", "textbox"))
        result = await machine.session.act(Action("type_text", {"text": SECRET}, secret=True, only=only))
    if not why:
        assert result.success, result.error
        assert await held(machine) == SECRET
        return
    assert not result.success
    assert why in str(result.error)
    assert result.data["withheld"]
    assert SECRET not in str(result)
    assert await held(machine) == ""
    assert heard(site) == []


STEALS = {
    # After the third character the field's own page does this, or the frame beside it.
    "another frame takes the focus": "if (f.value.length === 3) document.querySelector('iframe').focus()",
    "the page is left": "if (f.value.length === 3) { document.open(); document.write(''); document.close();"
    " location = '{theirs}'; }",
    "the field is taken away": "if (f.value.length === 3) f.remove()",
    "a script takes the focus away": "if (f.value.length === 3) f.blur()",
}


@pytest.mark.parametrize("steal", STEALS)
async def test_what_happens_in_the_middle_ends_it(browser: Machine, site: Site, steal: str) -> None:  # noqa: F811
    site.page(f"{FORM.replace('Field', 'Theirs')}<script>f.focus()</script>", "/theirs")
    theirs = at(site, "theirs", "/theirs")
    script = f"<script>f.oninput = () => {{ {STEALS[steal].replace('{theirs}', theirs)} }}</script>"
    page = f"<!doctype html><label>Field <input id=f></label><iframe src='{theirs}'></iframe>{script}"
    await browser.do("open_url", url=site.page(page, "/steals"))
    site.asked.clear()
    result = await fill(browser, OURS)
    assert not result.success
    assert SECRET not in str(result)
    assert heard(site) == []


async def test_a_frame_that_takes_the_focus_all_the_time_gets_nothing(browser: Machine, site: Site) -> None:  # noqa: F811
    site.page(f"{FORM.replace('Field', 'Theirs')}<script>setInterval(() => f.focus(), 0)</script>", "/thief")
    theirs = at(site, "theirs", "/thief")
    page = f"<!doctype html><label>Field <input id=g></label><iframe src='{theirs}'></iframe>"
    await browser.do("open_url", url=site.page(page, "/robbed"))
    site.asked.clear()
    result = await fill(browser, OURS)
    assert heard(site) == []
    assert result.success == (await held(browser) == SECRET)


async def test_a_secret_goes_into_no_dialog_and_no_list(browser: Machine, site: Site) -> None:  # noqa: F811
    page = "<!doctype html><button onclick='prompt(1)'>Ask</button><label>List <select><option>a</select></label>"
    await browser.do("open_url", url=site.page(page, "/dialog"))
    x, y = (await browser.find("List")).center
    act = Action("fill", {"x": x, "y": y, "text": SECRET}, secret=True, only=(OURS,))
    assert "a field of text only" in str((await browser.session.act(act)).error)
    await browser.do("click", **await browser.at("Ask"))
    result = await browser.session.act(Action("type_text", {"text": SECRET}, secret=True))
    assert "a dialog is open" in str(result.error)
    assert SECRET not in str(result)


# --- pictures


async def shot(machine: Machine, *hidden: str) -> Image.Image:
    return Image.open(io.BytesIO((await machine.session.screenshot(hidden)).png)).convert("RGB")


LOOK = "<!doctype html><meta charset=utf-8><style>input,div{width:300px;caret-color:transparent}</style>"
SHOWS = {
    "password": f"{LOOK}<label>Field <input type=password></label>",
    "text": f"{LOOK}<label>Field <input></label>",
    "frame": f"{LOOK}<iframe width=500 style='margin:40px;border:9px solid' srcdoc='<label>Field <input></label>'></iframe>",
    "told": f"{LOOK}<label>Field <input></label><p id=o style='width:400px;height:60px'></p>"
    "<script>document.querySelector('input').oninput = (e) => { o.textContent = `You are ${e.target.value} now`; }</script>",
}


@pytest.mark.parametrize("kind", SHOWS)
async def test_T_187_a_picture_is_the_same_whatever_the_secret_is(browser: Machine, site: Site, kind: str) -> None:  # noqa: F811
    pictures = []
    for text in ("iiiiiiii", "WWWWWWWW"):
        await browser.do("open_url", url=site.page(SHOWS[kind], "/look"))
        assert (await fill(browser, OURS, text=text)).success
        pictures.append(await shot(browser, text))
    first, second = pictures
    if kind == "told":  # the sentence is as long as the words are: what is left is the mask
        box = ImageChops.difference(first, second).getbbox()
        colors = {first.getpixel((x, box[1] + 8)) for x in range(box[0], box[2])} if box else {COLOR}
        assert COLOR in colors
    else:
        assert ImageChops.difference(first, second).getbbox() is None
    assert COLOR in {color for _, color in first.getcolors(1 << 24) or []}


async def test_who_looks_without_knowing_the_secret_sees_a_mask_too(browser: Machine, site: Site) -> None:  # noqa: F811
    await browser.do("open_url", url=site.page(SHOWS["text"], "/look"))
    empty = await shot(browser)
    assert (await fill(browser, OURS)).success
    again = await browser.driver.attach(browser.spec, browser.handle)
    seen = Image.open(io.BytesIO((await again.screenshot()).png)).convert("RGB")
    await again.close()
    assert COLOR in {color for _, color in seen.getcolors(1 << 24) or []}
    assert COLOR not in {color for _, color in empty.getcolors(1 << 24) or []}


async def test_an_empty_password_field_is_seen_to_be_empty(browser: Machine, site: Site) -> None:  # noqa: F811
    await browser.do("open_url", url=site.page(SHOWS["password"], "/look"))
    assert COLOR not in {color for _, color in (await shot(browser)).getcolors(1 << 24) or []}


async def test_a_dialog_that_tells_the_secret_is_drawn_without_it(browser: Machine, site: Site) -> None:  # noqa: F811
    page = "<!doctype html><button onclick='alert(\"It is \" + n)'>Tell</button><script>let n = '{}'</script>"
    pictures = []
    for text in ("iiiiiiii", "WWWWWWWW"):
        await browser.do("open_url", url=site.page(page.format(text), "/tell"))
        await browser.do("click", **await browser.at("Tell"))
        pictures.append(await shot(browser, text))
        await browser.do("key_press", key="enter")
    assert ImageChops.difference(*pictures).getbbox() is None
