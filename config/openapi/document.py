"""The OpenAPI document: what ninja knows of the routes, and what every route of ours has in common.

Bodies come from the routes (accounts.doors.takes), scopes from their doors; answers are named in config/answers.py.
docs/openapi.json holds a copy, so that a change of the API is seen in review: `make openapi` writes it.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation

from config.answers import ANSWERS, FILTERS, LISTS, SCHEMAS, STATUSES
from config.openapi.examples import example

Json = dict[str, Any]
OPEN = frozenset({"/v1/health"})
SECURITY: Json = {
    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "`cs_live_…` or `cs_test_…`"},
    "Bearer": {"type": "http", "scheme": "bearer", "description": "The same key as `Authorization: Bearer`"},
    "Session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "sessionid",
        "description": "A signed-in person. Changes need X-CSRFToken; X-Team-Mode (live, test) selects the world.",
    },
}
IDEMPOTENCY_KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Repeating the call with its key within 24 hours answers the same and does nothing again.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_:-]{1,128}$"},
}
# Generated clients call operations by these names: they stay when the code behind them moves.
NAMED_AFTER = {
    "accounts.keys.api": "accounts_api",
    "accounts.team.api": "accounts_api",
    "approvals.policies.api": "approvals_policy_api",
    "inference.ground.api": "inference_api",
    "inference.parse_api": "inference_api",
    "inference.predict.api": "inference_api",
    "inference.profiles.api": "inference_api",
    "inference.sessions.api": "inference_api",
    "machines.takeover.api": "runs_takeover_api",
    "runs.live.streams": "runs_streams",
    "runs.verbs_api": "runs_signals_api",
    "workflows.runs.api": "workflows_run_api",
    "runs.verbs_api.resume": "runs_decide_api",
    "runs.verbs_api.resume_workflow_run": "runs_decide_api",
    "approvals.api": "runs_handling_api",
    "approvals.api.list_approvals": "runs_decide_api",
    "approvals.api.read_approval": "runs_decide_api",
    "approvals.api.decide_route": "runs_decide_api",
}
STREAM = "text/event-stream"
LAST_EVENT_ID: Json = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "The last event that was read; the stream goes on after it, or after `after` if that is larger.",
    "schema": {"type": "string"},
}
LIMIT: Json = {
    "name": "limit",
    "in": "query",
    "required": False,
    "schema": {"type": "integer", "minimum": 1, "maximum": 200, "default": 20},
}


class Api(NinjaAPI):
    """NinjaAPI whose document also says how to authenticate, what errors look like and what is answered."""

    def get_openapi_operation_id(self, operation: Operation) -> str:
        view = operation.view_func
        names = f"{view.__module__}.{view.__name__}", view.__module__
        room = next((NAMED_AFTER[name] for name in names if name in NAMED_AFTER), view.__module__.replace(".", "_"))
        return f"{room}_{view.__name__}"

    def get_openapi_schema(self, *, path_prefix: str | None = None, path_params: Json | None = None) -> OpenAPISchema:
        document = super().get_openapi_schema(path_prefix=path_prefix, path_params=path_params)
        components = document["components"]
        components["schemas"] = components.get("schemas", {}) | SCHEMAS
        components["securitySchemes"] = SECURITY
        document["security"] = [{name: []} for name in SECURITY]
        scopes = {(method, path): scope for method, path, scope, _ in operations(self)}
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                _complete(operation, method.upper(), path, scopes[method.upper(), path])
        return document


def operations(api: NinjaAPI) -> Iterator[tuple[str, str, tuple[str, ...], Callable[..., Any]]]:
    """(method, path, scopes, view) of every documented route; ninja has no public way to list them."""
    for router in api._get_bound_routers():
        for path, view in router.path_operations.items():
            for operation in view.operations:
                if operation.include_in_schema:
                    named = re.sub(r"{\w+:", "{", path)  # without converters
                    for method in operation.methods:
                        yield method, f"/v1{named}", getattr(operation.view_func, "scopes", ()), operation.view_func


def _complete(operation: Json, method: str, path: str, scopes: tuple[str, ...]) -> None:
    if scopes:
        words = " or ".join(f"`{scope}`" for scope in scopes)
        operation["description"] = f"Needs the scope {words}."
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body is not None:
        body["example"] = example(method, path)
    if path in OPEN:
        operation["security"] = []
    if method == "POST":
        operation["parameters"].append(IDEMPOTENCY_KEY)
    if method == "GET":
        operation["parameters"] += _query(path)
    content = _answer(method, path)
    operation["responses"] = {
        STATUSES.get((method, path), "200"): {"description": "OK", **({"content": content} if content else {})},
        "default": {"description": "Refused", "content": _json({"$ref": "#/components/schemas/Error"})},
    }
    if content and STREAM in content:
        operation["parameters"].append(LAST_EVENT_ID)
        operation["responses"]["204"] = {
            "description": "The run has ended, and Last-Event-ID is its last event or beyond"
        }


def _query(path: str) -> list[Json]:
    filters = [_text(name) for name in FILTERS.get(path, ())]
    return [LIMIT, _text("cursor"), *filters] if path in LISTS else filters


def _text(name: str) -> Json:
    return {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}


def _answer(method: str, path: str) -> Json | None:
    if method == "GET" and path in LISTS:
        return _json({"allOf": [{"$ref": "#/components/schemas/List"}, _data(LISTS[path])]})
    name = ANSWERS.get((method, path))
    if name is None:
        return None
    return {name: {}} if "/" in name else _json({"$ref": f"#/components/schemas/{name}"})


def _data(name: str) -> Json:
    return {"properties": {"data": {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}}}}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}
