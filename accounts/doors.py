"""The door of an API route: its scope, and what its body looks like in the OpenAPI document.

The body is read inside the route, after the resource was found, because a malformed body on a missing run is 404.
"""

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, cast

from django.http import HttpRequest, HttpResponseBase
from pydantic import BaseModel

from accounts.access import require
from accounts.actor import TAKE_CONTROL
from accounts.middleware import ApiRequest
from web.errors import following_up

__all__ = ["ApiRequest", "door", "takes"]

P = ParamSpec("P")
Route = Callable[Concatenate[Any, P], HttpResponseBase]


def door(*scopes: str) -> Callable[[Route[P]], Route[P]]:
    """The route needs any one of these scopes; none means any key."""

    def wrap(route: Route[P]) -> Route[P]:
        @functools.wraps(route)
        def checked(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if scopes:
                require(request.actor, *scopes)  # type: ignore[attr-defined]
            with following_up():
                return route(request, *args, **kwargs)

        # For the OpenAPI document, which is about keys.
        checked.scopes = tuple(scope for scope in scopes if scope != TAKE_CONTROL)  # type: ignore[attr-defined]
        return cast("Route[P]", checked)

    return wrap


_BOUNDS = {"ge": "minimum", "le": "maximum"}


def takes(model: type[BaseModel]) -> dict[str, Any]:
    """Keyword arguments of a ninja route whose body is `model`. A body of none but optional fields may be left out."""
    schema = body_schema(model)
    needed = any(schema.get(word) for word in ("required", "if", "minProperties"))
    return {"openapi_extra": {"requestBody": {"content": {"application/json": {"schema": schema}}, "required": needed}}}


def body_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema of a body, in one piece."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    whole: dict[str, Any] = _inline(schema, definitions)
    return whole


def _inline(schema: Any, definitions: dict[str, Any]) -> Any:
    """The schema with its references written out: the document has one place for each body.

    Behind a validator of ours pydantic calls bounds ge and le, which JSON Schema does not know. A field that may be left
    out may be null (web.bodies.Body).
    """
    if isinstance(schema, list):
        return [_inline(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inline(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
    plain = {
        _BOUNDS.get(key, key) if isinstance(value, int) else key: _inline(value, definitions)
        for key, value in schema.items()
    }
    if "properties" in plain:
        required = plain.get("required", ())
        plain["properties"] = {n: s if n in required else _or_null(s) for n, s in plain["properties"].items()}
    return plain


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    if not schema.keys() & {"type", "enum", "const", "anyOf"} or {"type": "null"} in (schema, *schema.get("anyOf", ())):
        return schema
    outside: dict[str, Any] = {key: schema[key] for key in ("default", "description", "title") if key in schema}
    inside = {key: value for key, value in schema.items() if key not in outside}
    return {"anyOf": [*inside.get("anyOf", [inside]), {"type": "null"}], **outside}
