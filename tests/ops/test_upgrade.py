"""An upgrade while the release before is at work: its workers and web processes go on with the new tables.

A clone has no other release in it. So that release is here as the columns that it knows, written down when it was made; a
migration may only add to them, and what it adds must not be missed by who does not know of it.
"""

import ast
import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import connection, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import AlterField, DeleteModel, RemoveField, RenameField, RenameModel

from config.postgres import migrating
from tests.cast import Api
from tests.ops.test_up import ROOT
from tests.runs.driving import waiting

KNOWN: dict[str, dict[str, str]] = json.loads((Path(__file__).parent / "columns_of_0_1_0.json").read_text())
# What that release wrote with one statement that names no column: a new column of these is null, whatever its default.
WHOLE = frozenset({
    "accounts_idempotencyrecord", "approvals_approval", "approvals_decision", "approvals_vote", "machines_machine", "runs_run",
    "workflows_execution",
})  # fmt: skip
LAST = {  # the last migrations of that release
    "accounts": "0009", "approvals": "0008", "billing": "0004", "inference": "0004", "machines": "0006", "runs": "0012",
    "workflows": "0002",
}  # fmt: skip


def columns_now() -> dict[str, dict[str, tuple[str, bool, bool]]]:
    """Of each table: type, whether it may be null, whether the database has a default."""
    found: dict[str, dict[str, tuple[str, bool, bool]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod), NOT attnotnull,"
            " atthasdef OR attidentity <> '' FROM pg_attribute JOIN pg_class c ON c.oid = attrelid"
            " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped"
        )
        for table, name, kind, nullable, default in cursor.fetchall():
            found.setdefault(table, {})[name] = (kind.replace("character varying", "varchar"), nullable, default)
    return found


def test_every_column_of_the_release_before_is_still_there(db: None) -> None:
    now = columns_now()
    lost = [f"{t}.{c}" for t, columns in KNOWN.items() for c in columns if c not in now.get(t, {})]
    assert lost == []


def test_no_column_became_narrower(db: None) -> None:
    now = columns_now()
    for table, columns in KNOWN.items():
        for name, kind in columns.items():
            was, is_now = kind.replace(" CHECK", ""), now[table][name][0]
            assert _rank(is_now) >= _rank(was), f"{table}.{name}: {was} became {is_now}"


def _rank(kind: str) -> int:
    """Of texts their length; all else must only stay there."""
    return int(kind.partition("(")[2].partition(")")[0] or 10**9) if kind.startswith("varchar") else 0


def test_no_new_column_is_missed_by_who_does_not_know_of_it(db: None) -> None:
    missed = []
    for table, columns in columns_now().items():
        for name, (_, nullable, default) in columns.items():
            if table in KNOWN and name not in KNOWN[table] and not nullable and (table in WHOLE or not default):
                missed.append(f"{table}.{name}")
    assert missed == []


REMOVING = (DeleteModel, RemoveField, RenameField, RenameModel)


def test_no_new_migration_takes_anything_away() -> None:
    for (app, name), migration in MigrationLoader(None).disk_migrations.items():
        if name[:4] > LAST.get(app, "9999"):
            assert not [op for op in migration.operations if isinstance(op, REMOVING)], f"{app}.{name}"
            stricter = [op for op in migration.operations if isinstance(op, AlterField) and not op.field.null]
            assert not [op for op in stricter if isinstance(op.field, models.ForeignKey)], f"{app}.{name}"


def test_the_statements_of_the_release_before_still_write(test_key: Api) -> None:
    """A run as that release inserts it: with every column that it knows, and none by name."""
    run = waiting(test_key)["id"]
    with connection.cursor() as cursor:
        for table in ("runs_run", "approvals_approval"):
            column = "id" if table == "runs_run" else "run_id"
            cursor.execute(f"SELECT row_to_json(t) FROM {table} t WHERE {column} = %s", [run])
            row = {name: value for name, value in cursor.fetchone()[0].items() if name in KNOWN[table]}
            row |= {"id": f"{row['id'][:20]}{secrets.token_hex(4)}"}
            row |= {"status": "approved", "resolved_at": row["created_at"]} if column == "run_id" else {}
            statement = f"INSERT INTO {table} SELECT * FROM json_populate_record(NULL::{table}, %s::json)"
            cursor.execute(statement, [json.dumps(row)])
            assert cursor.rowcount == 1


def test_the_statements_of_this_release_name_their_columns() -> None:
    """So that the next one may add columns that are not null."""
    for app in (
        "accounts",
        "approvals",
        "billing",
        "inference",
        "machines",
        "runs",
        "workflows",
        "config",
        "database",
        "web",
    ):
        for path in (ROOT / app).rglob("*.py"):
            words = [n.value for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant)]
            assert not [w for w in words if isinstance(w, str) and "SELECT * FROM json_populate_record" in w], path


# --- migrations, one at a time


@pytest.fixture
def empty(database_url: str) -> Iterator[str]:
    """The address of a database without tables."""
    name, server = f"upgraded_{secrets.token_hex(6)}", urlsplit(database_url)
    with psycopg.connect(server._replace(path="/postgres").geturl(), autocommit=True) as own:
        own.execute(f"CREATE DATABASE {name}")
        yield server._replace(path=f"/{name}").geturl()
        own.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.slow
def test_several_that_start_at_once_migrate_once(empty: str, tmp_path: Path) -> None:
    environment = os.environ | {"DATABASE_URL": empty, "DATA_DIR": str(tmp_path)}
    environment |= {"DJANGO_SETTINGS_MODULE": "config.settings"}
    command = [sys.executable, str(ROOT / "manage.py"), "migrate", "-v", "1"]
    children = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    told = [child.communicate(timeout=300)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0, 0], told
    assert sum("Applying runs.0001_initial" in one for one in told) == 1
    assert sum("No migrations to apply" in one for one in told) == 2


def test_who_migrates_second_waits(transactional_db: None) -> None:
    inside, order = threading.Event(), []

    def second() -> None:
        inside.wait()
        with migrating.only_one_migrates():
            order.append("second")

    other = threading.Thread(target=second)
    other.start()
    with migrating.only_one_migrates(), migrating.own_connection() as own:
        inside.set()
        waiting_for = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while own.execute(waiting_for).fetchone() == (0,):
            pass
        order.append("first")
    other.join(30)
    assert order == ["first", "second"]


def test_a_migration_that_does_not_get_its_table_lets_others_through(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody reads a table for long: who migrates steps back and tries again, and nobody stands in the queue for ever."""
    monkeypatch.setattr(migrating, "LOCK_SECONDS", 0.1)
    monkeypatch.setattr(migrating, "PAUSE_SECONDS", 0.0)
    tries: list[Any] = []
    reader = migrating.own_connection()
    reader.execute("BEGIN")
    reader.execute("SELECT 1 FROM runs_worker").fetchall()

    def migrate() -> None:
        tries.append(1)
        if len(tries) == 3:
            reader.execute("COMMIT")
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE runs_worker ADD COLUMN later integer")
            cursor.execute("ALTER TABLE runs_worker DROP COLUMN later")

    migrating.patiently(migrate)
    reader.close()
    assert len(tries) == 3
