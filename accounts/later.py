"""Answers that wait for something outside for long, such as a model: meanwhile neither a thread nor a connection is held.

In a web process the handler makes them in its event loop (config/server/asgi_handler.py) and cancels them when their caller leaves;
elsewhere, as in the client of tests, they are made on the spot.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from asgiref.sync import async_to_sync, sync_to_async
from django.http import HttpRequest, HttpResponse

from accounts.middleware import refusal_to
from database.outages import unavailable
from web.errors import InternalError

log = logging.getLogger(__name__)
T = TypeVar("T")
Db = Callable[
    ..., Awaitable[Any]
]  # `await db(call, *args)`: synchronous work with the database, in a thread that has it
Work = Callable[[Db], Awaitable[HttpResponse]]
MARK = "countersign.later"  # in the scope of requests whose server can wait
ARRIVED = "countersign.arrived"  # in the scope: time.monotonic() when the request had come
PATIENT = "countersign.patient"  # in the scope of those that may keep their thread for long


class Later(HttpResponse):
    """The place of an answer that `work` makes. Whatever middleware writes on it is put on the answer."""

    def __init__(self, work: Work) -> None:
        super().__init__(content_type="application/json")
        self.work = work

    def dressed(self, response: HttpResponse) -> HttpResponse:
        """The answer with the headers and cookies of this place."""
        response["Content-Length"] = str(len(response.content))
        for name, value in self.items():
            response.headers.setdefault(name, value)
        response.cookies.update(self.cookies)
        return response


def may_wait(request: HttpRequest) -> bool:
    """Whether this call may stand still in its thread for something that takes long: there its server has threads for it."""
    scope = getattr(request, "scope", {})
    return not scope.get(MARK) or bool(scope.get(PATIENT))


def arrived_at(request: HttpRequest) -> float:
    """time.monotonic() of the request's arrival: it may have waited for a thread."""
    at: float = getattr(request, "scope", {}).get(ARRIVED) or time.monotonic()
    return at


def later(request: HttpRequest, work: Work) -> HttpResponse:
    """The answer of a view that waits. When `work` is cancelled it tidies up, and may answer all the same."""

    request_id: str = request.request_id  # type: ignore[attr-defined]
    method, path = request.method, request.path_info  # thousands may wait: none keeps its request

    async def made(db: Db) -> HttpResponse:
        try:
            return await work(db)
        except Exception as error:
            if refusal := unavailable(error):
                return refusal_to(path, request_id, refusal)
            log.exception("%s %s failed", method, path)
            return refusal_to(path, request_id, InternalError())

    if getattr(request, "scope", {}).get(MARK):
        return Later(made)
    return async_to_sync(made)(_in_this_thread)


async def _in_this_thread(call: Callable[..., Any], *args: Any) -> Any:
    return await sync_to_async(call, thread_sensitive=True)(*args)


async def to_the_end(work: Awaitable[T]) -> T:
    """Await what must not be left half done: a cancellation that comes meanwhile is as if it had come too late."""
    task = asyncio.ensure_future(work)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
        except BaseException:  # noqa: BLE001, S110  it is raised below
            pass
    return task.result()
