"""While a person drives a browser: every tab but the one in view is frozen, with its frames and workers; shared and service
workers stand in a debugger; what these open meanwhile runs no script. The tab in view, and what the person opens, runs.

A tab that is frozen runs no timer, no message, no fetch, no worker; it can neither open, nor focus, nor read the clipboard.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from machines.drivers.base import MachineGone
from machines.drivers.browser.cdp import Cdp, CdpError, Params

AT_REST = 2.0  # seconds within which a page that is frozen is at rest, unless a script of it has no end
POLL = 0.05
PATIENCE = 10.0
_SHARED = {"filter": [{"type": "shared_worker"}, {"type": "service_worker"}]}


class Tab(Protocol):
    """As the keeper knows it."""

    target: str
    session: str
    children: set[str]
    dialog: Params | None


class TabFreezer:
    """`left`: the targets of tabs that stand still. `start`: takes charge of a new tab."""

    def __init__(self, tabs: Callable[[], list[Tab]], start: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        self.cdp: Cdp
        self.on = False
        self.left: set[str] = set()
        self._tabs = tabs
        self._start = start
        self._unscripted: set[str] = set()  # targets of tabs that have run no script yet
        self._addresses: set[str] = set()  # of the workers that there were
        self._workers: dict[str, str] = {}  # session of each worker that stands, by target
        self.still = False  # all that was left was at rest when it was looked at last

    async def hold(self, current: Tab | None) -> None:
        """Freeze everything but this tab; asked again, only what was left then and runs again."""
        if not self.on:
            self.on = True
            self.left = {tab.target for tab in self._tabs() if tab is not current}
            self._addresses = {worker["url"] for worker in await self._shared_workers()}
        left = [tab for tab in self._tabs() if tab.target in self.left - self._unscripted]
        workers = await self._shared_workers()
        await asyncio.gather(*(self.pass_workers_by(tab) for tab in self._tabs() if tab.target not in self.left))
        rest = await asyncio.gather(*map(self._freeze, left), *map(self._pause, workers))
        self.still = all(rest)

    async def let_go(self, current: Tab | None) -> None:
        if not self.on:
            return
        self.on = self.still = False
        left, unscripted, self.left, self._unscripted = self.left, self._unscripted, set(), set()
        for session in self._workers.values():
            await self._tell("Target.detachFromTarget", {"sessionId": session})
        self._workers.clear()
        for tab in self._tabs():
            if tab.target in unscripted:
                await self._give_scripts(tab)
            elif tab.target in left:
                await self._wake(tab)
            else:
                await self.pass_workers_by(tab)
        if current:
            await self._tell("Page.bringToFront", session=current.session)

    def is_left(self, info: Params) -> bool:
        """Whether a tab that appears was opened by one that stands still: then it does not start either."""
        if not self.on or info.get("openerId") not in self.left:
            return False
        self.left.add(info["targetId"])
        self._unscripted.add(info["targetId"])
        return True

    async def start_without_scripts(self, tab: Tab) -> None:
        """A tab that does not start would halt the process that it shares with its opener: it starts without scripts."""
        await asyncio.gather(  # one that has no process yet answers when it goes on
            self._tell("Emulation.setScriptExecutionDisabled", {"value": True}, tab.session),
            self._tell("Runtime.runIfWaitingForDebugger", session=tab.session),
            self._tell("Page.setWebLifecycleState", {"state": "frozen"}, tab.session),
        )

    async def _give_scripts(self, tab: Tab) -> None:
        await self._tell("Emulation.setScriptExecutionDisabled", {"value": False}, tab.session)
        await self._wake(tab)
        await self._start(tab)
        await self._tell("Page.reload", session=tab.session)

    async def hand_over(self, tab: Tab) -> None:
        """The person has closed the tab in view: this one comes into view, and is the person's from now on."""
        self.left.discard(tab.target)
        if tab.target in self._unscripted:
            self._unscripted.discard(tab.target)
            await self._give_scripts(tab)
        else:
            await self._wake(tab)
        await self.pass_workers_by(tab)

    async def pass_workers_by(self, tab: Tab) -> None:
        """Service workers do not get to see what the tab in view sends; one that stands would never let it through."""
        for session in (tab.session, *tab.children):
            await self.pass_workers_by_in(session)

    async def pass_workers_by_in(self, session: str) -> None:
        await self._tell("Network.enable", {"maxTotalBufferSize": 0, "maxResourceBufferSize": 0}, session)
        await self._tell("Network.setBypassServiceWorker", {"bypass": self.on}, session)

    async def _freeze(self, tab: Tab) -> bool:
        """Whether the tab is at rest. It freezes between two scripts: one that has no end is ended."""
        await self._tell("Page.setWebLifecycleState", {"state": "frozen"}, tab.session)
        if tab.dialog is not None or await self._comes_to_rest(tab):
            return True
        await self._tell("Runtime.terminateExecution", session=tab.session)
        return await self._comes_to_rest(tab)

    async def _comes_to_rest(self, tab: Tab) -> bool:
        until = time.monotonic() + AT_REST
        while time.monotonic() < until:
            if await self._rests(tab):
                return True
            await asyncio.sleep(POLL)
        return tab.target not in {one.target for one in self._tabs()}  # it has been closed

    async def _rests(self, tab: Tab) -> bool:
        """To be frozen hides a page, and only between two scripts. Asked where no script of the page can answer for it."""
        try:
            world = {"frameId": tab.target, "worldName": "countersign"}
            isolated = await self.cdp.send("Page.createIsolatedWorld", world, tab.session, timeout=AT_REST)
            expression = {"expression": "document.visibilityState", "contextId": isolated["executionContextId"]}
            answer = await self.cdp.send("Runtime.evaluate", expression, tab.session, timeout=AT_REST)
        except (CdpError, TimeoutError):
            return False
        return bool(answer["result"].get("value") == "hidden")

    async def _wake(self, tab: Tab) -> None:
        """To be frozen hides a tab: its timers are slow then, and it paints nothing. Only its window shows it again."""
        await self._tell("Page.setWebLifecycleState", {"state": "active"}, tab.session)
        with contextlib.suppress(CdpError, TimeoutError, MachineGone):
            window = await self.cdp.send("Browser.getWindowForTarget", {"targetId": tab.target})
            for state in ("minimized", "normal"):
                change = {"windowId": window["windowId"], "bounds": {"windowState": state}}
                await self.cdp.send("Browser.setWindowBounds", change)
        await self._tell("Page.bringToFront", session=tab.session)

    async def _shared_workers(self) -> list[Params]:
        try:
            workers: list[Params] = (await self.cdp.send("Target.getTargets", _SHARED))["targetInfos"]
        except (CdpError, TimeoutError):
            return []
        self._workers = {
            target: self._workers[target] for target in self._workers if target in {w["targetId"] for w in workers}
        }
        return workers

    async def _pause(self, worker: Params) -> bool:
        """A worker that was there, or is started again: it stops before its next statement. Whether that is so."""
        target = worker["targetId"]
        if worker["url"] not in self._addresses or target in self._workers:
            return True
        try:
            attach = {"targetId": target, "flatten": True}
            session = (await self.cdp.send("Target.attachToTarget", attach))["sessionId"]
            await self.cdp.send("Debugger.enable", {}, session)
            await self.cdp.send("Debugger.pause", {}, session)
        except (CdpError, TimeoutError):
            return False
        self._workers[target] = session
        return True

    async def _tell(self, method: str, params: Params | None = None, session: str = "") -> None:
        with contextlib.suppress(CdpError, TimeoutError, MachineGone):
            await self.cdp.send(method, params, session, timeout=PATIENCE)
