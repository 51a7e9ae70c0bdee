"""A stub of the server, and what people do there."""

from collections.abc import Iterator

import pytest
from countersign import AsyncClient, Client

from tests.clients.stub import KEY, Stub, serving


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    """Named by the environment, as programs find their server; without proxies, and with pauses that are short."""
    with serving() as server:
        monkeypatch.setenv("COUNTERSIGN_URL", server.url)
        monkeypatch.setenv("COUNTERSIGN_API_KEY", KEY)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr("countersign.exchange.MOST_PAUSE", 0.02)
        yield server


@pytest.fixture
def client(stub: Stub) -> Client:
    return Client()


@pytest.fixture
def aclient(stub: Stub) -> AsyncClient:
    return AsyncClient()
