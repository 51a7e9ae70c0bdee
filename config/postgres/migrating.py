"""Migrations run one at a time, however many processes start at once, and never hold up those that are at work for long.

Who starts second waits for the first and finds nothing left to do. A migration that needs a table to itself waits LOCK_SECONDS
for it at most, as everybody else who wants the table stands behind it; then it lets them through and tries again.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from django.db import OperationalError, connection

from database.listening import own_connection

LOCK = 4_270_102  # the advisory lock of whoever migrates
LOCK_SECONDS = 4
ATTEMPTS = 30
PAUSE_SECONDS = 1.0  # between two attempts, for those who stood behind


@contextmanager
def only_one_migrates() -> Iterator[None]:
    """Waits for its turn, however long that takes. The lock is a session's of its own and falls with this process."""
    with own_connection(bounded=False) as own:
        own.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        yield


def patiently(migrate: Callable[[], object]) -> None:
    """Migrate; again when a table was not free in time. What had been done stays: each migration is a transaction."""
    for attempt in range(1, ATTEMPTS + 1):
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{LOCK_SECONDS}s"])
        try:
            migrate()
        except OperationalError as error:
            if attempt == ATTEMPTS or not isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
                raise
            time.sleep(PAUSE_SECONDS)
        else:
            break
        finally:
            connection.close()
