"""Lists: limit, cursor, the one envelope. A cursor names the last row seen: new rows neither repeat nor hide others."""

import base64
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.core import signing
from django.db.models import Model, Q, QuerySet
from django.utils.dateparse import parse_datetime
from typing_extensions import TypedDict

from web.errors import InvalidCursor, InvalidLimit

M = TypeVar("M", bound=Model)
Item = TypeVar("Item")


class Page(TypedDict, Generic[Item]):
    """The one envelope of lists; `next_cursor` asks for the next page."""

    object: str
    data: list[Item]
    has_more: bool
    next_cursor: str | None
    request_id: str


def limit_parameter(default: int) -> dict[str, Any]:
    """`limit` as the OpenAPI document shows it."""
    schema = {"type": "integer", "minimum": 1, "maximum": 200, "default": default}
    return {"name": "limit", "in": "query", "required": False, "schema": schema}


def read_limit(query: Mapping[str, str], default: int = 20) -> int:
    """`limit` of the query, 1-200. Raises InvalidLimit."""
    text = query.get("limit")
    if text is None:
        return default
    try:
        value = int(text) if text.strip("-").isdecimal() and text.isascii() else None
    except ValueError:
        value = None
    if value is None or not 1 <= value <= 200:
        raise InvalidLimit(text if value is None else value)
    return value


def _signer(order: tuple[str, ...]) -> signing.Signer:
    """A cursor of another order of rows is not one of this list."""
    return signing.Signer(salt=f"cursor:{','.join(order)}")


def write_cursor(values: list[Any], order: tuple[str, ...]) -> str:
    raw = json.dumps([v.isoformat() if isinstance(v, datetime) else v for v in values])
    return base64.urlsafe_b64encode(_signer(order).sign(raw).encode()).decode().rstrip("=")


def read_cursor(cursor: str, order: tuple[str, ...]) -> list[Any]:
    """The values of the last row seen. Raises InvalidCursor, also for a cursor of rows in another order."""
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        values = json.loads(_signer(order).unsign(raw))
    except (ValueError, signing.BadSignature) as error:
        raise InvalidCursor from error
    return [parse_datetime(v) or v if isinstance(v, str) else v for v in values]


def beyond(order: tuple[str, ...], values: list[Any]) -> Q:
    """Rows that come after `values` in `order`: (a, b) > (x, y) written out, each field with its direction."""
    condition, same = Q(), Q()
    for name, value in zip(order, values, strict=True):
        field, operator = (name[1:], "lt") if name.startswith("-") else (name, "gt")
        condition |= same & Q(**{f"{field}__{operator}": value})
        same &= Q(**{field: value})
    return condition


def page(
    rows: QuerySet[M],
    query: Mapping[str, str],
    render: Callable[[M], Item],
    *,
    request_id: str,
    order: tuple[str, ...] = ("-created_at", "-id"),
    default: int = 20,
) -> Page[Item]:
    """One page of `rows` as the list envelope of docs/api/README.md section 8. `order` must end with a unique field."""
    limit = read_limit(query, default)
    cursor = query.get("cursor")
    rows = rows.order_by(*order)
    if cursor:
        rows = rows.filter(beyond(order, read_cursor(cursor, order)))
    part = list(rows[: limit + 1])
    more = len(part) > limit
    part = part[:limit]
    following = write_cursor([getattr(part[-1], name.lstrip("-")) for name in order], order) if more else None
    return {
        "object": "list",
        "data": [render(row) for row in part],
        "has_more": more,
        "next_cursor": following,
        "request_id": request_id,
    }
