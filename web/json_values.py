"""What may be stored of JSON that people send: how deep, which characters, how large. Pure."""

import json
import re
from collections.abc import Iterable
from typing import Any

Loc = tuple[str | int, ...]
Detail = tuple[Loc, str, str]  # (loc, msg, type) of one violation

DEEPEST = 100  # levels of a body: whoever walks it later may do so by recursion
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def deeper_than(value: Any, levels: int) -> bool:
    layer = [value]
    for _ in range(levels):
        layer = [child for each in layer for child in _children(each)]
        if not layer:
            return False
    return True


def _children(value: Any) -> Iterable[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (child for child in inner if isinstance(child, dict | list))


def unstorable_at(value: Any, at: Loc = ()) -> Loc | None:
    """Where a NUL character or lone surrogate stands, which PostgreSQL cannot store; None = nowhere."""
    if isinstance(value, str):
        return at if _UNSTORABLE.search(value) else None
    items: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, dict):
        if any(_UNSTORABLE.search(key) for key in value):
            return at
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    return next((place for key, item in items if (place := unstorable_at(item, (*at, key))) is not None), None)


def size(value: Any) -> int:
    """Bytes of the value as JSON; lone surrogates count too."""
    return len(json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass"))


def too_big(value: dict[str, Any]) -> str | None:
    """Why an object is too big for metadata and the like; None when it is not."""
    if len(value) > 50:
        return "Must have at most 50 keys."
    return "Must be at most 16 KiB as JSON." if size(value) > 16 * 1024 else None
