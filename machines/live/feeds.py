"""The live screens that are watched in this web process: one for each machine, however many people watch it.

A picture is shown only after a look at the rows that was begun when it existed: of the time of a private takeover, or with a
secret that was typed meanwhile, nothing leaves. While nobody can take a picture none is made.
"""

import asyncio
import logging
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from accounts.actor import Actor
from accounts.sockets import AWAY, NOT_SIGNED_IN, in_thread
from machines.actions.typed_secrets import texts_of
from machines.drivers.base import MachineGone
from machines.drivers.live_screen import Input, LiveScreen, Picture
from machines.drivers.registry import live_screen
from machines.errors import MachineUnavailable
from machines.live.standing import Standing, standing_of
from machines.processes.lifecycle import look_up
from machines.processes.sessions import attach
from web.errors import Refusal

logger = logging.getLogger(__name__)
IN_FLIGHT = 2  # pictures that a viewer has not acknowledged
MOST_VIEWERS = 10  # of one machine
MOST_OF_A_PERSON = 3
LOOK_SECONDS = 1.0  # between two looks at the rows while the screen stands still
FRESH_SECONDS = 0.05  # a look at the rows is as good as now for so long
REST_SECONDS = 2.0  # without anybody who can take a picture, until none is made any more
READY_SECONDS = 5.0  # so long input waits for a screen that is not there yet
RENEW_SECONDS = 0.1  # so seldom the screen is begun anew, however often somebody comes
SMALL_SECONDS = 1.0  # between two pictures in a list
ASK_SECONDS = 60.0  # so long the holder is told that somebody asks for control
RETRY_SECONDS = 1.0  # until a machine that does not answer is tried again
PRIVATE = 4403  # close codes
GONE = 4404
TOO_MANY = 4429


class TooManyViewers(Exception):
    """There is no place for another one."""


class Viewer:
    """One open socket: what it is to be sent, of which the newest picture wins, and how it ends."""

    def __init__(self, actor: Actor, *, by_link: bool = False, lease: str = "", small: bool = False) -> None:
        """`by_link`: whoever it is has a link of the actor's that only shows the screen. `lease`: they have one that ends with
        this lease. `small`: a picture in a list, of which one a second is enough."""
        self.actor = actor
        self.lease = lease
        self.small = small
        self.rests_until = 0.0  # by time.monotonic()
        self.holder = None if by_link else actor  # who may have the machine in their hands here
        self.bell = asyncio.Event()
        self.over: int | None = None  # the close code
        self.paused = False
        self.in_flight = 0
        self.picture: Picture | None = None
        self.news: dict[str, Any] = {}
        self.hands: object = None  # whose words are meant for this one

    def is_like(self, other: "Viewer") -> bool:
        """Whether they take each other's places: strangers with a link take none of those of who made it."""
        return self.small == other.small and (self.holder is None) == (other.holder is None)

    @property
    def may_send(self) -> bool:
        return self.picture is not None and self._takes_any and self.in_flight < IN_FLIGHT

    @property
    def is_ready(self) -> bool:
        """Whether a picture that is made for it now will be sent soon."""
        return self._takes_any and self.over is None and self.in_flight + bool(self.picture) < IN_FLIGHT

    @property
    def _takes_any(self) -> bool:
        return not self.paused and time.monotonic() >= self.rests_until

    def end(self, code: int) -> None:
        self.over, self.picture = code, None
        self.bell.set()

    def offer(self, picture: Picture) -> None:
        self.picture = picture
        self.bell.set()

    def tell(self, **news: Any) -> None:
        self.news |= news
        self.bell.set()


class Feed:
    """The screen of one machine, for its viewers."""

    def __init__(self, machine_id: str) -> None:
        self.machine_id = machine_id
        self.viewers: list[Viewer] = []
        self.standing: Standing | None = None
        self._looked = 0.0
        self._screen: LiveScreen | None = None
        self._has_screen = asyncio.Event()
        self._away = ""  # why there is no picture, in words
        self._asking: dict[str, tuple[str, float]] = {}  # who asks for control: (name, until)
        self._wanted = asyncio.Event()  # somebody can take a picture, or has come
        self._renewed = float("-inf")
        self._renew = False  # somebody has come, or was passed over: the screen is wanted as it is
        self._tasks = [asyncio.create_task(self._keep_showing()), asyncio.create_task(self._keep_looking())]

    # Viewers

    def add(self, viewer: Viewer) -> None:
        """Raises TooManyViewers."""
        alike = [other for other in self.viewers if other.is_like(viewer)]
        own = sum(other.actor.id == viewer.actor.id for other in alike)
        if len(alike) >= MOST_VIEWERS or own >= MOST_OF_A_PERSON:
            raise TooManyViewers
        self.viewers.append(viewer)
        self.renew()
        self._tell_who()

    def remove(self, viewer: Viewer) -> None:
        self.viewers.remove(viewer)
        self._tell_who()

    def renew(self) -> None:
        self._renew = True
        self._wanted.set()

    def wanted(self) -> None:
        """A viewer may have become ready."""
        self._wanted.set()

    def _tell_who(self) -> None:
        self._set_pace()
        names = list({viewer.actor.id: viewer.actor.name for viewer in self.viewers if not viewer.small}.values())
        for viewer in self.viewers:
            viewer.tell(watching=names)

    def ask(self, viewer: Viewer) -> None:
        """This viewer would like to have control; its holder is told, for ASK_SECONDS."""
        control = self.standing.control if self.standing else None
        if control is not None and viewer.holder is not None and not control.is_of(viewer.actor):
            self._asking[viewer.actor.id] = viewer.actor.name, time.monotonic() + ASK_SECONDS
            self._tell_asks()

    def _tell_asks(self) -> None:
        control, now = self.standing.control if self.standing else None, time.monotonic()
        self._asking = {one: ask for one, ask in self._asking.items() if control is not None and ask[1] > now}
        for viewer in self.viewers:
            if control is not None and control.is_of(viewer.holder):
                viewer.tell(asks=[name for name, _ in self._asking.values()])

    def _set_pace(self) -> None:
        if self._screen is not None:
            self._screen.calm = all(viewer.small for viewer in self.viewers)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    # The rows

    async def look(self) -> Standing | None:
        """How the machine stands now; those who may not see it any more are ended, the others told what has changed.

        Raises one of AWAY.
        """
        before, self.standing = self.standing, await in_thread(standing_of, self.machine_id)
        self._looked = time.monotonic()
        for viewer in list(self.viewers):
            if self.standing is None:
                viewer.end(GONE)
            elif viewer.lease and not self.standing.is_under(viewer.lease):
                viewer.end(NOT_SIGNED_IN)
            elif self.standing.hides(viewer.holder):
                viewer.end(PRIVATE)
            elif before is None or before != self.standing:
                viewer.tell(**self.facts(viewer))
        if before != self.standing:
            self._wanted.set()
        if self._asking:
            if before and self.standing and before.control != self.standing.control:
                self._asking.clear()  # it has changed hands
            self._tell_asks()
        return self.standing

    async def fresh(self) -> Standing | None:
        """As look(), unless somebody has looked just now."""
        if self.standing is None or time.monotonic() - self._looked > FRESH_SECONDS:
            return await self.look()
        return self.standing

    def facts(self, viewer: Viewer) -> dict[str, Any]:
        """What a viewer is told besides pictures."""
        control = self.standing.control if self.standing else None
        shown = None
        if control is not None:
            mine = control.is_of(viewer.holder)
            shown = {"name": control.name, "mine": mine, "private": control.private, "lives": control.lives}
            shown |= {"lease": control.lease_id} if mine else {}
        status = self.standing.status if self.standing else ""
        return {"control": shown, "status": "halted" if self.standing and self.standing.halted else status}

    async def _keep_looking(self) -> None:
        while True:
            with suppress(*AWAY):
                if time.monotonic() - self._looked >= LOOK_SECONDS:
                    await self.look()
            await asyncio.sleep(LOOK_SECONDS / 2)

    # Pictures

    async def _keep_showing(self) -> None:
        while True:
            words = ""
            try:
                await self._show()
            except (MachineGone, MachineUnavailable, Refusal, TimeoutError, *AWAY) as error:
                words = str(error)
            except Exception:
                logger.exception("The live screen of %s failed", self.machine_id)
                words = "The screen cannot be shown."
            self._say_away(words)
            await asyncio.sleep(RETRY_SECONDS)

    def _say_away(self, words: str) -> None:
        if words != self._away:
            self._away = words
            for viewer in self.viewers:
                viewer.tell(away=words)

    async def _show(self) -> None:
        """Pictures of one life of the machine. Ends when there is no screen to see; raises as attach() and LiveScreen."""
        standing = await self.look()
        if standing is None or not standing.shows:
            return
        screen = live_screen((await attach(await in_thread(look_up, self.machine_id))).session)
        self._screen = screen
        self._has_screen.set()
        self._set_pace()
        try:
            while (now := self.standing) is not None and now.shows and now.restarts == standing.restarts:
                if not any(viewer.is_ready for viewer in self.viewers):
                    await self._rest(screen)
                elif picture := await self._next(screen):
                    await self._hand_out(picture, now.secrets)
        finally:
            self._screen = None
            self._has_screen.clear()
            await screen.close()

    async def give(self, events: Sequence[Input]) -> None:
        """Do these at the screen, as soon as it is there; who gives them has been admitted. Raises MachineGone."""
        with suppress(TimeoutError):
            async with asyncio.timeout(READY_SECONDS):
                await self._has_screen.wait()
        if self._screen is None:
            raise MachineGone("The machine does not answer.")
        await self._screen.give(events)

    async def let_go(self) -> None:
        if self._screen is not None:
            await self._screen.let_go()

    async def _rest(self, screen: LiveScreen) -> None:
        """Nobody can take a picture: none is made until somebody can, and then the screen is shown as it is."""
        self._wanted.clear()
        try:
            async with asyncio.timeout(REST_SECONDS):
                await self._wanted.wait()
        except TimeoutError:
            await screen.pause()
            await self._wanted.wait()

    async def _next(self, screen: LiveScreen) -> Picture | None:
        """The next picture; None when somebody has come meanwhile, or the machine stands differently."""
        if self._renew:
            await asyncio.sleep(max(0, self._renewed + RENEW_SECONDS - time.monotonic()))
            self._renew, self._renewed = False, time.monotonic()
            await screen.pause()
        hidden = await in_thread(texts_of, self.machine_id) if self.standing and self.standing.secrets else ()
        self._wanted.clear()
        coming = asyncio.create_task(screen.next(hidden))
        waiting = asyncio.create_task(self._wanted.wait())
        try:
            while not coming.done():
                await asyncio.wait({coming, waiting}, return_when=asyncio.FIRST_COMPLETED)
                if coming.done():
                    break
                if self._is_other_than(hidden):
                    self._renew = True
                    return None
                self._wanted.clear()
                waiting = asyncio.create_task(self._wanted.wait())
            self._say_away("")
            return coming.result()
        finally:
            for task in (coming, waiting):
                task.cancel()
            await asyncio.wait({coming, waiting})

    def _is_other_than(self, hidden: Any) -> bool:
        """Whether the picture that is waited for would not do any more."""
        now = self.standing
        return self._renew or now is None or not now.shows or bool(now.secrets) != bool(hidden) or not self.viewers

    async def _hand_out(self, picture: Picture, secrets: int) -> None:
        now = await self.look()
        if now is None or now.secrets != secrets or not now.shows:
            self._renew = True
            return
        age = time.monotonic() - picture.at
        for viewer in list(self.viewers):
            if viewer.over is not None:
                continue
            if now.hides(viewer.holder, age):
                self._renew = True
            else:
                viewer.offer(picture)


_feeds: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Feed]] = weakref.WeakKeyDictionary()
_closing: set[asyncio.Task[None]] = set()


def feeds() -> dict[str, Feed]:
    """Those of this event loop, by machine."""
    return _feeds.setdefault(asyncio.get_running_loop(), {})


@contextmanager
def watching(machine_id: str, viewer: Viewer) -> Iterator[Feed]:
    """Let the viewer see the machine's screen; the last one to leave ends the feed. Raises TooManyViewers."""
    mine = feeds()
    feed = mine.get(machine_id) or mine.setdefault(machine_id, Feed(machine_id))
    feed.add(viewer)
    try:
        yield feed
    finally:
        feed.remove(viewer)
        if not feed.viewers:
            mine.pop(machine_id, None)
            task = asyncio.create_task(feed.close())
            _closing.add(task)
            task.add_done_callback(_closing.discard)
