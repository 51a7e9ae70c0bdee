"""Which host a web address leads to. Policies are about hosts, so it has to be read exactly as a browser reads it."""

import re
import socket
from ipaddress import AddressValueError, IPv6Address

import httpx

_WEB = re.compile(r"https?://([^/?#\\]+)", re.IGNORECASE)  # to a browser, a backslash is a slash
_PORT = re.compile(r":\d*\Z")
_PLAIN = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\Z")
_NUMBER = re.compile(r"(?:.*\.)?(?:0x[0-9a-f]*|\d+)\Z")


def web_host(url: str) -> str | None:
    """The host of an http or https address: lower case, ASCII, without port and final dot, numbers as an IPv4 address.

    None for other addresses, and for hosts in spellings that a browser would not take as they stand.
    """
    match = _WEB.match(url)
    if match is None:
        return None
    place = match[1].rpartition("@")[2]
    return _v6(place) if place.startswith("[") else _named(_PORT.sub("", place))


def _v6(place: str) -> str | None:
    inner, closed, port = place[1:].partition("]")
    try:
        return str(IPv6Address(inner)) if closed and (not port or _PORT.fullmatch(port)) else None
    except AddressValueError:
        return None


def _named(name: str) -> str | None:
    if not name.isascii():
        try:
            name = httpx.URL(f"http://{name}/").raw_host.decode()
        except httpx.InvalidURL:
            return None
    host = name.lower().removesuffix(".")
    if not _PLAIN.match(host):
        return None
    if not _NUMBER.match(host):
        return host
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return None
