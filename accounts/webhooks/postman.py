"""The postman of a worker process: a thread with an event loop in which many attempts wait for receivers at once.

A task only hands an attempt over, so that a receiver which never answers holds up nothing else of the queue. Nothing
here is durable: the clock sends again what a dying process had in hand (accounts/webhooks/outbox.py).
"""

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import close_old_connections

from accounts.webhooks import outbox
from accounts.webhooks.sending import send

log = logging.getLogger(__name__)
AT_ONCE = 100  # attempts under way in one process
MOST = 2000  # attempts in hand, under way or waiting for a place: the clock brings the others again
THREADS = 2  # database connections of one postman
LOOKUPS = 16  # host names looked up at once

_postman: "Postman | None" = None


class Postman:
    def __init__(self) -> None:
        self.pid = os.getpid()
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="webhook-db")
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(ThreadPoolExecutor(LOOKUPS, thread_name_prefix="webhook-name"))
        self.free = asyncio.Semaphore(AT_ONCE)
        self.in_hand: set[tuple[str, int]] = set()
        threading.Thread(target=self.loop.run_forever, name="postman", daemon=True).start()

    def take(self, delivery_id: str, attempts: int) -> None:
        """Unless it is in hand already: what waits for a place for long is queued again by the clock."""
        if (delivery_id, attempts) in self.in_hand or len(self.in_hand) >= MOST:
            return
        self.in_hand.add((delivery_id, attempts))
        asyncio.run_coroutine_threadsafe(self._carry(delivery_id, attempts), self.loop)

    async def _carry(self, delivery_id: str, attempts: int) -> None:
        try:
            async with self.free:
                letter = await self._db(outbox.claim, delivery_id, attempts)
                if letter is not None:
                    await self._db(outbox.settle, letter, await send(letter))
        except Exception:
            log.exception("webhook delivery %s broke off; the clock queues it again", delivery_id)
        finally:
            self.in_hand.discard((delivery_id, attempts))

    async def _db(self, work: Callable[..., Any], *args: Any) -> Any:
        return await self.loop.run_in_executor(self.threads, _fresh, work, *args)


def _fresh(work: Callable[..., Any], *args: Any) -> Any:
    close_old_connections()
    return work(*args)


def hand_over(delivery_id: str, attempts: int) -> None:
    """Give the attempt to the postman of this process; the first call starts it."""
    global _postman  # noqa: PLW0603 - one for each process, as the thread is
    if _postman is None or _postman.pid != os.getpid():
        _postman = Postman()
    _postman.take(delivery_id, attempts)
