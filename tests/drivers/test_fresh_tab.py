"""A run finds one fresh tab, whatever the pages of before left: dialogs without end, popups, scripts that never return."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from machines.drivers.browser.keeper.page_keeper import MOST_TABS
from tests.drivers.conftest import Machine, Site

pytestmark = pytest.mark.browser
HANG = "while (true) {}"
# What a page leaves behind when the run that opened it is over, and what is pressed on it to let it begin.
LEFT = {
    "an alert": "alert(1)",
    "an alert loop": "while (true) alert(1)",
    "an alert loop that hangs": "for (let n = 0; n < 3; n++) alert(n); while (true) {}",
    "a prompt in a timer": "setInterval(() => prompt('again'), 1)",
    "a page that hangs": HANG,
    "60 popups": "for (let n = 0; n < 60; n++) window.open('about:blank')",
    "60 popups and a hang": f"for (let n = 0; n < 60; n++) window.open('about:blank', 'w' + n); {HANG}",
    "popups that open popups": "const f = () => { const w = window.open('/opens'); setInterval(() => w && !w.closed || f(), 1) }; f()",
    "a leave that is asked about": "addEventListener('beforeunload', e => { e.preventDefault(); e.returnValue = 'stay' })",
    "a leave that never ends": f"addEventListener('beforeunload', () => {{ {HANG} }}); addEventListener('pagehide', () => {{ {HANG} }})",
    "a leave that alerts": "addEventListener('unload', () => { while (true) alert(2) })",
    "a file chooser": "document.querySelector('input').click()",
    "a print": "print()",
}  # fmt: skip


QUICK = ("an alert loop", "60 popups and a hang", "a leave that is asked about")


@pytest.fixture
async def visited(browser_machine: Machine) -> AsyncIterator[Machine]:
    """One browser for all: whatever one test leaves, the next begins with it."""
    machine = browser_machine
    machine.session = await machine.driver.attach(machine.spec, machine.handle)
    yield machine
    await machine.session.close()


async def tabs(machine: Machine) -> list[str]:
    infos = (await machine.session.cdp.send("Target.getTargets"))["targetInfos"]  # type: ignore[attr-defined]
    return [info["url"] for info in infos if info["type"] == "page"]


async def leave(machine: Machine, site: Site, script: str) -> None:
    """Open a page and press its button, as a run would; it ends whatever comes of that."""
    page = site.page(f'<input type="file"><button onclick="{script.replace(chr(34), chr(39))}">Go</button>', "/left")
    site.page('<script>setInterval(() => window.open("/opens"), 1)</script>', "/opens")
    await machine.do("open_url", url=page)
    x, y = (await machine.find("Go")).center
    pressed = asyncio.create_task(machine.do("click", timeout_ms=2000, x=x, y=y))
    await asyncio.wait({pressed}, timeout=4)
    pressed.cancel()
    await asyncio.gather(pressed, return_exceptions=True)
    await machine.session.close()


@pytest.mark.parametrize("left", [pytest.param(left, marks=() if left in QUICK else pytest.mark.slow) for left in LEFT])
async def test_a_run_begins_with_one_fresh_tab(left: str, visited: Machine, site: Site) -> None:
    await leave(visited, site, LEFT[left])
    visited.session = await visited.driver.attach(visited.spec, visited.handle)
    await visited.session.begin()
    assert await tabs(visited) == ["about:blank"]
    assert (await visited.session.state()).dialog is None
    opened = await visited.do("open_url", url=site.page("<title>Mine</title><button>Work</button>", "/mine"))
    assert opened.success, opened.error
    assert (await visited.find("Work")).role == "button"
    assert (await visited.session.screenshot()).width == 1280
    assert await tabs(visited) == [f"http://{site.host}/mine"]


async def test_a_page_gets_no_more_than_twenty_tabs(visited: Machine, site: Site) -> None:
    script = "for (let n = 0; n < 60; n++) window.open('/one?' + n); document.title = 'Opened'"
    site.page("<title>One</title>", "/one")
    await visited.do("open_url", url=site.page(f'<button onclick="{script}">Go</button>', "/many"))
    await visited.do("click", **await visited.at("Go"))
    assert len(await tabs(visited)) <= MOST_TABS
    assert await visited.alive()
    assert (await visited.do("open_url", url=site.page("<title>On</title>", "/on"))).success


async def test_what_was_open_is_not_opened_again_after_a_new_start(visited: Machine, site: Site) -> None:
    await visited.do("open_url", url=site.page("<title>Old</title>", "/old"))
    assert (visited.spec.folder / "last_url").exists()
    await visited.session.begin()
    await visited.stop()
    await visited.start()
    assert (await visited.session.state()).url == "about:blank"
