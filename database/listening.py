"""Connections of our own, beside those of Django: for who listens, and for who works while others hold the database up."""

from typing import Any

import psycopg
from django.db import connection

_OF_DJANGO = frozenset({"cursor_factory", "context", "pool", "prepare_threshold"})


def parameters() -> dict[str, Any]:
    """Those of Django's database, as psycopg takes them. A server whose host is gone is noticed (settings DATABASES)."""
    return {name: value for name, value in connection.get_connection_params().items() if name not in _OF_DJANGO}


def own_connection(*, bounded: bool = True) -> psycopg.Connection[Any]:
    """`bounded` False: with no limit of time. Raises psycopg.OperationalError."""
    options = parameters()
    if not bounded:
        options.pop("options", None)
    return psycopg.connect(**options, autocommit=True)
