"""Server-sent events: how a log is asked for, and how it is sent (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from typing_extensions import TypedDict

from web.paging import limit_parameter

CONTENT_TYPE = "text/event-stream; charset=utf-8"
HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
KEEPALIVE = b": keepalive\n\n"
LIFE_SECONDS = 30 * 60  # then its client comes again with its cursor
PAGE = 200  # rows of one read
LAST_SEQ = 2**63 - 1
LONGEST_SEQ = 20  # digits: Python reads no more than 4300
LAST_EVENT_ID = "The last event that was read; the stream goes on after it, or after `after` if that is larger."
# JSON may hold these bare, but many clients cut lines at them.
_LINE_BREAKS = str.maketrans({"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})


class EventsObject(TypedDict):
    """`next_after`: where to read on, now or, after the last page, when there may be more."""

    object: str
    data: list[dict[str, Any]]
    has_more: bool
    next_after: int
    request_id: str


def read_seq(text: str) -> int:
    """The seq that somebody names as the last one seen; what is not a number counts as 0."""
    digits = text.strip()
    return min(int(digits.lstrip("0")[:LONGEST_SEQ] or 0), LAST_SEQ) if digits.isascii() and digits.isdecimal() else 0


def one_line(value: Any) -> str:
    """Compact JSON without anything that any client takes for the end of a line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_LINE_BREAKS)


def block(seq: int, event: str, value: Any) -> bytes:
    """`id:` comes last: @microsoft/fetch-event-source takes it for seen as soon as it has read that line, and what a cut
    left unread of the block would never come again.
    """
    return f"event: {event}\ndata: {one_line(value)}\nid: {seq}\n\n".encode()


def wants_page(request: HttpRequest) -> bool:
    """A page instead of a stream."""
    accept = request.headers.get("Accept", "")
    named = "application/json" in accept and "text/event-stream" not in accept
    return named or request.GET.get("format") == "json"


def cursor(request: HttpRequest) -> int:
    """The larger of Last-Event-ID and `after`; what is not a number counts as 0."""
    return max(last_event_id(request), read_seq(request.GET.get("after", "")))


def last_event_id(request: HttpRequest) -> int:
    """What a client that comes again says that it had, by the header that browsers send by themselves."""
    return read_seq(request.headers.get("Last-Event-ID", ""))


def no_more() -> HttpResponse:
    """An EventSource that is answered so stays closed; after an empty stream it would come again for ever."""
    response = HttpResponse(status=204, headers={"Cache-Control": HEADERS["Cache-Control"]})
    del response["Content-Type"]
    return response


def documented(over: str) -> dict[str, Any]:
    """What a route of a log says of itself in the OpenAPI document; `over`: when it answers 204."""
    after = "The seq of the last event that was read; what is not a number counts as 0."
    page = "A page instead of a stream, as with Accept: application/json."
    return {
        "response": {200: EventsObject, 204: None},
        "openapi_extra": {
            "parameters": [
                limit_parameter(100),
                _parameter("query", "after", after),
                _parameter("query", "format", page, enum=["json"]),
                _parameter("header", "Last-Event-ID", LAST_EVENT_ID),
            ],
            "responses": {200: {"content": {"text/event-stream": {}}}, 204: {"description": over}},
        },
    }


def _parameter(place: str, name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {
        "in": place,
        "name": name,
        "required": False,
        "description": description,
        "schema": {"type": "string"} | schema,
    }
