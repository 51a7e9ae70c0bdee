"""Carries plans out: with the thread that asks, or on an event loop without a thread for each wait."""

import asyncio
import http.client
import io
import json
import os
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from urllib.parse import SplitResult, urlsplit

from countersign.errors import CountersignError
from countersign.exchange import CUTS, Answer, Call, Pause, Plan, T

MOST_BYTES = 64 * 2**20  # of an answer
USER_AGENT = "countersign-python/1"


@dataclass(frozen=True)
class Server:
    """Where requests go, and the key they are asked with. `url` is without /v1."""

    url: str
    key: str

    @classmethod
    def named(cls, url: str | None, key: str | None) -> "Server":
        """What is not given is COUNTERSIGN_URL and COUNTERSIGN_API_KEY of the environment. Raises CountersignError."""
        url = (url or os.environ.get("COUNTERSIGN_URL", "")).rstrip("/").removesuffix("/v1")
        key = (key or os.environ.get("COUNTERSIGN_API_KEY", "")).strip()
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
            raise CountersignError(
                "COUNTERSIGN_URL must be the address of the server, such as https://countersign.example."
            )
        if not key or not key.isascii() or not key.isprintable():
            raise CountersignError("COUNTERSIGN_API_KEY must be a key with the scope approvals:request.")
        return cls(url, key)

    def run(self, plan: Plan[T]) -> T:
        """What the plan returns, carried out by this thread."""
        move = partial(plan.send, None)
        while True:
            try:
                step = move()
            except StopIteration as end:
                return cast(T, end.value)
            try:
                move = partial(plan.send, self._taken(step))
            except CUTS as cut:
                move = partial(plan.throw, cut)

    async def arun(self, plan: Plan[T]) -> T:
        """What the plan returns, carried out on this event loop; to cancel the task ends the wait at once."""
        move = partial(plan.send, None)
        while True:
            try:
                step = move()
            except StopIteration as end:
                return cast(T, end.value)
            try:
                move = partial(plan.send, await self._ataken(step))
            except CUTS as cut:
                move = partial(plan.throw, cut)

    def _taken(self, step: Call | Pause) -> Answer | None:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        return self._send(step)

    async def _ataken(self, step: Call | Pause) -> Answer | None:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        parts = urlsplit(self.url)
        if urllib.request.getproxies().get(parts.scheme) and not urllib.request.proxy_bypass(parts.hostname or ""):
            return await asyncio.to_thread(self._send, step)
        async with asyncio.timeout(step.seconds):
            return await self._asend(step, parts)

    def _send(self, call: Call) -> Answer:
        request = urllib.request.Request(  # noqa: S310  Server.named() lets http and https pass, nothing else
            self.url + call.path, _bytes(call), self._headers(call), method=call.method
        )
        try:
            with _OPENER.open(request, timeout=call.seconds) as response:
                return _answer(response)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return _answer(refusal)
        except urllib.error.URLError as error:
            raise error.reason if isinstance(error.reason, OSError) else error from None

    async def _asend(self, call: Call, parts: SplitResult) -> Answer:
        """One connection for each call: the thousand waits of a program need no thousand threads."""
        tls = ssl.create_default_context() if parts.scheme == "https" else None
        port = parts.port or (443 if tls else 80)
        reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=tls)
        try:
            writer.write(_request_bytes(call, parts, self._headers(call)))
            await writer.drain()
            received = await _all_of(reader)
        finally:
            writer.close()
        response = http.client.HTTPResponse(cast(Any, _Received(received)), method=call.method)
        response.begin()
        return _answer(response)

    def _headers(self, call: Call) -> dict[str, str]:
        sent = {"X-API-Key": self.key, "Accept": "application/json", "User-Agent": USER_AGENT, **call.headers}
        return sent | {"Content-Type": "application/json"} if call.body is not None else sent


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would take the key to another host: it is a refusal."""

    def redirect_request(self, *args: Any, **more: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


class _Received:
    """What http.client wants of a socket: a file to read an answer from."""

    def __init__(self, received: bytes) -> None:
        self.received = received

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self.received)


def _bytes(call: Call) -> bytes | None:
    """Raises ValueError for what JSON does not know, such as NaN."""
    return None if call.body is None else json.dumps(call.body, allow_nan=False).encode()


def _request_bytes(call: Call, parts: SplitResult, headers: dict[str, str]) -> bytes:
    body = _bytes(call) or b""
    host = (parts.hostname or "") if ":" not in (parts.hostname or "") else f"[{parts.hostname}]"
    address = f"{host}:{parts.port}" if parts.port else host
    sent = {"Host": address, **headers, "Connection": "close", "Content-Length": str(len(body))}
    lines = [f"{call.method} {parts.path}{call.path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _all_of(reader: asyncio.StreamReader) -> bytes:
    received = bytearray()
    while part := await reader.read(65536):
        received += part
        if len(received) > MOST_BYTES:
            raise http.client.HTTPException("the answer is too large")
    return bytes(received)


def _answer(response: http.client.HTTPResponse | urllib.error.HTTPError) -> Answer:
    body = response.read()  # without a number, which would take half an answer for a whole one
    return Answer(response.status or 0, {name.lower(): value for name, value in response.headers.items()}, body)
