"""Many callers at once over kept connections, with next to no work of their own."""

import asyncio
import time
from urllib.parse import urlsplit


def per_second(address: str, request: bytes, callers: int, seconds: float) -> float:
    """How many answers (200) came in a second to so many callers that always wait for one. Raises RuntimeError."""
    return asyncio.run(_per_second(address, request, callers, seconds))


def request(address: str, method: str, path: str, key: str = "", body: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: {urlsplit(address).netloc}\r\n"
    head += f"X-API-Key: {key}\r\n" if key else ""
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def _per_second(address: str, request: bytes, callers: int, seconds: float) -> float:
    begun = time.monotonic()
    async with asyncio.timeout(seconds + 30):
        counts = await asyncio.gather(*(_call(address, request, begun + seconds) for _ in range(callers)))
    return sum(counts) / (time.monotonic() - begun)


async def _call(address: str, request: bytes, until: float) -> int:
    place = urlsplit(address)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    done = 0
    while time.monotonic() < until:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        _, counted, rest = head.partition(b"content-length:")
        if counted:
            body = await reader.readexactly(int(rest.split(b"\r\n")[0]))
        else:
            body = await reader.readuntil(b"0\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n")[0]:
            raise RuntimeError(f"{request[:60]!r} answered {head[:40]!r} {body[:300]!r}")
        done += 1
    writer.close()
    return done
