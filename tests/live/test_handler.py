"""How a web process takes a request to a thread and back, with the handler itself and views of our own."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.core.signals import request_finished, request_started
from django.db import connection, connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from accounts.later import Db, later, to_the_end
from config.server.asgi_handler import Handler
from config.server.request_threads import RequestThreads

SECONDS = 5
entered, may_go_on = threading.Event(), threading.Event()
closed: list[str] = []


class Endless:
    """Parts without end; says when it was closed."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.Event().wait()

    def close(self) -> None:
        closed.append(threading.current_thread().name)


async def broken() -> AsyncIterator[bytes]:
    yield b"first"
    raise LookupError("no second part")


def slow(_: HttpRequest) -> HttpResponse:
    entered.set()
    assert may_go_on.wait(SECONDS)
    return HttpResponse("done")


def slow_stream(request: HttpRequest) -> StreamingHttpResponse:
    slow(request)
    return StreamingHttpResponse(Endless())


def reading(_: HttpRequest) -> StreamingHttpResponse:
    connection.ensure_connection()
    return StreamingHttpResponse(Endless())


async def awaited(request: HttpRequest) -> HttpResponse:
    """An async view, its body and a part in Django's thread."""
    return HttpResponse(await sync_to_async(request.body.upper)())


async def made(db: Db) -> HttpResponse:
    """Waits until it may go on, or tidies up where the database would be."""
    entered.set()
    try:
        await asyncio.to_thread(may_go_on.wait, SECONDS)
    except asyncio.CancelledError:
        return await to_the_end(db(tidied))
    return HttpResponse("made", status=201)


def tidied() -> HttpResponse:
    closed.append(threading.current_thread().name)
    return HttpResponse("cut off", status=503)


def waits(request: HttpRequest) -> HttpResponse:
    response = later(request, made)
    response["X-Place"] = "kept"
    response.set_cookie("place", "kept")
    return response


async def fails(_: Db) -> HttpResponse:
    raise LookupError("the database is away")


urlpatterns = [
    path("later-fails", lambda request: later(request, fails)),
    path("later", waits),
    path("slow", slow),
    path("stream", lambda _: StreamingHttpResponse(Endless())),
    path("reading", reading),
    path("slow-stream", slow_stream),
    path("broken", lambda _: StreamingHttpResponse(broken())),
    path("parts", lambda _: StreamingHttpResponse(iter([b"one ", b"two"]))),
    path("awaited", awaited),
    path("thread", lambda _: HttpResponse(threading.current_thread().name)),
]


@pytest.fixture
def handler(settings: Any) -> Iterator[Handler]:
    settings.ROOT_URLCONF, settings.MIDDLEWARE = __name__, ["accounts.middleware.RequestIdMiddleware"]
    closed.clear()
    entered.clear()
    may_go_on.clear()
    made = Handler()
    yield made
    made.close()


def opened(handler: Handler, page: str) -> Any:
    scope = {"type": "http", "method": "POST", "path": f"/{page}", "headers": [], "query_string": b""}
    return ApplicationCommunicator(handler, scope)  # type: ignore[no-untyped-call]


async def answer(handler: Handler, page: str, body: bytes = b"") -> tuple[int, bytes]:
    asked = opened(handler, page)
    await asked.send_input({"type": "http.request", "body": body})
    start = await asked.receive_output(SECONDS)
    parts = [await asked.receive_output(SECONDS)]
    while parts[-1].get("more_body"):
        parts.append(await asked.receive_output(SECONDS))
    await ended(asked)
    return start["status"], b"".join(part.get("body", b"") for part in parts)


async def in_hand(handler: Handler, page: str) -> Any:
    """A request whose view has begun and waits for us."""
    asked = opened(handler, page)
    await asked.send_input({"type": "http.request"})
    assert await asyncio.to_thread(entered.wait, SECONDS)
    return asked


async def ended(asked: Any) -> None:
    """The application came to its end by itself: wait() of asgiref would cancel it without a word."""
    async with asyncio.timeout(SECONDS):
        await asyncio.shield(asked.future)


async def test_threads_are_kept_for_the_next_request(handler: Handler) -> None:
    """The thread may still be putting its things away when the next one comes: then there is a second."""
    served = [await answer(handler, "thread") for _ in range(50)]
    assert {status for status, _ in served} == {200}
    assert len({thread for _, thread in served}) < 10


async def test_async_views_and_synchronous_streams_work_as_they_do_in_django(handler: Handler) -> None:
    assert await answer(handler, "awaited", b"text") == (200, b"TEXT")
    assert await answer(handler, "parts") == (200, b"one two")
    assert (await answer(handler, "nowhere"))[0] == 404


async def test_each_request_begins_and_ends_once(handler: Handler) -> None:
    heard: list[tuple[str, object]] = []

    def begins(sender: object, **_: object) -> None:
        heard.append(("begins", sender))

    def ends(sender: object, **_: object) -> None:
        heard.append(("ends", sender))

    request_started.connect(begins)
    request_finished.connect(ends)
    try:
        for page in ("thread", "parts", "nowhere"):
            await answer(handler, page)
    finally:
        request_started.disconnect(begins)
        request_finished.disconnect(ends)
    assert heard == [("begins", Handler), ("ends", Handler)] * 3


async def test_who_leaves_before_the_answer_does_not_stop_what_was_begun(handler: Handler) -> None:
    asked = await in_hand(handler, "slow")
    await asked.send_input({"type": "http.disconnect"})
    may_go_on.set()
    assert (await asked.receive_output(SECONDS))["status"] == 200
    await ended(asked)


async def test_an_answer_that_comes_later_has_the_headers_of_its_place(handler: Handler) -> None:
    asked = await in_hand(handler, "later")
    may_go_on.set()
    start = await asked.receive_output(SECONDS)
    headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    assert (start["status"], headers["x-place"], headers["content-length"]) == (201, "kept", "4")
    assert headers["set-cookie"].startswith("place=kept")
    assert "x-request-id" in headers
    assert (await asked.receive_output(SECONDS))["body"] == b"made"
    await ended(asked)


async def test_an_answer_that_comes_later_is_given_up_when_its_caller_leaves(handler: Handler) -> None:
    asked = await in_hand(handler, "later")
    await asked.send_input({"type": "http.disconnect"})
    await ended(asked)
    assert asked.output_queue.empty()
    assert [name.partition("_")[0] for name in closed] == ["request"]  # it tidied up in a thread that has the database
    may_go_on.set()


async def test_an_answer_that_comes_later_says_that_the_server_ends(handler: Handler) -> None:
    asked = await in_hand(handler, "later")
    asked.future.cancel()
    assert (await asked.receive_output(SECONDS))["status"] == 503
    await ended(asked)
    may_go_on.set()


async def test_an_answer_that_cannot_be_made_is_an_error_of_ours(handler: Handler) -> None:
    status, body = await answer(handler, "later-fails")
    assert (status, json.loads(body)["error"]["code"]) == (500, "INTERNAL_ERROR")


async def test_it_tidies_up_even_when_the_server_ends_before_it_has_begun(
    handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = handler._answered

    async def late(*args: Any) -> Any:
        response, _ = await answered(*args)
        return response, False

    monkeypatch.setattr(handler, "_answered", late)
    asked = opened(handler, "later")
    await asked.send_input({"type": "http.request"})
    assert (await asked.receive_output(SECONDS))["status"] == 503
    await ended(asked)
    may_go_on.set()
    assert len(closed) == 1


async def test_who_leaves_before_the_request_is_whole_is_forgotten(handler: Handler) -> None:
    asked = opened(handler, "thread")
    await asked.send_input({"type": "http.request", "body": b"x", "more_body": True})
    await asked.send_input({"type": "http.disconnect"})
    await ended(asked)
    assert asked.output_queue.empty()


async def test_a_stream_ends_with_its_caller_and_is_closed(handler: Handler) -> None:
    asked = opened(handler, "stream")
    await asked.send_input({"type": "http.request"})
    assert (await asked.receive_output(SECONDS))["status"] == 200
    assert (await asked.receive_output(SECONDS))["body"] == b"first"
    assert closed == []
    await asked.send_input({"type": "http.disconnect"})
    await ended(asked)
    assert [name.partition("_")[0] for name in closed] == ["request"]  # it may need the database


async def test_a_stream_that_breaks_says_so_to_the_server(handler: Handler) -> None:
    asked = opened(handler, "broken")
    await asked.send_input({"type": "http.request"})
    with pytest.raises(LookupError, match="no second part"):
        await ended(asked)


async def test_a_call_that_the_server_cancels_is_finished_and_answered(handler: Handler) -> None:
    """As when the process is told to end: the caller is still there."""
    asked = await in_hand(handler, "slow")
    asked.future.cancel()
    may_go_on.set()
    assert (await asked.receive_output(SECONDS))["status"] == 200
    await ended(asked)


async def test_a_stream_that_the_server_cancels_before_it_begins_is_closed(handler: Handler) -> None:
    asked = await in_hand(handler, "slow-stream")
    asked.future.cancel()
    may_go_on.set()
    await ended(asked)
    assert (len(closed), asked.output_queue.empty()) == (1, True)


@pytest.mark.django_db(transaction=True)
async def test_an_open_stream_leaves_no_connection_in_the_thread_it_came_from(
    handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a web process, where a request gives its connection back: it would lie there until the thread is used again."""
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", 0)
    handler._quick = RequestThreads("request", 1, 1)
    asked = opened(handler, "reading")
    await asked.send_input({"type": "http.request"})
    await asked.receive_output(SECONDS)
    held = await asyncio.get_running_loop().run_in_executor(handler._quick._threads, lambda: connection.connection)
    await asked.send_input({"type": "http.disconnect"})
    await ended(asked)
    assert held is None
