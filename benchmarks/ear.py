"""The bell of the run logs, with the time at which it was heard."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg


class Ear:
    """What `run_events` said: (time.perf_counter(), run id, seq)."""

    def __init__(self, url: str) -> None:
        self.heard: list[tuple[float, str, int]] = []
        self._link = psycopg.connect(url, autocommit=True)
        self._link.execute("LISTEN run_events")
        self._over = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self._over:
            for notice in self._link.notifies(timeout=0.2):
                run_id, _, seq = notice.payload.rpartition(":")
                self.heard.append((time.perf_counter(), run_id, int(seq)))

    def when(self, run_id: str, seq: int) -> float | None:
        """When the log of the run was first heard to reach `seq`."""
        return next((at for at, run, reached in self.heard if run == run_id and reached >= seq), None)

    def close(self) -> None:
        self._over = True
        self._thread.join(2)
        self._link.close()


@contextmanager
def listening(url: str) -> Iterator[Ear]:
    ear = Ear(url)
    try:
        yield ear
    finally:
        ear.close()
