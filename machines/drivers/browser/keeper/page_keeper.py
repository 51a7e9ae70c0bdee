"""Stays connected to a browser for as long as it lives, and knows what no visitor can know.

A JavaScript dialog exists only while someone who listens is connected: without a listener Chromium answers it with
"cancel" at once. So visitors never enable the Page domain; they ask the keeper about dialogs and answer through it.
It also knows which tab is the newest, what is still loading, and the last address, noted down for the next start.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from machines.drivers import keys
from machines.drivers.base import MachineGone
from machines.drivers.browser.cdp import Cdp, CdpError, Params
from machines.drivers.browser.keeper.egress import REFUSAL_HEADER
from machines.drivers.browser.keeper.tab import Page, is_of_page
from machines.drivers.browser.keeper.tab_freezing import TabFreezer
from machines.drivers.within import within

CLOSING = 2.0  # seconds within which a dialog that was answered is gone
MOST_TABS = 20  # a page that opens more of them gets no more
BEGIN_SECONDS = 10.0  # within which the tabs of before are gone
MOST_DIALOGS = 5  # in a row that are closed before a page is left
LARGEST_EVENT = 1 << 30  # bytes: a request for a data: address of half as many is told whole
LONGEST_FACT = 4096  # characters: addresses, titles and words of a page may have millions
_WAITED_FOR = frozenset({"Document", "Stylesheet", "Script", "XHR", "Fetch", "Font", "Image"})
# Native lists of <select> do not get mouse events through DevTools; as part of the page they do.
_IN_PAGE_LISTS = """(() => { try {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync('select:not([multiple]):not([size]), ::picker(select) { appearance: base-select }');
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
} catch (error) {} })()"""


class Keeper:
    def __init__(self, width: int, height: int, downloads: str, last_url: Path) -> None:
        self.size = {"width": width, "height": height}
        self.downloads = downloads
        self.last_url = last_url
        self.pages: dict[str, Page] = {}  # by session, oldest first
        self.cdp: Cdp
        self.freezer = TabFreezer(lambda: list(self.pages.values()), self._prepare)
        self.dialog_opened = asyncio.Event()
        self.dialog_closed = asyncio.Event()
        self.refused: dict[str, Page] = {}  # by session: tabs that are being closed because there are too many
        self._replacing = asyncio.Lock()
        self.begins = False  # all tabs are being closed for a run that begins
        self._last_number = 0  # of dialogs and choosers
        self._tasks: set[asyncio.Task[None]] = set()
        self._browser_events: dict[str, Callable[[Params], None]] = {
            "Target.attachedToTarget": self._attached,
            "Target.detachedFromTarget": self._detached,
            "Target.targetInfoChanged": self._info_changed,
            "Target.targetCrashed": self._crashed,
        }
        self._page_events: dict[str, Callable[[Params, Page], None]] = {
            "Page.javascriptDialogOpening": self._dialog_opening,
            "Page.javascriptDialogClosed": self._dialog_closed,
            "Page.frameNavigated": self._navigated,
            "Page.frameStartedLoading": self._frame_started,
            "Page.frameStoppedLoading": self._frame_stopped,
            "Page.frameDetached": self._frame_stopped,
            "Network.requestWillBeSent": self._request_started,
            "Network.responseReceived": self._answered,
            "Network.loadingFinished": self._request_ended,
            "Network.loadingFailed": self._request_ended,
        }
        # Of a tab's own session, and of those of its frames that live in other processes.
        self._frame_events: dict[str, Callable[[Params, Page], None]] = {
            "Target.attachedToTarget": self._frame_attached,
            "Target.detachedFromTarget": self._frame_detached,
            "Page.fileChooserOpened": self._chooser_opened,
        }

    async def watch(self, socket: Path, devtools_path: str, url: str | None) -> None:
        """Connect, take charge of every tab there is and will be, and open the address in the first."""
        self.cdp = self.freezer.cdp = await Cdp.open(socket, devtools_path, self.on_event, LARGEST_EVENT)
        pages = {"filter": [{"type": "page"}]}
        await self.cdp.send("Target.setDiscoverTargets", {"discover": True, **pages})
        downloads = {"behavior": "allow", "downloadPath": self.downloads, "eventsEnabled": False}
        await self.cdp.send("Browser.setDownloadBehavior", downloads)
        attach = {"autoAttach": True, "waitForDebuggerOnStart": True, "flatten": True, **pages}
        await self.cdp.send("Target.setAutoAttach", attach)
        if url and self.current:
            self.current.frames.add(self.current.target)  # a page's main frame has the name of its target
            self._spawn(self._tell(self.current, "Page.navigate", {"url": url}))

    @property
    def current(self) -> Page | None:
        """The newest tab, of those that do not stand still."""
        newest = list(reversed(self.pages.values()))
        return next((page for page in newest if page.target not in self.freezer.left), next(iter(newest), None))

    def on_event(self, method: str, params: Params, session: str) -> None:
        if not session and method in self._browser_events:
            self._browser_events[method](params)
            return
        page = self.pages.get(session)
        if page and method in self._page_events:
            self._page_events[method](params, page)
        elif method in self._frame_events and (owner := page or self._owner(session)):
            self._frame_events[method](params, owner)

    def _owner(self, session: str) -> Page | None:
        """The tab of a frame that has a process, and so a session, of its own."""
        return next((page for page in self.pages.values() if session in page.children), None)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _next_number(self) -> int:
        self._last_number += 1
        return self._last_number

    # Tabs

    def _attached(self, params: Params) -> None:
        info = params["targetInfo"]
        if info["type"] != "page":  # a worker that stands in a debugger
            return
        page = Page(info["targetId"], params["sessionId"], info["url"], info["title"])
        if self.begins or len(self.pages) >= MOST_TABS:
            self.refused[page.session] = page
            self._spawn(self._refuse(page))
            return
        self.pages[page.session] = page
        starts = self.freezer.start_without_scripts if self.freezer.is_left(info) else self._prepare
        self._spawn(starts(page))

    async def _refuse(self, page: Page) -> None:
        """Close a tab that has just been opened. One that is closed while it waits for us would hold up who opened it."""
        with contextlib.suppress(CdpError, TimeoutError, MachineGone):
            await self.cdp.send("Runtime.runIfWaitingForDebugger", {}, page.session, timeout=CLOSING)
        await self._close(page.target)

    async def _close(self, target: str) -> None:
        with contextlib.suppress(CdpError, TimeoutError, MachineGone):
            await self.cdp.send("Target.closeTarget", {"targetId": target})

    async def _begin(self) -> int:
        """One fresh tab and no other, whatever the pages of before do; how many there are at the end.

        To close a tab needs neither its page nor an answer to its dialogs. What opens meanwhile is closed at once;
        the fresh one comes when none is left that could reach it.
        """
        self.begins = True
        until, closed = time.monotonic() + BEGIN_SECONDS, dict[str, float]()
        try:
            while (left := [*self.pages.values(), *self.refused.values()]) and (now := time.monotonic()) < until:
                due = [page for page in left if now - closed.get(page.target, 0.0) > CLOSING]
                closed |= dict.fromkeys((page.target for page in due), now)
                # Asked again too soon, the browser gives a page that hangs its time anew.
                await asyncio.gather(*(self._close(page.target) for page in due))
                await asyncio.sleep(0.01)
        finally:
            self.begins = False
        self.last_url.unlink(missing_ok=True)
        await self._after_closing()
        return len(self.pages) + len(self.refused)

    async def _prepare(self, page: Page) -> None:
        script = {"source": _IN_PAGE_LISTS, "runImmediately": True}
        await asyncio.gather(
            self._tell(page, "Page.enable"),
            self._tell(page, "Network.enable", {"maxTotalBufferSize": 0, "maxResourceBufferSize": 0}),
            self._tell(page, "Page.addScriptToEvaluateOnNewDocument", script),
            self._watch_frames(page.session),
            *([self.freezer.pass_workers_by(page)] if self.freezer.on else []),
            self._tell(page, "Runtime.runIfWaitingForDebugger"),
            self._tell(page, "Page.bringToFront"),
            self._fit_window(page),
        )

    async def _watch_frames(self, session: str) -> None:
        """File choosers are not opened but told of; also those of frames that have processes of their own."""
        frames = {"autoAttach": True, "waitForDebuggerOnStart": False, "flatten": True, "filter": [{"type": "iframe"}]}
        with contextlib.suppress(CdpError, TimeoutError, MachineGone):
            await self.cdp.send("Target.setAutoAttach", frames, session, timeout=60)
            await self.cdp.send("Page.enable", {}, session, timeout=60)
            await self._intercept_choosers(session, cancel=True)
            if self.freezer.on:
                await self.freezer.pass_workers_by_in(session)

    def _frame_attached(self, params: Params, page: Page) -> None:
        session = params["sessionId"]
        page.children.add(session)
        self._spawn(self._watch_frames(session))

    def _frame_detached(self, params: Params, page: Page) -> None:
        page.children.discard(params["sessionId"])

    async def _tell(self, page: Page, method: str, params: Params | None = None) -> None:
        """A command whose failure is no one's concern: the tab has closed meanwhile."""
        with contextlib.suppress(CdpError, TimeoutError, MachineGone):
            await self.cdp.send(method, params, page.session, timeout=60)

    async def _fit_window(self, page: Page) -> None:
        """The page area gets the machine's size; full Chromium would take its own frame off."""
        with contextlib.suppress(CdpError, TimeoutError, MachineGone):
            window = await self.cdp.send("Browser.getWindowForTarget", {"targetId": page.target})
            await self.cdp.send("Browser.setContentsSize", {"windowId": window["windowId"], **self.size})

    def _detached(self, params: Params) -> None:
        if self.pages.pop(params["sessionId"], None):
            self._spawn(self._after_closing())
        self.refused.pop(params["sessionId"], None)

    async def _after_closing(self) -> None:
        with contextlib.suppress(CdpError, TimeoutError, MachineGone):
            async with self._replacing:  # of many that close at once, one brings the next tab
                await self._show_next()
        self._write_url()

    async def _show_next(self) -> None:
        if self.current is None:
            if not self.begins:
                await self.cdp.send("Target.createTarget", {"url": "about:blank"})
                await self._await_tab()
        elif self.current.target in self.freezer.left:
            await self.freezer.hand_over(self.current)
        else:
            await self.cdp.send("Page.bringToFront", session=self.current.session)

    async def _await_tab(self) -> None:
        for _ in range(1000):  # 10 s
            if self.current:
                break
            await asyncio.sleep(0.01)

    def _info_changed(self, params: Params) -> None:
        info = params["targetInfo"]
        for page in self.pages.values():
            if page.target == info["targetId"]:
                page.url, page.title = info["url"], info["title"]
        self._write_url()

    def _crashed(self, params: Params) -> None:
        for page in self.pages.values():
            if page.target == params["targetId"]:
                page.frames.clear()
                self._spawn(self._tell(page, "Page.reload"))

    def _write_url(self) -> None:
        page = self.current
        if page is None or len(page.url) > LONGEST_FACT or not page.url.startswith(("http://", "https://")):
            return
        fresh = self.last_url.with_suffix(".new")
        with contextlib.suppress(OSError):
            fresh.write_text(page.url, encoding="utf-8")
            fresh.replace(self.last_url)

    # Dialogs

    def _dialog_opening(self, params: Params, page: Page) -> None:
        if params["type"] == "beforeunload":  # a leave that someone asked for is not asked about again
            self._spawn(self._tell(page, "Page.handleJavaScriptDialog", {"accept": True}))
            return
        page.dialog = {**params, "number": self._next_number()}
        page.typed, page.selected = str(params.get("defaultPrompt", "")), True
        self.dialog_opened.set()

    def _dialog_closed(self, params: Params, page: Page) -> None:
        page.dialog = None
        page.changed = time.monotonic()
        self.dialog_closed.set()

    async def _reply(self, page: Page, question: Params) -> None:
        """Change what a prompt's field holds, or close the dialog. One that is open no more is not confused with it."""
        if page.dialog is None or page.dialog["number"] != question["number"]:
            return
        if "text" in question:
            replaces = page.selected or question.get("replaces")
            page.typed = str(question["text"]) if replaces else page.typed + str(question["text"])
        elif question.get("erases"):
            page.typed = "" if page.selected else "".join(list(keys.clusters(page.typed))[:-1])
        page.selected = bool(question.get("selects"))
        if "accept" in question:
            await self._close_dialog(page, accept=bool(question["accept"]))

    async def _close_dialog(self, page: Page, *, accept: bool) -> None:
        """Without `promptText` an accepted prompt would give "", whatever stood in it.

        A dialog that was under way when its page was left cannot be closed: that tab hangs for good, and is replaced.
        """
        dialog, answer = page.dialog, {"accept": accept, "promptText": page.typed}
        self.dialog_closed.clear()
        await self._tell(page, "Page.handleJavaScriptDialog", answer)
        with contextlib.suppress(TimeoutError):
            await within(CLOSING, self.dialog_closed.wait())
        if page.dialog is dialog:
            await self._discard(page.target)

    # File choosers

    def _chooser_opened(self, params: Params, page: Page) -> None:
        node = params.get("backendNodeId")  # showOpenFilePicker has none
        ref = f"{params['frameId']}/{node}" if node else None
        page.chooser = {"number": self._next_number(), "ref": ref, "multiple": params["mode"] == "selectMultiple"}

    async def _intercept_choosers(self, session: str, *, cancel: bool) -> None:
        """Without `cancel` the page that asked does not hear that nobody chose; it then waits for the file."""
        await self.cdp.send("Page.setInterceptFileChooserDialog", {"enabled": True, "cancel": cancel}, session)

    async def _await_choosers(self, page: Page, *, cancel: bool) -> None:
        for session in (page.session, *page.children):
            with contextlib.suppress(CdpError, TimeoutError):
                await self._intercept_choosers(session, cancel=cancel)

    # Loading

    def _frame_started(self, params: Params, page: Page) -> None:
        page.frames.add(params["frameId"])
        page.changed = time.monotonic()

    def _frame_stopped(self, params: Params, page: Page) -> None:
        page.frames.discard(params["frameId"])
        page.changed = time.monotonic()

    def _navigated(self, params: Params, page: Page) -> None:
        """A new document: of what the old one was fetching, no end is reported."""
        frame = params["frame"]
        if not frame.get("parentId"):
            page.frames &= {frame["id"]}
            page.requests.clear()

    def _answered(self, params: Params, page: Page) -> None:
        if is_of_page(params, page):
            page.refused = any(name.lower() == REFUSAL_HEADER for name in params["response"]["headers"])

    def _request_started(self, params: Params, page: Page) -> None:
        if is_of_page(params, page):
            page.refused, page.posted = False, params["request"]["method"] == "POST"
        if params.get("type") in _WAITED_FOR:
            page.requests[params["requestId"]] = page.changed = time.monotonic()

    def _request_ended(self, params: Params, page: Page) -> None:
        if page.requests.pop(params["requestId"], None):
            page.changed = time.monotonic()

    # Questions

    async def answer(self, question: Params) -> Params:
        page = self.current
        if question["op"] == "dialog":
            await self._dialog()
        elif question["op"] == "discard":
            await self._discard(str(question["target"]))
        elif question["op"] == "quit":
            await self.cdp.send("Browser.close")
        elif question["op"] == "settled":
            await self._settled(float(question["seconds"]))
        elif question["op"] == "hold":
            await self.freezer.hold(page)
        elif question["op"] == "let_go":
            await self.freezer.let_go(page)
        elif question["op"] == "begin":
            return {"tabs": await self._begin()}
        elif question["op"] == "dismiss":
            return {**self._facts(), "dismissed": await self._dismiss()}
        elif page:
            await self._answer_about(page, question)
        return self._facts()

    async def _answer_about(self, page: Page, question: Params) -> None:
        if question["op"] == "reply":
            await self._reply(page, question)
        elif question["op"] == "choosers":
            await self._await_choosers(page, cancel=bool(question["cancel"]))

    async def _dismiss(self) -> list[str]:
        """Close what dialogs are open, before the page is left: to navigate under one makes the tab hang for good.

        A page that opens them faster than they can be closed loses its tab. Returns their words.
        """
        closed: list[str] = []
        while (page := self.current) and page.dialog:
            closed.append(page.dialog["message"][:LONGEST_FACT])
            await self._close_dialog(page, accept=False)
            if len(closed) >= MOST_DIALOGS:
                await self._discard(page.target)
                break
        return closed

    async def _dialog(self) -> None:
        """Wait until a dialog is open on the newest tab."""
        while not (self.current and self.current.dialog):
            self.dialog_opened.clear()
            await self.dialog_opened.wait()

    async def _discard(self, target: str) -> None:
        """Close a tab that hangs, and wait for the one that takes its place."""
        with contextlib.suppress(CdpError, TimeoutError):
            await self.cdp.send("Target.closeTarget", {"targetId": target})
        for _ in range(500):  # 5 s
            if self.current and self.current.target != target:
                break
            await asyncio.sleep(0.01)

    async def _settled(self, seconds: float) -> None:
        since = time.monotonic()
        while time.monotonic() < since + seconds:
            if self.current and self.current.is_settled(since):
                break
            await asyncio.sleep(0.01)

    def _facts(self) -> Params:
        page = self.current
        if page is None:
            return {"target": None, "held": self.freezer.still}
        dialog = None
        if page.dialog:
            dialog = {
                "type": page.dialog["type"],
                "message": page.dialog["message"][:LONGEST_FACT],
                "typed": page.typed[:LONGEST_FACT],
                "number": page.dialog["number"],
                "selected": page.selected,
            }
        url, title = page.url[:LONGEST_FACT], page.title[:LONGEST_FACT]
        facts = {"target": page.target, "url": url, "title": title, "dialog": dialog}
        return {
            **facts,
            "refused": page.refused,
            "posted": page.posted,
            "chooser": page.chooser,
            "count": self._last_number,
            "held": self.freezer.still,
        }
