"""The tab in view as Chromium sends it when it changes: nothing is asked of the page, and one that stands still costs nothing.

The Page domain stays off, so dialogs are the keeper's alone (page_keeper.py).
"""

import asyncio
import base64
import time
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any

from machines.drivers.base import Frame, MachineGone
from machines.drivers.browser.cdp import CdpError, Params
from machines.drivers.browser.driver import BrowserSession
from machines.drivers.browser.input import keyboard, mouse
from machines.drivers.browser.page.channel import PageProblem
from machines.drivers.live_screen import QUALITY, Input, Picture, as_action, as_jpeg

TOUCHED_PACE = 0.05  # while somebody works on the page
TOUCHED_SECONDS = 2.0
CALM_PACE = 1.5
PACE = 0.2  # seconds until a picture is acknowledged: Chromium draws two in that time at most, so that no agent is slowed down
SETTLED = (
    0.3  # Chromium drops what it draws while two pictures are on their way: after so long in silence it is asked again
)
INPUT_SECONDS = 5.0  # so long the page may take with one event before the next is given
DIALOG_EVERY = 0.25  # seconds between two looks at an open dialog
KEEPER_SECONDS = 0.3  # after which the keeper knows of a tab what we do
_TABS = frozenset({"Target.targetCreated", "Target.targetDestroyed", "Target.targetInfoChanged"})


class Screencast:
    """`LiveScreen` of a browser. Its session is its own: it turns to the newest tab as that changes."""

    def __init__(self, session: BrowserSession) -> None:
        self.session = session
        self._frames_of_page = session.cdp.on_event
        session.cdp.on_event = self._on_event
        self.calm = False
        self._news = asyncio.Event()  # a picture, another tab or a dialog
        self._turned = True  # which tab is in view has to be asked
        self._latest: Params | None = None
        self._cast = ""  # the session whose pictures come
        self._on_their_way = 0  # pictures that are not acknowledged
        self._held_back = False  # one may have been dropped
        self._dialogs: asyncio.Task[None] | None = None
        self._has_dialog = False
        self._touched = 0.0  # when somebody gave input last
        self._pressed: Input | None = None
        self._dialog_shown: Frame | None = None
        self._hidden: tuple[str, ...] = ()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._spawn(self._await_end())

    # What Chromium tells

    def _on_event(self, method: str, params: Params, session: str) -> None:
        if method == "Page.screencastFrame":
            if session == self._cast:
                self._latest = params
                self._news.set()
            self._spawn(self._acknowledge(params["sessionId"], session))
        elif method in _TABS:
            self._look_at_tabs()
            asyncio.get_running_loop().call_later(KEEPER_SECONDS, self._look_at_tabs)
        if self._frames_of_page:
            self._frames_of_page(method, params, session)

    def _look_at_tabs(self) -> None:
        self._turned = True
        self._news.set()

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _acknowledge(self, number: int, session: str) -> None:
        """Not at once: Chromium goes on drawing as fast as it is told that pictures arrive."""
        self._on_their_way += 1
        self._held_back |= self._on_their_way > 1
        touched = time.monotonic() - self._touched < TOUCHED_SECONDS
        await asyncio.sleep(TOUCHED_PACE if touched else CALM_PACE if self.calm else PACE)
        self._on_their_way -= 1
        await self._tell("Page.screencastFrameAck", {"sessionId": number}, session)

    async def _await_end(self) -> None:
        await self.session.cdp.wait_closed()
        self._news.set()

    async def _tell(self, method: str, params: Params, session: str) -> None:
        """What fails because the tab or the browser is gone shows elsewhere."""
        try:
            await self.session.cdp.send(method, params, session)
        except (CdpError, MachineGone, TimeoutError):
            return

    # LiveScreen

    async def next(self, hidden: Sequence[str] = ()) -> Picture:
        if self._hidden != (texts := tuple(hidden)):  # a dialog would stand on a picture that shows them
            self._hidden, self.session.last_frame = texts, None
        while True:
            if self._dialogs is None:
                self._dialogs = asyncio.create_task(self._await_dialog())
            if self._has_dialog and (picture := await self._dialog_picture(hidden)):
                return picture
            if self._turned and not self._has_dialog:
                await self._turn()
            if picture := await self._taken(hidden):
                return picture
            if not self._has_dialog:
                await self._wait()

    async def _await_dialog(self) -> None:
        """Tells of the next dialog; ends when one is open, or when the keeper does not answer for long."""
        try:
            await self.session.ask("dialog", patience=3600.0)
        except MachineGone:
            await asyncio.sleep(DIALOG_EVERY)
        self._has_dialog = True
        self._news.set()

    async def _wait(self) -> None:
        """For news; after a movement the last picture may be missing, so that it is asked for again."""
        try:
            async with asyncio.timeout(SETTLED if self._held_back else None):
                await self._news.wait()
        except TimeoutError:
            await self._restart()
        else:
            self._news.clear()
        if self.session.cdp.ended:
            raise MachineGone("The browser has ended.")

    async def _turn(self) -> None:
        """See which tab is in view, and have its pictures."""
        self._turned = False
        try:
            await self.session.cdp.send("Target.setDiscoverTargets", {"discover": True, "filter": [{"type": "page"}]})
            await self.session.look()
            if self.session.frames.root != self._cast:
                await self._stop()
                await self._start()
        except CdpError:  # the tab has gone meanwhile: there will be news of the next
            await asyncio.sleep(0.05)
            self._look_at_tabs()

    async def _start(self) -> None:
        self._cast = self.session.frames.root
        await self.session.send("Page.startScreencast", {"format": "jpeg", "quality": QUALITY})

    async def _stop(self) -> None:
        cast, self._cast, self._latest = self._cast, "", None
        if cast:
            await self._tell("Page.stopScreencast", {}, cast)

    async def _restart(self) -> None:
        """The first picture after a start is never dropped."""
        self._held_back = False
        latest = self._latest
        await self._stop()
        self._latest = latest
        try:
            await self._start()
        except CdpError:
            self._look_at_tabs()

    async def _taken(self, hidden: Sequence[str]) -> Picture | None:
        latest, self._latest = self._latest, None
        if latest is None:
            return None
        if hidden:  # the picture only tells that something has changed
            at = time.monotonic()
            frame = await self.session.screenshot(hidden)
            return Picture(await asyncio.to_thread(as_jpeg, frame.png), at)
        jpeg = base64.b64decode(latest["data"])
        self.session.last_frame = Frame(jpeg, self.session.spec.width, self.session.spec.height)  # dialogs stand on it
        return Picture(jpeg, min(float(latest["metadata"].get("timestamp", 0)) - time.time(), 0) + time.monotonic())

    async def _dialog_picture(self, hidden: Sequence[str]) -> Picture | None:
        """While a dialog is open the page stands still, and the dialog is in none of its pictures."""
        at = time.monotonic()
        if await self.session.look() is None:
            self._end_dialogs()
            await self._restart()  # the page itself has not changed
            return None
        frame = await self.session.screenshot(hidden)
        if self._dialog_shown is not None and self._dialog_shown.png == frame.png:
            await asyncio.sleep(DIALOG_EVERY)
            return None
        self._dialog_shown = frame
        return Picture(await asyncio.to_thread(as_jpeg, frame.png), at)

    async def give(self, events: Sequence[Input]) -> None:
        self._touched = time.monotonic()
        for event in events:
            try:
                if self._has_dialog:
                    await self._answer(event)
                else:
                    await self._do(event)
            except (
                CdpError,
                PageProblem,
                TimeoutError,
            ):  # the page gives way to another, or a dialog has opened under it
                continue

    async def _answer(self, event: Input) -> None:
        """Dialogs are no part of the page: what is done to them goes to the keeper."""
        if action := as_action(event):
            await self.session.act(action)

    async def _do(self, event: Input) -> None:
        send = self.session.send
        if event.kind == "key":
            await self._unless_dialog(keyboard.press(send, event.key, list(event.modifiers)))
        elif event.kind == "text":
            await self._unless_dialog(self._type(event.text))
        elif event.kind == "wheel":
            across, down = event.by
            await mouse.turn_wheel(send, event.x, event.y, across, down)
        else:
            await self._unless_dialog(self._point(event))

    async def _type(self, text: str) -> None:
        """One character by its key, as far as it has one; more than one as a paste puts it in."""
        if len(text) == 1:
            await keyboard.type_text(self.session.send, keyboard.Typing(text))
        else:
            await self.session.send("Input.insertText", {"text": text})

    async def _point(self, event: Input) -> None:
        held = self._pressed.button if self._pressed else ""
        if event.kind == "move":
            await mouse.move_held(self.session.send, event.x, event.y, held, event.modifiers)
            return
        self._pressed = event if event.kind == "down" else None
        await mouse.button(self.session.send, event.kind, event.x, event.y, event.button, event.count, event.modifiers)

    async def _unless_dialog(self, work: Coroutine[Any, Any, None]) -> None:
        """An event that opens a dialog is not answered before the dialog is: nobody waits for that."""
        doing = asyncio.create_task(work)
        self._tasks.add(doing)
        doing.add_done_callback(self._forget)
        end = time.monotonic() + INPUT_SECONDS
        while not doing.done() and not self._has_dialog and time.monotonic() < end:
            await asyncio.wait({doing}, timeout=0.05)
        if doing.done():
            doing.result()

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # what comes of it late is nobody's concern

    async def let_go(self) -> None:
        pressed, self._pressed = self._pressed, None
        if pressed is not None:
            await self._tell_mouse(replace(pressed, kind="up"))

    async def _tell_mouse(self, event: Input) -> None:
        try:
            async with asyncio.timeout(INPUT_SECONDS):
                await mouse.button(
                    self.session.send, "up", event.x, event.y, event.button, event.count, event.modifiers
                )
        except (CdpError, MachineGone, TimeoutError):
            return

    async def pause(self) -> None:
        await self._stop()
        self._turned = True
        self._held_back = False
        self._end_dialogs()

    def _end_dialogs(self) -> None:
        if self._dialogs:
            self._dialogs.cancel()
        self._dialogs, self._has_dialog, self._dialog_shown = None, False, None

    async def close(self) -> None:
        self._end_dialogs()
        for task in list(self._tasks):
            task.cancel()
        await self._stop()
        await self.session.close()
