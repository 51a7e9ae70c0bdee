"""What an answer may look like: shown to who left one out, so that the next call works."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

_DEEP = 6  # levels of a schema that an example goes down
_FORMATS = {
    "email": "ana@example.com",
    "date": "2026-03-26",
    "date-time": "2026-03-26T14:35:00Z",
    "time": "14:35:00Z",
    "uri": "https://example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "hostname": "example.com",
}


def of_questions(questions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """An answer to each: the recommended option, else the first one, else words of one's own."""
    return {question["id"]: _of_question(question) for question in questions}


def _of_question(question: Mapping[str, Any]) -> str | list[str]:
    options = sorted(question["options"], key=lambda option: not option["recommended"])
    label = options[0]["label"] if options else "your answer"
    return [label] if question["multi_select"] else label


def of_schema(schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """Values that fit the schema where that can be seen; else the required ones with a value of their type."""
    return _of_object(schema or {}, _DEEP)


def _of(schema: Any, deep: int) -> Any:
    if not isinstance(schema, Mapping):
        return "text"
    for word in ("default", "const"):
        if word in schema:
            return schema[word]
    for word in ("enum", "examples"):
        if schema.get(word):
            return schema[word][0]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind in ("boolean", "null"):
        return True if kind == "boolean" else None
    make: Callable[[Mapping[str, Any], int], Any] = _OF_KIND.get(str(kind), _text)
    return make(schema, deep)


def _of_object(schema: Mapping[str, Any], deep: int) -> dict[str, Any]:
    fields, required = schema.get("properties") or {}, schema.get("required") or []
    if not deep or not isinstance(fields, Mapping):
        return {}
    names = [name for name in fields if name in required] + [name for name in required if name not in fields]
    return {name: _of(fields.get(name), deep - 1) for name in names or list(fields)}


def _list(schema: Mapping[str, Any], deep: int) -> list[Any]:
    return [_of(schema.get("items"), deep - 1)] * max(1, int(schema.get("minItems", 1))) if deep else []


def _number(schema: Mapping[str, Any], _deep: int) -> Any:
    for word, more in (("minimum", 0), ("exclusiveMinimum", 1), ("maximum", 0), ("exclusiveMaximum", -1)):
        if word in schema:
            return schema[word] + more
    return schema.get("multipleOf", 1)


def _text(schema: Mapping[str, Any], _deep: int) -> str:
    text: str = _FORMATS.get(str(schema.get("format")), "text")
    least, most = int(schema.get("minLength", 0)), int(schema.get("maxLength", 1000))
    return (text + "x" * max(0, least - len(text)))[:most]


_OF_KIND: dict[str, Callable[[Mapping[str, Any], int], Any]] = {
    "object": _of_object,
    "array": _list,
    "integer": _number,
    "number": _number,
}
