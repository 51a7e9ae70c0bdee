"""A receiver on loopback that webhooks may go to, and names that resolve as the test says."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.pages.conftest import visit  # noqa: F401  a fixture here too
from tests.webhooks.receivers import Receiver, receiving


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.WEBHOOK_ALLOW_LOOPBACK = True
    with receiving() as found:
        yield found


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """names(host="1.2.3.4") makes host names (with _ for . and -) resolve; all others do not."""
    known: dict[str, list[str]] = {}
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *args: Any, **more: Any) -> Any:
        name = (host.decode() if isinstance(host, bytes) else str(host)).lower()
        if name not in known:
            return real(host, port, *args, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV)
        return [
            entry for a in known[name] for entry in real(a, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)

    def tell(**hosts: str | list[str]) -> None:
        for name, addresses in hosts.items():
            known[name.replace("__", "-").replace("_", ".")] = [addresses] if isinstance(addresses, str) else addresses

    return tell
