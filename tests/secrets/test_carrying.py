"""A secret that is in a field stays there: nobody copies it, drags it, or reads it after changing a part of it. On a real browser."""

import html
import io
from typing import Any

import pytest
from PIL import Image

from machines.drivers.base import Action, ActResult
from machines.drivers.browser.page.masking import COLOR
from tests.drivers.conftest import Machine, Site, browser, browser_machine, site  # noqa: F401
from tests.secrets.test_receiving import FORM, OURS, SECRET, at, fill, heard, held

pytestmark = pytest.mark.browser
CARRIED = "The page shows a secret: nothing is copied or dragged from it."
PLAIN = (
    "<!doctype html><meta charset=utf-8><style>*{caret-color:transparent}</style><label>Field <input size=30></label>"
)
EDITABLE = "<!doctype html><meta charset=utf-8><div contenteditable aria-label=Field>old</div>"


async def act(machine: Machine, name: str, *hidden: str, **params: Any) -> ActResult:
    return await machine.session.act(Action(name, params, hidden=hidden))


@pytest.mark.parametrize("keys", [["ctrl", "c"], ["Control", "x"], ["ctrl", "shift", "C"], ["meta", "c"]])
@pytest.mark.parametrize("page", [PLAIN, EDITABLE, f"<!doctype html><iframe srcdoc='{PLAIN}'></iframe>"])
async def test_it_is_not_copied_to_another_host(browser: Machine, site: Site, page: str, keys: list[str]) -> None:  # noqa: F811
    site.page(FORM.replace("Field", "Theirs"), "/theirs")
    await browser.do("open_url", url=site.page(page, "/ours"))
    assert (await fill(browser, OURS)).success
    await act(browser, "key_combo", keys=["ctrl", "a"])
    assert (await act(browser, "key_combo", keys=keys)).error == CARRIED
    await browser.do("open_url", url=at(site, "theirs", "/theirs"))
    await browser.do("click", **await browser.at("Theirs", "textbox"))
    await act(browser, "key_combo", keys=["ctrl", "v"])
    assert SECRET not in "".join(heard(site))


async def test_what_the_page_tells_of_it_is_not_copied_either(browser: Machine, site: Site) -> None:  # noqa: F811
    await browser.do("open_url", url=site.page(f"{PLAIN}<p>You are {html.escape(SECRET)}", "/tells"))
    assert (await act(browser, "key_combo", SECRET, keys=["ctrl", "a"])).success
    assert (await act(browser, "key_combo", SECRET, keys=["ctrl", "c"])).error == CARRIED
    assert (await act(browser, "key_combo", "another", keys=["ctrl", "c"])).success


async def test_it_is_not_dragged_into_a_frame_of_another_host(browser: Machine, site: Site) -> None:  # noqa: F811
    site.page(FORM.replace("Field", "Theirs"), "/theirs")
    frame = f"<p><iframe src='{at(site, 'theirs', '/theirs')}' width=400></iframe>"
    await browser.do("open_url", url=site.page(PLAIN + frame, "/drag"))
    assert (await fill(browser, OURS)).success
    site.asked.clear()
    await act(browser, "key_combo", keys=["ctrl", "a"])
    there, here = await browser.at("Theirs", "textbox"), await browser.at("Field", "textbox")
    drag = {"from_x": here["x"] - 90, "from_y": here["y"], "to_x": there["x"], "to_y": there["y"]}
    assert (await act(browser, "drag", **drag)).error == CARRIED
    assert heard(site) == []


@pytest.mark.parametrize(
    "page", [PLAIN, PLAIN.replace("input size=30", "textarea").replace("</label>", "</textarea>"), EDITABLE]
)
async def test_a_part_of_it_that_was_changed_is_not_read(browser: Machine, site: Site, page: str) -> None:  # noqa: F811
    await browser.do("open_url", url=site.page(page, "/change"))
    assert (await fill(browser, OURS)).success
    await act(browser, "key_press", key="left")
    await act(browser, "type_text", text="x")
    changed = f"{SECRET[:-1]}x{SECRET[-1]}"
    assert await held(browser) == changed
    told = f"{await browser.session.elements()} {await browser.session.text()}"
    assert SECRET[:5] not in told
    point = await browser.at("Field", "textbox")
    target = await browser.session.target(Action("click", point))
    assert SECRET[:5] not in str(target)
    assert _masked((await browser.session.screenshot()).png)


async def test_a_field_that_it_was_moved_to_is_hidden_from_then_on(browser: Machine, site: Site) -> None:  # noqa: F811
    script = "<script>document.querySelector('input').oninput = (e) => { m.value = e.target.value }</script>"
    await browser.do("open_url", url=site.page(f"{PLAIN}<p><label>Other <input id=m></label>{script}", "/moved"))
    assert (await fill(browser, OURS)).success
    await browser.session.screenshot((SECRET,))
    await browser.do("click", **await browser.at("Other", "textbox"))
    await act(browser, "key_press", key="backspace")
    await act(browser, "key_press", key="left")
    await act(browser, "key_press", key="backspace")
    assert SECRET[:5] not in f"{await browser.session.elements()} {await browser.session.text()}"


async def test_what_is_no_secret_is_copied_as_ever(browser: Machine, site: Site) -> None:  # noqa: F811
    page = f"{PLAIN}<p><label>Password <input type=password></label>"
    await browser.do("open_url", url=site.page(page, "/free"))
    assert (await fill(browser, OURS, name="Password")).success
    await browser.do("fill", **await browser.at("Field", "textbox"), text="plain")
    for keys in (["ctrl", "a"], ["ctrl", "c"], ["end"], ["ctrl", "v"]):
        assert (await act(browser, "key_combo", SECRET, keys=keys)).success
    assert await held(browser) == "plainplain"


def _masked(png: bytes) -> bool:
    image = Image.open(io.BytesIO(png)).convert("RGB")
    return COLOR in {color for _, color in image.getcolors(1 << 24) or []}
