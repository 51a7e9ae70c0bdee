"""What sends the messages of a worker process: a thread with an event loop in which many attempts wait for receivers at once.

A task only hands an attempt over, so that a receiver which never answers holds up nothing else of the queue. Nothing
here is durable: the clock sends again what a dying process had in hand (accounts/webhooks/outbox.py).
"""

import asyncio
import functools
import logging
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from django.db import close_old_connections

from accounts.webhooks import outbox
from accounts.webhooks.sending import send

log = logging.getLogger(__name__)
AT_ONCE = 100  # attempts under way in one process
AT_ONCE_TO_ONE = 10  # of them to one address
AT_ONCE_TO_HOST = 50  # and to one host, whatever the address
MOST = 2000  # attempts in hand, under way or waiting for a place: the clock brings the others again
MOST_TO_ONE = 200  # of them to one address: those of a receiver that hangs leave room for others
THREADS = 2  # database connections of one sender
LOOKUPS = 32  # host names looked up at once
LOOKUPS_OF_ONE = 2  # of one host: a look-up that hangs keeps its thread beyond the end of its attempt

_sender: "Sender | None" = None


class Sender:
    def __init__(self) -> None:
        self.pid = os.getpid()
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="webhook-db")
        self.lookups = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="webhook-name")
        self.loop = asyncio.new_event_loop()
        self.free = asyncio.Semaphore(AT_ONCE)
        self.addresses: dict[str, Places] = {}
        self.hosts: dict[str, Places] = {}
        self.in_hand: set[tuple[str, int]] = set()
        threading.Thread(target=self.loop.run_forever, name="webhooks", daemon=True).start()

    def take(self, delivery_id: str, attempts: int) -> None:
        """Unless it is in hand already: what waits for a place for long is queued again by the clock."""
        if (delivery_id, attempts) in self.in_hand or len(self.in_hand) >= MOST:
            return
        self.in_hand.add((delivery_id, attempts))
        asyncio.run_coroutine_threadsafe(self._deliver(delivery_id, attempts), self.loop)

    async def _deliver(self, delivery_id: str, attempts: int) -> None:
        try:
            url = await self._db(outbox.address_of, delivery_id)
            if url is not None:
                await self._in_turn(url, delivery_id, attempts)
        except Exception:
            log.exception("webhook delivery %s broke off; the clock queues it again", delivery_id)
        finally:
            self.in_hand.discard((delivery_id, attempts))

    async def _in_turn(self, url: str, delivery_id: str, attempts: int) -> None:
        """A place of the address, then of its host, then one of all: who waits for a receiver that hangs takes none of others."""
        with (
            _used(self.addresses, url, AT_ONCE_TO_ONE) as address,
            _used(self.hosts, _host(url), AT_ONCE_TO_HOST) as host,
        ):
            if address.users > MOST_TO_ONE:
                return
            async with address.free, host.free, self.free:
                attempt = await self._db(outbox.claim, delivery_id, attempts)
                if attempt is not None:
                    await self._db(outbox.settle, attempt, await send(attempt, functools.partial(self._look_up, host)))

    async def _look_up(self, host: "Places", work: Callable[[], Any]) -> Any:
        """In a thread, which gives its place back when it is done, not when nobody waits for it any more."""
        await host.lookups.acquire()
        looking = self.lookups.submit(work)
        looking.add_done_callback(lambda _: self.loop.call_soon_threadsafe(host.lookups.release))
        return await asyncio.wrap_future(looking)

    async def _db(self, work: Callable[..., Any], *args: Any) -> Any:
        return await self.loop.run_in_executor(self.threads, _fresh, work, *args)


class Places:
    """Of one address or host; there as long as somebody uses them."""

    def __init__(self, at_once: int) -> None:
        self.users = 0
        self.free = asyncio.Semaphore(at_once)
        self.lookups = asyncio.Semaphore(LOOKUPS_OF_ONE)


@contextmanager
def _used(places: dict[str, Places], name: str, at_once: int) -> Iterator[Places]:
    place = places.get(name) or places.setdefault(name, Places(at_once))
    place.users += 1
    try:
        yield place
    finally:
        place.users -= 1
        if not place.users:
            del places[name]


def _host(url: str) -> str:
    """Name and port, as far as they can be told apart: what is no address fails when it is sent to."""
    return url.partition("://")[2].partition("/")[0].partition("?")[0].lower()


def _fresh(work: Callable[..., Any], *args: Any) -> Any:
    close_old_connections()
    return work(*args)


def submit(delivery_id: str, attempts: int) -> None:
    """Give the attempt to the sender of this process; the first call starts it."""
    global _sender  # noqa: PLW0603 - one for each process, as the thread is
    if _sender is None or _sender.pid != os.getpid():
        _sender = Sender()
    _sender.take(delivery_id, attempts)
