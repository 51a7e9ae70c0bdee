"""The mouse of a browser machine: one click, to the element that is meant or to a bare point, and what received it."""

import asyncio
import re
import time
from typing import Any

from machines.drivers.base import Action, Reach, Target
from machines.drivers.browser.cdp import CdpError, unless_refused
from machines.drivers.browser.input import mouse
from machines.drivers.browser.input.press_guard import Guard, Press
from machines.drivers.browser.input.reach import STALE, Finder, Node, Stale, named
from machines.drivers.browser.page.channel import PageProblem
from machines.drivers.browser.page.elements import ROLES
from machines.drivers.browser.page.frames import Frames
from machines.drivers.browser.page.page_script import WALK

FOLLOWS = 1.0  # seconds that a box has to show its new state
POLL = 0.05
LONGEST_NAME = 200  # characters

_THING = f"function () {{{WALK} return thing(this); }}"
# What a control is for: its tag, its kind (a password's type before its autocomplete token), and the words of its form.
_USE = (
    """function () {"""
    + WALK
    + r"""
  const n = element(this), token = (attribute(n, 'autocomplete') || '').toLowerCase().split(/\s+/).filter(Boolean).pop();
  const type = is(n, 'input', 'button') ? n.type : '';
  const filled = token && !['on', 'off', 'webauthn'].includes(token) ? token : '';
  const kind = type === 'password' ? type : filled || type;
  let form = is(n, 'button', 'fieldset', 'input', 'output', 'select', 'textarea') ? n.form : null;
  for (let e = n; e && !form; e = up(e)) if (is(e, 'form')) form = e;
  const first = (selector) => form && Element.prototype.querySelector.call(form, selector);
  const title = form && (short(attribute(form, 'aria-label')) || (first('legend,h1,h2,h3,h4') && shown(first('legend,h1,h2,h3,h4'))));
  const sends = first('button:not([type=button]):not([type=reset]),input[type=submit],input[type=image]');
  const words = [title, sends && sends !== n && nameOf(sends)].filter(Boolean).join(': ');
  return { ...facts(n), kind, form: form ? words || shown(form) : '' };
}"""
)
_CHECKED = (
    """function () {"""
    + WALK
    + r"""
  let n = element(this);
  if (!n || !getter(Node, 'isConnected')(n)) return null;
  if (is(n, 'label') && n.control) n = n.control;
  if (is(n, 'input') && ['checkbox', 'radio'].includes(n.type)) return n.indeterminate ? null : n.checked;
  const word = ['aria-checked', 'aria-pressed', 'aria-selected'].map((name) => attribute(n, name)).find((one) => one !== null);
  return word === 'true' ? true : word === 'false' || word === undefined ? false : null;
}"""
)


_NOTHING = {"role": "", "name": "", "tag": "nothing"}
_DIGITS = re.compile(r"\d")


def same(one: Target, other: Target) -> bool:
    """Whether both are of one role and name, numbers apart."""
    names = [" ".join(_DIGITS.sub("", target.name).split()) for target in (one, other)]
    return one.role == other.role and names[0] == names[1]


class Missed(PageProblem):
    """A press that was not made, or reached something else; `data` as in an ActResult."""

    def __init__(self, message: str, **data: Any) -> None:
        super().__init__(message)
        self.data = data


def gone() -> Missed:
    return Missed(STALE, stale=True)


class Pointer:
    def __init__(self, frames: Frames) -> None:
        self.frames = frames
        self.finder = Finder(frames)

    async def reach(self, ref: str) -> Reach:
        """Where the element can be pressed; the page is scrolled to it."""
        try:
            return (await self.finder.reach(await self.finder.node(ref))).as_reach()
        except Stale:
            return Reach(None, STALE, hidden=True)

    async def target(self, action: Action) -> Target | None:
        """What the action would reach: what is used at its point, or its ref."""
        try:
            node = await self.meant(action)
        except Stale:
            return None
        use = await self.use(node) if node else None
        return Target(use["role"], use["name"], use["kind"], use["form"]) if use else None

    async def meant(self, action: Action) -> Node | None:
        """What lies at the action's point, or is its ref. Raises Stale."""
        if action.ref:
            return await self.finder.node(action.ref)
        names = ("x", "y") if "x" in action.params else ("from_x", "from_y")
        if not all(isinstance(action.params.get(name), int) for name in names):
            return None
        x, y = (action.params[name] for name in names)
        return await self.finder.under(x, y)

    async def use(self, node: Node) -> dict[str, Any] | None:
        """Role, name, tag, kind and form of what a press on the node uses, as the accessibility tree names it."""
        control = await self.finder.related(node, _THING)
        if control is None:
            return None
        params = {"objectId": control.object_id, "fetchRelatives": False}
        facts, tree = await asyncio.gather(
            unless_refused(self.finder.call(control, _USE)),
            unless_refused(self.frames.send("Accessibility.getPartialAXTree", params, control.session)),
        )
        if facts is None:
            return None
        shown: dict[str, Any] = next((n for n in (tree or {}).get("nodes", []) if not n.get("ignored")), {})
        role = str(shown.get("role", {}).get("value") or facts["role"])
        name = str(shown.get("name", {}).get("value") or facts["name"])[:LONGEST_NAME].strip()
        return {**facts, "role": ROLES.get(role, role), "name": name}


class Click:
    """One click. run() presses, outcome() says what came of it; between them a dialog may have cut run() short."""

    def __init__(self, pointer: Pointer, action: Action) -> None:
        self.pointer = pointer
        self.action = action
        self.press = Press()
        self._guard = Guard(pointer.frames, self.press)
        self._node: Node | None = None
        self._use: dict[str, Any] | None = None
        self._idle = False  # nothing had to be pressed

    async def run(self) -> None:
        """Raises Missed when the element that is meant cannot be pressed."""
        params, checked = self.action.params, self.action.checked
        at = params["x"], params["y"]
        if self.action.ref:
            at = await self._aim(at)
            self._idle = checked is not None and await self._is_checked() is checked
        else:
            self._node = await self.pointer.finder.under(*at)
        button, count = params.get("button", "left"), params.get("count", 1)
        await asyncio.gather(self._name_it(), self._arm(button, count))
        if self._idle:
            return
        if self.action.expects and not self._is_expected(self.action.expects):
            raise Missed(f"The click was not made: {named(self._use or _NOTHING)} lies there now.")
        await mouse.click(self.pointer.frames.send, *at, button, count)
        await self._guard.heard()
        await self._guard.leave()

    def _is_expected(self, expected: Target) -> bool:
        """Numbers in a name may have gone on since; what a person agreed to is compared in whole before, in
        runs/requests/stale_approvals.py."""
        return self._use is not None and same(expected, Target(self._use["role"], self._use["name"]))

    async def _name_it(self) -> None:
        self._use = await self.pointer.use(self._node) if self._node else None

    async def _arm(self, button: str, count: int) -> None:
        if not self._idle:
            await self._guard.stand(
                self.pointer.finder, self._node, button, count, blocks=bool(self.action.ref) or self.action.firm
            )

    async def _aim(self, at: tuple[int, int]) -> tuple[int, int]:
        finder = self.pointer.finder
        try:
            self._node = await finder.node(str(self.action.ref))
            spot = await finder.reach(self._node, at)
        except Stale as stale:
            raise gone() from stale
        if spot.point is None:
            raise Missed(f"It cannot be clicked. {spot.problem}")
        return spot.point

    async def _is_checked(self) -> bool | None:
        return bool(value) if (value := await self.pointer.finder.call(self._of(), _CHECKED)) is not None else None

    def _of(self) -> Node:
        assert self._node is not None
        return self._node

    async def outcome(self, *, stands: bool) -> dict[str, Any]:
        """The data of a click that was done; `stands`: a dialog is open, so the page answers nothing.

        Raises Missed when it was not done, or did not do what it had to.
        """
        if not self._idle:
            await self._guard.heard()
        hit = self._hit()
        data = {"hit": hit} if hit else {}
        if self.press.wrong and (self.action.ref or self.action.firm):
            raise Missed(f"The click was stopped: {named(self.press.wrong)} came under the pointer.", **data)
        if not self.action.ref:
            return data
        if not self._idle and hit is None:
            raise Missed("Nothing on the page received the click.")
        if not self._idle and not self.press.complete and not (stands or await self._moved_on()):
            raise Missed("The press arrived, but it became no click.", **data)
        return data | ({} if stands else await self._state())

    def over(self) -> None:
        """Wait for nothing more."""
        self._guard.dismiss()

    def _hit(self) -> dict[str, Any] | None:
        hit = self.press.wrong or self.press.hit
        if self._idle or (hit and hit["expected"]):
            hit = self._use or hit
        return {key: hit[key] for key in ("role", "name", "tag")} if hit else None

    async def _moved_on(self) -> bool:
        """Whether the page took the beginning of a press as the whole: it shows something else since."""
        try:
            return not await self.pointer.finder.call(self._of(), "function () { return this.isConnected; }")
        except CdpError:
            return True

    async def _state(self) -> dict[str, Any]:
        """The state of a box read back. Raises Missed when it is not what it has to be."""
        checked = self.action.checked
        if checked is None:
            return {}
        end = time.monotonic() + FOLLOWS
        try:
            while (now := await self._is_checked()) is not checked:
                if time.monotonic() >= end:
                    words = {True: "checked", False: "unchecked", None: "neither checked nor unchecked"}[now]
                    raise Missed(f"It was clicked, but it is still {words}.", hit=self._hit(), checked=now)
                await asyncio.sleep(POLL)
        except CdpError:
            return {"note": "The page changed at once, so the state of the box could not be read back."}
        return {"checked": checked}
