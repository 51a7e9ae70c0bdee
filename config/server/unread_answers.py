"""What callers have not read yet: nothing more is made for who does not read, and who reads nothing for long is given up.

daphne writes whatever it is handed into the memory of its transport, however slowly that empties.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from django.conf import settings

MOST_BYTES = 64 * 1024 * 1024  # that answers in one piece may hold, all callers together
MOST_OF_A_SOCKET = 1024 * 1024  # pokes are small: who leaves so many unread is not there

_waiting: "dict[Outlet, int]" = {}  # those who wait for their caller, the longest first, and what each holds


class Outlet:
    """Of one answer: a producer as Twisted knows it. Full from the moment the transport has enough until it has sent all."""

    def __init__(self, transport: Any, give_up: Callable[[], object]) -> None:
        self.holds = 0  # bytes of an answer whose length is known: all of it stays in memory until its end
        self._transport = transport
        self._give_up = give_up
        self._free = asyncio.Event()
        self._free.set()

    def pauseProducing(self) -> None:  # noqa: N802  the names are Twisted's
        self._free.clear()

    def resumeProducing(self) -> None:  # noqa: N802
        self._free.set()

    stopProducing = resumeProducing  # noqa: N815  the caller has left: nobody needs to wait

    async def drained(self) -> None:
        """Wait until there is room for more. Gives the caller up who reads nothing for UNREAD_SECONDS."""
        if self._free.is_set():
            return
        _waiting[self] = self.holds
        try:
            _make_room()
            left = unsent(self._transport)
            while not await self._is_free(settings.UNREAD_SECONDS):
                before, left = left, unsent(self._transport)
                if left >= before:
                    self._give_up()
                    return
        finally:
            _waiting.pop(self, None)

    def end(self) -> None:
        self._free.set()
        self._give_up()

    async def _is_free(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._free.wait()
        except TimeoutError:
            return False
        return True


def _make_room() -> None:
    """End those who have waited longest, until the others hold no more than MOST_BYTES."""
    too_much = sum(_waiting.values()) - MOST_BYTES
    for outlet, holds in list(_waiting.items()):
        if too_much <= 0:
            return
        if holds:
            del _waiting[outlet]
            too_much -= holds
            outlet.end()


def unsent(transport: Any) -> int:
    """Bytes that wait in the memory of the transport, of which Twisted does not tell; TLS has one of its own in front of it."""
    while not hasattr(transport, "dataBuffer") and hasattr(transport, "transport"):
        transport = transport.transport
    return len(transport.dataBuffer) - int(transport.offset) + int(transport._tempDataLen)
