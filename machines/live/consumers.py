"""The websocket at which a person watches a machine's screen.

/ws/machines/<id>/screen, with ?small=1 for a picture in a list, with ?text=1 for the escape sequences of a terminal: {hello, width,
height, kind} and what stands; pictures as bytes: four with the age in milliseconds, then the JPEG or text. Of each a page says
{"seen": 1}: two that it has not seen are all that it gets. {"pause": true} while nobody looks. Who holds the lease sends {"lease",
"events"} (input_events.py); what is not done is answered by {refused: why}. {"ask": 1}: the holder hears {asks: [names]}.

Close codes are those of accounts/sockets.py, and: 4403 a private takeover of somebody else, 4404 no such machine for this person, 4408
nothing was seen for long, 4429 too many are watching. At all but 4408 a page does not come again by itself.
"""

import asyncio
import json
import time
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs

from accounts.sockets import AWAY, DATABASE_AWAY, NOT_SIGNED_IN, Over, PersonConsumer
from machines.access import get_machine
from machines.drivers.live_screen import as_jpeg
from machines.errors import MachineNotFound
from machines.live import tokens
from machines.live.feeds import GONE, SMALL_SECONDS, TOO_MANY, Feed, TooManyViewers, Viewer, watching
from machines.live.hands import ONLY_WATCHING, Hands
from machines.models import Machine

SILENT = 4408
MOST_BYTES = 8192  # of one message of a page
SMALL_WIDTH = 480  # pixels
CHECK_SECONDS = 1.0  # between two looks at the person's rights
TOKEN_SECONDS = 10.0  # within which the token comes
SILENT_SECONDS = 60.0  # without having seen what was sent


class ScreenConsumer(PersonConsumer):
    right = "machines:read"
    viewer: Viewer | None = None
    hands: Hands | None = None
    link_lease = ""  # whose link this is; it ends with it
    only_shows = False  # who comes with a link to watch sends nothing, whoever made the link
    _wants_text = False
    _beat_at = 0.0
    _seen_at = 0.0

    async def talk(self) -> None:
        machine = await self._machine()
        asked = parse_qs(self.scope["query_string"].decode(errors="replace"))
        self._wants_text = asked.get("text") == ["1"]
        self.viewer = Viewer(
            self.actor, by_link=self.only_shows, lease=self.link_lease, small=asked.get("small") == ["1"]
        )
        try:
            with watching(machine.id, self.viewer) as feed:
                await self._watch(machine, feed, self.viewer)
        except TooManyViewers:
            raise Over(TOO_MANY) from None

    @property
    def machine_id(self) -> str:
        return str(self.scope["url_route"]["kwargs"]["machine_id"])

    def may_send(self, lease_id: Any) -> bool:
        """Whether input under this lease may come through this socket; who holds the lease is asked elsewhere."""
        return True

    async def _machine(self) -> Machine:
        try:
            return await self.ask(get_machine, self.actor, self.machine_id)
        except MachineNotFound:
            raise Over(GONE) from None

    async def _watch(self, machine: Machine, feed: Feed, viewer: Viewer) -> None:
        await self._look(feed)
        size = {"width": machine.screen_width, "height": machine.screen_height}
        viewer.tell(hello=True, kind=machine.kind, **size, **feed.facts(viewer))
        self._feed = feed
        self.hands = viewer.hands = Hands(self.actor, machine, feed)
        try:
            await self._serve_viewer(feed, viewer, self.hands)
        finally:
            await self.hands.close()

    async def _serve_viewer(self, feed: Feed, viewer: Viewer, hands: Hands) -> None:
        self._seen_at = time.monotonic()
        self._check_at = asyncio.get_running_loop().time() + CHECK_SECONDS
        while True:
            await self._still_may(hands)
            if viewer.over is not None:
                raise Over(viewer.over)
            if viewer.news:
                news, viewer.news = viewer.news, {}
                await self.say(news)
            elif viewer.may_send:
                await self._send_picture(feed, viewer)
            else:
                await self._wait(viewer)

    async def _look(self, feed: Feed) -> None:
        """How the machine stands at this moment. Raises Over when that is not for this viewer."""
        try:
            await feed.fresh()
        except AWAY:
            raise Over(DATABASE_AWAY) from None
        if self.viewer is not None and self.viewer.over is not None:
            raise Over(self.viewer.over)

    async def _send_picture(self, feed: Feed, viewer: Viewer) -> None:
        """The newest; only if it is for this person at this very moment."""
        await self._look(feed)
        picture, viewer.picture = viewer.picture, None
        if picture is None:
            return
        viewer.in_flight += 1
        feed.wanted()
        self._seen_at = time.monotonic()
        age = max(0, round((self._seen_at - picture.at) * 1000)).to_bytes(4, "big")
        picture_bytes = picture.as_text if self._wants_text else None
        if picture_bytes is None:
            picture_bytes = await asyncio.to_thread(lambda: picture.as_seen)
            await self._look(feed)
        if viewer.small:
            viewer.rests_until = self._seen_at + SMALL_SECONDS
            asyncio.get_running_loop().call_later(SMALL_SECONDS, feed.wanted)
            picture_bytes = await asyncio.to_thread(as_jpeg, picture_bytes, SMALL_WIDTH)
            await self._look(feed)  # that took a moment
        await self.send(bytes_data=age + picture_bytes)

    async def _wait(self, viewer: Viewer) -> None:
        viewer.bell.clear()
        try:
            async with asyncio.timeout_at(self._check_at):
                await viewer.bell.wait()
        except TimeoutError:
            return

    async def _still_may(self, hands: Hands) -> None:
        """As still_may(), but it asks much more often than it beats: what is seen here must end at once. Raises Over."""
        now = asyncio.get_running_loop().time()
        if now < self._check_at:
            return
        await self._check()
        self._check_at = now + CHECK_SECONDS
        if self.viewer and self.viewer.in_flight and time.monotonic() - self._seen_at > SILENT_SECONDS:
            raise Over(SILENT)
        if not self.only_shows and not (self.viewer and self.viewer.small):
            with suppress(*AWAY):
                await hands.keep()
        if now >= self._beat_at:
            self._beat_at = now + self.heartbeat
            await self.say({"beat": 1})

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """What is not understood is passed over."""
        viewer, feed = self.viewer, getattr(self, "_feed", None)
        if viewer is None or feed is None or not text_data or len(text_data) > MOST_BYTES:
            return
        try:
            message = json.loads(text_data)
        except (ValueError, RecursionError):
            return
        if isinstance(message, dict):
            self._hear(message, feed, viewer)

    def _hear(self, message: dict[str, Any], feed: Feed, viewer: Viewer) -> None:
        if "seen" in message:
            viewer.in_flight = max(0, viewer.in_flight - 1)
            self._seen_at = time.monotonic()
        if "pause" in message:
            was, viewer.paused, viewer.picture = viewer.paused, bool(message["pause"]), None
            if was and not viewer.paused:
                feed.renew()
        if "ask" in message and self.actor.may_take_control:
            feed.ask(viewer)
        if "events" in message and self.hands is not None:
            lease = message.get("lease")
            words = self.hands.hear(lease, message["events"]) if self.may_send(lease) else ONLY_WATCHING
            if words:
                viewer.tell(refused=words)
        viewer.bell.set()
        feed.wanted()


class LinkConsumer(ScreenConsumer):
    """/ws/screen: as above, for who has a token (GET /v1/machines/<id>/connection), which is the first message. No cookie is
    read. 4401: the token is no good, or is none any more."""

    ticket: tokens.Ticket | None = None

    async def connect(self) -> None:
        self._token: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        await super().connect()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if not self._token.done():
            self._token.set_result(text_data or "")
            return
        await super().receive(text_data, bytes_data)

    async def _check(self) -> None:
        """Raises Over."""
        try:
            async with asyncio.timeout(TOKEN_SECONDS):
                token = await asyncio.shield(self._token)
            ticket, self.actor = await self.ask(tokens.bearer, token)
        except (TimeoutError, tokens.BadToken):
            raise Over(NOT_SIGNED_IN) from None
        self.ticket, self.only_shows, self.link_lease = ticket, not ticket.lease, ticket.lease

    @property
    def machine_id(self) -> str:
        return self.ticket.machine if self.ticket else ""

    def may_send(self, lease_id: Any) -> bool:
        return self.ticket is not None and self.ticket.lease != "" and self.ticket.lease == lease_id
