"""The only way out of a browser machine: an HTTP proxy that reaches public addresses and nothing else.

It resolves each name itself and connects to the very address it has checked, so neither a spelling of loopback
(2130706433, 127.1, ::ffff:127.0.0.1) nor a name that changes its mind between check and use gets through.
"""
# ruff: noqa: ASYNC240

import asyncio
import contextlib
import html
import ipaddress
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from web.addresses import Address, is_global

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

CONNECT_TIMEOUT = 10.0  # seconds
HEAD_LIMIT = 65_536  # bytes
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
REFUSAL_HEADER = "proxy-status"  # only on answers of this proxy itself (RFC 9209)
_HOP_HEADERS = ("connection:", "proxy-connection:", "proxy-authorization:", "keep-alive:", f"{REFUSAL_HEADER}:")


class Refused(Exception):
    """This proxy does not go there; the message is for the person at the browser."""


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet, looking through IPv6 forms that carry an IPv4 one."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None or address.is_site_local:
            return False
    return is_global(address)


def is_own(address: Address) -> bool:
    """Whether this computer itself has the address: it may be public, and our server may listen on it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((str(address), 9))
        return str(probe.getsockname()[0]) == str(address)
    return False


@dataclass(frozen=True)
class Rule:
    """One entry of MACHINE_ALLOWED_HOSTS: a name, or a network; on one port, or on all."""

    name: str
    network: Network | None
    port: int | None

    def allows(self, host: str, address: Address, port: int) -> bool:
        if self.port not in (None, port):
            return False
        if self.network is not None:
            return address in self.network
        return host.lower().rstrip(".") == self.name


def parse_rules(text: str) -> list[Rule]:
    """Read `host`, `host:port`, `address`, `[v6]:port`, `network/bits` entries, separated by commas."""
    rules = []
    for entry in filter(None, (part.strip().lower() for part in text.split(","))):
        match = re.fullmatch(r"\[(.+)\](?::(\d+))?|([^:]+):(\d+)|(.+)", entry)
        assert match is not None
        name = match[1] or match[3] or match[5]
        port = match[2] or match[4]
        try:
            network: Network | None = ipaddress.ip_network(name, strict=False)
        except ValueError:
            network = None
        rules.append(Rule(name, network, int(port) if port else None))
    return rules


class EgressProxy:
    def __init__(self, allowed: str) -> None:
        self.rules = parse_rules(allowed)

    async def listen(self, path: Path) -> asyncio.Server:
        path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._serve, str(path), limit=HEAD_LIMIT)
        path.chmod(0o600)
        return server

    def may_reach(self, host: str, address: Address, port: int) -> bool:
        if any(rule.allows(host, address, port) for rule in self.rules):
            return True
        return is_public(address) and not is_own(address)

    async def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a host that may be reached. Raises Refused, or OSError for an unknown name."""
        loop = asyncio.get_running_loop()
        infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        texts = list(dict.fromkeys(str(info[4][0]).split("%")[0] for info in infos))
        good = [text for text in texts if self.may_reach(host, ipaddress.ip_address(text), port)]
        if not good:
            raise Refused(f"{host}:{port} is not on the public internet.")
        return good

    async def connect(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        failure: OSError = OSError("no address")
        async with asyncio.timeout(CONNECT_TIMEOUT):
            for address in await self.addresses(host, port):
                try:
                    return await asyncio.open_connection(address, port, limit=HEAD_LIMIT)
                except OSError as error:
                    failure = error
        raise failure

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, target, _ = head.split("\r\n", 1)[0].split(" ", 2)
            if method == "CONNECT":
                await self._tunnel(target, reader, writer)
            else:
                await self._forward(head, reader, writer)
        except Refused as refusal:
            await _answer(writer, 403, "Not reachable from this machine", str(refusal))
        except TimeoutError:
            await _answer(writer, 504, "The site does not answer", "It did not take the connection in time.")
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            await _answer(writer, 502, "The site cannot be reached", str(error) or type(error).__name__)
        finally:
            writer.close()

    async def _tunnel(self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parts = urlsplit(f"//{target}")
        far_reader, far_writer = await self.connect(_host(parts.hostname), parts.port or 443)
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            far_writer.close()

    async def _forward(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One plain HTTP request; both connections end with its answer."""
        request, *headers = head.rstrip("\r\n").split("\r\n")
        method, target, version = request.split(" ", 2)
        parts = urlsplit(target)
        if parts.scheme != "http":
            raise Refused(f"{parts.scheme or 'This'} is no address of the web.")
        length = next((int(line[15:]) for line in headers if line.lower().startswith("content-length:")), 0)
        far_reader, far_writer = await self.connect(_host(parts.hostname), parts.port or 80)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            far_writer.write(_head(f"{method} {path} {version}", headers))
            body = asyncio.create_task(_pump(reader, far_writer, length))
            await self._answer_of(far_reader, writer)
            body.cancel()
        finally:
            far_writer.close()

    async def _answer_of(self, far_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            status, *headers = (await far_reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip("\r\n").split("\r\n")
            final = not status.split(" ", 2)[1].startswith("1")
            writer.write(_head(status, headers) if final else "\r\n".join([status, *headers, "", ""]).encode("latin-1"))
            if final:
                break
        await _pump(far_reader, writer)


def _host(name: str | None) -> str:
    if not name:
        raise Refused("The address names no host.")
    return name


def _head(first: str, headers: list[str]) -> bytes:
    kept = [line for line in headers if not line.lower().startswith(_HOP_HEADERS)]
    return "\r\n".join([first, *kept, "Connection: close", "", ""]).encode("latin-1")


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, length: int | None = None) -> None:
    """Carry bytes until the end, or `length` of them (then the other side stays open)."""
    left = length
    with contextlib.suppress(OSError):
        while left != 0 and (data := await reader.read(1 << 18 if left is None else min(left, 1 << 18))):
            writer.write(data)
            await writer.drain()
            left = None if left is None else left - len(data)
        if length is None and writer.can_write_eof():
            writer.write_eof()


async def _answer(writer: asyncio.StreamWriter, status: int, title: str, reason: str) -> None:
    page = (
        f"<!doctype html><meta charset=utf-8><title>{html.escape(title)}</title>"
        "<body style='font:16px sans-serif;margin:4rem auto;max-width:36rem'>"
        f"<h1>{html.escape(title)}</h1><p>{html.escape(reason)}</p>"
    ).encode()
    head = f"HTTP/1.1 {status} Refused\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(page)}\r\n"
    head += f"{REFUSAL_HEADER}: countersign\r\n"
    with contextlib.suppress(OSError):
        writer.write(f"{head}Cache-Control: no-store\r\nConnection: close\r\n\r\n".encode() + page)
        await writer.drain()
