"""What a model sees: the screen as it is sent, stored by its hash, and closer looks at it. Looking is no step."""

import asyncio
from typing import Any

from inference.wires import scaling
from inference.wires.base import View
from machines import pictures
from machines.drivers.base import Session
from runs.agents.base import Context, Look
from runs.secrets.services import cleared

LONGEST_TEXT = 20_000  # characters of a page that are read
MUCH = 0.3  # the share of a screen that changed when what was meant to be done on it is no longer done


class Observation:
    """The screen during one decision. Pictures are named by the SHA-256 of the full screen; what is sent of it may be smaller."""

    def __init__(self, context: Context, session: Session) -> None:
        self.context = context
        self.session = session
        self.frame = context.frame
        self.sha = context.picture if context.frame is not None else None
        self._sent: dict[str, str] = {}

    async def picture(self) -> str:
        """The newest screen, stored."""
        if self.frame is None:
            await self.look()
        assert self.frame is not None
        if self.sha is None:
            self.sha = await asyncio.to_thread(pictures.store, self.frame.png)
        return self.sha

    async def look(self) -> str:
        """A fresh picture."""
        self.frame, self.sha = await self.session.screenshot(), None
        return await self.picture()

    async def sent(self, view: View) -> str:
        """The newest screen as this model is sent it: the stored file itself, or a smaller one under its own hash."""
        sha = await self.picture()
        if sha not in self._sent:
            assert self.frame is not None
            self._sent[sha] = await asyncio.to_thread(scaling.sent_picture, sha, self.frame.png, view)
        return self._sent[sha]

    async def changed(self, before: str | None) -> float:
        """The share of the screen (0-1) that is not as it was in that picture; 1 when the picture is not there any more."""
        sha = await self.picture()
        if before == sha:
            return 0.0
        return await self.share(before, sha) if before else 1.0

    async def whole(self, view: View) -> Look:
        """A fresh picture, as this model is sent it."""
        await self.look()
        return Look(await self.sent(view), view.sent_width, view.sent_height)

    async def share(self, one: str, other: str) -> float:
        """How much two stored pictures differ (0-1); 1 when one is not there any more."""
        try:
            return await asyncio.to_thread(lambda: pictures.changed_share(pictures.read(one), pictures.read(other)))
        except FileNotFoundError:
            return 1.0

    async def zoom(self, region: Any, view: View) -> Look | None:
        """A part of the screen ([x1, y1, x2, y2] in its pixels), made as large as what is sent; None where there is none."""
        await self.picture()
        assert self.frame is not None
        return await asyncio.to_thread(_stored, self.frame.png, region, view)

    async def text(self) -> str:
        """What can be read on the page or in the terminal, without the run's secrets."""
        text = cleared(await self.session.text(), self.context.secrets)
        return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "\n[...]"


def _stored(png: bytes, region: Any, view: View) -> Look | None:
    zoom = scaling.zoomed(png, region, view)
    return Look(pictures.store(zoom.png), zoom.width, zoom.height, zoom.region) if zoom else None


def as_look(kept: dict[str, Any]) -> Look:
    """A look that memory has kept."""
    return Look(**{**kept, "region": tuple(kept["region"]) if kept["region"] else None})
