"""Who receives a press, seen at the moment it happens, and kept from whom it was not meant for.

A hit test looks before the press; a page may move something under the pointer in between, or when the pointer arrives.
So capture listeners in an isolated world of every frame watch the press itself. With a target, an event that would reach
anything else is stopped there. The page sees neither listeners nor variables, and both are gone after the press.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

from machines.drivers.base import MachineGone
from machines.drivers.browser.cdp import CdpError
from machines.drivers.browser.input.reach import GROUP, Finder, Node
from machines.drivers.browser.page.frames import Document, Frames
from machines.drivers.browser.page.page_script import REACHES, WALK

PATIENCE_MS = 10_000  # after that the listeners leave by themselves
GRACE = 0.3  # seconds between the end of a press and the answer to it

# Arguments: the node that is meant or, without `blocks`, expected; whether to stop what reaches others; the last event of
# the press, how often it is pressed, and after which time to give up. A null node with `blocks`: nothing may arrive here.
_ARM = (
    """function (node, blocks, last, count, patience) {"""
    + WALK
    + r"""
  const target = element(node);
  if (target) knowRootsOf(target);
  const reaches = target ? (() => {"""
    + REACHES
    + r""" return reaches; })() : () => !blocks;
  const labelled = (n) => labelsOf(n).some((label) => {
    for (let e = target; e; e = up(e)) if (e === label) return true;
    return false;
  });
  const expected = target && thing(target);
  const scope = target && rootOf(target);
  const received = (event) => {  // the deepest element: a path hides what is in a closed root
    const first = element(event.composedPath()[0]);
    if (!first || !isRoot(scope)) return first;
    for (let r = scope; isRoot(r); r = rootOf(hostOf(r))) {
      if (hostOf(r) === first) {
        const at = ShadowRoot.prototype.elementFromPoint.call(scope, event.clientX, event.clientY);
        return at || first;
      }
    }
    return first;
  };
  let begin, settle, captured = false, clickedAt = -1, timer = 0;
  const state = { wrong: null, pressed: null, clicked: null };
  const begun = new Promise((done) => { begin = () => done({ ...state }); });  // told before a handler opens a dialog
  const heard = new Promise((done) => { settle = () => { begin(); done(state); }; });
  const isExpected = (n) => {
    for (let e = n; e; e = up(e)) {
      if (e === target || e === expected || (is(e, 'label') && e.control && e.control === expected)) return true;
      if (isElement(e) && fits(e, USED)) return false;
    }
    return false;
  };
  const told = (n) => ({ ...facts(thing(n)), expected: !!target && isExpected(n) });
  const listen = (event) => {
    if (!event.isTrusted) return;
    if (event.type === 'gotpointercapture') { captured = true; return; }
    if (event.type === 'click' && event.timeStamp === clickedAt) return;  // the label's click, handed on to its control
    const n = received(event), gone = target && state.pressed && !getter(Node, 'isConnected')(target);
    if (blocks && !captured && !gone && !(n && !state.wrong && (reaches(n) || (target && state.pressed && labelled(n))))) {
      event.preventDefault();
      event.stopImmediatePropagation();
      state.wrong = state.wrong || (n ? told(n) : { role: '', name: '', tag: '', expected: false });
      settle();
      return;
    }
    if (!n || state.wrong) return;
    if (/down$/.test(event.type)) {
      state.pressed = state.pressed || told(n);
      begin();
    }
    if (event.type === last || event.type === 'auxclick') {
      clickedAt = event.timeStamp;
      state.clicked = state.clicked || told(n);
      if (event.type !== 'contextmenu' && event.detail < count) return;
      settle();
      setTimeout(off, 0);
    }
  };
  const KINDS = ['pointerdown', 'mousedown', 'pointerup', 'mouseup', 'click', 'auxclick', 'dblclick', 'contextmenu',
    'gotpointercapture'];
  const off = () => {
    clearTimeout(timer);
    for (const kind of KINDS) removeEventListener(kind, listen, true);
    settle();
  };
  for (const kind of KINDS) addEventListener(kind, listen, { capture: true, passive: false });
  timer = setTimeout(off, patience);
  return { begun, heard, state, off };
}"""
)
_BEGUN = "function () { return this.begun; }"
_HEARD = "function () { return this.heard; }"
_OFF = "function () { this.off(); return this.state; }"
_LAST = {"left": "click", "middle": "auxclick", "right": "contextmenu"}


@dataclass
class Press:
    """What is known of one press. `hit`: what received it, `wrong`: what it was kept from."""

    hit: dict[str, Any] | None = None
    wrong: dict[str, Any] | None = None
    complete: bool = False  # the whole press arrived, not only its beginning


@dataclass(frozen=True)
class _Post:
    """The listeners of one frame."""

    document: Document
    object_id: str


class Guard:
    """The listeners of one press, in every frame."""

    def __init__(self, frames: Frames, press: Press) -> None:
        self.frames = frames
        self.press = press
        self._posts: list[_Post] = []
        self._hearing: set[asyncio.Task[None]] = set()

    async def stand(self, finder: Finder, node: Node | None, button: str, count: int, *, blocks: bool) -> None:
        """Take up the post in every frame. Raises CdpError when the node's own frame has gone."""
        documents = await self.frames.documents()
        how = [blocks, _LAST[button], count, PATIENCE_MS]
        await asyncio.gather(*(self._post(finder, document, node, how) for document in documents.values()))
        self._hearing = {
            asyncio.create_task(self._hear(post, promise)) for post in self._posts for promise in (_BEGUN, _HEARD)
        }

    async def _post(self, finder: Finder, document: Document, node: Node | None, how: list[Any]) -> None:
        own = node is not None and node.document.frame == document.frame
        try:
            context = node.context if own and node else await self.frames.world(document)
            meant: dict[str, Any] = {"objectId": node.object_id} if own and node else {"value": None}
            params = {
                "executionContextId": context,
                "functionDeclaration": _ARM,
                "arguments": [meant, *({"value": value} for value in how)],
                "objectGroup": GROUP,
            }
            answer = await self.frames.send("Runtime.callFunctionOn", params, document.session)
            if "exceptionDetails" in answer:
                raise CdpError("The page cannot be watched.")
        except CdpError:
            if how[0] and (own or document.parent is None):
                raise
            return  # a frame that gives way to another document
        self._posts.append(_Post(document, answer["result"]["objectId"]))

    async def _hear(self, post: _Post, promise: str) -> None:
        with contextlib.suppress(
            CdpError, MachineGone, TimeoutError
        ):  # the page may be gone before it has heard anything
            self._take(await self._ask(post, promise))

    async def _ask(self, post: _Post, function: str) -> Any:
        params = {
            "objectId": post.object_id,
            "functionDeclaration": function,
            "returnByValue": True,
            "awaitPromise": True,
        }
        answer = await self.frames.send("Runtime.callFunctionOn", params, post.document.session)
        return answer["result"].get("value")

    def _take(self, state: Any) -> None:
        if not isinstance(state, dict):
            return
        if state["wrong"]:
            self.press.wrong = self.press.wrong or state["wrong"]
        elif state["clicked"] and not self.press.complete:
            self.press.hit, self.press.complete = state["clicked"], True
        elif state["pressed"]:
            self.press.hit = self.press.hit or state["pressed"]

    async def heard(self, seconds: float = GRACE) -> None:
        """Wait a moment for the answer to a press that is over, or that a dialog interrupted."""
        end = asyncio.get_running_loop().time() + seconds
        while self._hearing and not (self.press.wrong or self.press.complete):
            left = end - asyncio.get_running_loop().time()
            done, self._hearing = await asyncio.wait(
                self._hearing, timeout=max(left, 0), return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                return

    async def leave(self) -> None:
        """Take the listeners away and learn what they saw until now. A page that stands still is not waited for."""
        tasks = [asyncio.create_task(self._hear(post, _OFF)) for post in self._posts]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=GRACE)
            for task in late:
                task.cancel()

    def dismiss(self) -> None:
        """Listen no longer."""
        for task in self._hearing:
            task.cancel()
