"""Nodes of the page in view, for who looks into them and sets them: in whatever frame, process or shadow root they are."""

from typing import Any

from machines.drivers.browser.cdp import CdpError
from machines.drivers.browser.input import mouse
from machines.drivers.browser.input.pointer import gone
from machines.drivers.browser.input.reach import Finder, Node, Stale
from machines.drivers.browser.page.channel import PageProblem
from machines.drivers.browser.page.frames import Document

_ACTIVE = "function () { return this.activeElement || this; }"
_FRAMES = frozenset({"IFRAME", "FRAME"})


class Nodes:
    def __init__(self, finder: Finder) -> None:
        self.finder = finder
        self.frames = finder.frames

    async def meant(self, ref: str | None, x: int, y: int) -> Node | None:
        """The node of the ref, or the innermost one at the point. Raises Missed when the ref names none any more."""
        if ref is None:
            return await self.finder.under(x, y)
        try:
            return await self.finder.node(ref)
        except Stale as stale:
            raise gone() from stale

    async def of(self, ref: str) -> Node:
        """The node of a ref that the browser itself has just named."""
        frame, _, number = ref.partition("/")
        document = (await self.frames.documents()).get(frame)
        if document is None:
            raise gone()
        return await self._held(document, int(number))

    async def _held(self, document: Document, number: int) -> Node:
        return await self.finder.held(document, await self.frames.world(document), number)

    async def call(self, node: Node, function: str, *values: Any) -> Any:
        """The function's value; it gets the node as `this`."""
        return await self.finder.call(node, function, *({"value": value} for value in values))

    async def pick(self, node: Node, function: str, *values: Any) -> Node | None:
        """The node that the function returns."""
        return await self.finder.related(node, function, *({"value": value} for value in values))

    async def command(self, node: Node, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """A command of DevTools about this node."""
        return await self.frames.send(method, {**(params or {}), "objectId": node.object_id}, node.session)

    async def click(self, node: Node) -> None:
        """Click it where it can be hit."""
        try:
            spot = await self.finder.reach(node)
        except Stale as stale:
            raise gone() from stale
        if spot.point is None:
            raise PageProblem(f"It cannot be clicked. {spot.problem}")
        await mouse.click(self.frames.send, *spot.point)

    async def focused(self) -> Node | None:
        """The innermost node that has the focus, the body when none has it in particular."""
        await self.finder.let_go()
        documents = await self.frames.documents()
        document = next(iter(documents.values()), None)
        node: Node | None = None
        while document is not None:
            node = await self._active(document)
            described = await self._described(node)
            framed = described["nodeName"] in _FRAMES
            document = documents.get(str(described.get("frameId"))) if framed else None
        return node

    async def _active(self, document: Document) -> Node:
        """The focused node of one document, through shadow roots, closed ones as well."""
        context = await self.frames.world(document)
        params = {"expression": "document.activeElement || document.documentElement", "contextId": context}
        result = (await self.frames.send("Runtime.evaluate", params, document.session))["result"]
        if "objectId" not in result:
            raise CdpError("The page has no content.")
        node = Node(document, context, 0, result["objectId"])
        while True:
            roots = (await self._described(node)).get("shadowRoots", [])
            root = next((one for one in roots if one["shadowRootType"] != "user-agent"), None)
            if root is None:
                return node
            inside = await self._held(document, root["backendNodeId"])
            inner = await self.pick(inside, _ACTIVE)
            if inner is None or inner.backend == inside.backend:
                return node
            node = inner

    async def _described(self, node: Node) -> dict[str, Any]:
        described: dict[str, Any] = (await self.command(node, "DOM.describeNode", {"depth": 0}))["node"]
        return described
