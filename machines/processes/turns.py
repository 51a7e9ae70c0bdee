"""Turns at a machine: one at a time, over all processes and hosts. The database's session-level advisory locks guard
them, which hold no transaction open while a process starts.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def turn(work: str, machine_id: str, seconds: float) -> Iterator[bool]:
    """False when somebody else does this work at the machine, and did not end it in so many seconds."""
    name = f"{work}:{machine_id}"
    end = time.monotonic() + seconds
    while not (mine := _call("pg_try_advisory_lock", name)) and time.monotonic() < end:
        time.sleep(0.05)
    try:
        yield mine
    finally:
        if mine:
            _call("pg_advisory_unlock", name)


def _call(function: str, name: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(hashtextextended(%s, 0))", [name])
        return bool(cursor.fetchone()[0])
