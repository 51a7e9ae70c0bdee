"""Browser machines: Chromium without a screen, in a sandbox, behind the egress proxy.

The process behind a machine is host.py; a session is a visitor with a DevTools connection of its own. What must be
known between visits (dialogs, the newest tab, what is loading) is asked of the host's keeper.
"""

import asyncio
import base64
import contextlib
import json
import os
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from machines.drivers import detached, guest_link, process
from machines.drivers.base import (
    Action,
    ActResult,
    Contents,
    DriverUnavailable,
    Element,
    Frame,
    Handle,
    MachineGone,
    MachineSpec,
    MachineState,
    Reach,
    Target,
    TerminalResult,
)
from machines.drivers.browser import dialogs
from machines.drivers.browser.acting import LOAD_TIMEOUT, LONGEST_WORDS, Acting
from machines.drivers.browser.cdp import Cdp, CdpError
from machines.drivers.browser.chromium import Program, browser_program, no_browser
from machines.drivers.browser.dialogs import Dialog
from machines.drivers.browser.fields import form_contents
from machines.drivers.browser.input.element_nodes import Nodes
from machines.drivers.browser.input.pointer import Pointer
from machines.drivers.browser.page import channel, masking
from machines.drivers.browser.page.elements import page_elements
from machines.drivers.browser.page.frames import Frames
from machines.drivers.browser.page.visible_text import painted_text
from machines.drivers.isolation import resource_limits, sandbox
from machines.drivers.isolation.bubblewrap import HOME
from machines.drivers.keys import presses_enter
from machines.drivers.places import Places, left_places, prepare, recorded_places
from machines.drivers.web_host import web_host

T = TypeVar("T")

START_TIMEOUT = 30.0  # seconds
QUIT_TIMEOUT = 4.0
BEGIN_TIMEOUT = 25.0
READ_TIMEOUT = 15.0  # after that a page hangs
_BARE = frozenset({"html", "body"})  # nothing in particular has the focus
SWAP_TIMEOUT = 5.0  # how long one page may take to give way to the next
_FLAGS = (
    "--headless", "--remote-debugging-port=0", "--no-first-run", "--no-default-browser-check",
    "--disable-dev-shm-usage",
    "--disable-gpu", "--hide-scrollbars", "--mute-audio", "--disable-background-networking", "--disable-sync",
    "--disable-component-update", "--disable-smooth-scrolling", "--password-store=basic", "--use-mock-keychain",
    "--disable-breakpad", "--disable-quic", "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--log-level=3", "--proxy-bypass-list=<-loopback>",
    "--disable-features=Translate,MediaRouter,OptimizationHints,DialMediaRouteProvider",
)  # fmt: skip


class BrowserSession:
    def __init__(self, spec: MachineSpec, places: Places, cdp: Cdp) -> None:
        self.spec = spec
        self.places = places
        self.cdp = cdp
        self.frames = Frames(cdp)
        self.pointer = Pointer(self.frames)
        self._nodes = Nodes(self.pointer.finder)
        self._target = ""
        self._session = ""
        self.last_frame: Frame | None = None
        self.facts: dict[str, Any] = {}  # what the keeper said at the last look

    # The connection

    async def ask(self, op: str, patience: float = 10.0, **more: Any) -> dict[str, Any]:
        return await guest_link.ask(self.places.keeper, op, patience, 1 << 20, **more)

    async def look(self) -> Dialog | None:
        """Turn to the newest tab. Returns the dialog that is open on it."""
        facts = self.facts = await self.ask("page")
        target = facts.get("target")
        if isinstance(target, str) and target != self._target:
            self._session = await self.frames.turn_to(target)
            self._target = target
        return Dialog.read(facts.get("dialog"))

    async def send(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        return await self.frames.send(method, params, self._session)

    async def unless_dialog(self, work: Coroutine[Any, Any, T], seconds: float) -> T | None:
        """Do the work, but stop waiting for it when a dialog opens: the page stands still until that is answered."""
        doing = asyncio.create_task(work)
        watching = asyncio.create_task(self.ask("dialog", seconds + 5))
        try:
            await asyncio.wait({doing, watching}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                return doing.result()
            if watching.done():
                watching.result()
                return None
            raise TimeoutError
        finally:
            for task in (doing, watching):
                task.cancel()
            await asyncio.gather(doing, watching, return_exceptions=True)

    async def _read(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
        """Something read from the page in view; None while a dialog is open.

        A page that gives way to the next is waited out. One that hangs is closed, or no one could ever leave it.
        """
        try:
            return await self._read_once(work)
        except TimeoutError:
            await self.new_tab()
        try:
            return await self._read_once(work)
        except TimeoutError as error:
            raise MachineGone("The page does not answer.") from error

    async def _read_once(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
        end = time.monotonic() + SWAP_TIMEOUT
        while True:
            try:
                return None if await self.look() else await self.unless_dialog(work(), READ_TIMEOUT)
            except CdpError as error:
                if time.monotonic() >= end:
                    raise MachineGone(f"The page does not answer: {error}") from error
                await asyncio.sleep(0.05)

    async def new_tab(self) -> Dialog | None:
        await self.ask("discard", target=self._target)
        self._target = self._session = ""
        return await self.look()

    async def begin(self) -> None:
        tabs = (await self.ask("begin", BEGIN_TIMEOUT)).get("tabs")
        self._target = self._session = ""
        if tabs != 1:
            raise MachineGone("The browser does not give its tabs up.")

    # Looking

    async def screenshot(self, hidden: Sequence[str] = ()) -> Frame:
        png = await self._read(lambda: self._captured(hidden))
        if png is None:
            dialog = dialogs.hiding(await self.look() or Dialog("alert", "The page is busy."), hidden)
            return dialogs.picture(dialog, self.last_frame, self.spec.width, self.spec.height)
        self.last_frame = Frame(png, self.spec.width, self.spec.height)
        return self.last_frame

    async def _captured(self, hidden: Sequence[str]) -> bytes:
        """The page may move between two looks: what is hidden is hidden where it stood before and after the picture."""
        before, answer = await asyncio.gather(
            masking.boxes(self.frames, hidden), self.send("Page.captureScreenshot", {"format": "png"})
        )
        png = base64.b64decode(answer["data"])
        if not before and not hidden:
            return png
        masks = dict.fromkeys([*before, *await masking.boxes(self.frames, hidden)])
        return await asyncio.to_thread(masking.painted_over, png, list(masks)) if masks else png

    async def elements(self) -> list[Element]:
        elements = await self._read(self._page_elements)
        if elements is not None:
            return elements
        dialog = await self.look()
        return dialogs.elements(dialog, self.spec.width, self.spec.height) if dialog else []

    async def _page_elements(self) -> list[Element]:
        documents = await self.frames.documents()
        self.pointer.finder.loaders = {frame: document.loader for frame, document in documents.items()}
        return await page_elements(self.frames, documents)

    async def reach(self, ref: str) -> Reach | None:
        return await self._read(lambda: self.pointer.reach(ref))

    async def target(self, action: Action) -> Target | None:
        """Of a key or of typed text what has the focus, of an answer to a dialog the dialog."""
        target = await self._read(lambda: self._target_of(action))
        dialog = Dialog.read(self.facts.get("dialog")) if target is None else None
        return dialogs.target(dialog, action, self.spec.width, self.spec.height) if dialog else target

    async def _target_of(self, action: Action) -> Target | None:
        if action.name in form_contents.KEYS and not action.ref:
            node = await self._nodes.focused()
            use = await self.pointer.use(node) if node else None
            return (
                Target(use["role"], use["name"], use["kind"], use["form"]) if use and use["tag"] not in _BARE else None
            )
        return await self.pointer.target(action)

    async def prompt(self) -> None:
        return None

    async def contents(self, action: Action) -> Contents | None:
        if not (action.name == "click" or (action.name in form_contents.KEYS and presses_enter(action))):
            return None
        contents = await self._read(lambda: self._contents(action))
        dialog = Dialog.read(self.facts.get("dialog")) if contents is None else None
        return form_contents.of_dialog(dialog) if dialog and dialog.kind == "prompt" else contents

    async def _contents(self, action: Action) -> Contents | None:
        by_key = action.name in form_contents.KEYS and not action.ref
        node = await self._nodes.focused() if by_key else await self.pointer.meant(action)
        return await form_contents.contents(self._nodes, action, node)

    async def text(self) -> str:
        try:
            text = await self._read(lambda: painted_text(self.frames))
        except channel.PageProblem:  # a page may break the very functions that read it; its accessibility tree stays
            return "\n".join(element.name for element in await self.elements())
        return "\n".join(self._shown(await self.look())) if text is None else text

    def _shown(self, dialog: Dialog | None) -> list[str]:
        """What a dialog has to read: its message, what was typed, its buttons."""
        parts = dialogs.elements(dialog, self.spec.width, self.spec.height)[1:] if dialog else []
        return [part.name if part.value is None else part.value for part in parts]

    async def state(self) -> MachineState:
        facts, guest = await asyncio.gather(self.ask("page"), guest_link.ask(self.places.guest, "state"))
        dialog = Dialog.read(facts.get("dialog"))
        info = await self._target_info(str(facts.get("target")))
        url = str(info.get("url") or facts.get("url") or "")[:LONGEST_WORDS]
        return MachineState(
            url=url or None,
            host=web_host(url) or await self._origin(),
            title=str(info.get("title") or "")[:LONGEST_WORDS],
            dialog=dialog.message if dialog else None,
            ports=guest_link.ports(guest),
        )

    async def _origin(self) -> str | None:
        """The host of the page that made this one: an empty tab and what a script writes there belong to its opener."""
        tree = await self._read(lambda: self.send("Page.getFrameTree", {}))
        return web_host(str(tree["frameTree"]["frame"].get("securityOrigin"))) if tree else None

    async def _target_info(self, target: str) -> dict[str, Any]:
        """Address and title of a tab; no event tells of a title that a script changed."""
        try:
            info = (await self.cdp.send("Target.getTargetInfo", {"targetId": target}))["targetInfo"]
        except (CdpError, TimeoutError):
            return {}
        return info if isinstance(info, dict) else {}

    async def read_file(self, path: str, limit: int = 1_048_576) -> bytes | None:
        return await guest_link.read_file(self.places.guest, path, limit)

    async def terminal(self, command: str, timeout_ms: int, cwd: str | None = None) -> TerminalResult:
        raise NotImplementedError("A browser machine has no shell.")

    async def close(self) -> None:
        await self.cdp.close()

    async def act(self, action: Action) -> ActResult:
        return await Acting(self).act(action)


class BrowserDriver:
    kind = "browser"

    def __init__(self, program: Program | None = None) -> None:
        """`program`: one that is tried out; else the one that browser_program() finds."""
        self._program = program

    def missing(self) -> list[str]:
        problem = sandbox.problem(self.kind)
        if problem:  # a browser would be of no use
            return [problem]
        return [] if self._program or browser_program() else [no_browser()]

    async def start(self, spec: MachineSpec, handle: Handle | None) -> Handle:
        program = self._program or await asyncio.to_thread(browser_program)
        if program is None:
            raise DriverUnavailable(no_browser())
        isolated_by = await asyncio.to_thread(sandbox.choose, self.kind)
        if handle and await self.alive(spec, handle):
            return handle
        await process.end_tree(process.recorded(handle))
        places = prepare(spec)
        await process.end_tree(_unrecorded(places))
        allowed = os.environ.get("MACHINE_ALLOWED_HOSTS", "")
        bounds = await asyncio.to_thread(resource_limits.set_up, spec, places, sandbox.sandbox_of(isolated_by))
        born = await _launch(places, _host_spec(spec, places, program, isolated_by, allowed, bounds))
        await guest_link.ask(places.keeper, "settled", LOAD_TIMEOUT + 5, seconds=LOAD_TIMEOUT)
        return {**born, "run": str(places.run), "isolation": isolated_by, "allowed": allowed, **bounds.kept()}

    async def attach(self, spec: MachineSpec, handle: Handle, *, stands: bool = False) -> BrowserSession:
        if not process.is_alive(process.recorded(handle)):
            raise MachineGone("The browser is not running.")
        places = recorded_places(spec, handle)
        await guest_link.ask(places.guest, "state", guest_link.ATTACH_SECONDS)
        return BrowserSession(spec, places, await Cdp.open(places.devtools, str(handle.get("devtools"))))

    async def alive(self, spec: MachineSpec, handle: Handle) -> bool:
        if not process.is_alive(process.recorded(handle)):
            return False
        places = recorded_places(spec, handle)
        try:
            await guest_link.ask(places.keeper, "page")
        except MachineGone:
            return False
        return await guest_link.answers(places.guest)

    async def stop(self, spec: MachineSpec, handle: Handle) -> None:
        """Let the browser write its cookies, unless it stands still; then end everything."""
        host = process.recorded(handle)
        everything = process.tree(host)
        if host and everything and not any(process.stands(one) for one in everything):
            with contextlib.suppress(MachineGone):
                await guest_link.ask(recorded_places(spec, handle).keeper, "quit", 4)
                await process.wait_gone(host, QUIT_TIMEOUT)
        await process.end_all({*everything, *process.tree(host)})
        places = left_places(spec)
        await process.end_tree(_unrecorded(places) if places else None)
        if places:
            await asyncio.to_thread(resource_limits.end_left, places)


def _unrecorded(places: Places) -> process.Identity | None:
    """A host that nobody recorded, because its starter was killed."""
    try:
        facts = json.loads(places.host.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return process.recorded(facts if isinstance(facts, dict) else None)


def _last_url(places: Places) -> str | None:
    """The address to open again."""
    with contextlib.suppress(OSError, ValueError):
        url = places.last_url.read_text(encoding="utf-8").strip()
        if url.startswith(("http://", "https://")):
            return url
    return None


def _host_spec(
    spec: MachineSpec, places: Places, program: Program, isolated_by: str, allowed: str, bounds: resource_limits.Limits
) -> dict[str, Any]:
    boxed = isolated_by == "bubblewrap"
    home = HOME if boxed else str(places.home)
    profile = f"{home}/.config/browser"
    command = [*program.command, *_FLAGS, f"--user-data-dir={profile}", f"--window-size={spec.width},{spec.height}"]
    command += ["--no-sandbox"] if not boxed and os.geteuid() == 0 else []
    config = {
        "kind": "browser",
        "limits": resource_limits.of_processes(spec, isolated_by),
        "command": command,
        "profile": profile,
        "egress": "/run/egress.sock" if boxed else str(places.egress),
    }
    extra = ["--ro-bind", str(places.egress), "/run/egress.sock"]
    if program.folder:
        extra += ["--ro-bind", program.folder, program.folder]
    return {
        "run": str(places.run),
        "width": spec.width,
        "height": spec.height,
        "allowed": allowed,
        "last_url": str(places.last_url),
        "url": _last_url(places),
        "downloads": f"{home}/Downloads",
        "command": sandbox.guest_command(places, config, isolated_by, bounds, extra),
        "uid": bounds.uid,
    }


async def _launch(places: Places, host_spec: dict[str, Any]) -> dict[str, Any]:
    """Start the host. Returns who it is, for the machine's handle."""
    log_path = places.run / "host.log"
    facts = await detached.start("machines.drivers.browser.keeper.host", host_spec, log_path, START_TIMEOUT)
    if process.recorded(facts) is None:
        await process.end_tree(_unrecorded(places))
        raise MachineGone(f"The browser did not start: {facts.get('error') or detached.last_words(log_path)}")
    return {name: facts[name] for name in ("pid", "starttime", "devtools")}
