"""Reading a request's body: JSON whatever the Content-Type says, strict, all violations at once."""

import json
import math
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, TypeVar

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest
from django.http.request import RawPostDataException, UnreadablePostError
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator
from pydantic.config import JsonDict, JsonValue

from web.errors import Invalid, PayloadTooLarge
from web.json_values import DEEPEST, Detail, deeper_than, too_big, unstorable_at
from web.times import read_time

MIB = 1024 * 1024
BODY_BYTES = MIB
PICTURES_BODY_BYTES = 24 * MIB


class Body(BaseModel):
    """A strict request body: unknown fields are refused, types are exact, null means "not given"."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_given(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {k: v for k, v in value.items() if v is not None or k not in cls.model_fields}


def exactly_one_of(*names: str) -> JsonDict:
    """As JSON Schema: one of these fields, and one only, is given. As a condition, so that generated clients keep one type."""
    alone: list[JsonValue] = [{"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in names]
    return {"if": {"oneOf": alone}, "else": False}


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _time(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    time = read_time(value)
    if time is None:
        raise ValueError("Must be an RFC 3339 time such as 2026-03-26T14:35:01Z.")
    return time


def _each_once(items: list[Any]) -> list[Any]:
    return list(dict.fromkeys(items))


def _small(value: dict[str, Any]) -> dict[str, Any]:
    if problem := too_big(value):
        raise ValueError(problem)
    return value


Int = Annotated[int, BeforeValidator(_whole)]
SmallObject = Annotated[dict[str, Any], AfterValidator(_small)]  # metadata and the like
EachOnce = AfterValidator(_each_once)  # for lists
Time = Annotated[datetime, BeforeValidator(_time)]  # one without a zone is in UTC
B = TypeVar("B", bound=Body)

_KINDS = {"missing": "missing", "extra_forbidden": "extra_forbidden"}


def _kind(pydantic_type: str) -> str:
    if pydantic_type in _KINDS:
        return _KINDS[pydantic_type]
    return "type_error" if pydantic_type.endswith("_type") or pydantic_type.startswith("int_from") else "value_error"


def details(error: ValidationError, *start: str | int) -> list[Detail]:
    """The violations of a pydantic model as the API names them, `loc` beginning with `start`."""
    return [((*start, *e["loc"]), e["msg"].removeprefix("Value error, "), _kind(e["type"])) for e in error.errors()]


def body_limit(path: str) -> int:
    """The largest body, in bytes, that the path takes (docs/api/README.md section 9)."""
    if path.startswith(("/v1/predict", "/v1/sessions", "/v1/ground")) or path == "/v1/approvals":
        return PICTURES_BODY_BYTES
    return BODY_BYTES


def read_json(request: HttpRequest) -> dict[str, Any]:
    """The body as an object; an empty one is {}. Raises Invalid (json_invalid, type_error) or PayloadTooLarge."""
    limit = body_limit(request.path_info)
    try:
        raw = request.body
    except RequestDataTooBig as error:
        raise PayloadTooLarge(max_bytes=limit) from error
    except (RawPostDataException, UnreadablePostError) as error:
        raise Invalid((("body",), "The body could not be read.", "json_invalid")) from error
    if len(raw) > limit:
        raise PayloadTooLarge(max_bytes=limit)
    return parsed(raw)


def parsed(raw: bytes) -> dict[str, Any]:
    """JSON as an object; nothing is {}. Raises Invalid, PayloadTooLarge."""
    _require_few_values(raw)
    if not raw.strip():
        return {}
    try:
        value = json.loads(raw.decode(), parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise Invalid((("body",), f"Not valid JSON: {error}", "json_invalid")) from error
    if not isinstance(value, dict):
        raise Invalid((("body",), "The body must be a JSON object.", "type_error"))
    if deeper_than(value, DEEPEST):
        raise Invalid((("body",), f"Nested deeper than {DEEPEST} levels.", "value_error"))
    return value


def _require_few_values(raw: bytes) -> None:
    """More than BODY_BYTES is there for pictures, each of which is one text in Base64. As many lists, objects and numbers would
    hold up the whole process while they are read. Raises PayloadTooLarge.
    """
    if len(raw) > BODY_BYTES and sum(map(raw.count, (b"[", b"{", b","))) > BODY_BYTES:
        raise PayloadTooLarge(f"Apart from pictures a body has at most {BODY_BYTES} bytes.", max_bytes=BODY_BYTES)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large")
    return value


def read(request: HttpRequest, model: type[B]) -> B:
    """The body as `model`. Raises Invalid with every violation, loc starting with "body"."""
    return validated(read_fields(request), model)


def validated(fields: dict[str, Any], model: type[B]) -> B:
    """The fields as `model`; raises as read()."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise refused(error) from error


def read_fields(request: HttpRequest) -> dict[str, Any]:
    """The body's fields, of whatever type. Raises Invalid, PayloadTooLarge."""
    return storable(read_json(request))


def storable(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields, if PostgreSQL can store their texts. Raises Invalid."""
    if (problem := unstorable_at(fields)) is not None:
        raise Invalid(
            (("body", *problem), "Text must not contain the NUL character or half a surrogate pair.", "value_error")
        )
    return fields


def refused(error: ValidationError, more: Iterable[Detail] = ()) -> Invalid:
    """The refusal of a body, with `more` that is wrong in places where its model found nothing."""
    wrong = details(error, "body")
    places = {place for place, *_ in wrong}
    return Invalid(*wrong, *(detail for detail in more if detail[0] not in places))
