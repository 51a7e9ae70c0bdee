"""What is done to the page in view, one action at a time, and what is said of it afterwards."""

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from machines.drivers import keys
from machines.drivers.base import Action, ActResult, Contents, MachineSpec
from machines.drivers.browser import dialogs, navigation
from machines.drivers.browser.cdp import CdpError
from machines.drivers.browser.dialogs import Dialog
from machines.drivers.browser.fields import uploads
from machines.drivers.browser.fields.filling import Fields
from machines.drivers.browser.fields.secret_fields import Withheld
from machines.drivers.browser.input import keyboard, mouse
from machines.drivers.browser.input.element_nodes import Nodes
from machines.drivers.browser.input.keyboard import Typing
from machines.drivers.browser.input.pointer import Click, Pointer, gone
from machines.drivers.browser.input.reach import Node
from machines.drivers.browser.page import channel, masking
from machines.drivers.browser.page.frames import Frames
from machines.drivers.places import Places

T = TypeVar("T")
Params = dict[str, Any]
Doer = Callable[[Params], Coroutine[Any, Any, Params | None]]

SETTLE_TIMEOUT = 2.0  # seconds
LOAD_TIMEOUT = 10.0
LONGEST_WORDS = 4096  # characters of a page's own in a result: they are kept and shown
_CARRIED = "The page shows a secret: nothing is copied or dragged from it."
_WANTS_FILE = "The page asked for a file. None was chosen; a file is given to it by upload."


class Tab(Protocol):
    """The connection to the newest tab."""

    spec: MachineSpec
    places: Places
    frames: Frames
    pointer: Pointer
    facts: dict[str, Any]  # what the keeper said at the last look

    async def ask(self, op: str, patience: float = 10.0, **more: Any) -> dict[str, Any]: ...

    async def look(self) -> Dialog | None: ...

    async def contents(self, action: Action) -> Contents | None: ...

    async def send(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]: ...

    async def unless_dialog(self, work: Coroutine[Any, Any, T], seconds: float) -> T | None: ...

    async def new_tab(self) -> Dialog | None: ...


class Acting:
    """One action on the tab. `_ref` and `_typing` are the element that it means and the text that it types."""

    def __init__(self, tab: Tab) -> None:
        self.tab = tab
        self._nodes = Nodes(tab.pointer.finder)
        self._fields = Fields(self._nodes, tab.send)
        self._ref: str | None = None
        self._typing = Typing("")

    async def act(self, action: Action) -> ActResult:
        result = await self._act(action)
        return _without_text(result) if action.secret else result

    async def _act(self, action: Action) -> ActResult:
        doer = self._doers().get(action.name)
        if doer is None:
            return ActResult(False, f"A browser machine does not know the command {action.name}.")
        self._ref, self._typing = action.ref, Typing(str(action.params.get("text", "")))
        self._fields.guard(secret=action.secret, only=action.only)
        left = await navigation.dismissed(self.tab.ask) if action.name in navigation.ACTIONS else None
        try:
            dialog = await self.tab.look()
            if dialog and action.name in navigation.ACTIONS:  # the page asks faster than it can be answered
                dialog = await self.tab.new_tab()
            instead = await self._instead(action, dialog)
            return instead or await self._done(action, doer, left)
        except (channel.PageProblem, CdpError) as problem:
            return ActResult(False, str(problem)[:LONGEST_WORDS], _with_notes(getattr(problem, "data", {}), left))
        except TimeoutError:
            return ActResult(False, f"The page did not answer within {action.timeout_ms} ms.{self._cut_off()}")

    async def _instead(self, action: Action, dialog: Dialog | None) -> ActResult | None:
        """What comes of an action that the page itself does not get."""
        if changed := await self._changed(action):
            return changed
        if dialog and action.name not in ("wait", "screenshot", "move"):
            return await self._answer(dialog, action)
        if dialogs.is_ref(action.ref):
            raise gone()
        if _carries(action) and await masking.holds_secret(self.tab.frames, action.hidden):
            return ActResult(False, _CARRIED)
        return None

    async def _changed(self, action: Action) -> ActResult | None:
        """What the press would send is not what it was when people approved it."""
        if action.contents is None:
            return None
        names = action.contents.differing(await self.tab.contents(action) or Contents())
        listed = ", ".join(f"“{name[:200]}”" for name in names[:5])
        message = f"Not the same as when this was approved: {listed}. Nothing was done."
        return ActResult(False, message, {"changed": True}) if names else None

    async def _done(self, action: Action, doer: Doer, left: str | None) -> ActResult:
        """Do it and wait until the page has settled; a dialog that opens in the middle ends it there."""
        seconds, began = action.timeout_ms / 1000, time.monotonic()
        count, url = self.tab.facts.get("count"), self.tab.facts.get("url")
        click = Click(self.tab.pointer, action) if action.name == "click" else None
        try:
            data = await self.tab.unless_dialog(click.run() if click else doer(action.params), seconds)
            if data is None and action.name in navigation.ACTIONS and await self._is_stuck(url):
                await self.tab.new_tab()
                data = await self.tab.unless_dialog(doer(action.params), seconds)
            await self._settle(max(0.5, seconds - (time.monotonic() - began)), action.name)
            if click:
                data = await click.outcome(stands=await self.tab.look() is not None)
        finally:
            if click:
                click.over()
        result = await self._outcome(data or {}, action.name, count, left)
        if data is not None or not self._typing.text or not result.success:
            return result
        if self._typing.whole:
            return replace(
                result, data=_with_notes(result.data, "A dialog opened before the field could be read back.")
            )
        opened = str(result.data.get("dialog", ""))[:500]
        return ActResult(False, f'A dialog opened: "{opened}".{self._cut_off()}', result.data)

    async def _is_stuck(self, url: object) -> bool:
        """A dialog of the page that was being left came in between: the tab hangs now."""
        return await self.tab.look() is not None and self.tab.facts.get("url") == url

    def _cut_off(self) -> str:
        """How far the typing of the action came."""
        return f" {self._typing.progress}" if self._typing.text and not self._typing.whole else ""

    async def _outcome(self, data: dict[str, Any], name: str, count: object, *notes: str | None) -> ActResult:
        """`count`: how many dialogs and file choosers there had been before the action, in all tabs."""
        state = await self.tab.ask("page")
        if name in navigation.ACTIONS and state.get("refused"):  # what is shown is our own proxy's excuse
            return ActResult(False, navigation.NOT_REACHED, _with_notes({}, *notes))
        dialog = Dialog.read(state.get("dialog"))
        facts = {"url": state.get("url"), **({"dialog": dialog.message} if dialog else {})}
        chooser = _newer(state.get("chooser"), count)
        if chooser is not None and "files" not in data:
            facts["chooser"] = {"multiple": bool(chooser.get("multiple"))}
            notes = (*notes, _WANTS_FILE)
        return ActResult(True, data=_with_notes({**facts, **data}, *notes))

    async def _settle(self, seconds: float, name: str) -> None:
        if name in ("wait", "screenshot"):
            return
        limit = LOAD_TIMEOUT if name in navigation.ACTIONS else SETTLE_TIMEOUT
        if not await self.tab.look():
            with contextlib.suppress(CdpError, TimeoutError, channel.PageProblem):
                await self.tab.unless_dialog(channel.painted(self.tab.send), 1)
        await self.tab.ask("settled", limit + 5, seconds=min(limit, seconds))

    def _doers(self) -> dict[str, Doer]:
        """What does each action, from its parameters."""
        send = self.tab.send
        return {
            "click": self._nothing,  # see _done()
            "move": lambda p: mouse.move(send, p["x"], p["y"]),
            "drag": lambda p: mouse.drag(send, p["from_x"], p["from_y"], p["to_x"], p["to_y"]),
            "scroll": lambda p: mouse.scroll(send, p["x"], p["y"], p["direction"], p["amount"]),
            "type_text": lambda p: self._fields.type_into_focus(self._typing),
            "key_press": lambda p: keyboard.press_named(send, [p["key"]]),
            "key_combo": lambda p: keyboard.press_named(send, p["keys"]),
            "fill": self._fill,
            "select_option": self._select,
            "upload": self._upload,
            "open_url": lambda p: navigation.open_url(send, str(p["url"])),
            "go_back": lambda p: navigation.go_back(send),
            "reload": lambda p: navigation.reload(send, posted=bool(self.tab.facts.get("posted"))),
            "wait": lambda p: asyncio.sleep(p["ms"] / 1000),
            "screenshot": self._nothing,
        }

    async def _nothing(self, params: Params) -> None:
        return None

    async def _meant(self, params: Params) -> Node | None:
        """The node that the action is about: the one that was looked at, else what lies at its point."""
        return await self._nodes.meant(self._ref, params["x"], params["y"])

    async def _fill(self, params: Params) -> Params:
        return await self._fields.fill(await self._meant(params), self._typing)

    async def _select(self, params: Params) -> Params:
        data = await self._fields.select(await self._meant(params), params["option"])
        return {**data, "selected": data["selected"][:LONGEST_WORDS]}

    async def _upload(self, params: Params) -> Params:
        file = await uploads.find(self.tab.places.guest, params["file"])
        return await uploads.upload(self._fields, self.tab.ask, await self._meant(params), file)

    async def _answer(self, dialog: Dialog, action: Action) -> ActResult:
        """While a dialog is open only its field and its buttons take input."""
        if action.secret:  # nobody can say whose dialog it is, and it would be drawn with what is typed
            raise Withheld("a dialog is open, and it goes into a field of a page only.")
        if dialogs.is_ref(action.ref) and not dialog.owns(action.ref):
            raise gone()
        reply = dialogs.reply(dialog, action, self.tab.spec.width, self.tab.spec.height)
        if reply is None:
            return ActResult(False, f"A dialog is open and must be answered first: {dialog.message[:500]}")
        await self.tab.ask("reply", number=dialog.number, **reply)
        if "accept" in reply:
            await self._settle(SETTLE_TIMEOUT, action.name)
        return await self._outcome({}, action.name, self.tab.facts.get("count"))


def _newer(chooser: object, count: object) -> dict[str, Any] | None:
    """The file chooser, if it is one that was asked for since."""
    if isinstance(chooser, dict) and isinstance(count, int) and int(chooser.get("number", 0)) > count:
        return chooser
    return None


def _carries(action: Action) -> bool:
    """Could it take something of the page to the clipboard, or to another frame?"""
    names = action.params.get("keys") or [action.params.get("key", "")]
    held, key = (keys.combination(names) if action.name in ("key_press", "key_combo") else None) or ([], "")
    return action.name == "drag" or (key.lower() in ("c", "x") and not {"ctrl", "meta"}.isdisjoint(held))


def _without_text(result: ActResult) -> ActResult:
    """Without what the page made of a secret text: it may be the secret with blanks in it."""
    error = result.error and re.sub(r'".*"', '"…"', result.error, flags=re.DOTALL)
    data = {key: value for key, value in result.data.items() if key not in ("shows", "selected", "note")}
    return ActResult(result.success, error, data)


def _with_notes(data: dict[str, Any], *notes: str | None) -> dict[str, Any]:
    """The data with what is to be said of the action besides."""
    note = " ".join(filter(None, [data.get("note"), *notes]))
    return {**data, "note": note[:LONGEST_WORDS]} if note else data
