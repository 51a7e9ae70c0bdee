"""What a long command says while it works."""

import time
from collections.abc import Callable

EVERY = 5.0  # seconds between two lines about one part


class Progress:
    """Counts things and bytes of one part and says so now and then."""

    def __init__(self, say: Callable[[str], None], part: str) -> None:
        self._say, self._part, self._next = say, part, time.monotonic() + EVERY
        self.things, self.bytes = 0, 0

    def add(self, things: int, size: int) -> None:
        self.things, self.bytes = self.things + things, self.bytes + size
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY
            self._say(f"{self._part} … {self._count()}")

    def done(self, more: str = "") -> None:
        self._say(f"{self._part}: {self._count()}{more}")

    def _count(self) -> str:
        return f"{self.things:,}, {megabytes(self.bytes)}"


def megabytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"
