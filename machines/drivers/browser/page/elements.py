"""What is on a page: the accessibility tree says what things are, the layout snapshot where they are.

Both are read in every process that shows a part of the page, and carried to the tab's own viewport through the boxes of
the frames as the browser draws them.
"""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, NamedTuple

from machines.drivers import element_roles
from machines.drivers.base import Element
from machines.drivers.browser.cdp import CdpError, unless_refused
from machines.drivers.browser.page.frames import Document, Frames, Hop, Point
from machines.drivers.browser.page.page_script import MARK

MOST = 5000  # elements of one page
LONGEST = 4096  # characters of a name or value: they are compared with what is looked for
_NAMELESS = element_roles.FIELDS | element_roles.BOXES | {"listbox"}  # listed although they have no name
_BOXES = frozenset({"checkbox", "radio", "switch"})
_FRAMES = frozenset({"Iframe", "IframePresentational"})
_SKIPPED = frozenset({"none", "generic", "RootWebArea", "InlineTextBox", "LineBreak", "Iframe", "IframePresentational"})
ROLES = {
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

    @property
    def seems_empty(self) -> bool:
        """Too small to be seen or pressed: how custom controls hide the real one."""
        return self.width <= 1 or self.height <= 1


@dataclass
class _Layout:
    """Where the nodes of one frame's document are, in the tab's viewport, by backend node id.

    `labels`: the box and text of the label of each checkbox and radio button, `switches` those that have one: a page may
    hide the real box in many ways and draw its own inside the label.
    """

    boxes: dict[int, Box] = field(default_factory=dict)
    labels: dict[int, tuple[Box, str]] = field(default_factory=dict)
    secret: set[int] = field(default_factory=set)  # what a secret was put into
    switches: dict[int, tuple[str, bool]] = field(default_factory=dict)  # role, and whether it is checked


async def page_elements(frames: Frames, documents: dict[str, Document]) -> list[Element]:
    """Everything with a name or a value, in the order of the page; boxes are relative to the tab's viewport."""
    sessions = list(dict.fromkeys(document.session for document in documents.values()))
    layouts: dict[str, _Layout] = {}
    trees, *snapshots = await asyncio.gather(
        asyncio.gather(*(_ax_tree(frames, document) for document in documents.values())),
        *(_layouts(frames, session, documents) for session in sessions),
    )
    for snapshot in snapshots:
        layouts |= snapshot
    titles = await _titles(frames, documents, trees)
    listed = (
        element
        for (frame, _), nodes in zip(documents.items(), trees, strict=True)
        for element in _elements(nodes, layouts.get(frame, _Layout()), frame, titles.get(frame, ""))
    )
    return list(islice(listed, MOST))


async def _ax_tree(frames: Frames, document: Document) -> list[dict[str, Any]]:
    try:
        answer = await frames.send("Accessibility.getFullAXTree", {"frameId": document.frame}, document.session)
    except CdpError:  # the frame has gone
        return []
    nodes: list[dict[str, Any]] = answer["nodes"]
    return nodes


async def _titles(
    frames: Frames, documents: dict[str, Document], trees: Iterable[list[dict[str, Any]]]
) -> dict[str, str]:
    """What the frames are called: an editor is often a whole document without a name in a frame that has one."""
    names = {
        (documents[frame].session, node.get("backendDOMNodeId")): str(node.get("name", {}).get("value") or "")
        for frame, nodes in zip(documents, trees, strict=True)
        for node in nodes
        if node.get("role", {}).get("value") in _FRAMES
    }
    inner = [document for document in documents.values() if document.parent in documents] if any(names.values()) else []
    owners = await asyncio.gather(*(_owner(frames, documents, document) for document in inner))
    return {document.frame: names.get(owner, "") for document, owner in zip(inner, owners, strict=True)}


async def _owner(frames: Frames, documents: dict[str, Document], document: Document) -> tuple[str, int]:
    session = documents[str(document.parent)].session
    answer = await unless_refused(frames.send("DOM.getFrameOwner", {"frameId": document.frame}, session))
    return session, (answer or {}).get("backendNodeId", -1)


# Where things are


async def _layouts(frames: Frames, session: str, documents: dict[str, Document]) -> dict[str, _Layout]:
    """The layout of each frame that this process shows."""
    try:
        snapshot, hops = await asyncio.gather(
            frames.send("DOMSnapshot.captureSnapshot", {"computedStyles": [], "includeDOMRects": False}, session),
            frames.hops(session),
        )
    except CdpError:
        if session == frames.root:
            raise
        return {}
    strings = snapshot["strings"]
    shown = [(strings[one["frameId"]], one) for one in snapshot["documents"]]
    inner = [documents.get(frame) for frame, _ in shown]
    stands = await asyncio.gather(*(_stand(frames, document) for document in inner))
    return {
        frame: _layout(one, strings, [*([stand] if stand else []), *hops])
        for (frame, one), document, stand in zip(shown, inner, stands, strict=True)
        if document is not None and (document.top or stand is not None)
    }


async def _stand(frames: Frames, document: Document | None) -> Hop | None:
    """Where a frame stands in its process's viewport; None for the topmost of a process, and for what is not shown."""
    return None if document is None or document.top else await frames.stand(document)


def _layout(document: dict[str, Any], strings: list[str], hops: list[Hop]) -> _Layout:
    layout = _Layout()
    left, top = document.get("scrollOffsetX", 0), document.get("scrollOffsetY", 0)
    nodes, laid = document["nodes"], document["layout"]
    ids = nodes["backendNodeId"]
    for node, (x, y, width, height) in zip(laid["nodeIndex"], laid["bounds"], strict=True):
        layout.boxes.setdefault(ids[node], _outward(Box(x - left, y - top, width, height), hops))
    _wrap(layout.boxes, ids, nodes["parentIndex"])
    if MARK in strings:
        mark = strings.index(MARK)
        layout.secret = {ids[at] for at, pairs in enumerate(nodes["attributes"]) if mark in pairs[::2]}
    for box, label in _labelled_boxes(nodes, strings):
        checked = box in set(nodes.get("inputChecked", {}).get("index", []))
        role = "radio" if _attributes(nodes, strings, box).get("type", "").lower() == "radio" else "checkbox"
        layout.switches[ids[box]] = role, checked
        if ids[label] in layout.boxes:
            layout.labels[ids[box]] = layout.boxes[ids[label]], _text(nodes, strings, label)
    return layout


def _wrap(boxes: dict[int, Box], ids: list[int], parents: list[int]) -> None:
    """What has no box of its own (display: contents) is where its children are."""
    inside: dict[int, list[Box]] = {}
    for at in range(len(ids) - 1, 0, -1):  # children come after their parents
        if ids[at] not in boxes and at in inside:
            boxes[ids[at]] = _around(inside[at])
        if ids[at] in boxes and parents[at] >= 0 and ids[parents[at]] not in boxes:
            inside.setdefault(parents[at], []).append(boxes[ids[at]])


def _around(boxes: list[Box]) -> Box:
    left, top = min(b.x for b in boxes), min(b.y for b in boxes)
    right, bottom = max(b.x + b.width for b in boxes), max(b.y + b.height for b in boxes)
    return Box(left, top, right - left, bottom - top)


def _outward(box: Box, hops: list[Hop]) -> Box:
    """A frame's box on the tab: the smallest upright one around it, where frames are turned."""
    if not hops:
        return box
    corners = [Point(box.x + u * box.width, box.y + v * box.height) for u in (0, 1) for v in (0, 1)]
    for hop in hops:
        corners = [hop.outward(corner) for corner in corners]
    return _around([Box(corner.x, corner.y, 0, 0) for corner in corners])


def _labelled_boxes(nodes: dict[str, Any], strings: list[str]) -> Iterator[tuple[int, int]]:
    """Checkboxes and radio buttons with the label of each: around it, or by its `for`. All are indexes of nodes."""
    names = [strings[name] for name in nodes["nodeName"]]
    labels = [at for at, name in enumerate(names) if name == "LABEL"]
    if not labels:
        return
    by_for = {_attributes(nodes, strings, label).get("for", ""): label for label in reversed(labels)}
    around = frozenset(labels)
    for at, name in enumerate(names):
        if name != "INPUT":
            continue
        facts = _attributes(nodes, strings, at)
        if facts.get("type", "").lower() not in ("checkbox", "radio"):
            continue
        label = by_for.get(facts.get("id") or "\0")
        parent = nodes["parentIndex"][at]
        while label is None and parent >= 0:
            label = parent if parent in around else None
            parent = nodes["parentIndex"][parent]
        if label is not None:
            yield at, label


def _attributes(nodes: dict[str, Any], strings: list[str], at: int) -> dict[str, str]:
    pairs = iter(nodes["attributes"][at])
    return {strings[name].lower(): strings[value] for name, value in zip(pairs, pairs, strict=True)}


def _text(nodes: dict[str, Any], strings: list[str], root: int) -> str:
    """The text inside a node, blanks collapsed. The children of a node come after it."""
    inside, words = {root}, []
    for at in range(root + 1, len(nodes["parentIndex"])):
        if nodes["parentIndex"][at] not in inside:
            if nodes["parentIndex"][at] < root:
                break
            continue
        inside.add(at)
        if nodes["nodeType"][at] == 3 and nodes["nodeValue"][at] >= 0:
            words.append(strings[nodes["nodeValue"][at]])
    return " ".join("".join(words).split())[:LONGEST]


# What things are


def _elements(nodes: list[dict[str, Any]], layout: _Layout, frame: str, title: str) -> Iterator[Element]:
    """`title`: what the frame is called, for what is editable in it as a whole."""
    shown: dict[str, str] = {}  # the name each node stands under, or its nearest ancestor does
    listed: set[int] = set()
    editable: set[str] = set()
    secret: set[str] = set()
    for node in _in_order(nodes):
        above = shown.get(node.get("parentId", ""), "")
        states = _states(node)
        if states.get("editable"):
            editable.add(node["nodeId"])
        whole = node.get("parentId") not in editable
        element = None if node.get("ignored") else _element(node, states, layout, frame, whole=whole)
        if element and element.role == "textbox" and not element.name and whole:
            element = replace(element, name=title[:LONGEST].strip())
        if inside := node.get("parentId") in secret or node.get("backendDOMNodeId") in layout.secret:
            secret.add(node["nodeId"])
        if element and inside:
            element = _untold(element, whole=node.get("parentId") in secret)
        shown[node["nodeId"]] = element.name if element and element.role != "text" and element.name else above
        if element and not (element.role == "text" and element.name.strip() == above.strip()):
            listed.add(node.get("backendDOMNodeId", -1))
            yield element
    for number, (role, checked) in layout.switches.items():
        if number in layout.labels and number not in listed:  # not drawn at all: the tree does not have it
            box, name = layout.labels[number]
            if name and not box.seems_empty:
                yield _placed(role, name, box, f"{frame}/{number}", checked=checked)


def _untold(element: Element, *, whole: bool) -> Element:
    """Without what it holds, as browsers tell of password fields; `whole`: without its name too."""
    return replace(
        element,
        name=len(element.name) * "•" if whole else element.name,
        value=None if element.value is None else len(element.value) * "•",
    )


def _in_order(nodes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The nodes as one reads them: each before its children, children before the next sibling."""
    by_id = {node["nodeId"]: node for node in nodes}
    stack = [node for node in reversed(nodes) if node.get("parentId") not in by_id]
    while stack:
        node = stack.pop()
        yield node
        stack += [by_id[child] for child in reversed(node.get("childIds", [])) if child in by_id]


def _states(node: dict[str, Any]) -> dict[str, Any]:
    return {item["name"]: item["value"].get("value") for item in node.get("properties", [])}


def _role(node: dict[str, Any], states: dict[str, Any], *, whole: bool) -> str:
    """`whole`: the node is not inside something editable. What is editable is a field, whatever else it is called."""
    role = str(node.get("role", {}).get("value", ""))
    role = ROLES.get(role, role)
    if states.get("editable") and whole and role not in element_roles.FIELDS:
        return "textbox"
    return "popupbutton" if role == "button" and states.get("hasPopup") == "listbox" else role


def _element(
    node: dict[str, Any], states: dict[str, Any], layout: _Layout, frame: str, *, whole: bool
) -> Element | None:
    role = _role(node, states, whole=whole)
    name = str(node.get("name", {}).get("value") or "")[:LONGEST].strip()
    number = node.get("backendDOMNodeId", -1)
    box = layout.boxes.get(number)
    if role in _BOXES and number in layout.labels and (box is None or box.seems_empty or box.x + box.width <= 0):
        box = layout.labels[number][0]
    if role in _SKIPPED or box is None or not (name or role.lower() in _NAMELESS) or box.width < 1 or box.height < 1:
        return None
    value = node.get("value", {}).get("value")
    return _placed(
        role,
        name,
        box,
        f"{frame}/{number}",
        value=None if value is None else str(value)[:LONGEST],
        disabled=bool(states.get("disabled")),
        checked=None if "checked" not in states else str(states["checked"]).lower() == "true",
    )


def _placed(role: str, name: str, box: Box, ref: str, **states: Any) -> Element:
    x, y, width, height = round(box.x), round(box.y), round(box.width), round(box.height)
    return Element(role, name, x, y, width, height, ref=ref, **states)
