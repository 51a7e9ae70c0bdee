"""JavaScript dialogs: what is typed into a prompt, and what becomes of a dialog that somebody left open."""

import asyncio
from typing import Any

import pytest

from machines.drivers.base import Action
from tests.drivers.conftest import Machine, Site

pytestmark = pytest.mark.browser

ASK = """<title>?</title><button onclick="document.title = 'got ' + prompt('New name?', 'Old')">Rename</button>
<button onclick="document.title = 'got ' + confirm('Sure?')">Remove</button>
<button onclick="alert('Note'); document.title = 'told'">Tell</button>"""

TYPE, KEY, COMBO, FILL = "type_text", "key_press", "key_combo", "fill"


async def asked(browser: Machine, site: Site, button: str = "Rename") -> None:
    opened = await browser.do("open_url", url=site.page(ASK, "/ask"))
    assert opened.success, opened.error
    await browser.do("click", **await browser.at(button))
    assert (await browser.session.state()).dialog


async def title(browser: Machine) -> str:
    return (await browser.session.state()).title


@pytest.mark.parametrize(
    ("steps", "value"),
    [
        ([(TYPE, {"text": "New"})], "New"),
        ([(TYPE, {"text": "New"}), (TYPE, {"text": "er"})], "Newer"),
        ([(TYPE, {"text": "New"}), (FILL, {"text": "Other"})], "Other"),
        ([(FILL, {"text": "New"})], "New"),
        ([(FILL, {"text": ""})], ""),
        ([(FILL, {"text": "New"}), (TYPE, {"text": "er"})], "Newer"),
        ([(KEY, {"key": "end"}), (TYPE, {"text": "er"})], "Older"),
        ([(KEY, {"key": "backspace"})], ""),
        ([(KEY, {"key": "delete"}), (TYPE, {"text": "x"})], "x"),
        ([(TYPE, {"text": "New👍🏽"}), (KEY, {"key": "backspace"})], "New"),
        ([(TYPE, {"text": "New"}), (COMBO, {"keys": ["ctrl", "a"]}), (TYPE, {"text": "X"})], "X"),
        ([(TYPE, {"text": "New"}), (COMBO, {"keys": ["ctrl", "a"]}), (KEY, {"key": "backspace"})], ""),
        ([(KEY, {"key": "N"}), (KEY, {"key": "o"})], "No"),
        ([], "Old"),
    ],
)
@pytest.mark.parametrize("end", ["enter", "OK"])
async def test_B13_a_prompt_is_typed_into_as_a_browser_shows_it(
    browser: Machine, site: Site, steps: list[tuple[str, dict[str, Any]]], value: str, end: str
) -> None:
    await asked(browser, site)
    field = await browser.at("New name?", "textbox")
    for name, params in steps:
        result = await browser.do(name, **(field if name == FILL else {}), **params)
        assert result.success, result.error
    assert ((await browser.find("New name?", "textbox")).value or "") == value
    await (browser.do(KEY, key="enter") if end == "enter" else browser.do("click", **await browser.at("OK")))
    assert await title(browser) == f"got {value}".strip()


async def test_a_line_end_accepts_and_a_second_line_is_refused(browser: Machine, site: Site) -> None:
    await asked(browser, site)
    assert not (await browser.do(TYPE, text="two\nlines")).success
    assert (await browser.do(TYPE, text="New\n")).success
    assert await title(browser) == "got New"


async def test_what_is_not_for_the_dialog_is_refused(browser: Machine, site: Site) -> None:
    await asked(browser, site, "Remove")
    for name, params in [(TYPE, {"text": "x"}), (COMBO, {"keys": ["ctrl", "a"]}), (KEY, {"key": "x"})]:
        assert (await browser.do(name, **params)).error == "A dialog is open and must be answered first: Sure?"
    assert not (await browser.session.act(Action("fill", {"x": 9, "y": 9, "text": "x"}, ref="F/7"))).success


@pytest.mark.parametrize("name", ["open_url", "reload", "go_back"])
@pytest.mark.parametrize("button", ["Rename", "Remove", "Tell"])
async def test_a_dialog_that_was_left_open_does_not_stand_in_the_way(
    browser: Machine, site: Site, name: str, button: str
) -> None:
    await browser.do("open_url", url=site.page("<title>Before</title>", "/before"))
    await asked(browser, site, button)
    words = (await browser.session.state()).dialog
    result = await browser.do(
        name, **({"url": site.page("<title>Next</title>", "/next")} if name == "open_url" else {})
    )
    assert result.success, result.error
    assert result.data["note"] == f'A dialog was open and was dismissed first: "{words}".'
    assert await title(browser) == {"open_url": "Next", "reload": "?", "go_back": "Before"}[name]
    assert (await browser.session.state()).dialog is None


async def test_a_page_that_asks_again_and_again_is_left_all_the_same(browser: Machine, site: Site) -> None:
    storm = "<title>Storm</title><script>setInterval(() => alert('again'), 1)</script>"
    await browser.do("open_url", url=site.page(storm, "/storm"))
    await browser.do("wait", ms=50)
    for _ in range(3):
        await browser.do("open_url", url=site.page(storm, "/storm"))
    result = await browser.do("open_url", url=site.page("<title>Calm</title>", "/calm"))
    assert result.success, result.error
    assert '"again"' in result.data["note"]
    assert await title(browser) == "Calm"
    assert (await browser.session.screenshot()).width == 1280


async def test_an_answer_to_one_dialog_is_none_to_the_next(browser: Machine, site: Site) -> None:
    await asked(browser, site, "Remove")
    ok = await browser.find("OK", "button")
    press = Action("click", {"x": ok.center[0], "y": ok.center[1]}, ref=ok.ref)
    await browser.do(KEY, key="escape")
    gone = await browser.session.act(press)
    assert (gone.success, gone.data.get("stale")) == (False, True)
    await browser.do("click", **await browser.at("Remove"))
    gone = await browser.session.act(press)
    assert (gone.success, gone.data.get("stale")) == (False, True)
    assert (await browser.session.state()).dialog == "Sure?"
    again = await browser.find("OK", "button")
    assert (await browser.session.act(Action(press.name, press.params, ref=again.ref))).success
    assert await title(browser) == "got true"


async def test_a_dialog_that_opens_under_the_opening_of_a_page_does_no_harm(browser: Machine, site: Site) -> None:
    """A page's own timer may ask between the look and the opening."""
    for delay in range(0, 30, 3):
        late = f"<title>Late</title><script>setTimeout(() => alert('late'), {delay})</script>"
        await browser.do("open_url", url=site.page(late, "/late"))
        opening = asyncio.create_task(browser.do("open_url", url=site.page("<title>Calm</title>", "/calm")))
        result = await opening
        assert result.success, result.error
        assert await title(browser) == "Calm"
