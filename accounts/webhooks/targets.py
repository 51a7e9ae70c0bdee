"""Which addresses a webhook may go to (docs/api/events-and-webhooks.md, "Allowed targets").

Asked when an address is given, and again at each attempt, which then connects to the very address that was looked at.
"""

import ipaddress
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Any

import httpx
from django.conf import settings

from web.addresses import Address, is_global

LONGEST = 2048
_HOST = re.compile(r"[a-z0-9_.-]+\Z|[0-9a-f:.]+\Z")
_PRIVATE_ENDINGS = (".local", ".internal", ".localhost")
_TRANSLATED = tuple(ipaddress.IPv6Network(n) for n in ("64:ff9b::/96", "64:ff9b:1::/48"))


class TargetRefused(Exception):
    """Webhooks may not go there; the message says why."""


@dataclass(frozen=True)
class Target:
    """An address that was looked at. `addresses` is empty for a name that does not resolve."""

    url: httpx.URL
    addresses: tuple[Address, ...]


_looked_up: ContextVar[tuple[str, str | None] | None] = ContextVar("looked_up", default=None)


@contextmanager
def looked_up(url: Any) -> Iterator[None]:
    """Ask problem() now, for a transaction that follows: in there it waits for no name server. `url` is text, or nothing."""
    before = _looked_up.set((url, problem(url)) if isinstance(url, str) else None)
    try:
        yield
    finally:
        _looked_up.reset(before)


def problem(url: str) -> str | None:
    """Why webhooks may not be sent to `url`, in one sentence; None when they may."""
    before = _looked_up.get()
    if before is not None and before[0] == url:
        return before[1]
    try:
        check(url)
    except TargetRefused as refused:
        return str(refused)
    return None


def check(url: str) -> Target:
    """Look at the address and resolve its host: blocks while the name is looked up. Raises TargetRefused."""
    parsed = _parse(url)
    host = host_of(parsed)
    target = Target(parsed, tuple(_resolve(host, parsed.port)))
    own = _is_own(host)
    if _listed(host, target.addresses) or (own and settings.WEBHOOK_ALLOW_LOOPBACK):
        return target
    if own:
        raise TargetRefused("Must lead to a public address: WEBHOOK_ALLOW_LOOPBACK allows webhooks to this computer.")
    if parsed.scheme != "https":
        raise TargetRefused("Must be an https URL.")
    if host == "localhost" or host.endswith(_PRIVATE_ENDINGS) or not all(is_public(a) for a in target.addresses):
        raise TargetRefused("Must lead to a public address, or to one that WEBHOOK_ALLOWED_HOSTS names.")
    return target


def _parse(url: str) -> httpx.URL:
    """The parser is the sender's own, so both read the same host. Raises TargetRefused."""
    if len(url) > LONGEST:
        raise TargetRefused(f"Must have at most {LONGEST} characters.")
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise TargetRefused("Must be a valid URL.") from error
    if parsed.scheme not in ("http", "https") or not host_of(parsed):
        raise TargetRefused("Must be an https URL.")
    if not _HOST.match(host_of(parsed)) or (parsed.port is not None and not 0 < parsed.port < 65_536):
        raise TargetRefused("Must be a valid URL.")
    if parsed.userinfo:
        raise TargetRefused("Must not hold a user name or password.")
    return parsed


def host_of(url: httpx.URL) -> str:
    """The host in ASCII, without the dot that ends a full name."""
    return url.raw_host.decode().rstrip(".").lower()


def _listed(host: str, addresses: tuple[Address, ...]) -> bool:
    """Is the host, or every address of it, named by WEBHOOK_ALLOWED_HOSTS?"""
    allowed = {h.strip().lower() for h in settings.WEBHOOK_ALLOWED_HOSTS}
    return host in allowed or (bool(addresses) and all(any(_within(a, n) for n in allowed) for a in addresses))


def _within(address: Address, network: str) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _is_own(host: str) -> bool:
    """What WEBHOOK_ALLOW_LOOPBACK opens: localhost and loopback addresses written out, not names that lead there."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    carries = isinstance(address, IPv6Address) and (address.ipv4_mapped is not None or address.scope_id is not None)
    return address.is_loopback and not carries


def is_public(address: Address) -> bool:
    """Global unicast, and not an IPv6 form that carries an IPv4 address."""
    if isinstance(address, ipaddress.IPv6Address):
        carries = address.ipv4_mapped or address.sixtofour or address.teredo
        if carries or address.is_site_local or any(address in network for network in _TRANSLATED):
            return False
    return is_global(address)


def _resolve(host: str, port: int | None) -> list[Address]:
    """Every address of the host; a name that does not resolve has none (it fails at delivery)."""
    try:
        entries = socket.getaddrinfo(host, port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in entries))
