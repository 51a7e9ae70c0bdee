"""What is on a page: the accessibility tree says what things are, the layout snapshot where they are."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

from machines.drivers.base import Element
from machines.drivers.cdp import CdpError

Send = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]

MOST = 5000  # elements of one page
LONGEST = 4096  # characters of a name or value: they are compared with what is looked for
_FIELDS = frozenset(
    {"textbox", "searchbox", "combobox", "spinbutton", "checkbox", "radio", "slider", "switch", "listbox"}
)
_SKIPPED = frozenset({"none", "generic", "RootWebArea", "InlineTextBox", "LineBreak", "Iframe", "IframePresentational"})
_ROLES = {
    "StaticText": "text",
    "TextField": "textbox",
    "ComboBoxSelect": "combobox",
    "MenuListPopup": "listbox",
    "MenuListOption": "option",
    "LabelText": "label",
    "ListMarker": "text",
}


class Box(NamedTuple):
    x: float
    y: float
    width: float
    height: float


async def page_elements(send: Send) -> list[Element]:
    """Everything with a name or a value, in the order of the page; boxes are relative to the viewport."""
    snapshot, tree = await asyncio.gather(
        send("DOMSnapshot.captureSnapshot", {"computedStyles": [], "includeDOMRects": False}),
        send("Page.getFrameTree", {}),
    )
    frames = list(_frame_ids(tree["frameTree"]))
    trees = await asyncio.gather(*(_ax_tree(send, frame) for frame in frames))
    boxes = _boxes(snapshot["documents"])
    found = (element for nodes in trees for element in _elements(nodes, boxes))
    return [element for element, _ in zip(found, range(MOST), strict=False)]


async def _ax_tree(send: Send, frame: str) -> list[dict[str, Any]]:
    try:
        nodes: list[dict[str, Any]] = (await send("Accessibility.getFullAXTree", {"frameId": frame}))["nodes"]
    except CdpError:  # a frame of another site lives in another process
        return []
    return nodes


def _frame_ids(tree: dict[str, Any]) -> Iterator[str]:
    yield tree["frame"]["id"]
    for child in tree.get("childFrames", []):
        yield from _frame_ids(child)


def _boxes(documents: list[dict[str, Any]]) -> dict[int, Box]:
    """Boxes by backend node id; a frame's document lies where its <iframe> lies."""
    boxes: dict[int, Box] = {}
    origins: dict[int, tuple[float, float]] = {0: (0.0, 0.0)}
    for index, document in enumerate(documents):
        left, top = origins.get(index, (0.0, 0.0))
        left -= document.get("scrollOffsetX", 0)
        top -= document.get("scrollOffsetY", 0)
        nodes, layout = document["nodes"], document["layout"]
        inner = nodes.get("contentDocumentIndex", {"index": [], "value": []})
        frames = dict(zip(inner["index"], inner["value"], strict=True))
        for node, bounds in zip(layout["nodeIndex"], layout["bounds"], strict=True):
            x, y, width, height = bounds
            boxes.setdefault(nodes["backendNodeId"][node], Box(left + x, top + y, width, height))
            if node in frames:
                origins[frames[node]] = (left + x, top + y)
    return boxes


def _elements(nodes: list[dict[str, Any]], boxes: dict[int, Box]) -> Iterator[Element]:
    shown: dict[str, str] = {}  # the name each node stands under, or its nearest ancestor does
    for node in _in_order(nodes):
        above = shown.get(node.get("parentId", ""), "")
        element = None if node.get("ignored") else _element(node, boxes)
        shown[node["nodeId"]] = element.name if element and element.role != "text" and element.name else above
        if element and not (element.role == "text" and element.name.strip() == above.strip()):
            yield element


def _in_order(nodes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The nodes as one reads them: each before its children, children before the next sibling."""
    by_id = {node["nodeId"]: node for node in nodes}
    stack = [node for node in reversed(nodes) if node.get("parentId") not in by_id]
    while stack:
        node = stack.pop()
        yield node
        stack += [by_id[child] for child in reversed(node.get("childIds", [])) if child in by_id]


def _element(node: dict[str, Any], boxes: dict[int, Box]) -> Element | None:
    role = str(node.get("role", {}).get("value", ""))
    role = _ROLES.get(role, role)
    name = str(node.get("name", {}).get("value") or "")[:LONGEST].strip()
    box = boxes.get(node.get("backendDOMNodeId", -1))
    if role in _SKIPPED or box is None or not (name or role in _FIELDS) or box.width < 1 or box.height < 1:
        return None
    states = {item["name"]: item["value"].get("value") for item in node.get("properties", [])}
    value = node.get("value", {}).get("value")
    return Element(
        role=role,
        name=name,
        x=round(box.x),
        y=round(box.y),
        width=round(box.width),
        height=round(box.height),
        value=None if value is None else str(value)[:LONGEST],
        disabled=bool(states.get("disabled")),
        checked=None if "checked" not in states else str(states["checked"]).lower() == "true",
    )
