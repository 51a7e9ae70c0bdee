"""A stop waits for nobody that hangs: whose transaction stands open and idle in its way is cut off, and undone.

A worker that was halted in the middle of a transaction (SIGSTOP, a swapped out host) keeps the rows that it has locked. Its work may
be repeated, as after a restart of the database (runs/driving/loop.py); with the stop committed it is refused then.
"""

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import Any

import psycopg

from database.listening import parameters
from database.sql import prepared

log = logging.getLogger(__name__)
PATIENCE = 0.4  # seconds that a stop waits for a lock before it looks who has it
IDLE_SECONDS = 0.3  # nobody of ours leaves a transaction idle for so long
LOOK_SECONDS = 0.02  # then: a halted worker has several transactions open, which come one after the other
# Whoever keeps us waiting, or keeps those waiting that do; only who does nothing itself.
_END = """
WITH RECURSIVE blocker(pid) AS (
  SELECT unnest(pg_blocking_pids(%(pid)s)) UNION SELECT unnest(pg_blocking_pids(b.pid)) FROM blocker b
)
SELECT a.pid, pg_terminate_backend(a.pid) FROM blocker b JOIN pg_stat_activity a ON a.pid = b.pid
WHERE a.state LIKE 'idle in transaction%%' AND a.state_change < clock_timestamp() - make_interval(secs => %(idle)s)
"""


@contextlib.contextmanager
def ending_hung_transactions() -> Iterator[None]:
    """While the block waits for locks, transactions in its way that hang are ended."""
    row = prepared("SELECT pg_backend_pid()", {})
    assert row is not None
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(row[0], over, parameters()), name="stop-watch", daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()


def _watch(pid: int, over: threading.Event, params: dict[str, Any]) -> None:
    if over.wait(PATIENCE):
        return
    try:
        with psycopg.connect(**params, autocommit=True) as own:
            while not over.wait(LOOK_SECONDS):
                for hung, _ in own.execute(_END, {"pid": pid, "idle": IDLE_SECONDS}).fetchall():
                    log.warning("a stop ended the hung transaction of the database's process %s", hung)
    except psycopg.Error:
        log.exception("a stop could not look who is in its way")
