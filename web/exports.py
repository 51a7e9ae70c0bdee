"""Files that people take with them: CSV and JSON, made and sent part by part, however many rows there are."""

import csv
import io
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db import connection
from django.http import HttpRequest, StreamingHttpResponse

TYPES = {"csv": "text/csv; charset=utf-8; header=present", "json": "application/json; charset=utf-8"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would compute instead of show


def download(request: HttpRequest, name: str, form: str, parts: Iterator[bytes]) -> StreamingHttpResponse:
    """The parts as a file; `form` is csv or json. A server that can wait makes each part when the one before is sent."""
    content = _Parts(parts) if isinstance(request, ASGIRequest) else parts
    headers = {"Content-Disposition": f'attachment; filename="{name}.{form}"'}
    return StreamingHttpResponse(content, content_type=TYPES[form], headers=headers)


class _Parts:
    """Each part in Django's thread; between two of them the download holds no database connection."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (part := await sync_to_async(self._next)()) is not None:
            yield part

    def _next(self) -> bytes | None:
        try:
            return next(self._parts, None)
        finally:
            if not connection.in_atomic_block:
                connection.close()


def csv_parts(head: list[str], rows: Iterable[list[list[Any]]]) -> Iterator[bytes]:
    """RFC 4180: a line of names, then the rows, given some at a time."""
    yield _lines([head])
    for some in filter(None, rows):
        yield _lines(some)


def _lines(rows: list[list[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    """As text; what a spreadsheet would take for a formula begins with an apostrophe."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def json_parts(head: dict[str, Any], name: str, rows: Iterable[list[dict[str, Any]]]) -> Iterator[bytes]:
    """One object: what `head` says, and under `name` the rows, one a line, given some at a time."""
    yield f"{_json(head)[:-1]}, {_json(name)}: [".encode()
    between = "\n"
    for some in filter(None, rows):
        yield (between + ",\n".join(map(_json, some))).encode()
        between = ",\n"
    yield b"\n]}\n"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
