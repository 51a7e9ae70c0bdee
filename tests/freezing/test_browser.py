"""While a person drives a browser, the tabs that are not in view stand still: their scripts, frames, workers and popups."""

import asyncio
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from machines import freezing, lifecycle
from machines.drivers.cdp import Cdp
from machines.drivers.places import recorded_places
from runs.takeover import lapses
from tests.cast import Cast
from tests.freezing.conftest import Desk, work
from tests.runs.driving import until
from tests.takeover.control import pass_time

pytestmark = pytest.mark.browser
BEAT = "const beat = (what) => fetch(`/beat?${what}`, {mode: 'no-cors'}).catch(() => {});"
# What a page may have left running: each tells the site that it does.
PLANTS = {
    "timer": "setInterval(() => beat('x'), 30)",
    "chain of messages": "const c = new MessageChannel(); let n = 0;"
    "c.port1.onmessage = () => { if (n++ % 500 == 0) beat('x'); c.port2.postMessage(0) }; c.port2.postMessage(0)",
    "animation": "const f = () => { beat('x'); requestAnimationFrame(f) }; f()",
    "answers of the site": "(async () => { for (;;) { await beat('x'); } })()",
    "worker": "new Worker(URL.createObjectURL(new Blob([`setInterval(() => fetch('${location.origin}/beat?x'), 30)`])))",
    "shared worker": "new SharedWorker('/worker.js')",
    "service worker": "navigator.serviceWorker.register('/worker.js')",
    "frame": "document.body.append(Object.assign(document.createElement('iframe'), {src: '/framed'}))",
    "endless script": "setTimeout(() => { for (;;) { const r = new XMLHttpRequest();"
    "r.open('GET', '/beat?x', false); r.send() } }, 100)",
}  # fmt: skip


class Site:
    """Pages by path; counts what it was asked for."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.pages: dict[str, str] = {"/worker.js": "setInterval(() => fetch('/beat?x').catch(() => {}), 30)"}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def port(self) -> int:
        return self.server.server_port

    def page(self, path: str, script: str, body: str = "") -> str:
        self.pages[path] = f"<title>{path}</title><body>{body}<script>{BEAT}{script}</script>"
        return f"http://127.0.0.1:{self.port}{path}"

    def beats(self, what: str = "x") -> int:
        return self.asked[f"/beat?{what}"]

    def grows(self, what: str = "x") -> None:
        before = self.beats(what)
        until(lambda: self.beats(what) > before)

    def _handler(site) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked[self.path] += 1
                path = self.path.split("?")[0]
                self.send_response(200)
                self.send_header("Content-Type", "text/javascript" if path.endswith(".js") else "text/html")
                self.end_headers()
                self.wfile.write(site.pages.get(path, "").encode())

            def log_message(self, *args: object) -> None:
                return None

        return Handler


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield site
    site.server.shutdown()
    site.server.server_close()
    thread.join(2)


class Tabs(Desk):
    """A browser machine; the newest tab is the one in view."""

    def new_tab(self, url: str) -> None:
        """As a link that opens a new tab."""
        self.devtools(lambda cdp: cdp.send("Target.createTarget", {"url": url}))
        until(lambda: self.url() == url)

    def open(self, url: str) -> None:
        self.act("open_url", url=url)

    def url(self) -> str:
        return str(self.facts().get("url"))

    def facts(self) -> dict[str, Any]:
        from machines.drivers import guestlink

        places = recorded_places(self.row.spec, self.row.handle)
        return asyncio.run(guestlink.ask(places.keeper, "page"))

    def devtools(self, use: Callable[[Cdp], Any]) -> Any:
        row = self.row

        async def connected() -> Any:
            cdp = await Cdp.open(recorded_places(row.spec, row.handle).devtools, row.handle["devtools"])
            try:
                return await use(cdp)
            finally:
                await cdp.close()

        return asyncio.run(connected())

    def run(self, script: str) -> Any:
        """A script in the tab in view, that awaits what it gives."""
        target = self.facts()["target"]

        async def use(cdp: Cdp) -> Any:
            session = (await cdp.send("Target.attachToTarget", {"targetId": target, "flatten": True}))["sessionId"]
            asked = {"expression": script, "awaitPromise": True, "userGesture": True}
            return (await cdp.send("Runtime.evaluate", asked, session))["result"].get("value")

        return self.devtools(use)

    def meanwhile(self) -> None:
        """Time passes: in the tab in view."""
        assert self.run("new Promise((done) => setTimeout(() => done(7), 500))") == 7

    def settled(self, site: Site, what: str = "x") -> int:
        """What was under way when the page was frozen has arrived."""
        self.meanwhile()
        return site.beats(what)


@pytest.fixture
def tabs(machines: None, cast: Cast, site: Site, monkeypatch: pytest.MonkeyPatch) -> Tabs:
    monkeypatch.setenv("MACHINE_ALLOWED_HOSTS", f"127.0.0.1:{site.port},localhost:{site.port}")
    site.page("/framed", "setInterval(() => beat('x'), 30)")
    return Tabs(cast.api(), "browser")


@pytest.mark.parametrize("plant", PLANTS)
def test_what_another_tab_left_running_stands_still(tabs: Tabs, site: Site, plant: str) -> None:
    tabs.open(site.page("/planted", PLANTS[plant]))
    site.grows()
    tabs.new_tab(site.page("/mine", "setInterval(() => beat('mine'), 30)"))
    lease = tabs.take(private=True)
    before = tabs.settled(site)
    tabs.meanwhile()
    assert site.beats() == before
    site.grows("mine")
    tabs.release(lease)
    if plant != "endless script":
        site.grows()


@pytest.mark.parametrize("how", ["'_blank'", "'_blank', 'noopener'"])
def test_popups_of_another_tab_do_not_come_into_view(tabs: Tabs, site: Site, how: str) -> None:
    tabs.open(site.page("/planted", f"setInterval(() => {{ window.open('/popup', {how}); beat('x') }}, 50)"))
    site.page("/popup", "setInterval(() => beat('popup'), 30)")
    until(lambda: site.beats("popup"))
    tabs.new_tab(site.page("/mine", ""))
    tabs.take()
    url = tabs.url()
    assert url.endswith(("/mine", "/popup"))  # whichever came last is what the person saw when they took control
    tabs.open(site.page("/other", ""))
    before = tabs.settled(site)
    popups = site.beats("popup")
    tabs.meanwhile()
    assert tabs.url().endswith("/other")
    assert (site.beats(), site.beats("popup")) == (before, popups)


def test_a_tab_that_the_person_opens_runs_and_comes_into_view(tabs: Tabs, site: Site) -> None:
    tabs.open(site.page("/mine", "", "<a href=/opened target=_blank style='position:fixed;inset:0'>open</a>"))
    site.page("/opened", "setInterval(() => beat('opened'), 30)")
    tabs.take()
    tabs.act("click", x=200, y=200)
    until(lambda: tabs.url().endswith("/opened"))
    freezing.settle_all()
    site.grows("opened")


def test_the_tab_below_is_the_persons_when_they_close_theirs(tabs: Tabs, site: Site) -> None:
    tabs.open(site.page("/planted", PLANTS["timer"]))
    tabs.new_tab(site.page("/mine", ""))
    tabs.take()
    target = tabs.facts()["target"]
    tabs.devtools(lambda cdp: cdp.send("Target.closeTarget", {"targetId": target}))
    until(lambda: tabs.url().endswith("/planted"))
    freezing.settle_all()
    site.grows()


def test_a_service_worker_of_before_sees_nothing_of_what_the_person_sends(tabs: Tabs, site: Site) -> None:
    site.pages["/worker.js"] = (
        "onactivate = () => clients.claim();"
        "onfetch = (e) => { if (e.request.url.includes('typed')) fetch('/beat?heard') }"
    )
    tabs.open(site.page("/mine", "navigator.serviceWorker.register('/worker.js')"))
    until(lambda: tabs.run("navigator.serviceWorker.ready.then(() => !!navigator.serviceWorker.controller)"))
    tabs.run("fetch('/typed').then(() => 1)")
    until(lambda: site.beats("heard") == 1)
    lease = tabs.take(private=True)
    assert tabs.run("fetch('/typed?secret').then((answer) => answer.status)") == 200
    tabs.open(site.page("/typed", ""))
    tabs.meanwhile()
    assert site.beats("heard") == 1
    tabs.release(lease)
    tabs.open(site.page("/mine", ""))
    tabs.run("fetch('/typed').then(() => 1)")
    until(lambda: site.beats("heard") > 1)


def test_pages_go_on_when_the_lease_lapses_and_when_its_end_was_cut_short(tabs: Tabs, site: Site) -> None:
    tabs.open(site.page("/planted", PLANTS["timer"]))
    site.grows()
    tabs.new_tab(site.page("/mine", ""))
    lease = tabs.take()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("machines.takeover.thaw_machine", lambda *_: None)
        pass_time(lease, silent=30)
        assert lapses() == 1
    assert tabs.facts()["held"]
    freezing.settle_all()
    site.grows()
    assert (tabs.row.frozen, tabs.facts()["held"]) == (None, False)


def test_a_browser_that_died_during_a_takeover_is_held_again(tabs: Tabs, site: Site) -> None:
    tabs.open(site.page("/mine", ""))
    lease = tabs.take()
    import os

    os.kill(tabs.row.handle["pid"], signal.SIGKILL)
    until(lambda: not tabs.inside())
    until(lifecycle.revive_dead)
    work()
    freezing.settle_all()
    assert tabs.facts()["held"]
    tabs.release(lease)
    assert not tabs.facts()["held"]


def test_stop_makes_the_whole_browser_stand(tabs: Tabs, site: Site) -> None:
    tabs.open(site.page("/mine", PLANTS["timer"]))
    site.grows()
    freezing.freeze_machine(tabs.id, "stop")
    before = site.beats()
    assert {row.state for row in tabs.inside()} == {"T"}
    lease = tabs.take()
    tabs.release(lease)
    assert site.beats() - before <= 6  # what had left the browser already
    freezing.thaw_machine(tabs.id, "stop")
    site.grows()
    assert tabs.row.frozen is None


@pytest.mark.parametrize("why", ["takeover", "stop"])
def test_a_browser_that_stands_still_can_be_stopped(tabs: Tabs, why: str) -> None:
    if why == "stop":
        freezing.freeze_machine(tabs.id, "stop")
    else:
        tabs.take()
    assert tabs.api.post(f"/machines/{tabs.id}/stop").status_code == 200
    work()
    assert (tabs.row.status, tabs.inside()) == ("stopped", ())


def test_switching_off_ends_a_browser_that_stands_still(tabs: Tabs) -> None:
    freezing.freeze_machine(tabs.id, "stop")
    lifecycle.stop_all_processes()
    assert tabs.inside() == ()
