"""Connections of our own, beside those of Django."""

from typing import Any

import psycopg
from django.db import connection


def own_connection() -> psycopg.Connection[Any]:
    """To Django's database, with none of its limits of time. Raises psycopg.OperationalError."""
    params = dict(connection.get_connection_params())
    for name in ("cursor_factory", "context", "pool", "prepare_threshold", "options"):
        params.pop(name, None)
    return psycopg.connect(**params, autocommit=True)
