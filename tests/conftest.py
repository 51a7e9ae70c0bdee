"""The PostgreSQL of the tests: one throw-away server per session, shared by all xdist workers.

With DATABASE_URL given that server is used and none is started. Fixtures about people and runs live in tests/cast.py.
"""

import functools
import gc
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import connection, transaction
from django.test import TransactionTestCase

from config.postgres import Postgres

SERVER = pytest.StashKey[Postgres]()
KEPT = {"django_content_type", "auth_permission"}  # what migrations leave

pytest_plugins = ["tests.cast"] if importlib.util.find_spec("tests.cast") else []


def pytest_configure(config: pytest.Config) -> None:
    """The controller starts the server; workers inherit its address by environment (tests/settings.py)."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each worker and each child process compiles everything anew
    sys.dont_write_bytecode = False
    folder = os.environ.get("COUNTERSIGN_TEST_SERVER")
    if folder and not hasattr(config, "workerinput"):
        config.stash[SERVER] = Postgres(Path(folder), fast=True)
        config.stash[SERVER].start()


def pytest_unconfigure(config: pytest.Config) -> None:
    if SERVER in config.stash:
        config.stash[SERVER].stop()


def pytest_collection_finish() -> None:
    """Thousands of tests and all modules stay until the end: no need to look through them for garbage again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(scope="session", autouse=True)
def _quickly_emptied() -> Iterator[None]:
    """After a test with transactions of its own Django truncates all tables, 140 ms; to delete the few rows takes one."""
    with pytest.MonkeyPatch.context() as patch:
        slowly = TransactionTestCase._fixture_teardown
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda case: _empty_tables() or slowly(case))
        yield


def _empty_tables() -> bool:
    """Without triggers: neither foreign keys nor the ledger, which refuses to forget, are asked. False: we may not."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT has_parameter_privilege(current_user, 'session_replication_role', 'SET')")
        if cursor.fetchone() != (True,):
            return False
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("; ".join(f'DELETE FROM "{name}"' for name in _tables()))
    return True


@functools.cache
def _tables() -> list[str]:
    names = connection.introspection.django_table_names(only_existing=True, include_views=False)
    return sorted(set(names) - KEPT)


@pytest.fixture
def database_url(transactional_db: None) -> str:
    """The address of this worker's test database, for child processes: they see committed rows only."""
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
