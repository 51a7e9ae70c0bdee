"""A small client for the Chrome DevTools Protocol, on one websocket over a unix socket."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from machines.drivers import storable
from machines.drivers.base import MachineGone
from machines.drivers.within import within

T = TypeVar("T")
Params = dict[str, Any]
EventHandler = Callable[[str, Params, str], None]  # method, params, session ("" = the browser itself)
LARGEST_MESSAGE = 64 << 20  # bytes; a picture has at most half of that, and reading it holds up whoever reads
TOO_BIG = 1009  # close code of RFC 6455


class CdpError(Exception):
    """The browser refused a command; the message is its own."""


async def unless_refused(work: Awaitable[T]) -> T | None:
    """What comes of it, None when the browser refuses: what it was about may have gone meanwhile."""
    try:
        return await work
    except CdpError:
        return None


class Cdp:
    """Open with `Cdp.open`. When the connection ends, every waiting and later call raises MachineGone."""

    def __init__(self, socket: ClientConnection, on_event: EventHandler | None) -> None:
        self._socket = socket
        self.on_event = on_event
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Params]] = {}
        self._end = "The browser has ended."
        self._receiver = asyncio.create_task(self._receive())

    @classmethod
    async def open(
        cls, socket: Path, devtools_path: str, on_event: EventHandler | None = None, largest: int = LARGEST_MESSAGE
    ) -> "Cdp":
        """A message of more than `largest` bytes ends the connection. Raises MachineGone."""
        uri = f"ws://localhost{devtools_path}"
        options: dict[str, Any] = {"max_size": largest, "compression": None, "ping_interval": None}
        try:
            connection = await unix_connect(str(socket), uri, open_timeout=10, close_timeout=1, **options)
        except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed, EOFError) as error:
            raise MachineGone(f"The browser does not answer ({type(error).__name__}).") from error
        return cls(connection, on_event)

    async def _receive(self) -> None:
        try:
            async for message in self._socket:
                self._dispatch(storable.load(message))
        except ConnectionClosed as closed:
            if closed.sent and closed.sent.code == TOO_BIG:
                self._end = "The page is too large to be read."
        except ValueError:
            pass
        finally:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(MachineGone(self._end))

    def _dispatch(self, message: Params) -> None:
        if "id" not in message:
            if self.on_event:
                self.on_event(message["method"], message.get("params", {}), message.get("sessionId", ""))
            return
        future = self._waiting.pop(message["id"], None)
        if future is None or future.done():
            return
        if "error" in message:
            future.set_exception(CdpError(str(message["error"].get("message"))))
        else:
            future.set_result(message["result"])

    async def send(self, method: str, params: Params | None = None, session: str = "", timeout: float = 10.0) -> Params:
        """One command. Raises CdpError, MachineGone, or TimeoutError when the browser is busy (an open dialog, say)."""
        if self.ended:
            raise MachineGone(self._end)
        number = next(self._ids)
        message: Params = {"id": number, "method": method, "params": params or {}}
        if session:
            message["sessionId"] = session
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            await self._socket.send(json.dumps(message))
            return await within(timeout, future)
        except ConnectionClosed as error:
            raise MachineGone(self._end) from error
        finally:
            self._waiting.pop(number, None)

    @property
    def ended(self) -> bool:
        return self._receiver.done()

    async def wait_closed(self) -> None:
        await asyncio.wait({self._receiver})

    async def close(self) -> None:
        await self._socket.close()
        self._receiver.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._receiver
