"""While a person drives a browser, the tabs that are not in view stand still: their scripts, frames, workers and popups."""

import asyncio
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from machines.drivers import guest_link
from machines.drivers.browser.cdp import Cdp
from machines.drivers.places import recorded_places
from machines.processes import freezing, lifecycle
from machines.takeover.services import lapses
from tests.cast import Cast
from tests.freezing.conftest import Desk, work
from tests.runs.driving import until
from tests.takeover.control import pass_time

pytestmark = pytest.mark.browser
BEAT = "const beat = (what) => fetch(`/beat?${what}`, {mode: 'no-cors'}).catch(() => {});"
# What a page may have left running: each tells the site that it does.
PLANTS = {
    "timer": "setInterval(() => beat('timer'), 50)",
    "messages": "const c = new MessageChannel(); let free = true;"
    "c.port1.onmessage = () => { if (free) { free = false; beat('messages').then(() => { free = true }) }"
    "setTimeout(() => c.port2.postMessage(0), 30) }; c.port2.postMessage(0)",
    "animation": "const f = () => beat('animation').then(() => requestAnimationFrame(f)); f()",
    "answers": "(async () => { for (;;) { await beat('answers') } })()",
    "worker": "new Worker(URL.createObjectURL(new Blob([`"
    "setInterval(() => fetch('${location.origin}/beat?worker').catch(() => {}), 50)`])))",
    "shared worker": "new SharedWorker('/worker.js?shared worker')",
    "service worker": "navigator.serviceWorker.register('/worker.js?service worker')",
    "frame": "document.body.append(Object.assign(document.createElement('iframe'),"
    "{src: `http://localhost:${location.port}/framed`}))",
}  # fmt: skip
ENDLESS = """setTimeout(() => { for (;;) {
  const request = new XMLHttpRequest();
  request.open('GET', '/beat?endless', false);
  request.send();
} }, 500)"""
# Opens windows as soon as the site says so.
OPENER = (
    "setInterval(async () => { if ((await fetch('/go').then((a) => a.text())) == 'go') window.open('/popup') }, 100)"
)


class Site:
    """Pages by path; counts what it was asked for."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.pages: dict[str, str] = {
            "/worker.js": "setInterval(() => fetch('/beat?' + decodeURI(location.search.slice(1))).catch(() => {}), 50)"
        }
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def port(self) -> int:
        return self.server.server_port

    def page(self, path: str, script: str, body: str = "") -> str:
        self.pages[path] = f"<title>{path}</title><body>{body}<script>{BEAT}{script}</script>"
        return f"http://127.0.0.1:{self.port}{path}"

    def heard(self) -> Counter[str]:
        """Of running scripts; the browser itself looks for new versions of service workers."""
        return Counter({path: times for path, times in self.asked.copy().items() if path.startswith("/beat")})

    def beats(self, what: str = "timer") -> int:
        return self.asked[f"/beat?{what.replace(' ', '%20')}"]

    def grows(self, what: str = "timer") -> None:
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
        """What never stops loading is waited for as long as the action may take."""
        self.act("open_url", 1500, url=url)

    def url(self) -> str:
        return str(self.facts().get("url"))

    def facts(self) -> dict[str, Any]:
        places = recorded_places(self.row.spec, self.row.handle)
        return asyncio.run(guest_link.ask(places.keeper, "page"))

    def devtools(self, use: Callable[[Cdp], Any]) -> Any:
        row = self.row

        async def connected() -> Any:
            cdp = await Cdp.open(recorded_places(row.spec, row.handle).devtools, row.handle["devtools"])
            try:
                return await use(cdp)
            finally:
                await cdp.close()

        return asyncio.run(connected())

    def targets(self) -> list[Any]:
        return list(self.devtools(lambda cdp: cdp.send("Target.getTargets"))["targetInfos"])

    def run(self, script: str, target: str = "") -> Any:
        """A script in the tab in view, or in another, that awaits what it gives."""
        target = target or self.facts()["target"]

        async def use(cdp: Cdp) -> Any:
            session = (await cdp.send("Target.attachToTarget", {"targetId": target, "flatten": True}))["sessionId"]
            asked = {"expression": script, "awaitPromise": True, "userGesture": True}
            return (await cdp.send("Runtime.evaluate", asked, session))["result"].get("value")

        return self.devtools(use)

    def meanwhile(self) -> None:
        """Time passes: in the tab in view."""
        assert self.run("new Promise((done) => setTimeout(() => done(7), 500))") == 7

    def nothing_comes(self, site: Site) -> None:
        """No script says anything any more, once what was under way has arrived; those that run do so every moment."""

        def quiet() -> bool:
            before = site.heard()
            self.meanwhile()
            self.meanwhile()
            return site.heard() == before

        until(quiet)


@pytest.fixture
def tabs(machines: None, cast: Cast, site: Site, monkeypatch: pytest.MonkeyPatch) -> Tabs:
    monkeypatch.setenv("MACHINE_ALLOWED_HOSTS", f"127.0.0.1:{site.port},localhost:{site.port}")
    site.page("/framed", "setInterval(() => beat('frame'), 50)")
    return Tabs(cast.api(), "browser")


def test_what_another_tab_left_running_stands_still(tabs: Tabs, site: Site) -> None:
    tabs.open(site.page("/planted", "\n".join(f"{{ {script} }}" for script in PLANTS.values())))
    until(lambda: all(site.beats(plant) > 3 for plant in PLANTS))
    tabs.new_tab(site.page("/mine", ""))
    lease = tabs.take(private=True)
    tabs.nothing_comes(site)
    tabs.run("setInterval(() => fetch('/beat?mine'), 50), 0")
    site.grows("mine")
    tabs.release(lease)
    for plant in PLANTS:
        site.grows(plant)
    assert tabs.run("document.visibilityState + innerWidth") == "visible800"


@pytest.mark.slow
def test_a_script_without_end_is_ended(tabs: Tabs, site: Site) -> None:
    tabs.open(site.page("/planted", ENDLESS))
    tabs.new_tab(site.page("/mine", ""))
    until(lambda: site.beats("endless"))
    tabs.take()
    tabs.nothing_comes(site)


@pytest.mark.slow
def test_a_tab_that_stands_still_opens_nothing(tabs: Tabs, site: Site) -> None:
    tabs.open(site.page("/planted", OPENER))
    until(lambda: site.asked["/go"])
    site.page("/popup", "beat('popup')")
    tabs.new_tab(site.page("/mine", ""))
    tabs.take()
    site.pages["/go"] = "go"
    tabs.meanwhile()
    assert (tabs.url().endswith("/mine"), site.beats("popup")) == (True, 0)


@pytest.mark.parametrize("how", ["'_blank'", pytest.param("'_blank', 'noopener'", marks=pytest.mark.slow)])
def test_what_it_was_just_about_to_open_does_not_start_and_does_not_come_into_view(
    tabs: Tabs, site: Site, how: str
) -> None:
    tabs.open(site.page("/planted", ""))
    planted = tabs.facts()["target"]
    site.page("/popup", "beat('popup')")
    tabs.new_tab(site.page("/mine", ""))
    lease = tabs.take()
    tabs.run(f"setTimeout(() => window.open('/popup', {how})), 0", planted)
    tabs.run(f"window.open('/popup', {how}), 0", planted)
    until(lambda: len(tabs.targets()) == 3)
    tabs.meanwhile()
    assert (tabs.url().endswith("/mine"), site.beats("popup")) == (True, 0)
    tabs.release(lease)
    until(lambda: site.beats("popup"))


def test_a_tab_that_the_person_opens_runs_and_comes_into_view(tabs: Tabs, site: Site) -> None:
    tabs.open(site.page("/mine", "", "<a href=/opened target=_blank style='position:fixed;inset:0'>open</a>"))
    site.page("/opened", "setInterval(() => beat('opened'), 30)")
    tabs.take()
    tabs.act("click", x=200, y=200)
    until(lambda: tabs.url().endswith("/opened"))
    freezing.settle_all()
    site.grows("opened")


@pytest.mark.slow
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
        patch.setattr("machines.takeover.control_leases.thaw_machine", lambda *_: None)
        pass_time(lease, silent=30)
        assert lapses() == 1
    assert tabs.facts()["held"]
    freezing.settle_all()
    site.grows()
    assert (tabs.row.frozen, tabs.facts()["held"]) == (None, False)


@pytest.mark.slow
def test_a_browser_that_died_during_a_takeover_is_held_again(tabs: Tabs, site: Site) -> None:
    tabs.open(site.page("/mine", ""))
    lease = tabs.take()
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
    assert all(row.stands for row in tabs.inside())
    lease = tabs.take()
    tabs.release(lease)
    assert site.beats() - before <= 6  # what had left the browser already
    freezing.thaw_machine(tabs.id, "stop")
    site.grows()
    assert tabs.row.frozen is None


@pytest.mark.slow
def test_a_browser_that_stands_still_can_be_stopped(tabs: Tabs) -> None:
    tabs.take()
    freezing.freeze_machine(tabs.id, "stop")
    assert tabs.api.post(f"/machines/{tabs.id}/stop").status_code == 200
    work()
    assert (tabs.row.status, tabs.inside()) == ("stopped", ())


def test_switching_off_ends_a_browser_that_stands_still(tabs: Tabs) -> None:
    freezing.freeze_machine(tabs.id, "stop")
    lifecycle.stop_all_processes()
    assert tabs.inside() == ()
