"""The host of an address, as policies and browsers read it."""

import pytest

from machines.actions.canonical import ActionError, Screen, canonical
from machines.drivers.web_host import web_host

HOSTS = [
    ("http://shop.test", "shop.test"),
    ("HTTPS://Shop.TEST:8443/Pay?x=1#y", "shop.test"),
    ("http://shop.test./", "shop.test"),
    ("http://user:word@shop.test@pay.test/", "pay.test"),
    ("http://shop.test\\@other.test/", "shop.test"),
    ("http://shop.test#@other.test/", "shop.test"),
    ("http://shop.test?@other.test/", "shop.test"),
    ("http://bücher.test/", "xn--bcher-kva.test"),
    ("http://shop。test/", "shop.test"),
    ("http://2130706433:80/", "127.0.0.1"),
    ("http://0x7f.1/", "127.0.0.1"),
    ("http://127.1/", "127.0.0.1"),
    ("http://[0:0::1]:80/", "::1"),
    ("https://shop.test/" + "y" * 100_000, "shop.test"),
]
NO_HOSTS = [
    "", "shop.test", "http://", "http:///shop.test/", "http:shop.test", "http:\\\\shop.test", "file:///etc/hostname", "about:blank",
    "http://sh%6fp.test/", "http://shop .test/", "http://shop\t.test/", "http://[::1/", "http://[shop.test]/", "http://[::1]x/",
    "http://1.2.3.4.5/", "http://256.0.0.1/", "http://shop.test:x/", "http://ｓhop$.test/", "http://shop..", "data:text/html,x",
]  # fmt: skip


@pytest.mark.parametrize(("url", "host"), HOSTS)
def test_the_host_of_an_address(url: str, host: str) -> None:
    assert web_host(url) == host


@pytest.mark.parametrize("url", NO_HOSTS)
def test_what_names_no_plain_host_is_not_opened(url: str) -> None:
    assert web_host(url) is None
    with pytest.raises(ActionError):
        canonical("open_url", {"url": url}, Screen(1280, 720))
