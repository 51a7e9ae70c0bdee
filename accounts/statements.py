"""The few hot statements: bound and prepared by the server, planned once for each connection."""

import functools
from collections.abc import Mapping
from typing import Any, TypeVar

import psycopg
from django.db import connection
from django.db.models import Model
from psycopg.rows import TupleRow

M = TypeVar("M", bound=Model)


def prepared(statement: str, values: Mapping[str, Any]) -> TupleRow | None:
    """Execute in Django's connection and transaction, prepared; returns the first row. Parameters need casts where
    PostgreSQL cannot infer their type (a select list)."""
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(statement, values, prepare=True)
        return cursor.fetchone() if cursor.description else None


def fetch(model: type[M], where: str, values: Mapping[str, Any]) -> M | None:
    """The first row of the model's table that fits, as objects.get() would make it; `where` may end in FOR UPDATE.

    For the rows that every request and step reads: composing such a query costs more than running it.
    """
    names, select = _columns(model)
    row = prepared(f"{select} WHERE {where}", values)
    if row is None:
        return None
    found = list(row)
    for n, read in _readers(model):
        found[n] = read(found[n], None, connection)
    return model.from_db(connection.alias, names, found)


@functools.cache
def _columns(model: type[Model]) -> tuple[list[str], str]:
    fields = model._meta.concrete_fields
    columns = ", ".join(str(field.column) for field in fields)
    return [field.attname for field in fields], f"SELECT {columns} FROM {model._meta.db_table}"


@functools.cache
def _readers(model: type[Model]) -> list[tuple[int, Any]]:
    """What makes values of columns of their own kind, such as JSON, by their place."""
    fields = enumerate(model._meta.concrete_fields)
    return [(n, field.from_db_value) for n, field in fields if hasattr(field, "from_db_value")]


def give_back_connection() -> None:
    """Before a long wait for something else: the connections of a web process are few. Not inside a transaction."""
    if not connection.in_atomic_block:
        connection.close()
