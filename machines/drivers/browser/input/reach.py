"""Where an element can be pressed: one hit test, by the page's own rules, through frames and shadow trees.

What a person could not see or hit is no target. A point counts when the topmost thing under it is the element, its label
or inside it, in every process from the tab down to the element's own.
"""

import asyncio
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from machines.drivers.base import Reach
from machines.drivers.browser.cdp import CdpError, unless_refused
from machines.drivers.browser.page.frames import Document, Frames, Hop, Point, Quad, View
from machines.drivers.browser.page.page_script import PAINT, REACHES, WALK

_SAMPLES = (
    (0.5, 0.5), (0.25, 0.5), (0.75, 0.5), (0.5, 0.25), (0.5, 0.75), (0.1, 0.5), (0.9, 0.5), (0.1, 0.2), (0.9, 0.8),
)  # fmt: skip
_MOST_QUADS = 3  # of one element: a link that wraps has one per line
_SMALLEST = 1.0  # square pixels
_MOST_LABELS = 3
GROUP = "reach"  # of the objects that are held in the page meanwhile
_NOWHERE = "It has no place on the screen."
STALE = "The page has changed: what was meant is not there any more."

# Whether a person can see the target, and whether it is still part of its page. A box that is drawn by other means over
# an input without opacity is the usual custom control: there opacity does not count.
_STATE = (
    """function () {"""
    + WALK
    + PAINT
    + r"""
  const target = element(this);
  if (!target || !getter(Node, 'isConnected')(target)) return { gone: true };
  const custom = is(target, 'input') && ['checkbox', 'radio', 'range', 'file'].includes(target.type);
  return { painted: isPainted(target, custom), labels: labelsOf(target).length };
}"""
)
# Whether all of it is cut away by what is around it.
_CUT = f"function () {{{WALK}{PAINT} const it = element(this); return ![...rectsOf(it)].some((r) => seenBox(it, r)); }}"
# null when a press that lands on `hit` reaches the target; else what lies there.
_FITS = (
    """function (hit) {"""
    + WALK
    + """
  const target = element(this);
  knowRootsOf(target);"""
    + REACHES
    + r"""
  if (hit && reaches(hit)) return null;
  const other = thing(hit);
  return other ? facts(other) : { role: '', name: '', tag: '' };
}"""
)
_LABEL = f"function (index) {{{WALK} return labelsOf(element(this))[index]; }}"
_FACTS = f"function () {{{WALK} const it = thing(this); return it ? facts(it) : null; }}"
_BARE = frozenset({"html", "body"})


class Stale(Exception):
    """The ref names nothing on the page in view."""


@dataclass(frozen=True)
class Node:
    """A node of the page, held by our isolated world of its frame. `backend` is its id in its process."""

    document: Document
    context: int
    backend: int
    object_id: str

    @property
    def session(self) -> str:
        return self.document.session


@dataclass(frozen=True)
class Spot:
    """The point of a node where a press reaches it; `problem` says why there is none, `hidden`: nobody can see it."""

    node: Node
    point: tuple[int, int] | None
    problem: str = ""
    hidden: bool = False
    scrolled: bool = False

    def as_reach(self) -> Reach:
        return Reach(self.point, self.problem, self.hidden, self.scrolled)


class Finder:
    """Looks for nodes and tests points on the tab in view."""

    def __init__(self, frames: Frames) -> None:
        self.frames = frames
        self.loaders: dict[str, str] = {}  # frame -> the document that its refs were made of

    async def node(self, ref: str) -> Node:
        """Raises Stale for a ref of another page, of a former document, or of nonsense."""
        frame, _, number = ref.partition("/")
        _, documents = await asyncio.gather(self.let_go(), self.frames.documents())
        document = documents.get(frame)
        if document is None or not number.isdecimal() or self.loaders.get(frame) != document.loader:
            raise Stale
        try:
            context = await self.frames.world(document)
            return await self.held(document, context, int(number))
        except CdpError as error:
            raise Stale from error

    async def held(self, document: Document, context: int, backend: int) -> Node:
        """Raises CdpError when there is no such node in this frame."""
        params = {"backendNodeId": backend, "executionContextId": context, "objectGroup": GROUP}
        answer = (await self.frames.send("DOM.resolveNode", params, document.session))["object"]
        if "objectId" not in answer:
            raise CdpError("It belongs to another frame.")
        return Node(document, context, backend, answer["objectId"])

    async def call(self, node: Node, function: str, *arguments: dict[str, Any]) -> Any:
        """The value of a function called on the node in our world."""
        return (await self._call(node, function, arguments, by_value=True)).get("value")

    async def _call(self, node: Node, function: str, arguments: Any, *, by_value: bool) -> dict[str, Any]:
        params = {
            "objectId": node.object_id,
            "functionDeclaration": function,
            "arguments": list(arguments),
            "returnByValue": by_value,
            "objectGroup": GROUP,
        }
        answer = await self.frames.send("Runtime.callFunctionOn", params, node.session)
        if "exceptionDetails" in answer:
            raise CdpError("The page's element cannot be looked at.")
        result: dict[str, Any] = answer["result"]
        return result

    async def related(self, node: Node, function: str, *arguments: dict[str, Any]) -> Node | None:
        """The node that a function called on this one returns."""
        result = await self._call(node, function, arguments, by_value=False)
        if "objectId" not in result:
            return None
        described = await self.frames.send("DOM.describeNode", {"objectId": result["objectId"]}, node.session)
        return Node(node.document, node.context, described["node"]["backendNodeId"], result["objectId"])

    async def let_go(self) -> None:
        """Drop what former actions held in the page: the last one may have left it standing still."""
        for session in await self.frames.sessions():
            await unless_refused(self.frames.send("Runtime.releaseObjectGroup", {"objectGroup": GROUP}, session))

    # The hit test

    async def reach(self, node: Node, first: tuple[int, int] | None = None) -> Spot:
        """Bring the node onto the screen and look for a point to press it, the point `first` before others.

        Raises Stale when it is not part of its page any more.
        """
        state = await self.call(node, _STATE)
        if state.get("gone"):
            raise Stale
        spot = Spot(node, None, "It cannot be seen.", hidden=True)
        if state["painted"]:
            spot = await self._tested(node, node, first)
        for index in range(min(state["labels"], _MOST_LABELS) if spot.point is None else 0):
            label = await self.related(node, _LABEL, {"value": index})
            if label is None or not (await self.call(label, _STATE)).get("painted"):
                continue
            there = await self._tested(label, node, first)
            better = there.point is not None or (spot.hidden and not there.hidden)
            spot = replace(there if better else spot, scrolled=spot.scrolled or there.scrolled)
            if spot.point:
                break
        return spot

    async def _tested(self, shape: Node, target: Node, first: tuple[int, int] | None) -> Spot:
        """Test points of the shape, which is the target itself or its label."""
        quads, scrolled = await self._quads(shape)
        try:
            hops = await self.frames.hops(shape.session)
            views = await asyncio.gather(*(self.frames.view(session) for session in _way(shape.session, hops)))
        except CdpError:
            return Spot(target, None, _NOWHERE, hidden=True, scrolled=scrolled)
        ways = list(zip(_way(shape.session, hops), views, strict=True))
        points = _points(quads, hops, first)
        covers: list[dict[str, Any]] = []
        for chunk in (points[:1], points[1:]):  # nearly always it is the first
            verdicts = await asyncio.gather(*(self._verdict(point, hops, ways, target) for point in chunk))
            for point, verdict in zip(chunk, verdicts, strict=True):
                if verdict is None:
                    return Spot(target, point, scrolled=scrolled)
                covers += [verdict] if verdict else []
        if not covers or await self.call(shape, _CUT):
            return Spot(target, None, _NOWHERE, hidden=True, scrolled=scrolled)
        return Spot(target, None, _covered(covers), scrolled=scrolled)

    async def _quads(self, shape: Node) -> tuple[list[Quad], bool]:
        """The shape's boxes in its process's viewport after it was brought there, and whether that moved it."""
        params, session = {"objectId": shape.object_id}, shape.session
        before, _, after = await asyncio.gather(  # in this order: one process answers one after the other
            unless_refused(self.frames.send("DOM.getContentQuads", params, session)),
            unless_refused(self.frames.send("DOM.scrollIntoViewIfNeeded", params, session)),
            unless_refused(self.frames.send("DOM.getContentQuads", params, session)),
        )
        if before is None or after is None:
            return [], False
        return [Quad(tuple(corners)) for corners in after["quads"]], before["quads"] != after["quads"]

    async def _verdict(
        self, point: tuple[int, int], hops: list[Hop], ways: list[tuple[str, View]], target: Node
    ) -> dict[str, Any] | None:
        """None when a press here reaches the target; what lies there instead; {} when nothing does."""
        levels = _levels(point, hops)
        for depth in range(len(hops), -1, -1):  # from the tab inwards
            session, view = ways[depth]
            at = levels[depth]
            if at is None or not view.holds(at):
                return {}
            hit = await self._topmost(session, view, at)
            if hit is None:
                return {}
            if depth:
                if hit["backendNodeId"] != hops[depth - 1].owner:
                    return await self._facts(session, hit) or {}
                continue
            return await self._fits(target, hit)
        raise AssertionError  # the last level returns

    async def _fits(self, target: Node, hit: dict[str, Any]) -> dict[str, Any] | None:
        if hit["backendNodeId"] == target.backend:
            return None
        if hit["frameId"] != target.document.frame:  # never resolved here: it would become one of this frame's objects
            return await self._facts(target.session, hit) or {}
        try:
            other = await self.held(target.document, target.context, hit["backendNodeId"])
        except CdpError:  # gone meanwhile
            return {}
        verdict: dict[str, Any] | None = await self.call(target, _FITS, {"objectId": other.object_id})
        return verdict

    async def _topmost(self, session: str, view: View, at: Point) -> dict[str, Any] | None:
        """The node under a point of this process's viewport. DevTools counts from where the document begins."""
        params = {"x": int(at.x + view.left), "y": int(at.y + view.top), "includeUserAgentShadowDOM": False}
        try:
            return await self.frames.send("DOM.getNodeForLocation", params, session)
        except CdpError:
            return None

    async def _facts(self, session: str, hit: dict[str, Any]) -> dict[str, Any] | None:
        """What a person would call the thing that was hit."""
        document = Document(hit["frameId"], session, "", None, top=False)
        try:
            node = await self.held(document, await self.frames.world(document), hit["backendNodeId"])
            facts: dict[str, Any] | None = await self.call(node, _FACTS)
        except CdpError:
            return None
        return facts

    async def under(self, x: int, y: int) -> Node | None:
        """What lies under a point of the screen, in whatever frame."""
        session, at = self.frames.root, Point(x, y)
        await self.let_go()
        while True:
            hit = await self._topmost(session, await self.frames.view(session), at)
            if hit is None:
                return None
            inner = [(s, h) for s, h in await self.frames.inner_hops(session) if h.owner == hit["backendNodeId"]]
            inward = inner[0][1].inward(at) if inner else None
            if inward is None:
                break
            session, at = inner[0][0], inward
        document = Document(hit["frameId"], session, "", None, top=False)
        try:
            return await self.held(document, await self.frames.world(document), hit["backendNodeId"])
        except CdpError:
            return None


def _way(session: str, hops: list[Hop]) -> list[str]:
    """The sessions from the element's own process outwards to the tab."""
    return [session, *(hop.session for hop in hops)]


def _points(quads: list[Quad], hops: list[Hop], first: tuple[int, int] | None) -> list[tuple[int, int]]:
    """Points of the boxes as whole pixels of the screen, the most likely ones first."""
    points = [first] if first else []
    for u, v in _SAMPLES:
        for quad in islice((quad for quad in quads if quad.area >= _SMALLEST), _MOST_QUADS):
            point = quad.at(u, v)
            for hop in hops:
                point = hop.outward(point)
            points.append((int(point.x), int(point.y)))
    return list(dict.fromkeys(points))


def _levels(point: tuple[int, int], hops: list[Hop]) -> list[Point | None]:
    """The point of the screen as the element's own process counts, then each process around it, the tab last."""
    levels: list[Point | None] = [Point(*point)]
    for hop in reversed(hops):
        levels.append(hop.inward(levels[-1]) if levels[-1] else None)
    return levels[::-1]


def named(facts: dict[str, Any]) -> str:
    """What was hit, in words."""
    role = facts["role"] if facts["role"] not in ("", "generic") else ""
    if facts["name"]:
        return f'"{facts["name"]}"' + (f" ({role})" if role else "")
    tag = facts["tag"]
    return f"the {role or tag or 'page'}" if tag not in _BARE else "the page itself"


def _covered(covers: list[dict[str, Any]]) -> str:
    """The thing that covers most of the points: one that is named before one that is only there."""
    best = max(covers, key=lambda c: (bool(c["name"]), sum(c == other for other in covers)))
    if best["tag"] in _BARE | {""}:
        return "It cannot be pressed where it is shown."
    return f"{named(best)} covers it."
