"""Pages that mean harm to whoever looks at them: the machine, and the worker that reads it, outlive them."""

import pytest

from tests.drivers.conftest import Machine, Site

pytestmark = pytest.mark.browser


async def test_a_page_cannot_end_its_machine_with_an_endless_address(browser: Machine, site: Site) -> None:
    long = site.page("<script>history.pushState(0, '', '/' + 'y'.repeat(1.5e6))</script>")
    opened = await browser.do("open_url", url=long)
    assert opened.success, opened.error
    assert len(opened.data["url"]) < 10_000
    assert (await browser.session.state()).url is not None
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
