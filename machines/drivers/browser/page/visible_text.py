"""The text that a page paints: what a person reads on it, after scrolling if need be, and nothing that only the page knows.

Unopened options, faded, clipped, moved-out and covered text is not visible. Text in the colour of its background still
is: only pixels tell.
"""

import asyncio
import re
from itertools import groupby
from typing import Any

from machines.drivers.browser.cdp import CdpError
from machines.drivers.browser.page.channel import PageProblem
from machines.drivers.browser.page.frames import Document, Frames, Hop, Point
from machines.drivers.browser.page.page_script import PAINT, WALK
from machines.drivers.browser.page.same_text import plain

# The pieces of one frame in reading order: [text, its line, a point of it that is on the screen or null]. The arguments
# are the closed shadow roots of the frame: scripts cannot find those.
_PIECES = (
    """function (...roots) {"""
    + WALK
    + PAINT
    + r"""
  closedRoots.push(...roots);
  const inside = new Map(roots.map((root) => [hostOf(root), root]));
  const pieces = [], blocks = new Map(), range = document.createRange();
  const SKIPPED = 'script,style,noscript,template,head,textarea,iframe,object,datalist';
  let line = 0;
  const blockOf = (n) => {
    let e = element(n);
    while (e && /^(inline|contents|ruby)/.test(styleOf(e).display)) e = element(up(e));
    if (!blocks.has(e)) blocks.set(e, blocks.size);
    return blocks.get(e);
  };
  const put = (words, n, seen) => pieces.push([words, `${blockOf(n)}.${line}`, seen.find(Boolean) || null]);
  const inked = (n) => {
    const style = styleOf(n), ink = alpha(style.webkitTextFillColor);
    return ink > FAINT || (style.backgroundClip === 'text' && style.backgroundImage !== 'none')
      || style.textShadow !== 'none' || parseFloat(style.webkitTextStrokeWidth) > 0;
  };
  const text = (node) => {
    const parent = element(up(node)), value = node.nodeValue;
    if (!parent || !value.trim() || !isPainted(parent) || !inked(parent)) return;
    range.selectNodeContents(node);
    const seen = seenBoxes(parent, range.getClientRects());
    const kept = /pre|break-spaces/.test(styleOf(parent).whiteSpace);
    const words = kept ? value : value.replace(/\s+/g, ' ');
    if (seen.length) put(secret(parent) ? dots(words) : words, parent, seen);
  };
  const whole = (n, words) => {  // words that an element shows in one box of its own
    if (!words || !words.trim() || !isPainted(n) || !inked(n)) return;
    const seen = seenBoxes(n, rectsOf(n));
    if (!seen.length) return;
    line += 1;
    put(words, n, seen);
    line += 1;
  };
  const HIDDEN = ['checkbox', 'radio', 'hidden', 'password', 'range', 'color', 'image', 'file'];
  const isList = (n) => n.multiple || n.size > 1;
  const isOpen = (n) => CSS.supports('selector(:open)') && fits(n, ':open');
  const entry = (n) => {  // what a field shows
    if (is(n, 'input', 'textarea') && secret(n) && !HIDDEN.includes(n.type)) whole(n, dots(n.value));
    else if (is(n, 'input') && !HIDDEN.includes(n.type)) {
      whole(n, n.value || attribute(n, 'placeholder') || { submit: 'Submit', reset: 'Reset' }[n.type]);
    } else if (is(n, 'textarea')) whole(n, n.value || attribute(n, 'placeholder'));
    else if (is(n, 'select') && !isList(n)) whole(n, [...n.selectedOptions].map((one) => one.label).join(' '));
    else if (is(n, 'option')) whole(n, n.label);
  };
  const made = (n, which) => {  // text that the style sheet adds
    const style = getComputedStyle(n, which);
    if (!style.content.includes('"') || style.display === 'none' || style.visibility !== 'visible' || !isPainted(n)) return;
    if (Number(style.opacity) <= FAINT || alpha(style.color) <= FAINT) return;
    const words = [...style.content.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map((one) => one[1].replace(/\\(.)/g, '$1'));
    const seen = words.join('').trim() ? seenBoxes(n, rectsOf(n)) : [];
    if (seen.length) put(words.join(''), n, seen);
  };
  const sign = (n) => {  // the name of a picture, or of a control that shows no text
    if (fits(n, 'img,input[type=image]')) whole(n, attribute(n, 'alt'));
    else if (attribute(n, 'aria-label') && fits(n, USED + ',[role=img],svg') && !shown(n)) {
      if (!is(n, 'input', 'textarea')) whole(n, attribute(n, 'aria-label'));
    }
  };
  const lightOf = getter(Node, 'childNodes'), shadowOf = getter(Element, 'shadowRoot');
  const childrenOf = (n) => {
    const root = shadowOf(n) || inside.get(n), slotted = is(n, 'slot') ? n.assignedNodes() : [];
    return root ? [...lightOf(root)] : slotted.length ? slotted : [...lightOf(n)];
  };
  const stack = [{ enter: topmost }];
  while (stack.length) {
    const { enter: n, leave } = stack.pop();
    if (leave) made(leave, '::after');
    else if (isText(n)) text(n);
    else if (isElement(n) && tagOf(n) === 'br') line += 1;
    else if (isElement(n) && styleOf(n).display !== 'none') {
      entry(n);
      sign(n);
      if (fits(n, SKIPPED) || is(n, 'option')) continue;
      if (is(n, 'select') && !isList(n) && !isOpen(n)) continue;
      made(n, '::before');
      stack.push({ leave: n }, ...childrenOf(n).reverse().map((child) => ({ enter: child })));
    }
  }
  return pieces;
}"""
)
# Which points of a frame's content are seen through the frame's box; they count as the document around it counts, null
# is somewhere that has to be scrolled to.
_THROUGH = (
    """function (points) {"""
    + WALK
    + PAINT
    + r"""
  const owner = element(this);
  if (!owner || !isPainted(owner) || !seenBoxes(owner, rectsOf(owner)).length) return points.map(() => false);
  return points.map((at) => {
    if (!at) return true;
    const [x, y] = at, box = seenBox(owner, { left: x - 1, top: y - 1, right: x + 1, bottom: y + 1 });
    return !!box && (!holdsSome(box.now) || uncoveredAt(owner, x, y));
  });
}"""
)
_GROUP = "text"  # of the objects that are held in the page meanwhile

Piece = tuple[str, str, Point | None]


async def painted_text(frames: Frames) -> str:
    """Everything that the page paints, one line a block, in the order of the page, its frames after it.

    Raises CdpError when the page gives way to another meanwhile, PageProblem when it cannot be read like this.
    """
    documents = await frames.documents()
    sessions = list(dict.fromkeys(document.session for document in documents.values()))
    roots: dict[str, list[int]] = {}
    for shadows in await asyncio.gather(*(closed_roots(frames, session) for session in sessions)):
        roots |= shadows
    reader = _Reader(frames, documents)
    texts = await asyncio.gather(
        *(reader.text(document, roots.get(frame, [])) for frame, document in documents.items())
    )
    return "\n".join(filter(None, texts))


async def closed_roots(frames: Frames, session: str) -> dict[str, list[int]]:
    """The closed shadow roots of each frame of a process."""
    params = {"computedStyles": [], "includeDOMRects": False}
    try:
        snapshot = await frames.send("DOMSnapshot.captureSnapshot", params, session)
    except CdpError:
        if session == frames.root:
            raise
        return {}
    strings, roots = snapshot["strings"], {}
    for document in snapshot["documents"]:
        nodes = document["nodes"]
        kinds = nodes.get("shadowRootType", {"index": [], "value": []})
        closed = [at for at, kind in zip(kinds["index"], kinds["value"], strict=True) if strings[kind] == "closed"]
        roots[strings[document["frameId"]]] = [nodes["backendNodeId"][at] for at in closed]
    return roots


class _Reader:
    """One reading of a page."""

    def __init__(self, frames: Frames, documents: dict[str, Document]) -> None:
        self.frames = frames
        self.documents = documents
        self._hops: dict[str, asyncio.Task[Hop | None]] = {}

    async def text(self, document: Document, roots: list[int]) -> str:
        """What this frame paints, as far as it is seen through the frames around it."""
        try:
            context = await self.frames.world(document)
            held = await asyncio.gather(*(self._held(document, context, root) for root in roots))
            arguments = [{"objectId": root} for root in held if root]
            answer = await self._call(document, _PIECES, {"executionContextId": context, "arguments": arguments})
            pieces = [(words, line, Point(*at) if at else None) for words, line, at in answer]
            return _lines(await self._through(document, pieces))
        except CdpError:  # a frame that gives way to another document has no text for a moment
            if document.parent is None:
                raise
            return ""

    async def _held(self, document: Document, context: int, node: int) -> str | None:
        params = {"backendNodeId": node, "executionContextId": context, "objectGroup": _GROUP}
        held: str | None = (await self.frames.send("DOM.resolveNode", params, document.session))["object"].get(
            "objectId"
        )
        return held

    async def _call(self, document: Document, function: str, more: dict[str, Any]) -> Any:
        params = {"functionDeclaration": function, "returnByValue": True, **more}
        answer = await self.frames.send("Runtime.callFunctionOn", params, document.session)
        await self.frames.send("Runtime.releaseObjectGroup", {"objectGroup": _GROUP}, document.session)
        if "exceptionDetails" in answer:
            raise PageProblem("The page cannot be read.")
        return answer["result"].get("value")

    async def _through(self, document: Document, pieces: list[Piece]) -> list[Piece]:
        """The pieces that are seen through every frame around this one."""
        points = [point for _, _, point in pieces]
        while pieces and document.parent is not None and document.parent in self.documents:
            around, hop = self.documents[document.parent], await self._hop(document)
            if hop is None:
                return []
            outer = None if around.top else await self._hop(around)
            points = [_outside(point, hop, outer) for point in points]
            visible = await self._visible_through(around, hop, points)
            pieces = [piece for piece, ok in zip(pieces, visible, strict=True) if ok]
            points = [point for point, ok in zip(points, visible, strict=True) if ok]
            document = around
        return pieces

    async def _hop(self, document: Document) -> Hop | None:
        if document.frame not in self._hops:
            self._hops[document.frame] = asyncio.create_task(self.frames.stand(document))
        return await self._hops[document.frame]

    async def _visible_through(self, around: Document, hop: Hop, points: list[Point | None]) -> list[bool]:
        context = await self.frames.world(around)
        owner = await self._held(around, context, hop.owner)
        if owner is None:
            return [False] * len(points)
        visible: list[bool] = await self._call(
            around, _THROUGH, {"objectId": owner, "arguments": [{"value": [point and list(point) for point in points]}]}
        )
        return visible


def _outside(point: Point | None, hop: Hop, outer: Hop | None) -> Point | None:
    """A point of a frame as the document around it counts; `outer`: that one's own place in its process, if any."""
    placed = hop.outward(point) if point else None
    return outer.inward(placed) if outer and placed else placed


def _lines(pieces: list[Piece]) -> str:
    lines = ("".join(words for words, _, _ in line) for _, line in groupby(pieces, key=lambda piece: piece[1]))
    tidy = (re.sub(r"[^\S\n]+", " ", plain(line)).strip() for line in lines)
    return "\n".join(filter(None, tidy))
