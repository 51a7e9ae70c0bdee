"""The bell of the run logs, with the time at which it was heard."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

PATIENCE = 60.0  # seconds


class Ear:
    """What `run_events` said: (time.perf_counter(), run id, seq)."""

    def __init__(self, url: str) -> None:
        self.heard: list[tuple[float, str, int]] = []
        self._link = psycopg.connect(url, autocommit=True)
        self._link.execute("LISTEN run_events")
        self._over = False
        self._rang = threading.Condition()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self._over:
            for notice in self._link.notifies(timeout=0.2):
                at = time.perf_counter()
                run_id, _, seq = notice.payload.rpartition(":")
                with self._rang:
                    self.heard.append((at, run_id, int(seq)))
                    self._rang.notify_all()

    def past(self, run_id: str, seq: int) -> tuple[float, int]:
        """When the log of the run was first heard to go beyond `seq`, and to where. Who waits here burns no time."""
        with self._rang:
            found = self._rang.wait_for(lambda: self._first(run_id, seq), PATIENCE)
        if found is None:
            raise TimeoutError(f"{run_id} did not go beyond {seq} within {PATIENCE} s.")
        return found

    def _first(self, run_id: str, seq: int) -> tuple[float, int] | None:
        return next(((at, reached) for at, run, reached in self.heard if run == run_id and reached > seq), None)

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
