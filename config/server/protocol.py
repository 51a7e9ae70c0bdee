"""How daphne reads a request, before Django hears of it, and what it does with an answer that breaks."""

import functools
import resource
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from daphne import http_protocol, ws_protocol
from daphne.server import Server
from twisted.web.http import RESPONSES

from config.server.unread_answers import MOST_OF_A_SOCKET, Outlet, unsent

MOST_BYTES = 26 * 1024 * 1024  # of a body: a little more than anything that is not refused
BACKLOG = 1024  # connections that the kernel keeps while we are busy; more callers wait for seconds, or are reset
MOST_OPEN = 65_536  # files and sockets of the process


class Request(http_protocol.WebRequest):  # type: ignore[misc]  # daphne has no types
    """Keeps no more of a body than could be of use: daphne holds all of it in memory, whoever sends it.

    What is left out is read all the same; the application then sees a body that is too large, and says so.
    """

    kept = 0
    outlet: Outlet | None = None

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802  the name is Twisted's
        super().handleContentChunk(data[: MOST_BYTES - self.kept])
        self.kept = min(MOST_BYTES, self.kept + len(data))

    def handle_reply(self, message: dict[str, Any]) -> None:
        super().handle_reply(message)
        if self.finished or self.channel is None:
            return
        if message["type"] == "http.response.start":
            self.outlet = Outlet(self.channel.transport, self.channel.forceAbortClient)
            self.outlet.holds = int(self.responseHeaders.getRawHeaders(b"content-length", [b"0"])[0])
            self.registerProducer(self.outlet, True)

    def finish(self) -> None:
        if self.producer is not None and self.channel is not None:
            self.unregisterProducer()
        super().finish()

    def handle_exception(self, exception: BaseException) -> None:
        """An answer that broke while it was sent ends in a torn connection, so that nobody takes it for whole.

        daphne would send headers again, fail in that, and never look after its requests any more.
        """
        if not self._response_started:
            super().handle_exception(exception)
        elif self.channel is not None:
            self.channel.forceAbortClient()


async def _send(self: Any, protocol: Any, message: dict[str, Any]) -> None:
    """As daphne's own handle_reply, but whoever sends waits for whoever reads."""
    await _hand_over(self, protocol, message)
    if isinstance(protocol, Request):
        if protocol.outlet is not None and not protocol.finished:
            await protocol.outlet.drained()
    elif isinstance(protocol, ws_protocol.WebSocketProtocol) and unsent(protocol.transport) > MOST_OF_A_SOCKET:
        protocol.dropConnection(abort=True)


def _run(self: Any) -> None:
    """As daphne's own run, for thousands of callers that wait: a kernel's usual limits are for dozens."""
    self.endpoints = [f"{each}:backlog={BACKLOG}" if each.startswith("tcp:") else each for each in self.endpoints]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_OPEN if hard == resource.RLIM_INFINITY else min(hard, MOST_OPEN)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # some kernels have a lower limit of their own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    _run_as_it_is(self)


_run_as_it_is = Server.run
_hand_over = Server.handle_reply


def install() -> None:
    """Twisted would read every posted body as the form that its Content-Type says it is, and refuse those that are none.

    Its reason phrases are those of RFC 2616: 422 and 429 would be "Unknown Status".
    """
    RESPONSES.update({status.value: status.phrase.encode() for status in HTTPStatus})
    http_protocol.WebRequest = functools.partial(Request, parsePOSTFormSubmission=False)
    Server.handle_reply = _send
    Server.run = _run
