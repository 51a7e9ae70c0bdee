"""Pages that mean harm to whoever looks at them: the machine, and the worker that reads it, outlive them."""

import asyncio
import json

import pytest

from machines.drivers import storable
from machines.drivers.base import MachineGone
from machines.drivers.web_host import web_host
from tests.drivers.conftest import Machine, Site

pytestmark = pytest.mark.browser


async def test_a_page_cannot_end_its_machine_with_an_endless_address(browser: Machine, site: Site) -> None:
    long = site.page("<script>history.pushState(0, '', '/' + 'y'.repeat(1.5e6))</script>")
    opened = await browser.do("open_url", url=long)
    assert opened.success, opened.error
    assert len(opened.data["url"]) < 10_000
    assert 0 < len((await browser.session.state()).url or "") < 10_000  # people are shown it beside a request
    assert await browser.alive()
    assert len((browser.spec.folder / "last_url").read_text()) < 10_000  # what the next start opens
    assert (await browser.do("open_url", url=site.page("<title>Short</title>", "/short"))).success


async def test_a_long_text_reaches_a_dialog_whole(browser: Machine, site: Site) -> None:
    """As long as an action may make it, and with characters that JSON spells out."""
    page = site.page("<button onclick='document.title = prompt(1).length'>Ask</button>", "/ask")
    await browser.do("open_url", url=page)
    await browser.do("click", **await browser.at("Ask"))
    text = "é" * 65_536
    assert (await browser.do("type_text", text=text)).success
    assert (await browser.do("key_press", key="enter")).success
    assert (await browser.session.state()).title == str(len(text))


@pytest.mark.parametrize(
    "spelling",
    ["127.0.0.1:{port}\\@other.test", "2130706433:{port}", "0x7f.1:{port}", "u:p@127.1:{port}", "127.0.0.1.:{port}"],
)
async def test_a_browser_goes_where_the_address_was_read_to_lead(browser: Machine, site: Site, spelling: str) -> None:
    """Policies have judged the host that was read."""
    site.page("<title>Here</title>", "/here")
    url = f"http://{spelling.format(port=site.host.split(':')[1])}/here"
    opened = await browser.do("open_url", url=url)
    assert opened.success, opened.error
    assert web_host(str((await browser.session.state()).url)) == web_host(url) == "127.0.0.1"


async def test_what_a_page_writes_into_an_empty_tab_is_its_own(browser: Machine, site: Site) -> None:
    """Else a policy about its host did not hold there."""
    write = "window.open('about:blank').document.write('<title>Mine</title><button>Pay</button>')"
    await browser.do("open_url", url=site.page(f'<button onclick="{write}">Open</button>', "/opener"))
    assert (await browser.session.state()).host == "127.0.0.1"
    await browser.do("click", **await browser.at("Open"))
    assert (await browser.find("Pay")).role == "button"
    shown = await browser.session.state()
    assert (shown.url, shown.title, shown.host) == ("about:blank", "Mine", "127.0.0.1")


async def test_what_is_too_large_to_be_read_ends_the_visit_and_not_the_machine(browser: Machine, site: Site) -> None:
    """Reading holds up everything else that the reader does, so it has a limit."""
    script = "<script>document.body.textContent = 'x'.repeat(7e7)</script>"  # not shown, so nothing is laid out
    await browser.do("open_url", url=site.page(f"<body style='display: none'>{script}", "/large"))
    visitor = await browser.driver.attach(browser.spec, browser.handle)
    with pytest.raises(MachineGone, match="too large"):
        await visitor.text()
    with pytest.raises(MachineGone, match="too large"):
        await visitor.screenshot()
    await visitor.close()
    assert await browser.alive()
    assert (await browser.do("open_url", url=site.page("<title>Small</title>", "/small"))).success


async def test_a_page_cannot_end_its_machine_with_an_endless_request(browser: Machine, site: Site) -> None:
    fetch = "fetch('data:,' + 'x'.repeat(7e7)).then((answer) => { document.title = 'Fetched'; })"
    page = site.page(f'<button onclick="{fetch}">Fetch</button>', "/fetch")
    await browser.do("open_url", url=page)
    await browser.do("click", timeout_ms=60_000, **await browser.at("Fetch"))
    async with asyncio.timeout(20):
        while (await browser.session.state()).title != "Fetched":
            await browser.do("wait", ms=50)
    assert await browser.alive()


async def test_what_a_page_says_of_its_options_is_cut(browser: Machine, site: Site) -> None:
    options = "<script>for (const n of [1, 2, 3]) one.add(new Option('x'.repeat(1e6) + n, n))</script>"
    await browser.do(
        "open_url", url=site.page(f"<select id=one aria-label=One style=width:9em></select>{options}", "/options")
    )
    at = await browser.at("One")
    missing = await browser.do("select_option", **at, option="none of them")
    assert "has no option" in str(missing.error)
    assert len(str(missing.error)) < 5000
    chosen = await browser.do("select_option", **at, option="2")
    assert chosen.success, str(chosen.error)[:500]
    assert len(chosen.data["selected"]) < 5000


async def test_characters_that_cannot_be_stored_are_replaced(browser: Machine, site: Site) -> None:
    script = "<script>one.textContent = 'N\\0ul \\ud800 half'; document.title = 'T\\udc00'</script>"
    page = site.page(f"<button id=one onclick=\"alert('a\\0b\\ud83d')\"></button>{script}", "/nul")
    await browser.do("open_url", url=page)
    assert (await browser.find("N\ufffdul \ufffd half", "button")).role == "button"
    assert "N\ufffdul \ufffd half" in await browser.session.text()
    assert (await browser.session.state()).title == "T\ufffd"
    clicked = await browser.do("click", **await browser.at("N\ufffdul \ufffd half"))
    assert clicked.data["dialog"] == "a\ufffdb\ufffd"


def test_other_characters_stay_as_they_are() -> None:
    text = "\U0001f600 é\\u0000 \\ud800 \n\t\x7f"
    assert storable.load(json.dumps({text: [text, 1, None]})) == {text: [text, 1, None]}
    assert storable.load(json.dumps([text, "\0\ud800"]).encode()) == [text, "\ufffd\ufffd"]
    with pytest.raises(ValueError, match="utf-8"):
        storable.load(b'"\xff"')
