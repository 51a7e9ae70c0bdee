"""The database in a backup: rows of each table as PostgreSQL copies them, in one snapshot, and back in one transaction.

Tables are not dumped with their form: a restore makes them by the migrations that the backup names, fills them, and goes on with
the newer ones. So a backup fits any version of PostgreSQL, and a file can hold rows only, never statements.
"""

from collections.abc import Iterable, Iterator
from typing import Any, LiteralString

import psycopg
from django.apps import apps
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from psycopg import sql

from config.backup.errors import Damaged

# What is not taken along. Sessions: whoever was signed out since must not be signed in again by a restore.
LEFT_OUT = frozenset({
    "django_migrations", "django_session", "django_q_ormq", "django_q_task", "django_q_schedule", "accounts_ratewindow",
    "runs_worker", "axes_accessattempt", "axes_accessattemptexpiration", "axes_accessfailurelog", "axes_accesslog",
})  # fmt: skip
_PATIENT: LiteralString = (
    "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET lock_timeout = '60s'"
)
_COLUMNS = """
SELECT attname, attidentity <> '' FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""
_TRIGGERED = """
SELECT DISTINCT tgfoid::regprocedure::text FROM pg_trigger WHERE NOT tgisinternal AND tgrelid IN (
  SELECT oid FROM pg_class WHERE relname = ANY(%s) AND relnamespace = current_schema()::regnamespace)
"""
Names = set[tuple[str, str]]


def our_tables() -> list[str]:
    """Every table of the product and of what it stands on."""
    models = apps.get_models(include_auto_created=True)
    return sorted({m._meta.db_table for m in models if m._meta.managed and not m._meta.proxy})


class Snapshot:
    """One moment of the database, read while everybody goes on writing."""

    def __init__(self, own: psycopg.Connection[Any]) -> None:
        own.execute(_PATIENT)
        own.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        self._own = own
        there = {row[0] for row in own.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")}
        numbered = {t: own.execute(_COLUMNS, [t]).fetchall() for t in our_tables() if t in there - LEFT_OUT}
        self.tables = {table: [name for name, _ in columns] for table, columns in numbered.items()}
        self.sequences = {t: self._last_values(t, [n for n, counts in of if counts]) for t, of in numbered.items()}
        self.migrations = sorted(own.execute("SELECT app, name FROM django_migrations").fetchall())

    def _last_values(self, table: str, columns: Iterable[str]) -> dict[str, int]:
        query = "SELECT pg_sequence_last_value(pg_get_serial_sequence(%s, %s))"
        last = {column: self._own.execute(query, [table, column]).fetchone() for column in columns}
        return {column: int(row[0]) for column, row in last.items() if row and row[0] is not None}

    def rows(self, table: str) -> Iterator[bytes]:
        columns = sql.SQL(", ").join(map(sql.Identifier, self.tables[table]))
        with self._own.cursor().copy(sql.SQL("COPY {} ({}) TO STDOUT").format(sql.Identifier(table), columns)) as copy:
            yield from map(bytes, copy)

    def queue(self) -> list[str]:
        """The queued tasks as django-q2 keeps them."""
        return self.column("SELECT payload FROM django_q_ormq ORDER BY id")

    def column(self, query: LiteralString) -> list[str]:
        return [row[0] for row in self._own.execute(query).fetchall()]


def unknown_migrations(names: Names) -> Names:
    """Those that this version does not have: a newer one made the backup."""
    return names - set(MigrationExecutor(None).loader.disk_migrations)


def filled() -> list[str]:
    """Tables of ours that hold something that an empty installation does not."""
    there = set(connection.introspection.table_names())
    made_by_migrations = {"django_content_type", "auth_permission", *LEFT_OUT}
    with connection.cursor() as cursor:

        def holds(table: str) -> bool:
            cursor.execute(sql.SQL("SELECT EXISTS (SELECT 1 FROM {})").format(sql.Identifier(table)))
            return bool(cursor.fetchone()[0])

        return [table for table in our_tables() if table in there - made_by_migrations and holds(table)]


def others_connected() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
        return int(cursor.fetchone()[0])


def drop_all() -> None:
    """Our tables and the functions of their triggers; whatever else lies in the schema stays. Inside the transaction that
    fills it anew."""
    tables = [*our_tables(), "django_migrations"]
    with connection.cursor() as cursor:
        cursor.execute(_TRIGGERED, [tables])
        functions = [
            row[0] for row in cursor.fetchall()
        ]  # as PostgreSQL itself writes them: quoted where that is needed
        names = sql.SQL(", ").join(map(sql.Identifier, tables))
        cursor.execute(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(names))
        for function in functions:
            cursor.execute(f"DROP FUNCTION {function}")


def migrate_to(names: Names) -> None:
    """Make the tables as they were where exactly these migrations had run."""
    executor = MigrationExecutor(connection)
    nodes = executor.loader.graph.nodes
    chosen = [name for name in names if name in nodes]
    followed = {parent.key for name in chosen for parent in executor.loader.graph.node_map[name].parents}
    last = [name for name in chosen if not any(p == name for p in followed)]
    executor.migrate(sorted(last))


def migrate_on() -> None:
    """Bring them to this version."""
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


class Loading:
    """Fills the tables in the caller's transaction; rows arrive in any number of pieces, table after table."""

    def __init__(self, tables: dict[str, list[str]], sequences: dict[str, dict[str, int]]) -> None:
        existing = {table: self._columns(table) for table in our_tables() if table in _existing()}
        for table, columns in tables.items():
            if table in LEFT_OUT or not set(columns) <= existing.get(table, set()) or not columns:
                raise Damaged(f"The backup holds rows of a table that its version does not have: {table[:63]}.")
        self.tables, self.sequences = tables, sequences
        self._finished: set[str] = set()
        everything = sql.SQL(", ").join(map(sql.Identifier, sorted(existing)))
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("TRUNCATE {}").format(everything))

    @staticmethod
    def _columns(table: str) -> set[str]:
        with connection.cursor() as cursor:
            cursor.execute(_COLUMNS, [f'"{table}"'])
            return {row[0] for row in cursor.fetchall()}

    def fill(self, table: str, data: Iterable[bytes]) -> None:
        """Raises Damaged for a table that comes twice or is not in the manifest, and for rows that do not fit."""
        if table not in self.tables or table in self._finished:
            raise Damaged(f"The backup holds rows where none belong: {table[:63]}.")
        self._finished.add(table)
        columns = sql.SQL(", ").join(map(sql.Identifier, self.tables[table]))
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), columns)
        try:
            with connection.connection.cursor() as cursor, cursor.copy(statement) as copy:
                for some in data:
                    copy.write(some)
        except psycopg.DataError as error:
            raise Damaged(f"The backup holds rows that {table} does not take: {_first_line(error)}") from error

    def finish(self) -> None:
        """Sequences go on where they were; whatever a row refers to must be there."""
        with connection.cursor() as cursor:
            for table, of in self.sequences.items():
                for column, last in of.items():
                    if table in self.tables and column in self.tables[table] and 0 < last < 2**63 - 1:
                        cursor.execute("SELECT setval(pg_get_serial_sequence(%s, %s), %s)", [table, column, last])
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def _existing() -> set[str]:
    return set(connection.introspection.table_names())


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
