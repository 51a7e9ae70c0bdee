"""The PostgreSQL of the tests: one throw-away server per session, shared by all xdist workers.

With DATABASE_URL given that server is used and none is started. Fixtures about people and runs live in tests/cast.py.
"""

import importlib.util
import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import connection

from config.postgres import Postgres

SERVER = pytest.StashKey[Postgres]()

pytest_plugins = ["tests.cast"] if importlib.util.find_spec("tests.cast") else []


def pytest_configure(config: pytest.Config) -> None:
    """The controller starts the server; workers inherit its address by environment (tests/settings.py)."""
    folder = os.environ.get("COUNTERSIGN_TEST_SERVER")
    if folder and not hasattr(config, "workerinput"):
        config.stash[SERVER] = Postgres(Path(folder), fast=True)
        config.stash[SERVER].start()


def pytest_unconfigure(config: pytest.Config) -> None:
    if SERVER in config.stash:
        config.stash[SERVER].stop()


@pytest.fixture
def database_url(transactional_db: None) -> str:
    """The address of this worker's test database, for child processes: they see committed rows only."""
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
