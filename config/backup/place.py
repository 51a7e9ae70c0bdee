"""The installation that a backup is made of, or restored into: its database within reach, and nobody else at work where that matters."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import environ
from django.db import connections

from config.postgres.server import Postgres
from config.up.checks import alone, database_answers
from config.up.terminal import CannotStart

DATABASE = "countersign"


def point_at(url: str, data_dir: Path) -> None:
    """Settings were read before the server ran: point this process, its children and other commands at it."""
    os.environ["DATABASE_URL"] = url
    connections.settings["default"].update(environ.Env().db_url_config(url))
    note = data_dir / "database-url"
    note.touch(mode=0o600)
    note.write_text(url)


@contextmanager
def reached(data_dir: Path, *, alone_there: bool) -> Iterator[None]:
    """The database of this place answers: that of DATABASE_URL, the one that `up` runs, or else our own for this while.

    `alone_there`: nothing may run over the data folder. Raises CannotStart.
    """
    url = os.environ.get("DATABASE_URL", "")
    with ExitStack() as held:
        try:
            held.enter_context(alone(data_dir))
        except CannotStart:
            if alone_there:
                raise
            yield  # `up` runs, and has noted where its database is
            return
        if url:
            database_answers(url)
        else:
            held.callback(connections.close_all)
            server = Postgres(data_dir)
            held.callback(server.stop)
            server.start()
            server.create_database(DATABASE)
            point_at(server.url(DATABASE), data_dir)
            connections.close_all()
        yield
