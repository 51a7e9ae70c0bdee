"""The few hot statements: bound and prepared by the server, planned once for each connection."""

from collections.abc import Mapping
from typing import Any

import psycopg
from django.db import connection
from psycopg.rows import TupleRow


def prepared(statement: str, values: Mapping[str, Any]) -> TupleRow | None:
    """Execute in Django's connection and transaction, prepared; returns the first row. Parameters need casts where
    PostgreSQL cannot infer their type (a select list)."""
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(statement, values, prepare=True)
        return cursor.fetchone() if cursor.description else None


def give_back_connection() -> None:
    """Before a long wait for something else: the connections of a web process are few. Not inside a transaction."""
    if not connection.in_atomic_block:
        connection.close()
