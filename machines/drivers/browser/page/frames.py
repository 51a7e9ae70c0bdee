"""The frames of the tab in view: which process shows each, how to run a script there, and where its points lie.

A frame of another site may live in a process of its own, with a DevTools session, coordinates and node ids of its own
(Chromium with site isolation). "Viewport" is always that of the topmost frame that a process shows.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, NamedTuple

from machines.drivers.browser.cdp import Cdp, CdpError, Params

WORLD = "countersign"
_CHILDREN = {"autoAttach": True, "waitForDebuggerOnStart": False, "flatten": True, "filter": [{"type": "iframe"}]}
TIMEOUT = 60.0  # seconds, of one command


class Point(NamedTuple):
    x: float
    y: float


@dataclass(frozen=True)
class Quad:
    """Four corners of a box that may be scaled, rotated or skewed: clockwise from what is the top left without that."""

    corners: tuple[float, ...]

    def at(self, u: float, v: float) -> Point:
        """The point at these parts of the box's width and height."""
        x0, y0, x1, y1, _, _, x3, y3 = self.corners
        return Point(x0 + (x1 - x0) * u + (x3 - x0) * v, y0 + (y1 - y0) * u + (y3 - y0) * v)

    def parts(self, point: Point) -> Point | None:
        """The inverse of at(); None when the box is flat."""
        x0, y0, x1, y1, _, _, x3, y3 = self.corners
        area = (x1 - x0) * (y3 - y0) - (x3 - x0) * (y1 - y0)
        if abs(area) < 1e-6:
            return None
        x, y = point.x - x0, point.y - y0
        return Point((x * (y3 - y0) - y * (x3 - x0)) / area, (y * (x1 - x0) - x * (y1 - y0)) / area)

    @property
    def area(self) -> float:
        x0, y0, x1, y1, _, _, x3, y3 = self.corners
        return abs((x1 - x0) * (y3 - y0) - (x3 - x0) * (y1 - y0))


@dataclass(frozen=True)
class Document:
    """What a frame shows now. `loader` changes with every document; node ids of another one mean nothing in it."""

    frame: str
    session: str
    loader: str
    parent: str | None  # the frame around it
    top: bool  # of what its process shows


@dataclass(frozen=True)
class Hop:
    """Where a frame stands in the viewport of the process around it."""

    session: str  # of the process around it
    owner: int  # backend node id of the <iframe> there
    quad: Quad  # of its content
    width: float  # of the frame's own view
    height: float

    def outward(self, point: Point) -> Point:
        return self.quad.at(point.x / self.width, point.y / self.height)

    def inward(self, point: Point) -> Point | None:
        part = self.quad.parts(point)
        return part and Point(part.x * self.width, part.y * self.height)


class View(NamedTuple):
    """The part of a process's topmost document that is in its viewport: where it begins, and its size. CSS pixels."""

    left: float
    top: float
    width: float
    height: float

    def holds(self, point: Point) -> bool:
        return 0 <= point.x < self.width and 0 <= point.y < self.height


class Frames:
    """The processes of one tab. `root` is the session of the tab itself; others join and leave as the page changes."""

    def __init__(self, cdp: Cdp) -> None:
        self.cdp = cdp
        self.root = ""
        self._parents: dict[str, str] = {}  # session -> the session that it was attached from
        self._tops: dict[str, str] = {}  # session -> the frame that its process shows topmost; a target has its name
        self._listening: set[str] = set()  # sessions that have been asked to attach to their children
        cdp.on_event = self._on_event

    def _on_event(self, method: str, params: Params, session: str) -> None:
        if method == "Target.attachedToTarget" and session:
            self._parents[params["sessionId"]] = session
            self._tops[params["sessionId"]] = params["targetInfo"]["targetId"]
        elif method == "Target.detachedFromTarget":
            child = params["sessionId"]
            self._parents.pop(child, None)
            self._tops.pop(child, None)
            self._listening.discard(child)

    async def turn_to(self, target: str) -> str:
        """Attach to this tab; its session."""
        answer = await self.send("Target.attachToTarget", {"targetId": target, "flatten": True}, "")
        self.root = answer["sessionId"]
        self._parents.clear()
        self._tops = {self.root: target}
        self._listening.clear()
        return self.root

    async def send(self, method: str, params: Params | None = None, session: str | None = None) -> Params:
        return await self.cdp.send(method, params, self.root if session is None else session, timeout=TIMEOUT)

    async def sessions(self) -> list[str]:
        """Every process of the page, the tab's own first."""
        while fresh := {self.root, *self._parents} - self._listening:
            self._listening |= fresh
            await asyncio.gather(*(self._listen(session) for session in fresh))
        return [self.root, *self._parents]

    async def _listen(self, session: str) -> None:
        try:
            await self.send("Target.setAutoAttach", _CHILDREN, session)
        except CdpError:  # it has gone meanwhile
            if session == self.root:
                self._listening.discard(session)
                raise

    async def documents(self) -> dict[str, Document]:
        """The document of each frame, the topmost first, frames of other processes last."""
        sessions = await self.sessions()
        trees = await asyncio.gather(*(self._tree(session) for session in sessions))
        return {document.frame: document for tree in trees for document in tree}

    async def _tree(self, session: str) -> list[Document]:
        try:
            tree = (await self.send("Page.getFrameTree", {}, session))["frameTree"]
        except CdpError:
            if session == self.root:
                raise
            return []
        return _documents(tree, session)

    async def world(self, document: Document) -> int:
        """The execution context of our isolated world in this frame."""
        params = {"frameId": document.frame, "worldName": WORLD}
        answer = await self.send("Page.createIsolatedWorld", params, document.session)
        return int(answer["executionContextId"])

    async def view(self, session: str) -> View:
        metrics = await self.send("Page.getLayoutMetrics", {}, session)
        visual, layout = metrics["cssVisualViewport"], metrics["cssLayoutViewport"]
        return View(visual["pageX"], visual["pageY"], layout["clientWidth"], layout["clientHeight"])

    async def hops(self, session: str) -> list[Hop]:
        """The way from this process outwards to the tab. Raises CdpError when a frame on it has no box."""
        hops: list[Hop] = []
        while session != self.root:
            hops.append(await self._hop(session))
            session = hops[-1].session
        return hops

    async def _hop(self, session: str) -> Hop:
        around, top = self._parents.get(session), self._tops.get(session)
        if around is None or top is None:
            raise CdpError("The frame has gone.")
        owner, view = await asyncio.gather(self.send("DOM.getFrameOwner", {"frameId": top}, around), self.view(session))
        node = owner["backendNodeId"]
        return Hop(around, node, await self.content(node, around), max(view.width, 1), max(view.height, 1))

    async def content(self, node: int, session: str) -> Quad:
        """Where the content box of this node lies in its process's viewport. Raises CdpError when it has no box."""
        model = (await self.send("DOM.getBoxModel", {"backendNodeId": node}, session))["model"]
        return Quad(tuple(model["content"]))

    async def stand(self, document: Document) -> Hop | None:
        """Where any frame stands; None for the tab's own and for what is not shown."""
        try:
            if document.top:
                return None if document.session == self.root else await self._hop(document.session)
            context = await self.world(document)
            size = {"expression": "[innerWidth, innerHeight]", "contextId": context, "returnByValue": True}
            answer, owner = await asyncio.gather(
                self.send("Runtime.evaluate", size, document.session),
                self.send("DOM.getFrameOwner", {"frameId": document.frame}, document.session),
            )
            (width, height), node = answer["result"]["value"], owner["backendNodeId"]
            quad = await self.content(node, document.session)
        except CdpError:
            return None
        return Hop(document.session, node, quad, max(width, 1), max(height, 1))

    async def inner_hops(self, session: str) -> list[tuple[str, Hop]]:
        """The processes shown inside this one, and where."""
        hops = []
        for child in [child for child, around in self._parents.items() if around == session]:
            try:
                hops.append((child, await self._hop(child)))
            except CdpError:  # not shown
                continue
        return hops


def _documents(tree: dict[str, Any], session: str, *, top: bool = True) -> list[Document]:
    frame = tree["frame"]
    here = Document(frame["id"], session, frame.get("loaderId", ""), frame.get("parentId"), top)
    inner = (_documents(child, session, top=False) for child in tree.get("childFrames", []))
    return [here, *(document for documents in inner for document in documents)]
