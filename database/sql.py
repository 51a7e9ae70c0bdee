"""The few hot statements: bound and prepared by the server, planned once for each connection."""

import functools
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

import psycopg
from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.models import Model
from psycopg.rows import TupleRow
from psycopg.types.json import Json

M = TypeVar("M", bound=Model)


def prepared(statement: str, values: Mapping[str, Any]) -> TupleRow | None:
    """Execute in Django's connection and transaction, prepared; returns the first row. Parameters need casts where
    PostgreSQL cannot infer their type (a select list)."""
    with _cursor() as cursor:
        cursor.execute(statement, values, prepare=True)
        return cursor.fetchone() if cursor.pgresult is not None and cursor.pgresult.nfields else None


def prepared_all(statement: str, values: Mapping[str, Any]) -> list[TupleRow]:
    """As prepared(), for all rows of a statement that gives some."""
    with _cursor() as cursor:
        return cursor.execute(statement, values, prepare=True).fetchall()


@contextmanager
def _cursor() -> Iterator[psycopg.Cursor[TupleRow]]:
    """`django.db.connection` looks for the connection at each use; here it is asked for once."""
    db = connections[DEFAULT_DB_ALIAS]
    db.ensure_connection()
    with db.wrap_database_errors, psycopg.Cursor(db.connection) as cursor:
        yield cursor


def fetch(model: type[M], where: str, values: Mapping[str, Any]) -> M | None:
    """The first row of the model's table that fits, as objects.get() would make it; `where` may end in FOR UPDATE.

    For the rows that every request and step reads: composing such a query costs more than running it.
    """
    row = prepared(f"{_select(model)} WHERE {where}", values)
    return None if row is None else _read(model, row)


def _read(model: type[M], row: TupleRow) -> M:
    values = list(row)
    for n, read in _readers(model):
        values[n] = read(values[n], None, connection)
    return model.from_db(DEFAULT_DB_ALIAS, _names(model), values)


def insert(row: M) -> M:
    """Insert a new row whose key is already set, as save(force_insert=True) would."""
    prepared(insertion(type(row)), {"row": as_json(row)})
    inserted(row)
    return row


@functools.cache
def insertion(model: type[Model]) -> str:
    """An INSERT of the parameter `row`. It names the columns that this version knows: a newer one may have made others
    meanwhile, which have a default in the database."""
    table = model._meta.db_table
    columns = ", ".join(f'"{field.column}"' for field in model._meta.concrete_fields)
    return f"INSERT INTO {table} ({columns}) SELECT {columns} FROM json_populate_record(NULL::{table}, %(row)s::json)"


def as_json(row: Model) -> Json:
    """A new row as one value, for json_populate_record: a parameter for each of many columns would be bound anew each time."""
    return Json({f.column: f.pre_save(row, add=True) for f in row._meta.concrete_fields}, dumps=_dumps)


def inserted(row: Model) -> None:
    """Tell Django that the row is there."""
    row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS


def _dumps(columns: dict[str, Any]) -> str:
    return json.dumps(columns, default=_as_text)


def _as_text(value: Any) -> str:
    """As PostgreSQL reads it: a time or bytes."""
    return str(value.isoformat()) if isinstance(value, datetime) else f"\\x{bytes(value).hex()}"


def save(row: Model, names: Iterable[str]) -> None:
    """Write these fields of a row that is there and locked, as save(update_fields=names) would."""
    changed = tuple(names)
    prepared(_update(type(row), changed), {**values_of(row, changed), "pk": row.pk})


def values_of(row: Model, names: Iterable[str]) -> dict[str, Any]:
    """The parameters of `changes`."""
    fields = _by_name(type(row))
    return {f"s_{n}": fields[n].get_db_prep_save(getattr(row, fields[n].attname), connection) for n in names}


def changes(model: type[Model], names: Iterable[str]) -> str:
    """What stands after SET in an UPDATE of these fields."""
    return ", ".join(f'"{_by_name(model)[name].column}" = %(s_{name})s' for name in names)


@functools.cache
def _by_name(model: type[Model]) -> dict[str, Any]:
    return {field.name: field for field in model._meta.concrete_fields}


@functools.cache
def _update(model: type[Model], names: tuple[str, ...]) -> str:
    pk = model._meta.pk
    assert pk is not None
    return f"UPDATE {model._meta.db_table} SET {changes(model, names)} WHERE {pk.column} = %(pk)s"


@functools.cache
def _names(model: type[Model]) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields]


@functools.cache
def _select(model: type[Model]) -> str:
    columns = ", ".join(f'"{field.column}"' for field in model._meta.concrete_fields)
    return f"SELECT {columns} FROM {model._meta.db_table}"


@functools.cache
def _readers(model: type[Model]) -> list[tuple[int, Any]]:
    """What makes values of columns of their own kind, such as JSON, by their place."""
    fields = enumerate(model._meta.concrete_fields)
    return [(n, field.from_db_value) for n, field in fields if hasattr(field, "from_db_value")]


def one_after_the_other(name: str) -> None:
    """Whoever calls this with the same name waits for the end of the caller's transaction."""
    with _cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])


def give_back_connection() -> None:
    """Before a long wait for something else: the connections of a web process are few. Not inside a transaction."""
    if not connection.in_atomic_block:
        connection.close()
