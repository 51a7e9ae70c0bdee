"""Requests and answers against the SDKs' own types, stricter than these are: a field that no type knows fails."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

# What is a JSON Schema or the model's own JSON, which the types describe only by halves.
_FREE = frozenset({"input_schema", "schema", "parameters", "parametersJsonSchema", "parameters_json_schema"})

_adapters: dict[Any, TypeAdapter[Any]] = {}


class BrokenRuleError(ValueError):
    """A request that the vendor would not accept."""


def problem(kind: Any, value: Any) -> str | None:
    """What of the (JSON) value does not fit the type, in words; None when all fits."""
    adapter = _adapters.get(kind) or _adapters.setdefault(kind, TypeAdapter(kind))
    try:
        read = plain(adapter.validate_python(value))
    except ValidationError as error:
        return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:6])[:1500]
    extra = list(_unknown(value, read))
    return f"Unknown fields: {', '.join(extra[:12])}" if extra else None


def plain(value: Any) -> Any:
    """Plain data; lazy validators of Iterable fields, which check nothing before they are read, are read."""
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, BaseModel):
        return value.model_dump(by_alias=True, exclude_unset=True)
    if isinstance(value, str | bytes | int | float | bool) or value is None:
        return value
    return [plain(one) for one in value]


def _unknown(sent: Any, known: Any, at: str = "") -> Iterator[str]:
    if isinstance(sent, dict) and isinstance(known, dict):
        for name, one in sent.items():
            if name not in known:
                yield f"{at}.{name}"
            elif name not in _FREE:
                yield from _unknown(one, known[name], f"{at}.{name}")
    elif isinstance(sent, list) and isinstance(known, list):
        for index, (one, other) in enumerate(zip(sent, known, strict=False)):
            yield from _unknown(one, other, f"{at}[{index}]")
