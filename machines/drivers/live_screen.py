"""What a person sees of a machine as it happens: pictures that come when the screen changes, for as long as somebody watches."""

import asyncio
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from machines.drivers.base import Frame, Session

QUALITY = 70  # of JPEG
EVERY = 0.25  # seconds between two looks at a screen that does not tell of its changes
SELDOM = 1.0  # when it has stood still for STILL
STILL = 5.0


@dataclass(frozen=True)
class Picture:
    """The whole screen as JPEG, and when it was taken, in seconds of time.monotonic()."""

    jpeg: bytes
    at: float


class LiveScreen(Protocol):
    """The live screen of one machine, over a session of its own. Every method raises MachineGone when the machine ended."""

    async def next(self, hidden: Sequence[str] = ()) -> Picture:
        """The screen as it is, then whenever it has changed since the picture before. One caller at a time.

        Whatever shows one of the texts `hidden` is painted over, as in Session.screenshot().
        """
        ...

    async def pause(self) -> None:
        """Nobody looks: cost nothing until next() is called again, which then gives a picture at once."""
        ...

    async def close(self) -> None:
        """Let go of the session as well."""
        ...


class LookedScreen:
    """Of a machine that does not tell when its screen changes: it is looked at again and again, seldom when it stands still."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._shown: Frame | None = None
        self._changed = 0.0

    async def next(self, hidden: Sequence[str] = ()) -> Picture:
        while True:
            at = time.monotonic()
            frame = await self.session.screenshot(hidden)
            if self._shown is None or frame.png != self._shown.png:
                self._shown, self._changed = frame, at
                return Picture(await asyncio.to_thread(as_jpeg, frame.png), at)
            await asyncio.sleep(EVERY if at - self._changed < STILL else SELDOM)

    async def pause(self) -> None:
        self._shown = None

    async def close(self) -> None:
        await self.session.close()


def as_jpeg(picture: bytes, width: int | None = None) -> bytes:
    """As JPEG, at most `width` pixels wide."""
    image: Image.Image = Image.open(io.BytesIO(picture))
    if width is not None and image.width > width:
        image.draft("RGB", (width, image.height))  # a JPEG is decoded smaller than it is
        image = image.resize((width, max(1, round(image.height * width / image.width))))
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
