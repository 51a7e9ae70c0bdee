"""What is painted over in pictures of a page: password fields that hold something, fields that a secret was put into, and
whatever shows one of the texts that are to be hidden. A mask looks the same whatever it covers. What an element holds that
is marked is not read either, and nothing is copied or dragged from a page that shows a secret.

Text that a page draws letter by letter, or on a canvas, is not found.
"""

import asyncio
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

from PIL import Image, ImageDraw

from machines.drivers.browser.cdp import CdpError
from machines.drivers.browser.page import page_script
from machines.drivers.browser.page.frames import Document, Frames, Hop, Point
from machines.drivers.browser.page.visible_text import closed_roots

MARK = page_script.MARK  # on the page's own field: it outlives our connections and is seen by each of them
COLOR, DOTS = (88, 94, 108), (214, 218, 226)
_GROUP = "masks"
# The arguments: what is to be hidden, the mark, the closed shadow roots of the frame. Boxes are [left, top, right, bottom].
_BOXES = r"""function (hidden, mark, ...roots) {
  const found = [], range = document.createRange();
  const holds = (text) => !!text && hidden.some((one) => text.includes(one) || text.replace(/\s+/g, ' ').includes(one));
  const around = (n) => n.assignedSlot || n.parentElement || (n.getRootNode() || {}).host || null;
  const put = (n, rect) => {
    let { left: l, top: t, right: r, bottom: b } = rect;
    for (let e = n; e; e = around(e)) {
      const style = getComputedStyle(e);
      if (e !== n && style.overflow !== 'visible' && e !== document.body && e !== document.documentElement) {
        const k = e.getBoundingClientRect();
        [l, t, r, b] = [Math.max(l, k.left), Math.max(t, k.top), Math.min(r, k.right), Math.min(b, k.bottom)];
      }
      if (/absolute|fixed|sticky/.test(style.position)) break;
    }
    if (r > l && b > t) found.push([l, t, r, b]);
  };
  const seen = (n) => n.checkVisibility({ visibilityProperty: true });
  const shows = (n) => {
    if (n.localName === 'input' && n.type === 'password') return n.value !== '';
    const field = ['input', 'textarea'].includes(n.localName);
    if (field && holds(n.value)) n.setAttribute(mark, '');  // it stays hidden when a part of it is changed
    if (n.hasAttribute(mark)) return !field || n.value !== '';
    return field && (holds(n.value) || holds(n.placeholder)) || n.localName === 'select' && holds(n.selectedOptions[0]?.label);
  };
  const look = (root) => {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | (hidden.length ? NodeFilter.SHOW_TEXT : 0));
    for (let n = walker.currentNode; n; n = walker.nextNode()) {
      if (n.nodeType === 3) {
        if (!holds(n.nodeValue) || !n.parentElement) continue;
        if (n.parentElement.isContentEditable) n.parentElement.setAttribute(mark, '');
        if (!seen(n.parentElement)) continue;
        range.selectNodeContents(n);
        for (const rect of range.getClientRects()) put(n.parentElement, rect);
      } else if (n.nodeType === 1) {
        if (n.shadowRoot) look(n.shadowRoot);
        if (shows(n) && seen(n)) put(n, n.getBoundingClientRect());
      }
    }
  };
  [document, ...roots].forEach(look);
  return found;
}"""

# Could a secret be carried off from this frame, by a selection? Arguments as above. Password fields give nothing away.
_HOLDS = r"""function (hidden, mark, ...roots) {
  const holds = (text) => !!text && hidden.some((one) => text.includes(one) || text.replace(/\s+/g, ' ').includes(one));
  const look = (root) => {
    if (holds(root.textContent || root.documentElement?.textContent)) return true;
    return [...root.querySelectorAll('*')].some((n) => {
      if (n.localName === 'input' && n.type === 'password') return false;
      const text = ['input', 'textarea'].includes(n.localName) ? n.value : n.hasAttribute(mark) ? n.textContent : '';
      return !!text && (n.hasAttribute(mark) || holds(text)) || !!n.shadowRoot && look(n.shadowRoot);
    });
  };
  return [document, ...roots].some(look);
}"""


class Box(NamedTuple):
    """In pixels of the picture, rounded outwards."""

    left: int
    top: int
    right: int
    bottom: int


async def boxes(frames: Frames, hidden: Sequence[str]) -> list[Box]:
    """What has to be painted over now. Raises CdpError when the page gives way to another meanwhile."""
    documents, roots = await _documents(frames, hidden)
    by_frame = await asyncio.gather(
        *(_of_frame(frames, document, hidden, roots.get(frame, [])) for frame, document in documents.items())
    )
    return [box for some in by_frame for box in some]


async def holds_secret(frames: Frames, hidden: Sequence[str]) -> bool:
    """Whether somebody could select a secret on this page. Raises CdpError."""
    documents, roots = await _documents(frames, hidden)
    return any(
        await asyncio.gather(
            *(_call(frames, document, _HOLDS, hidden, roots.get(frame, [])) for frame, document in documents.items())
        )
    )


async def _documents(frames: Frames, hidden: Sequence[str]) -> tuple[dict[str, Document], dict[str, list[int]]]:
    """The documents of the page, and the closed shadow roots of each, where something is looked for in them."""
    documents = await frames.documents()
    roots: dict[str, list[int]] = {}
    if hidden:
        for session in dict.fromkeys(document.session for document in documents.values()):
            roots |= await closed_roots(frames, session)
    return documents, roots


async def _call(frames: Frames, document: Document, function: str, hidden: Sequence[str], roots: list[int]) -> Any:
    """What the function says of this frame; None for one that breaks it."""
    context = await frames.world(document)
    held = [await _held(frames, document, context, root) for root in roots]
    params = {
        "functionDeclaration": function,
        "executionContextId": context,
        "returnByValue": True,
        "arguments": [{"value": list(hidden)}, {"value": MARK}, *({"objectId": one} for one in held if one)],
    }
    answer = await frames.send("Runtime.callFunctionOn", params, document.session)
    if held:
        await frames.send("Runtime.releaseObjectGroup", {"objectGroup": _GROUP}, document.session)
    return answer["result"].get("value") if "exceptionDetails" not in answer else None


async def _of_frame(frames: Frames, document: Document, hidden: Sequence[str], roots: list[int]) -> list[Box]:
    try:
        rects = await _call(frames, document, _BOXES, hidden, roots)
        if not rects:
            return []
        way = await _way(frames, document)
    except CdpError:
        if document.parent is None:
            raise
        return []  # a frame that gives way to another document shows nothing for a moment
    return [] if way is None else [_outward(rect, way) for rect in rects]


async def _held(frames: Frames, document: Document, context: int, node: int) -> str | None:
    params = {"backendNodeId": node, "executionContextId": context, "objectGroup": _GROUP}
    held: str | None = (await frames.send("DOM.resolveNode", params, document.session))["object"].get("objectId")
    return held


async def _way(frames: Frames, document: Document) -> list[Hop] | None:
    """From the frame's own view to the tab's; None for a frame that is not shown."""
    inner = None if document.top else await frames.stand(document)
    if inner is None and not document.top:
        return None
    return [*([inner] if inner else []), *await frames.hops(document.session)]


def _outward(rect: Sequence[float], way: list[Hop]) -> Box:
    left, top, right, bottom = rect
    corners = [Point(x, y) for x in (left, right) for y in (top, bottom)]
    for hop in way:
        corners = [hop.outward(corner) for corner in corners]
    xs, ys = [corner.x for corner in corners], [corner.y for corner in corners]
    return Box(int(min(xs)) - 1, int(min(ys)) - 1, int(max(xs)) + 2, int(max(ys)) + 2)


def painted_over(png: bytes, masks: Sequence[Box]) -> bytes:
    """The picture with each box filled; five dots say that something is there."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    pen = ImageDraw.Draw(image)
    for box in masks:
        pen.rectangle((box.left, box.top, box.right - 1, box.bottom - 1), fill=COLOR)
        x, y = (box.left + box.right) // 2, (box.top + box.bottom) // 2
        for step in range(-2, 3):
            if box.right - box.left >= 60 and box.bottom - box.top >= 10:
                pen.ellipse((x + step * 10 - 3, y - 3, x + step * 10 + 3, y + 3), fill=DOTS)
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=3)
    return file.getvalue()
