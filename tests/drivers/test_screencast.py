"""The live screen of a browser: what is on it, also when nobody touches it, and what is not told apart from it."""

import asyncio
import io
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from machines.drivers.base import MachineGone
from machines.drivers.browser.driver import BrowserSession
from machines.drivers.browser.screencast import Screencast
from machines.drivers.live_screen import Input, LiveScreen, LookedScreen
from machines.drivers.registry import live_screen
from tests.drivers.conftest import Machine, Site, spec_of

pytestmark = pytest.mark.browser

RED, GREEN, BLUE = (200, 30, 30), (30, 160, 60), (30, 60, 200)
PAGE = "<!doctype html><title>Colours</title><body style='margin: 0; background: rgb{color}'><h1>Page</h1>{more}"
Pixel = tuple[int, int, int]


def page(color: Pixel, more: str = "") -> str:
    return PAGE.format(color=color, more=more)


@asynccontextmanager
async def live(machine: Machine) -> AsyncIterator[LiveScreen]:
    screen = live_screen(await machine.driver.attach(machine.spec, machine.handle))
    try:
        yield screen
    finally:
        await screen.close()


def pixel(jpeg: bytes, x: int = 900, y: int = 600) -> Pixel:
    image = Image.open(io.BytesIO(jpeg))
    assert image.size == (1280, 720)
    seen = image.convert("RGB").getpixel((x, y))
    assert isinstance(seen, tuple)
    return seen  # type: ignore[return-value]


def near(color: Pixel, x: int = 900, y: int = 600) -> Callable[[bytes], bool]:
    return lambda jpeg: all(abs(a - b) < 12 for a, b in zip(pixel(jpeg, x, y), color, strict=True))


async def shows(screen: LiveScreen, test: Callable[[bytes], bool], hidden: tuple[str, ...] = ()) -> bytes:
    """The first picture that passes."""
    async with asyncio.timeout(30):
        while True:
            picture = await screen.next(hidden)
            if test(picture.as_seen):
                return picture.as_seen


async def is_still(screen: LiveScreen, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await screen.next()
    except TimeoutError:
        return True
    return False


async def test_each_change_comes_and_a_page_that_stands_still_sends_nothing(browser: Machine, site: Site) -> None:
    await browser.do("open_url", url=site.page(page(RED)))
    async with live(browser) as screen:
        assert isinstance(screen, Screencast)
        await shows(screen, near(RED))
        await browser.do("open_url", url=site.page(page(GREEN)))
        await shows(screen, near(GREEN))
        while not await is_still(screen, 1.5):
            continue
        await screen.pause()
        await shows(screen, near(GREEN))


async def test_the_last_picture_of_a_movement_is_where_it_ended(browser: Machine, site: Site) -> None:
    move = """<script>let n = 0; function go() { n += 1; document.body.style.background =
      n < 90 ? `hsl(${n * 3} 80% 50%)` : 'rgb(30, 60, 200)'; if (n < 90) requestAnimationFrame(go); }</script>
      <button onclick='n = 0; go()'>Move</button>"""
    await browser.do("open_url", url=site.page(page(RED, move)))
    async with live(browser) as screen:
        await shows(screen, near(RED))
        for _ in range(3):
            await browser.do("click", **await browser.at("Move"))
            await shows(screen, near(BLUE))
            while not await is_still(screen, 1.5):
                continue


async def test_dialogs_are_in_the_picture_and_the_viewer_who_leaves_answers_none(browser: Machine, site: Site) -> None:
    ask = "<button onclick=\"document.title = String(confirm('Really?'))\">Ask</button>"
    await browser.do("open_url", url=site.page(page(RED, ask)))
    async with live(browser) as screen:
        await shows(screen, near(RED))
        await browser.do("click", **await browser.at("Ask"))
        await shows(screen, lambda jpeg: not near(RED)(jpeg))
    assert (await browser.session.state()).dialog == "Really?"
    async with live(browser) as screen:
        await shows(screen, lambda jpeg: not near(RED)(jpeg))
        await browser.do("key_press", key="enter")
        await shows(screen, near(RED))
    assert (await browser.session.state()).title == "true"


async def test_the_newest_tab_is_followed(browser: Machine, site: Site) -> None:
    other = site.page(page(BLUE), "/other")
    await browser.do("open_url", url=site.page(page(RED, f"<a target=_blank rel=opener href='{other}'>Other</a>")))
    async with live(browser) as screen:
        await shows(screen, near(RED))
        await browser.do("click", **await browser.at("Other"))
        await shows(screen, near(BLUE))
        assert isinstance(browser.session, BrowserSession)
        await browser.session.new_tab()
        await shows(screen, near(RED))


async def test_what_shows_a_secret_is_painted_over(browser: Machine, site: Site) -> None:
    secret = "<p style='position: absolute; left: 100px; top: 300px; font-size: 60px'>hunter2-hunter2</p>"
    await browser.do("open_url", url=site.page(page(RED, secret)))
    async with live(browser) as screen:
        plain = await shows(screen, near(RED))
        await screen.pause()
        masked = await shows(screen, near(RED), hidden=("hunter2-hunter2",))
        spots = [(x, 420) for x in range(105, 500, 5)]
        assert sum(pixel(plain, *at) != pixel(masked, *at) for at in spots) > len(spots) / 2


async def test_many_viewers_at_once_and_an_agent_that_looks_disturb_each_other_not(
    browser: Machine, site: Site
) -> None:
    await browser.do("open_url", url=site.page(page(RED)))
    async with live(browser) as one, live(browser) as two:
        await shows(one, near(RED))
        await shows(two, near(RED))
        frame = await browser.session.screenshot()
        assert (frame.width, frame.height) == (1280, 720)
        await browser.do("open_url", url=site.page(page(GREEN)))
        await shows(one, near(GREEN))
        await shows(two, near(GREEN))


async def test_a_browser_that_ends_is_told_of(tmp_path: Path) -> None:
    machine = Machine(spec_of("browser", tmp_path / "machine"))
    await machine.start()
    try:
        async with live(machine) as screen:
            await screen.next()
            await machine.driver.stop(machine.spec, machine.handle)
            with pytest.raises(MachineGone):
                await shows(screen, lambda jpeg: False)
    finally:
        await machine.stop()


async def test_a_terminal_is_looked_at_until_it_changes(terminal: Machine) -> None:
    async with live(terminal) as screen:
        assert isinstance(screen, LookedScreen)
        before = await screen.next()
        await terminal.do("run_line", command="printf '\\e[31;1mred\\e[0m \\e]0;title\\a é漢'")
        while "red" not in ((picture := await screen.next()).as_text or b"").decode():
            continue
        assert picture.as_seen != before.as_seen
        shown = (picture.as_text or b"").decode()
        assert "\x1b[0;1;38;5;1mred" in shown
        assert "é漢" in shown
        assert set(re.findall(r"\x1b(.[0-9;?]*[A-Za-z]?)", shown)) & {"]0;t"} == set()


FORM = """<textarea style="width: 500px; height: 200px"></textarea><script>
  const t = document.querySelector('textarea'); t.focus();
  for (const name of ['keydown', 'click', 'dblclick', 'mouseup', 'wheel'])
    document.addEventListener(name, (e) => { document.title += ' ' + name + (e.key || ''); });
</script><div style="height: 3000px"></div>"""


async def value(browser: Machine) -> str:
    assert isinstance(browser.session, BrowserSession)
    asked = {"expression": "document.querySelector('textarea').value", "returnByValue": True}
    return str((await browser.session.send("Runtime.evaluate", asked))["result"]["value"])


async def test_what_is_typed_and_pasted_arrives_sign_by_sign(browser: Machine, site: Site) -> None:
    await browser.do("open_url", url=site.page(page(RED, FORM)))
    pasted = "\n".join(f"line {number} with é ✓ 漢 @ # | ~" for number in range(300))
    parts = [pasted[start : start + 1000] for start in range(0, len(pasted), 1000)]
    async with live(browser) as screen:
        await screen.next()
        await screen.give([Input("text", text=char) for char in "a@é漢~"])
        await screen.give([Input("key", key="enter"), Input("key", key="x"), Input("key", key="backspace")])
        await screen.give([Input("text", text=part) for part in parts])
    assert await value(browser) == f"a@é漢~\n{pasted}"
    title = (await browser.session.state()).title
    assert "keydowna keydown@" in title
    assert "keydownEnter" in title


async def test_the_pointer_clicks_drags_and_lets_go_and_the_wheel_scrolls(browser: Machine, site: Site) -> None:
    await browser.do("open_url", url=site.page(page(RED, FORM)))
    click = [Input("down", x=600, y=600), Input("up", x=600, y=600)]
    async with live(browser) as screen:
        await screen.next()
        await screen.give([*click, *(replace(event, count=2) for event in click)])
        await screen.give([Input("wheel", x=600, y=600, by=(0, 400))])
        await screen.give([Input("down", x=600, y=600), Input("move", x=610, y=610)])
        await screen.let_go()
        await screen.let_go()
    title = (await browser.session.state()).title
    assert title.split()[1:] == ["mouseup", "click", "mouseup", "click", "dblclick", "wheel", "mouseup", "click"]


async def test_a_dialog_that_a_click_opens_is_answered_by_the_next(browser: Machine, site: Site) -> None:
    ask = "<button onclick=\"document.title = prompt('Name?', '')\">Ask</button>"
    await browser.do("open_url", url=site.page(page(RED, ask)))
    at = await browser.at("Ask")
    async with live(browser) as screen:
        await shows(screen, near(RED))
        await screen.give([Input("down", **at), Input("up", **at)])
        await shows(screen, lambda jpeg: not near(RED)(jpeg))
        await screen.give([Input("text", text="Ana é"), Input("key", key="enter")])
        await shows(screen, near(RED))
    assert (await browser.session.state()).title == "Ana é"


async def until_idle(terminal: Machine, *, idle: bool) -> None:
    async with asyncio.timeout(30):
        while (await terminal.session.state()).idle != idle:  # noqa: ASYNC110  nothing rings for it
            await asyncio.sleep(0.02)


async def test_a_terminal_is_typed_into_without_waiting_for_what_comes_of_it(terminal: Machine) -> None:
    async with live(terminal) as screen:
        await screen.next()
        await screen.give([Input("text", text="cat > /dev/null\n")])
        await until_idle(terminal, idle=False)
        await screen.give([Input("key", key="c", modifiers=("ctrl",))])
        await until_idle(terminal, idle=True)
        await screen.give([Input("text", text="echo 'é ✓ 漢 @ # |' > f; cat"), Input("key", key="enter")])
        await screen.give([Input("key", key="d", modifiers=("ctrl",))])
        async with asyncio.timeout(30):
            while not await terminal.session.read_file("f"):
                await screen.next()
    assert (await terminal.session.read_file("f") or b"").decode() == "é ✓ 漢 @ # |\n"
