"""How a web process takes a request to a thread and back, with the handler itself and views of our own."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.core.signals import request_finished
from django.db import connection, connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from config.handler import Handler

SECONDS = 5
entered, may_go_on = threading.Event(), threading.Event()
closed: list[str] = []


class Endless:
    """Parts without end; says when it was closed."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.Event().wait()

    def close(self) -> None:
        closed.append("endless")


async def broken() -> AsyncIterator[bytes]:
    yield b"first"
    raise LookupError("no second part")


def slow(_: HttpRequest) -> HttpResponse:
    entered.set()
    assert may_go_on.wait(SECONDS)
    return HttpResponse("done")


def reading(_: HttpRequest) -> StreamingHttpResponse:
    connection.ensure_connection()
    return StreamingHttpResponse(Endless())


async def awaited(request: HttpRequest) -> HttpResponse:
    """An async view, its body and a part in Django's thread."""
    return HttpResponse(await sync_to_async(request.body.upper)())


urlpatterns = [
    path("slow", slow),
    path("stream", lambda _: StreamingHttpResponse(Endless())),
    path("reading", reading),
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
    made._threads.shutdown()


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
    await asked.wait(SECONDS)
    return start["status"], b"".join(part.get("body", b"") for part in parts)


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
    ended: list[object] = []

    def note(sender: object, **_: object) -> None:
        ended.append(sender)

    request_finished.connect(note)
    try:
        for page in ("thread", "parts", "nowhere"):
            await answer(handler, page)
    finally:
        request_finished.disconnect(note)
    assert ended == [Handler] * 3


async def test_who_leaves_before_the_answer_does_not_stop_what_was_begun(handler: Handler) -> None:
    asked = opened(handler, "slow")
    await asked.send_input({"type": "http.request"})
    assert await asyncio.to_thread(entered.wait, SECONDS)
    await asked.send_input({"type": "http.disconnect"})
    may_go_on.set()
    assert (await asked.receive_output(SECONDS))["status"] == 200
    await asked.wait(SECONDS)


async def test_who_leaves_before_the_request_is_whole_is_forgotten(handler: Handler) -> None:
    asked = opened(handler, "thread")
    await asked.send_input({"type": "http.request", "body": b"x", "more_body": True})
    await asked.send_input({"type": "http.disconnect"})
    await asked.wait(SECONDS)
    assert asked.output_queue.empty()


async def test_a_stream_ends_with_its_caller_and_is_closed(handler: Handler) -> None:
    asked = opened(handler, "stream")
    await asked.send_input({"type": "http.request"})
    assert (await asked.receive_output(SECONDS))["status"] == 200
    assert (await asked.receive_output(SECONDS))["body"] == b"first"
    assert closed == []
    await asked.send_input({"type": "http.disconnect"})
    await asked.wait(SECONDS)
    assert closed == ["endless"]


async def test_a_stream_that_breaks_says_so_to_the_server(handler: Handler) -> None:
    asked = opened(handler, "broken")
    await asked.send_input({"type": "http.request"})
    with pytest.raises(LookupError, match="no second part"):
        await asked.wait(SECONDS)


@pytest.mark.django_db(transaction=True)
async def test_an_open_stream_leaves_no_connection_in_the_thread_it_came_from(
    handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a web process, where a request gives its connection back: it would lie there until the thread is used again."""
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", 0)
    handler._threads = ThreadPoolExecutor(1)
    asked = opened(handler, "reading")
    await asked.send_input({"type": "http.request"})
    await asked.receive_output(SECONDS)
    held = await asyncio.get_running_loop().run_in_executor(handler._threads, lambda: connection.connection)
    await asked.send_input({"type": "http.disconnect"})
    await asked.wait(SECONDS)
    assert held is None
