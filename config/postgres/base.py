"""Django's PostgreSQL backend with a pool whose connections are looked at before they are used (settings DATABASES, ENGINE)."""

import select
import time
from typing import Any

import psycopg
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base
from psycopg_pool import ConnectionPool, PoolTimeout

TRY_SECONDS = 0.25  # between two attempts to connect while the database is away
GIVE_UP_SECONDS = 0.05  # the pool's own attempts would come ever more rarely: up to minutes after the database is back
AWAY_SECONDS = 0.5  # what a call waits for a database of which another call has found that it is away


class Pool(ConnectionPool):
    """Never gives a connection that the server has closed, as all are after its restart.

    psycopg's own check asks the server each time, and rests longer after each dead connection that it meets. Here the
    kernel is asked: a connection at rest from which there is something to read is most probably at its end.
    """

    _away = False

    def getconn(self, timeout: float | None = None) -> psycopg.Connection[Any]:
        """Raises PoolTimeout when there is none in time; then the database is taken for away until there is one."""
        until = time.monotonic() + (timeout or (AWAY_SECONDS if self._away else self.timeout))
        while True:
            try:
                connection = super().getconn(max(0.01, min(TRY_SECONDS, until - time.monotonic())))
            except PoolTimeout:
                if time.monotonic() >= until:
                    self._away = True
                    raise
                continue
            self._away = False
            if _lives(connection):
                return connection
            connection.close()
            self.putconn(connection)


def _lives(connection: psycopg.Connection[Any]) -> bool:
    poll = select.poll()
    try:
        poll.register(connection.fileno(), select.POLLIN)
        if poll.poll(0):  # the server may also have said that a setting changed
            ConnectionPool.check_connection(connection)
    except psycopg.Error:
        return False
    return True


class DatabaseWrapper(base.DatabaseWrapper):
    tried_to_commit = False  # since somebody set it to False: then something may be written

    def _commit(self) -> None:
        self.tried_to_commit = True
        super()._commit()  # type: ignore[misc]  # django-stubs leave out what is for backends only

    @property
    def pool(self) -> Pool | None:
        """As Django's, which knows no other class of pools."""
        options = self.settings_dict["OPTIONS"].get("pool")
        if self.alias == NO_DB_ALIAS or not options:
            return None
        pools: dict[str, Pool] = self._connection_pools  # type: ignore[attr-defined]
        if self.alias not in pools:
            pool = Pool(
                kwargs=self.get_connection_params() | {"autocommit": True},
                open=False,
                configure=self._configure_connection,  # type: ignore[attr-defined]
                reconnect_timeout=GIVE_UP_SECONDS,
                **options,
            )
            pools.setdefault(self.alias, pool)
        return pools[self.alias]
