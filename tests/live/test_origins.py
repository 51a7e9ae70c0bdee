"""Which origins may open a websocket: ours, port included. No browser, no database."""

from typing import Any

import pytest

from config.server.origins import is_own

OURS = [
    ("http://localhost:8000", "localhost:8000"),
    ("http://localhost", "localhost"),
    ("http://LOCALHOST:80", "localhost"),
    ("http://[::1]:8000", "[::1]:8000"),
    ("http://127.0.0.1:8000", "127.0.0.1:8000"),
    ("https://agents.example.com", "localhost:8000"),  # a proxy that passes no name on: PUBLIC_URL names the pages
    ("https://other.example.com:8443", "localhost:8000"),
    ("https://a.sub.example.com", "localhost:8000"),
]
OTHERS = [
    ("https://elsewhere.example", "localhost"),
    ("http://localhost:9000", "localhost:8000"),  # another program of this computer: the browser sends it our cookies
    ("http://localhost", "localhost:8000"),
    ("http://localhost:8000", "localhost"),
    ("http://localhost:80", "localhost:443"),
    ("https://localhost", "localhost"),
    ("http://127.0.0.1:8000", "localhost:8000"),
    ("http://localhost.evil.test:8000", "localhost:8000"),
    ("http://evil.test:8000", "evil.test:8000"),  # a name that leads here, but is none of ours
    ("http://agents.example.com", "localhost:8000"),
    ("https://agents.example.com:8443", "localhost:8000"),
    ("https://x.agents.example.com", "localhost:8000"),
    ("https://other.example.com", "localhost:8000"),
    ("https://sub.example.com", "localhost"),
    ("https://evilsub.example.com", "localhost"),
    ("null", "localhost"), ("", "localhost"), ("file://", "localhost"), ("localhost", "localhost"),
    ("ftp://localhost", "localhost"), ("http://localhost:x", "localhost"), ("http://user@localhost", "localhost"),
    ("http://localhost/path", "localhost"), ("http://localhost?x", "localhost"), ("http://[::1", "localhost"),
    ("http://localhost:8000", ""), ("http://", ""), (None, "localhost"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def behind_a_proxy(settings: Any) -> None:
    settings.PUBLIC_URL = "https://agents.example.com"
    settings.CSRF_TRUSTED_ORIGINS = ["https://other.example.com:8443", "https://*.sub.example.com"]


def scope(origin: str | None, host: str, scheme: str = "ws") -> dict[str, Any]:
    named = [] if origin is None else [(b"origin", origin.encode())]
    return {"headers": [(b"host", host.encode()), *named], "scheme": scheme}


@pytest.mark.parametrize(("origin", "host"), OURS)
def test_our_own_pages_open_sockets(origin: str, host: str) -> None:
    assert is_own(scope(origin, host))


@pytest.mark.parametrize(("origin", "host"), OTHERS)
def test_no_other_page_does(origin: str | None, host: str) -> None:
    assert not is_own(scope(origin, host))


def test_by_tls_the_page_came_by_tls(settings: Any) -> None:
    assert is_own(scope("https://localhost", "localhost", "wss"))
    assert not is_own(scope("http://localhost", "localhost", "wss"))


def test_who_names_no_origin_is_no_page_of_ours_even_where_every_name_is(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    assert not is_own(scope(None, "localhost"))
    assert not is_own(scope("http://localhost:9000", "localhost:8000"))
    assert is_own(scope("http://any.test:8000", "any.test:8000"))
