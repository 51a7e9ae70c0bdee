"""Every call of every test is held against the OpenAPI document: what it answers is what the document says."""

import functools
import json
import re
from typing import Any

import jsonschema
from django.http import HttpResponse

from config.api import api

DOCUMENT: dict[str, Any] = json.loads(json.dumps(api.get_openapi_schema()))
SCHEMAS = DOCUMENT["components"]["schemas"]
METHODS = frozenset({"get", "post", "put", "patch", "delete"})


@functools.cache
def operation(method: str, path: str) -> dict[str, Any] | None:
    """What the document says of this call; a path without places counts more than one with them."""
    for template in sorted(DOCUMENT["paths"], key=lambda template: (template.count("{"), template)):
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path):
            named: dict[str, Any] | None = DOCUMENT["paths"][template].get(method.lower())
            return named
    return None


@functools.cache
def _validator(schema: str) -> jsonschema.Draft202012Validator:
    whole = json.loads(schema) | {"components": DOCUMENT["components"]}
    return jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker())


def misfit(schema: dict[str, Any], value: Any) -> str | None:
    """What is wrong with the value, by a schema of the document."""
    error = next(_validator(json.dumps(schema)).iter_errors(value), None)
    return None if error is None else f"{error.json_path}: {error.message[:300]}"


def problem(method: str, path: str, response: HttpResponse) -> str | None:
    """Why this answer is not what the document says."""
    named = operation(method, path.partition("?")[0])
    if named is None:
        return None
    answer = named["responses"].get(str(response.status_code))
    if answer is None:
        return f"{method} {path} answered {response.status_code}, of which the document says nothing"
    if "$ref" in answer:
        answer = DOCUMENT["components"]["responses"][answer["$ref"].rsplit("/", 1)[-1]]
    kind = response.get("Content-Type", "").partition(";")[0]
    if response.status_code == 204:
        return None
    if kind not in answer.get("content", {}):
        return f"{method} {path} answered {response.status_code} as {kind!r}, of which the document says nothing"
    if kind != "application/json":
        return None
    wrong = misfit(answer["content"][kind]["schema"], json.loads(response.content))
    return f"{method} {path} answered {response.status_code}: {wrong}" if wrong else None
