"""Whose pages may get a secret: exact hosts, or `*.` before a domain for all that is below it, never the domain itself.

A host is compared as browsers write it: lower case, IDNA, no final dot. Ports do not count; the scheme does: https, or
http to this computer.
"""

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import urlsplit

import httpx

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\Z")
_SIGNS = re.compile(r"[\s/\\@?#%*:]")
_NUMBER = re.compile(r"0x[0-9a-f]*\Z|\d+\Z")
LONGEST = 253
WRONG = "Must be a host such as shop.example.com, or *.example.com for all hosts below example.com."


def as_compared(entry: str) -> str | None:
    """The entry of a secret's list as it is kept; None for what names no host: a scheme, a port, a path, a lone star."""
    text = entry.strip().removesuffix(".")
    wild = text.startswith("*.")
    host = _host(text.removeprefix("*.") if wild else text)
    if host is None or (wild and (_address(host) or "." not in host)):
        return None
    return f"*.{host}" if wild else host


def _host(text: str) -> str | None:
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" in inner:
        return _address(inner)
    host = _ascii(text)
    labels = host.split(".") if host else []
    if not host or len(host) > LONGEST or not all(map(_LABEL.match, labels)):
        return None
    # A browser takes a host that ends in a number for an address, whatever stands before it.
    return _address(host) if _NUMBER.match(labels[-1]) else host


def _ascii(text: str) -> str | None:
    if text.isascii():
        return text.lower()
    try:
        return httpx.URL(f"http://{text}/").raw_host.decode() if not _SIGNS.search(text) else None
    except (httpx.InvalidURL, UnicodeError):
        return None


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def allows(patterns: Collection[str], host: str) -> bool:
    """Whether the list holds this host, as compared. An address is below no domain."""
    names = [one[1:] for one in patterns if one.startswith("*.") and _address(host) is None]
    return host in patterns or any(host.endswith(name) and len(host) > len(name) for name in names)


def may_receive(patterns: Collection[str], origin: str) -> str | None:
    """Why a page of this origin may not get the secret, as a clause; None when it may. The origin is the browser's own
    word: `https://shop.example.com:8443`, or `null` for a page that has none.
    """
    parts = urlsplit(origin)
    host = _host(parts.hostname or "")
    if parts.scheme not in ("http", "https") or host is None:
        return "the page has no host of its own"
    if not allows(patterns, host):
        return f"{host} is not among its hosts"
    return None if parts.scheme == "https" or is_this_computer(host) else f"{host} is not read by https"


def is_this_computer(host: str) -> bool:
    address = _address(host)
    if address is not None:
        return ipaddress.ip_address(address).is_loopback
    return host == "localhost" or host.endswith(".localhost")
