"""How the web process answers a request: in one visit to a thread that is kept for the next one. See adr/0008."""

import asyncio
import time
from asyncio import CancelledError
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import nullcontext, suppress
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.signals import request_started
from django.db import DEFAULT_DB_ALIAS, close_old_connections, connections
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.urls import set_script_prefix

from accounts.errors import IdempotencyInFlight
from accounts.later import ARRIVED, MARK, PATIENT, Later, to_the_end
from config.server.callers import asks_model, caller_of, is_api, is_health, is_slow
from config.server.request_threads import RequestThreads, SlowCalls
from database.ids import new_id
from web import aliases
from web.errors import DatabaseAway, Overloaded, Refusal
from web.json_rpc import refusal_body

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
ATTEMPTS = 3  # a server that ends takes its connections one after the other

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class Handler(ASGIHandler):
    """Django's handler for code that is synchronous.

    Django's own makes a thread for each request and crosses into it once for each signal, again for the middleware, from
    there back for the view and in again. An async view works as before: its thread waits for it.

    Calls that take long have threads of their own, and each caller only some of them. The health is answered here and now.
    """

    def __init__(self) -> None:
        super().__init__()
        threads = settings.REQUEST_THREADS
        self._quick = RequestThreads("request", threads, max(1, threads // 2))
        self._slow = RequestThreads("slow-request", settings.SLOW_THREADS, settings.SLOW_CALLS_PER_KEY)
        self._slow_calls = SlowCalls(settings.SLOW_CALLS_PER_KEY)

    def load_middleware(self, is_async: bool = False) -> None:
        """One synchronous chain down to the view, whatever the base class asks for."""
        super().load_middleware(is_async=False)

    def close(self) -> None:
        self._quick.close()
        self._slow.close()

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if is_health(scope):
            await self.send_response(health(), send)
            return
        scope = scope | {MARK: True, ARRIVED: time.monotonic()}
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        with body:
            try:
                await self._handle(scope, Body(body), receive, send)
            except Refusal as refusal:  # nobody has looked at the call yet
                await self.send_response(refused(scope, refusal), send)

    async def _handle(self, scope: Scope, body: "Body", receive: Receive, send: Send) -> None:
        caller = caller_of(scope)
        of_model = asks_model(scope)
        if not of_model and not is_slow(scope):
            visit = Visit(self._quick, caller)
            response, wanted = await self._answered(visit, scope, body)
            if not is_in_flight(response):
                await self._finish(visit, response, wanted, receive, send)
                return
            body.seek(
                0
            )  # now it waits for the call that has its Idempotency-Key, where waiting keeps nobody from a thread
        with nullcontext() if of_model else self._slow_calls.one_of(caller):  # also what waits for its Idempotency-Key
            visit = Visit(self._slow, caller)
            response, wanted = await self._answered(visit, scope | {PATIENT: True}, body)
            await self._finish(visit, response, wanted, receive, send)

    async def _finish(
        self, visit: "Visit", response: HttpResponseBase, wanted: bool, receive: Receive, send: Send
    ) -> None:
        if isinstance(response, Later):
            answer = await self._made(visit, response, receive, wanted)
            if answer is not None:
                await self.send_response(answer, send)
        elif not isinstance(response, StreamingHttpResponse):
            await self.send_response(response, send)
        elif wanted:
            with suppress(CancelledError):  # daphne would let the other applications wait no longer
                await self._stream(visit, response, receive, send)
        else:
            await visit(response.close)

    async def _answered(self, visit: "Visit", scope: Scope, body: "Body") -> tuple[HttpResponseBase, bool]:
        """The answer, and whether the server still wants it: when it ends, or has given the caller up, it cancels us.

        What was begun is finished: its thread cannot be cancelled, and the caller may still be there. Raises Overloaded.
        """
        try:
            await visit.begin()
        except CancelledError:
            raise Overloaded from None
        working = asyncio.ensure_future(visit.go_on(self._answer_again, scope, body))
        try:
            return await asyncio.shield(working), True
        except CancelledError:
            return await working, False

    async def _made(self, visit: "Visit", place: Later, receive: Receive, wanted: bool) -> HttpResponseBase | None:
        """The answer of a view that waits, unless its caller leaves first: then its work is cancelled, and there is none.

        When the server ends, the work is cancelled too, but what it answers is sent: the caller is still there.
        """
        working = asyncio.ensure_future(place.work(visit.with_database))
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

    def _answer_again(self, scope: Scope, body: "Body") -> HttpResponseBase:
        """The answer; it is made anew when the database went away under it before anything was written."""
        database: Any = connections[DEFAULT_DB_ALIAS]
        for _ in range(ATTEMPTS - 1):
            database.tried_to_commit = False
            response = self._answer(scope, body)
            lost = isinstance(getattr(response, "refusal", None), DatabaseAway)
            if not lost or (database.tried_to_commit and scope["method"] not in SAFE):
                return response
        return self._answer(scope, body)

    def _answer(self, scope: Scope, body: "Body") -> HttpResponseBase:
        """The whole request, from its first signal to its last; a stream's last one comes when it has ended."""
        body.seek(0)
        set_script_prefix(get_script_prefix(scope))
        request_started.send(sender=self.__class__, scope=scope)
        request, refused = self.create_request(scope, body)  # type: ignore[arg-type]  # it reads
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

    async def _stream(self, visit: "Visit", response: HttpResponseBase, receive: Receive, send: Send) -> None:
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
            await visit(response.close)
        if failed:
            raise failed


class Body:
    """The body of a request, for each attempt to answer it anew: a request that has its answer closes what it read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def close(self) -> None:
        """Whoever opened the file closes it."""


class Visit:
    """A call's way into threads: as often as it needs one, and each time in turn with other callers."""

    def __init__(self, threads: RequestThreads, caller: str) -> None:
        self._threads, self._caller = threads, caller

    async def begin(self) -> None:
        """Wait for the first turn. Raises Overloaded; what has begun is never refused."""
        await self._threads.turn(self._caller)

    async def go_on(self, call: Callable[..., Any], *args: Any) -> Any:
        return await self._threads.run(self._caller, call, *args)

    async def __call__(self, call: Callable[..., Any], *args: Any) -> Any:
        await self._threads.turn(self._caller, patience=None)
        return await self.go_on(call, *args)

    async def with_database(self, call: Callable[..., Any], *args: Any) -> Any:
        """Django's own signals give connections back at the end of a request; here the request is over."""

        def work() -> Any:
            try:
                return call(*args)
            finally:
                close_old_connections()

        return await self(work)


def is_in_flight(response: HttpResponseBase) -> bool:
    return isinstance(getattr(response, "refusal", None), IdempotencyInFlight)


def health() -> HttpResponse:
    """The process answers: it says nothing of the database, and needs no thread that could be busy."""
    return _bare(JsonResponse({"status": "ok"}), new_id("req"))


def refused(scope: Scope, refusal: Refusal) -> HttpResponse:
    """What a call is told that nobody has looked at."""
    request_id = new_id("req")
    if is_api(scope):
        response: HttpResponse = JsonResponse(refusal_body(scope["path"], refusal, request_id), status=refusal.status)
    else:
        page = render_to_string("503.html", {"message": refusal.message})
        response = HttpResponse(page, status=refusal.status)
    for name, value in refusal.headers.items():
        response[name] = value
    return _bare(response, request_id)


def _bare(response: HttpResponse, request_id: str) -> HttpResponse:
    """With the headers that middleware would write."""
    data = response.headers["Content-Type"].startswith("application/json")
    response["X-Request-Id"], response["Content-Length"] = request_id, str(len(response.content))
    response["X-Content-Type-Options"], response["Cache-Control"] = "nosniff", "no-store"
    page = "" if data else "style-src 'self'; img-src 'self'; "
    response["Content-Security-Policy"] = f"default-src 'none'; {page}frame-ancestors 'none'"
    aliases.add_headers(response)
    return response


async def _again(parts: list[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
