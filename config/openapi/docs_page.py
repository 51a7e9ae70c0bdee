"""/v1/docs: every operation of the API as a page of ours, to read and to try with the session's login or with a key."""

import json
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers
from django.views.decorators.http import require_safe

from accounts.access import actor_of_session
from config.api import api

_TITLES = {"agents": "Agents", "billing": "Money", "health": "Health", "idempotency": "Idempotency"}
_ENDS_THINGS = frozenset({"terminate", "stop", "cancel"})


@dataclass(frozen=True)
class Field:
    """One parameter or one field of a body, in words."""

    name: str
    kind: str
    required: bool
    words: str  # bounds, default


@dataclass(frozen=True)
class Operation:
    id: str
    method: str
    path: str
    scope: str
    title: str
    places: list[Field]  # of the path
    query: list[Field]
    body: list[Field]
    example: str | None
    ends: bool  # it ends or deletes something: asked once more before it is sent


@dataclass(frozen=True)
class Group:
    title: str
    anchor: str
    operations: list[Operation]


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """Open to everybody, as the document is; signed in, it stands in the frame of the pages."""
    actor = actor_of_session(request)
    request.actor = actor  # type: ignore[attr-defined]
    layout = "base.html" if actor is not None else "plain.html"
    context = {
        "layout": layout,
        "groups": groups(),
        "section": "docs",
        "world": "test" if actor is not None and actor.test else "live",
    }
    response = render(request, "api/docs.html", context)
    add_never_cache_headers(response)
    return response


@lru_cache(maxsize=1)
def groups() -> list[Group]:
    """All operations, by the noun of their address."""
    operations = [
        _operation(method.upper(), path, operation)
        for path, methods in api.get_openapi_schema()["paths"].items()
        for method, operation in methods.items()
    ]
    ordered = sorted(operations, key=lambda o: o.path.split("/")[2])
    by_noun = groupby(ordered, key=lambda o: o.path.split("/")[2])
    return [Group(_TITLES.get(noun, noun.capitalize()), noun, list(each)) for noun, each in by_noun]


def _operation(method: str, path: str, operation: dict[str, Any]) -> Operation:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    parameters = operation.get("parameters", [])
    required = set(content["schema"].get("required", ())) if content else set()
    properties = content["schema"].get("properties", {}) if content else {}
    name = f"{method} {path}".lower()
    return Operation(
        id="".join(char if char.isalnum() else "-" for char in name).strip("-"),
        method=method,
        path=path,
        scope=operation.get("description", ""),
        title=operation.get("summary", ""),
        places=[_field(p["name"], p["schema"], True) for p in parameters if p["in"] == "path"],
        query=[_field(p["name"], p["schema"], False) for p in parameters if p["in"] == "query"],
        body=[_field(key, schema, key in required) for key, schema in properties.items()],
        example=json.dumps(content["example"], indent=2, ensure_ascii=False) if content else None,
        ends=method == "DELETE" or path.rsplit("/", 1)[-1] in _ENDS_THINGS,
    )


def _field(name: str, schema: dict[str, Any], required: bool) -> Field:
    forms = [form for form in schema.get("anyOf", [schema]) if form.get("type") != "null"]
    kinds = dict.fromkeys(str(form.get("type", "any")) for form in forms)
    facts = [_bounds(form) for form in forms]
    default = schema.get("default")
    if default not in (None, "", []):
        facts.append(f"default {json.dumps(default)}")
    return Field(name, " or ".join(kinds), required, "; ".join(filter(None, facts)))


def _bounds(form: dict[str, Any]) -> str:
    if "enum" in form:
        return ", ".join(map(str, form["enum"]))
    if "const" in form:
        return str(form["const"])
    least, most = form.get("minimum", form.get("minLength")), form.get("maximum", form.get("maxLength"))
    unit = " characters" if "maxLength" in form or "minLength" in form else ""
    if least is not None and most is not None:
        return f"{least} to {most}{unit}"
    return f"at most {most}{unit}" if most is not None else f"at least {least}{unit}" if least is not None else ""
