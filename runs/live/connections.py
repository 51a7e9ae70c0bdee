"""Asynchronous database connections of the live side: a handful per process, however many streams are open."""

import asyncio
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from database.listening import parameters

LOST = (psycopg.Error, OSError, TimeoutError)  # what a reader sees while the database restarts
READ_SECONDS = 10.0
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0  # between two tries, in seconds

Connection = psycopg.AsyncConnection[TupleRow]


async def connect(name: str) -> Connection:
    """A connection of our own to Django's database; `name` is what pg_stat_activity shows."""
    options = parameters() | {"application_name": f"countersign-{name}"}
    return await psycopg.AsyncConnection.connect(**options, autocommit=True)


class Readers:
    """Up to `most` connections for short reads. A failed one is dropped with all idle ones: the server restarted."""

    def __init__(self, most: int = 4) -> None:
        self.queries = 0
        self._gate = asyncio.Semaphore(most)
        self._idle: list[Connection] = []

    async def rows(self, query: bytes, values: list[Any]) -> list[TupleRow]:
        """Raises one of LOST when the database is away."""
        async with self._gate, asyncio.timeout(READ_SECONDS):
            self.queries += 1
            reader = self._idle.pop() if self._idle else await connect("read")
            try:
                rows = await (await reader.execute(query, values)).fetchall()
            except BaseException:
                self._idle.append(reader)
                await self.close()
                raise
            self._idle.append(reader)
            return rows

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().close()
