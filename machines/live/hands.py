"""A person's hands at a live screen: what they do is done only while the lease is theirs, which is asked before each of it.

The rows are asked for every batch; rights and stops, which take several statements, at most every RIGHTS_SECONDS.
"""

import asyncio
import logging
import time
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.db import transaction

from accounts.actor import Actor
from accounts.sockets import AWAY, in_thread
from machines.access import get_machine
from machines.actions import by_hand
from machines.drivers.base import Action, MachineGone
from machines.drivers.live_screen import Input
from machines.live import input_events
from machines.live.feeds import Feed
from machines.live.input_events import NoInput
from machines.models import Machine, TakeoverLease
from machines.services import log_input
from machines.stops import require_unstopped
from machines.takeover import control_leases
from web.errors import Refusal

logger = logging.getLogger(__name__)
RIGHTS_SECONDS = 0.2
AT_ONCE = 16  # events between two looks at the lease
EVENTS_PER_SECOND = 200
MOST_WAITING = 64  # batches that were not done yet
IDLE_STEP = timedelta(seconds=5)  # so seldom the lease is moved
LOG_SECONDS = 10.0  # between two entries of the audit
HEARTBEAT_SECONDS = 10.0
ONLY_WATCHING = "You only watch: the machine is not in your hands."


class Hands:
    """Those of one socket."""

    def __init__(self, actor: Actor, machine: Machine, feed: Feed) -> None:
        self.actor, self.machine, self.feed = actor, machine, feed
        self.dropped = 0
        self._batches: asyncio.Queue[tuple[str, list[Any]]] = asyncio.Queue(MOST_WAITING)
        self._lease: TakeoverLease | None = None
        self._asked = self._logged = self._beat = float("-inf")
        self._counts: Counter[str] = Counter()
        self._holds = False  # a button
        self._allowance, self._filled = float(EVENTS_PER_SECOND), time.monotonic()
        self._working = asyncio.create_task(self._work())

    def hear(self, lease_id: Any, events: Any) -> str | None:
        """A batch of a page. Returns why nothing of it will be done."""
        if not isinstance(lease_id, str) or not isinstance(events, list) or not self._may_come(len(events)):
            self.dropped += 1
            return "Too much at once: some of it was passed over." if isinstance(events, list) else ONLY_WATCHING
        try:
            self._batches.put_nowait((lease_id, events))
        except asyncio.QueueFull:
            self.dropped += 1
            return "The machine does not follow: some of it was passed over."
        return None

    def _may_come(self, events: int) -> bool:
        now = time.monotonic()
        self._allowance = min(EVENTS_PER_SECOND, self._allowance + (now - self._filled) * EVENTS_PER_SECOND)
        self._filled = now
        if events > self._allowance:
            return False
        self._allowance -= events
        return True

    async def _work(self) -> None:
        while True:
            lease_id, message = await self._batches.get()
            words = None
            try:
                await self._do(lease_id, self._events(message) + self._more(lease_id))
            except NoInput:
                words = "That was no input."
            except Refusal:
                words = ONLY_WATCHING
            except MachineGone as error:
                words = str(error)
            except AWAY:
                words = "Nothing was done: the database does not answer."
            except Exception:  # who works on would wait for ever
                logger.exception("Input to %s failed", self.machine.id)
                words = "That could not be done."
            if words:
                self.dropped += 1
                await self.let_go()
                self._tell(words)

    def _events(self, message: list[Any]) -> list[Input]:
        return input_events.read(message, self.machine.screen_width, self.machine.screen_height)

    def _more(self, lease_id: str) -> list[Input]:
        """What has come meanwhile under the same lease: a machine that is slow gets it together."""
        events: list[Input] = []
        while not self._batches.empty() and len(events) < input_events.MOST_EVENTS:
            named, message = self._batches.get_nowait()
            try:
                events += self._events(message) if named == lease_id else []
            except NoInput:
                self.dropped += 1
        return events

    def _tell(self, words: str) -> None:
        for viewer in self.feed.viewers:
            if viewer.hands is self:
                viewer.tell(refused=words)

    async def _do(self, lease_id: str, events: list[Input]) -> None:
        while events:
            part, events = events[:AT_ONCE], events[AT_ONCE:]
            lease = await self._admitted(lease_id)
            self._counts += input_events.counts(part)
            if self._counts and time.monotonic() - self._logged > LOG_SECONDS:
                await self._log(lease)
            self._holds = ([event.kind == "down" for event in part if event.kind in ("down", "up")] or [self._holds])[
                -1
            ]
            await self._give(lease_id, part)

    async def _give(self, lease_id: str, events: list[Input]) -> None:
        """While a slow machine is at it the lease is asked for again: without it the rest is not done. Raises as _admitted()."""
        giving = asyncio.create_task(self.feed.give(events))
        try:
            while not giving.done():
                await asyncio.wait({giving}, timeout=RIGHTS_SECONDS)
                if not giving.done():
                    await self._admitted(lease_id)
            giving.result()
        finally:
            giving.cancel()
            await asyncio.wait({giving})

    async def _admitted(self, lease_id: str) -> TakeoverLease:
        """Raises a Refusal unless the actor holds this very lease now, and may act on the machine."""
        if self._lease is None or self._lease.id != lease_id or time.monotonic() - self._asked > RIGHTS_SECONDS:
            self._lease = await in_thread(admit, self.actor, self.machine.id, lease_id)
            self._asked = time.monotonic()
            return self._lease
        standing = await self.feed.look()
        control = standing.control if standing and standing.shows else None
        if control is None or control.lease_id != lease_id or not control.lives or not control.is_of(self.actor):
            self._asked = float("-inf")
            return await self._admitted(lease_id)
        return self._lease

    async def _log(self, lease: TakeoverLease) -> None:
        self._logged = time.monotonic()
        counts, self._counts = self._counts, Counter()
        await in_thread(log_input, self.actor, self.machine.id, counts, lease)

    async def keep(self) -> None:
        """The lease lives as long as its holder's screen is open. Raises one of AWAY."""
        control = self.feed.standing.control if self.feed.standing else None
        if control is None or not control.is_of(self.actor):
            await self.let_go()
            return
        if self._counts and self._lease and time.monotonic() - self._logged > LOG_SECONDS:
            await self._log(self._lease)
        if time.monotonic() - self._beat > HEARTBEAT_SECONDS:
            self._beat = time.monotonic()
            with suppress(Refusal):
                await in_thread(_heartbeat, self.actor, self.machine.id, control.lease_id)

    async def let_go(self) -> None:
        """Nothing stays pressed, and what was done is written down."""
        if self._holds:
            self._holds = False
            with suppress(MachineGone):
                await self.feed.let_go()
        if self._counts and self._lease:
            with suppress(*AWAY):
                await self._log(self._lease)

    async def close(self) -> None:
        self._working.cancel()
        await asyncio.wait({self._working})
        await self.let_go()


def admit(actor: Actor, machine_id: str, lease_id: str) -> TakeoverLease:
    """The actor's own living lease, which input keeps from idling. Raises as by_hand.act(), and InvalidState without one."""
    machine = get_machine(actor, machine_id)
    by_hand.require_rights(actor, machine, [Action("type_text")])
    by_hand.require_running(machine)
    require_unstopped(machine)
    lease = machine.lease
    if lease is None or lease.id != lease_id:
        raise control_leases.not_current(lease_id)
    control_leases.require_no_other(actor, machine)
    moved = lease.now + control_leases.IDLE
    if moved - lease.idle_expires_at > IDLE_STEP:
        lease.idle_expires_at = moved
        TakeoverLease.objects.filter(id=lease.id, ended_at__isnull=True).update(idle_expires_at=moved)
    return lease


def _heartbeat(actor: Actor, machine_id: str, lease_id: str) -> None:
    with transaction.atomic():
        control_leases.heartbeat(actor, machine_id, lease_id)
