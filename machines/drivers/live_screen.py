"""What a person sees of a machine as it happens: pictures that come when the screen changes, for as long as somebody watches."""

import asyncio
import io
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from PIL import Image

from machines.drivers.base import Action, Frame, Session

QUALITY = 70  # of JPEG
EVERY = 0.25  # seconds between two looks at a screen that does not tell of its changes
SELDOM = 1.0  # when it has stood still for STILL
STILL = 5.0


class Picture:
    """The whole screen, and when it was taken, in seconds of time.monotonic()."""

    def __init__(self, jpeg: bytes, at: float) -> None:
        self.jpeg, self.at = jpeg, at

    @property
    def as_seen(self) -> bytes:
        """A JPEG; to make it may take a while."""
        return self.jpeg

    @property
    def as_text(self) -> bytes | None:
        """Escape sequences that draw the whole screen, of a terminal."""
        return None


@dataclass(frozen=True)
class Input:
    """One thing that a person does at the screen. `kind`: key (with `modifiers` held), text (exactly these characters, wherever
    they come from), move, down and up (of `button`, the `count`-th in a row), wheel (`by` pixels to the right and down).
    """

    kind: str
    key: str = ""
    text: str = ""
    x: int = 0
    y: int = 0
    button: str = "left"
    count: int = 1
    by: tuple[int, int] = (0, 0)
    modifiers: tuple[str, ...] = field(default=())


class LiveScreen(Protocol):
    """The live screen of one machine, over a session of its own. Every method raises MachineGone when the machine ended.

    `calm`: one picture a second is enough.
    """

    calm: bool

    async def next(self, hidden: Sequence[str] = ()) -> Picture:
        """The screen as it is, then whenever it has changed since the picture before. One caller at a time.

        Whatever shows one of the texts `hidden` is painted over, as in Session.screenshot().
        """
        ...

    async def give(self, events: Sequence[Input]) -> None:
        """Do these in order. What the machine cannot do is passed over."""
        ...

    async def let_go(self) -> None:
        """Nobody has the screen in hand any more: no button stays pressed."""
        ...

    async def pause(self) -> None:
        """Nobody looks: cost nothing until next() is called again, which then gives a picture at once."""
        ...

    async def close(self) -> None:
        """Let go of the session as well."""
        ...


class LookedScreen:
    """Of a machine that does not tell when its screen changes: it is looked at again and again, seldom when it stands still."""

    touched_every = 0.05  # seconds, while somebody gives input

    def __init__(self, session: Session) -> None:
        self.session = session
        self.calm = False
        self._shown: Frame | None = None
        self._changed = 0.0
        self._touched = float("-inf")
        self._touch = asyncio.Event()

    async def next(self, hidden: Sequence[str] = ()) -> Picture:
        while True:
            at = time.monotonic()
            frame = await self.session.screenshot(hidden)
            if self._shown is None or frame.png != self._shown.png:
                self._shown, self._changed = frame, at
                return Picture(await asyncio.to_thread(as_jpeg, frame.png), at)
            await self._wait(at)

    async def _wait(self, at: float) -> None:
        seconds = EVERY if at - self._changed < STILL and not self.calm else SELDOM
        if at - self._touched < STILL:
            seconds = self.touched_every
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._touch.wait()
        self._touch.clear()

    def touched(self) -> None:
        """Somebody has given input: what comes of it is looked for soon."""
        self._touched = time.monotonic()
        self._touch.set()

    async def give(self, events: Sequence[Input]) -> None:
        for event in events:
            if action := as_action(event):
                await self.session.act(action)
        self.touched()

    async def let_go(self) -> None:
        return None

    async def pause(self) -> None:
        self._shown = None

    async def close(self) -> None:
        await self.session.close()


WHEEL_CLICK = 100  # pixels


def as_action(event: Input) -> Action | None:
    """The action that does the same, for what has no hands of its own; a click is done when the button is let go."""
    if event.kind == "text":
        return Action("type_text", {"text": event.text})
    if event.kind == "key":
        keys = [*event.modifiers, event.key]
        return Action("key_combo", {"keys": keys}) if event.modifiers else Action("key_press", {"key": event.key})
    if event.kind == "up":
        return Action("click", {"x": event.x, "y": event.y, "button": event.button, "count": event.count})
    if event.kind == "wheel" and any(event.by):
        across, down = event.by
        names = ("left", "right") if abs(across) > abs(down) else ("up", "down")
        distance = across if abs(across) > abs(down) else down
        amount = min(100, max(1, round(abs(distance) / WHEEL_CLICK)))
        return Action("scroll", {"x": event.x, "y": event.y, "direction": names[distance > 0], "amount": amount})
    return None


def as_jpeg(picture: bytes, width: int | None = None) -> bytes:
    """As JPEG, at most `width` pixels wide."""
    image: Image.Image = Image.open(io.BytesIO(picture))
    if width is not None and image.width > width:
        image.draft("RGB", (width, image.height))  # a JPEG is decoded smaller than it is
        image = image.resize((width, max(1, round(image.height * width / image.width))))
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
