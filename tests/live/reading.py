"""Reading streams as a client does: byte for byte into blocks."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.test import AsyncClient


@dataclass(frozen=True)
class Block:
    id: int
    event: str
    data: dict[str, Any]
    raw: bytes


PLAIN, ENVELOPED = (b"id", b"event", b"data"), (b"event", b"data", b"id")  # the lines of a block, in order


def block_of(raw: bytes) -> Block:
    """Exactly id, event, data, each one line, in the order of the plain stream or of envelopes."""
    lines = dict(line.split(b": ", 1) for line in raw.split(b"\n"))
    assert tuple(lines) == (ENVELOPED if lines[b"event"] == b"run_event" else PLAIN)
    assert raw.count(b"\n") == 2
    assert not set("\r\x85\u2028\u2029") & set(raw.decode())
    data = json.loads(lines[b"data"])
    assert json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() == lines[b"data"]
    return Block(int(lines[b"id"]), lines[b"event"].decode(), data, raw)


async def parts(chunks: AsyncIterator[bytes]) -> AsyncIterator[Block | str]:
    """Blocks and comments of a stream."""
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n\n")
        for raw in whole:
            yield raw.decode() if raw.startswith(b":") else block_of(raw)
    assert rest == b""


@dataclass(frozen=True)
class Streams:
    client: AsyncClient
    key: str

    async def open(self, path: str, **headers: str) -> Any:
        return await self.client.get(f"/v1/runs/{path}", headers={"X-API-Key": self.key} | headers)

    async def live(self, path: str, **headers: str) -> AsyncIterator[Block | str]:
        response = await self.open(path, **headers)
        assert response.status_code == 200, response.content
        return parts(aiter(response.streaming_content))

    async def all(self, path: str, **headers: str) -> list[Block]:
        """Every block of a stream that is expected to close."""
        async with asyncio.timeout(10):
            return [part async for part in await self.live(path, **headers) if isinstance(part, Block)]

    async def page(self, path: str, **headers: str) -> dict[str, Any]:
        response: HttpResponse = await self.open(path, **headers)
        assert response.status_code == 200, response.content
        body: dict[str, Any] = response.json()
        return body


async def first(stream: AsyncIterator[Block | str], kind: type | tuple[type, ...] = Block, seconds: float = 5) -> Any:
    """The next block (or comment) of an open stream."""
    async with asyncio.timeout(seconds):
        while True:
            part = await anext(stream)
            if isinstance(part, kind):
                return part


async def leave(stream: AsyncIterator[Block | str]) -> None:
    """Go while the server waits for something to send: it cancels what it does for us."""
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.wait([waiting])
    await asyncio.sleep(0.05)
