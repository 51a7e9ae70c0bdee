"""The PostgreSQL of the tests: one throw-away server per session, shared by all xdist workers.

With DATABASE_URL given that server is used and none is started. Fixtures about people and runs live in tests/cast.py.
"""

import fcntl
import functools
import gc
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_django
from django.conf import settings
from django.db import connection, transaction
from django.test import TransactionTestCase

from config.postgres.server import Postgres
from tests import under_locks
from tests.chromium import absence

SERVER = pytest.StashKey[Postgres]()
TEMPLATE = "countersign_migrated"
KEPT = {"django_content_type", "auth_permission"}  # what migrations leave

pytest_plugins = ["tests.cast"] if importlib.util.find_spec("tests.cast") else []


def pytest_configure(config: pytest.Config) -> None:
    """The controller starts the server; workers inherit its address by environment (tests/settings.py)."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each worker and each child process compiles everything anew
    sys.dont_write_bytecode = False
    under_locks.install()
    folder = os.environ.get("COUNTERSIGN_TEST_SERVER")
    if folder and not hasattr(config, "workerinput"):
        config.stash[SERVER] = Postgres(Path(folder), fast=True)
        config.stash[SERVER].start()


def pytest_unconfigure(config: pytest.Config) -> None:
    if SERVER in config.stash:
        config.stash[SERVER].stop()


def left_out() -> dict[str, str]:
    """Marks of tests that say nothing about this computer and this user, and why: they are not skipped, they do not apply."""
    reasons = {
        "root": "" if os.geteuid() == 0 else "we are not root",
        "tmux": shutil.which("tmux") or "tmux is not installed",
    }
    return {mark: reason for mark, reason in reasons.items() if reason and not reason.startswith("/")}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What needs a Chromium is skipped where there is none and none can be fetched; what is about others is left out."""
    others = {item for item in items if any(item.get_closest_marker(name) for name in left_out())}
    config.hook.pytest_deselected(items=list(others))
    items[:] = [item for item in items if item not in others]
    browsing = [item for item in items if item.get_closest_marker("browser")]
    if browsing and not config.option.collectonly and (reason := absence()):
        for item in browsing:
            item.add_marker(pytest.mark.skip(reason=f"no Chromium: {reason}"))


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """What was skipped, by name and counted: a suite that left something out says so in its last lines."""
    for mark, reason in left_out().items():
        terminalreporter.write_line(f"Left out: tests about {mark}, because {reason}.")
    skipped = terminalreporter.stats.get("skipped", [])
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        terminalreporter.write_line(f"SKIPPED {report.nodeid}: {reason.removeprefix('Skipped: ')}")
    if skipped:
        terminalreporter.write_line(f"{len(skipped)} skipped, so this was not the whole suite.", yellow=True, bold=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where everything must be there (.ci/run) a skipped test is a failed suite."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if (
        os.environ.get("NOTHING_SKIPPED") == "1"
        and reporter
        and reporter.stats.get("skipped")
        and not session.exitstatus
    ):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_collection_finish() -> None:
    """Thousands of tests and all modules stay until the end: no need to look through them for garbage again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, django_db_blocker: pytest_django.DjangoDbBlocker
) -> None:
    """On a server of our own only the first worker migrates a database; each then copies that one."""
    if "COUNTERSIGN_TEST_SERVER" not in os.environ or "PYTEST_XDIST_WORKER" not in os.environ:
        return
    with django_db_blocker.unblock(), Path(os.environ["DATA_DIR"], "migrated").open("a+", encoding="utf-8") as done:
        fcntl.flock(done, fcntl.LOCK_EX)
        if not os.fstat(done.fileno()).st_size:
            _migrate_template()
            done.write("yes")
    connection.settings_dict["TEST"]["TEMPLATE"] = TEMPLATE


def _migrate_template() -> None:
    names = connection.settings_dict["NAME"], connection.settings_dict["TEST"]["NAME"]
    connection.settings_dict["TEST"]["NAME"] = TEMPLATE
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    connection.close()
    settings.DATABASES[connection.alias]["NAME"], connection.settings_dict["TEST"]["NAME"] = names
    connection.settings_dict["NAME"] = names[0]


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
    return _test_database()


@pytest.fixture(scope="module")
def database_url_of_module(django_db_setup: None) -> str:
    """The same, for a child process that several tests share."""
    return _test_database()


def _test_database() -> str:
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
