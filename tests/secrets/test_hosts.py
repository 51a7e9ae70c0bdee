"""Whose pages may get a secret: how lists are read, and every trick with a name that is not the one."""

import pytest

from accounts.secrets.hosts import as_compared, may_receive

NO_HOST = "the page has no host of its own"


@pytest.mark.parametrize(
    ("entry", "kept"),
    [
        ("shop.example.com", "shop.example.com"), ("Shop.Example.COM.", "shop.example.com"), (" a.test ", "a.test"),
        ("*.Example.com", "*.example.com"), ("bücher.example", "xn--bcher-kva.example"), ("localhost", "localhost"),
        ("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("[::1]", "::1"), ("[2001:DB8::0:1]", "2001:db8::1"),
    ],
)  # fmt: skip
def test_a_host_is_kept_as_browsers_write_it(entry: str, kept: str) -> None:
    assert as_compared(entry) == kept


@pytest.mark.parametrize(
    "entry",
    [
        "", "*", "*.", "*.com", "*.*.com", "a.*.com", "*example.com", "https://example.com", "example.com:443", "example.com/x",
        "user@example.com", "a b.test", "exa mple.com", "-a.test", "a..test", ".example.com", "a" * 64 + ".test", "1.2.3",
        "256.1.1.1", "*.127.0.0.1", "0x7f.1", "example.com?x", "example.com#x", "a\\b", "%65xample.com", "null", "[::1", "*.::1",
        ".".join(["a" * 60] * 5),
    ],
)  # fmt: skip
def test_what_is_no_host_is_refused(entry: str) -> None:
    assert as_compared(entry) is None or entry == "null"


@pytest.mark.parametrize(
    ("listed", "origin"),
    [
        ("shop.test", "https://shop.test"), ("shop.test", "https://shop.test:8443"), ("*.shop.test", "https://a.shop.test"),
        ("*.shop.test", "https://a.b.shop.test"), ("127.0.0.1", "http://127.0.0.1:8160"), ("localhost", "http://localhost:3000"),
        ("::1", "http://[::1]:9"), ("app.localhost", "http://app.localhost"), ("shop.test", "https://SHOP.test"),
    ],
)  # fmt: skip
def test_a_listed_host_gets_it(listed: str, origin: str) -> None:
    assert may_receive([listed], origin) is None


@pytest.mark.parametrize(
    ("listed", "origin", "why"),
    [
        ("shop.test", "http://shop.test", "shop.test is not read by https"),  # on the way anybody reads it
        ("shop.test", "https://login.shop.test", "login.shop.test is not among its hosts"),
        ("*.shop.test", "https://shop.test", "shop.test is not among its hosts"),
        ("*.shop.test", "https://evilshop.test", "evilshop.test is not among its hosts"),
        ("*.shop.test", "https://a.shop.test.evil.test", "a.shop.test.evil.test is not among its hosts"),
        ("shop.test", "https://shop.test.evil.test", "shop.test.evil.test is not among its hosts"),
        ("shop.test", "https://shop-test", "shop-test is not among its hosts"),
        ("shop.test", "https://shop.test@evil.test", "evil.test is not among its hosts"),
        ("127.0.0.1", "http://127.0.0.2", "127.0.0.2 is not among its hosts"),
        ("localhost", "http://localhost.evil.test", "localhost.evil.test is not among its hosts"),
        ("*.shop.test", "null", NO_HOST),
        ("shop.test", "file://", NO_HOST),
        ("shop.test", "data:text/html,shop.test", NO_HOST),
        ("shop.test", "about:blank", NO_HOST),
        ("shop.test", "chrome://shop.test", NO_HOST),
        ("shop.test", "ftp://shop.test", NO_HOST),
        ("shop.test", "", NO_HOST),
        ("10.0.0.1", "http://10.0.0.1", "10.0.0.1 is not read by https"),
    ],
)  # fmt: skip
def test_nobody_else_does(listed: str, origin: str, why: str) -> None:
    assert may_receive([listed], origin) == why
