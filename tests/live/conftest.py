"""A team with a key, and the hub closed after each test: its connections would keep the database from being dropped."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections
from django.test import AsyncClient

from accounts import sockets
from accounts.models import Team
from database.listening import Listener
from runs.live.hub import Hub
from tests.at_once import close_connections
from tests.live import logs
from tests.live.reading import Streams
from tests.live.web_process import client, web  # noqa: F401  fixtures


@pytest.fixture
async def hub(transactional_db: None) -> AsyncIterator[Hub]:
    """The hub of the test's event loop; what ran in Django's threads gives its connections back too."""
    yield Hub.here()
    await Listener.here().close()
    await sync_to_async(connections.close_all)()
    await asyncio.to_thread(close_connections, sockets.threads)


@pytest.fixture
def team(transactional_db: None) -> Team:
    return logs.new_team()


@pytest.fixture
def key(team: Team) -> str:
    return logs.new_key(team)


@pytest.fixture
def streams(hub: Hub, key: str) -> Streams:
    return Streams(AsyncClient(), key)


@pytest.fixture
def fast_keepalive(settings: Any) -> None:
    settings.SSE_KEEPALIVE_SECONDS = 0.2


@pytest.fixture
def backends(transactional_db: None) -> Iterator[Any]:
    """backends(name): the server's processes that serve our connections of that name."""

    def find(name: str) -> list[int]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pid FROM pg_stat_activity WHERE application_name = %s", [f"countersign-{name}"])
            return [row[0] for row in cursor.fetchall()]

    return find
