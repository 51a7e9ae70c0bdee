"""Putting a secret into a page: into one document and no other, whatever the page or its frames do meanwhile.

Keys go to whatever has the focus when they arrive, and a frame may take the focus between two of them. So a secret is put in
by a script in the isolated world of the document that was looked at: when that document gives way, or another field of
it takes over, nothing more goes in. The page's frame and every frame around it have to be of hosts that are listed: what
is around a frame decides what a person sees there.
"""

from accounts.secrets.hosts import may_receive
from machines.drivers.browser.fields import scripts
from machines.drivers.browser.input import keyboard
from machines.drivers.browser.input.element_nodes import Nodes
from machines.drivers.browser.input.keyboard import Typing
from machines.drivers.browser.input.reach import Node
from machines.drivers.browser.page.channel import Channel, PageProblem
from machines.drivers.browser.page.masking import MARK

Lists = tuple[tuple[str, ...], ...]  # of hosts, one for each secret: every one has to hold the host

_ORIGINS = "function () { return [globalThis.origin, ...location.ancestorOrigins]; }"
# Puts one piece where the cursor of this field stands, as a key or an input method does it. "" or why it did not.
_PUT = """function (text, origin, mark) {
  if (globalThis.origin !== origin || !this.isConnected) return 'The page has changed';
  const place = this.getRootNode().activeElement, row = place && place.localName === 'input' && this.localName === 'input';
  if (!place || place !== this && !row) return 'The field has lost the focus';
  place.setAttribute(mark, '');
  const about = { key: text, bubbles: true, composed: true, cancelable: true };
  const key = (type) => text.length > 2 || place.dispatchEvent(new KeyboardEvent(type, about));
  const goes = key('keydown');
  if (goes) document.execCommand('insertText', false, text);
  key('keyup');
  return '';
}"""


class Withheld(PageProblem):
    """The secret was not put in. `data` as in an ActResult."""

    def __init__(self, why: str) -> None:
        super().__init__(f"The secret was not put in: {why}")
        self.data = {"withheld": why}


class Receiver:
    """Puts a text with secrets in it into one field after the other; `only`: whose pages may get them."""

    def __init__(self, nodes: Nodes, send: Channel, only: Lists) -> None:
        self.nodes = nodes
        self.send = send
        self.only = only

    async def origin(self, node: Node) -> str:
        """The origin of the node's document. Raises Withheld when it, or one around it, may not get the secrets."""
        origins = [str(origin) for origin in await self.nodes.call(node, _ORIGINS)]
        for hosts in self.only:
            for number, origin in enumerate(origins):
                if why := may_receive(hosts, origin):
                    raise Withheld(f"{why}, and it is around the frame of the field." if number else f"{why}.")
        return origins[0]

    async def put(self, node: Node, typing: Typing) -> None:
        """Where the cursor is, which is in this field. Raises Withheld and CdpError."""
        origin = await self.origin(node)
        for piece in typing.pieces():
            if piece == "\n":
                await keyboard.press(self.send, "enter", ["shift"] if typing.keeps_lines else [])
            elif piece == "\t" and not typing.keeps_lines:
                await keyboard.press(self.send, "tab")
            elif problem := await self.nodes.call(node, _PUT, piece, origin, MARK):
                raise Withheld(f"{problem}: {typing.progress}")
            typing.typed += len(piece)
            if piece in "\n\t" and not typing.keeps_lines and not typing.whole:
                node, origin = await self._next()

    async def _next(self) -> tuple[Node, str]:
        """What has the focus after Tab or Enter."""
        node = await self.nodes.focused()
        kind = str(await self.nodes.call(node, scripts.FOCUS)) if node else ""
        if node is None or kind not in ("text", "editable", "custom", "keys"):
            raise Withheld("Nothing that takes text has the focus.")
        return node, await self.origin(node)
