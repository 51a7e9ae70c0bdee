"""How the web process answers a request: in one visit to a thread that is kept for the next one. See adr/0008."""

import asyncio
from asyncio import CancelledError
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import IO, Any

from asgiref.sync import sync_to_async
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.signals import request_started
from django.db import close_old_connections
from django.http import FileResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import set_script_prefix

from accounts.later import MARK, Later, to_the_end

MOST_AT_ONCE = 1000  # requests in hand; more wait for their turn. Open streams do not count

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class Handler(ASGIHandler):
    """Django's handler for code that is synchronous.

    Django's own makes a thread for each request and crosses into it once for each signal, again for the middleware, from
    there back for the view and in again. An async view works as before: its thread waits for it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._threads = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="request")

    def load_middleware(self, is_async: bool = False) -> None:
        """One synchronous chain down to the view, whatever the base class asks for."""
        super().load_middleware(is_async=False)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        with body:
            response, wanted = await self._answered(scope | {MARK: True}, body)
            if isinstance(response, Later):
                made = await self._made(response, receive, wanted)
                if made is not None:
                    await self.send_response(made, send)
            elif not isinstance(response, StreamingHttpResponse):
                await self.send_response(response, send)
            elif wanted:
                with suppress(CancelledError):  # daphne would let the other applications wait no longer
                    await self._stream(response, receive, send)
            else:
                await self._visit(response.close)()

    async def _answered(self, scope: Scope, body: IO[bytes]) -> tuple[HttpResponseBase, bool]:
        """The answer, and whether the server still wants it: when it ends, or has given the caller up, it cancels us.

        What was begun is finished: its thread cannot be cancelled, and the caller may still be there.
        """
        visit = asyncio.ensure_future(self._visit(self._answer)(scope, body))
        try:
            return await asyncio.shield(visit), True
        except CancelledError:
            return await visit, False

    async def _made(self, place: Later, receive: Receive, wanted: bool) -> HttpResponseBase | None:
        """The answer of a view that waits, unless its caller leaves first: then its work is cancelled, and there is none.

        When the server ends, the work is cancelled too, but what it answers is sent: the caller is still there.
        """
        working = asyncio.ensure_future(place.work(self._with_database))
        leaving = asyncio.ensure_future(self.listen_for_disconnect(receive))
        try:
            with suppress(CancelledError):
                await asyncio.sleep(0)  # it begins: what is cancelled before cannot tidy up
            if wanted:
                with suppress(CancelledError):
                    await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
            left = leaving.done() and not leaving.cancelled()
            if not working.done():
                working.cancel()
            response = await to_the_end(working)
        finally:
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
        return None if left else place.dressed(response)

    async def _with_database(self, call: Callable[..., Any], *args: Any) -> Any:
        """Django's own signals give connections back at the end of a request; here the request is over."""

        def visit() -> Any:
            try:
                return call(*args)
            finally:
                close_old_connections()

        return await self._visit(visit)()

    def _visit(self, call: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        return sync_to_async(call, thread_sensitive=False, executor=self._threads)

    def _answer(self, scope: Scope, body: IO[bytes]) -> HttpResponseBase:
        """The whole request, from its first signal to its last; a stream's last one comes when it has ended."""
        set_script_prefix(get_script_prefix(scope))
        request_started.send(sender=self.__class__, scope=scope)
        request, refused = self.create_request(scope, body)
        try:
            response = self.get_response(request) if request is not None else refused
        except BaseException:  # what Django makes no answer of, such as CancelledError
            close_old_connections()
            raise
        assert response is not None  # there is one or the other
        response._handler_class = self.__class__  # type: ignore[attr-defined]
        if not isinstance(response, StreamingHttpResponse):
            response.close()
            return response
        if isinstance(response, FileResponse):
            response.block_size = self.chunk_size
        if not response.is_async:  # a file of ours; Django would read all of it too, in one more thread, and warn
            response.streaming_content = _again(list(response))
        close_old_connections()  # this thread's, for the next request; a stream that reads has its own
        return response

    async def _stream(self, response: HttpResponseBase, receive: Receive, send: Send) -> None:
        """Send it until it ends or the caller leaves. Raises what making its parts raised."""
        sending = asyncio.ensure_future(self.send_response(response, send))
        leaving = asyncio.ensure_future(self.listen_for_disconnect(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            failed = sending.exception() if sending.done() else None
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
            await self._visit(response.close)()
        if failed:
            raise failed


async def _again(parts: list[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
