"""Whose pages may get a secret: exact hosts, or `*.` before a domain for all that is below it, never the domain itself.

A host is compared as browsers write it: lower case, IDNA, no final dot. Ports do not count; the scheme does: https, or
http to this computer.
"""

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

import httpx

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\Z")
_NUMBER = re.compile(r"0x[0-9a-f]*\Z|\d+\Z")
LONGEST = 253
WRONG = "Must be a host such as shop.example.com, or *.example.com for all hosts below example.com."


def as_compared(entry: str) -> str | None:
    """The entry of a secret's list as it is kept; None for what names no host: a scheme, a port, a path, a lone star."""
    text = entry.strip().removesuffix(".")
    wild = text.startswith("*.")
    host = _host(text.removeprefix("*.") if wild else text)
    if host is None or (wild and (is_number(host) or "." not in host)):
        return None
    return f"*.{host}" if wild else host


def _host(text: str) -> str | None:
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    if ":" in text:
        try:
            return str(ipaddress.IPv6Address(text))
        except ValueError:
            return None
    if re.search(r"[\s/\\@?#%*]", text):
        return None
    if not text.isascii():
        try:
            text = httpx.URL(f"http://{text}/").raw_host.decode()
        except (httpx.InvalidURL, UnicodeError):
            return None
    host = text.lower()
    labels = host.split(".")
    if not host or len(host) > LONGEST or not all(map(_LABEL.match, labels)):
        return None
    if not _NUMBER.match(labels[-1]):
        return host
    try:  # a browser takes a host that ends in a number for an address, whatever stands before it
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        return None


def is_number(host: str) -> bool:
    """Is it an address and no name?"""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def allows(patterns: Iterable[str], host: str) -> bool:
    """Whether the list holds this host, as compared."""
    return any(
        host.endswith(one[1:]) and len(host) >= len(one) if one.startswith("*.") else host == one for one in patterns
    )


def may_receive(patterns: Iterable[str], origin: str) -> str | None:
    """Why a page of this origin may not get the secret, None when it may. The origin is the browser's own word:
    `https://shop.example.com:8443`, or `null` for a page that has none.
    """
    parts = urlsplit(origin)
    host = _host(f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or "")
    if parts.scheme not in ("http", "https") or host is None:
        return "a page without a host of its own"
    if not allows(patterns, host):
        return host
    return None if parts.scheme == "https" or is_this_computer(host) else f"{host} without https"


def is_this_computer(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
