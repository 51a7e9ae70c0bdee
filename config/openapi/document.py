"""The OpenAPI document: what ninja knows of the routes, and what every route of ours has in common.

Answers and filters are declared on the routes, bodies too (accounts.doors.takes), scopes by their doors.
docs/openapi.json holds a copy, so that a change of the API is seen in review: `make openapi` writes it.
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation
from pydantic import TypeAdapter

from config.openapi.examples import example
from web.errors import ErrorObject
from web.paging import Page, limit_parameter

Json = dict[str, Any]
REF = "#/components/schemas/{model}"
REFUSED: Json = {"application/json": {"schema": {"$ref": REF.format(model="Error")}}}
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
    "approvals.api": "runs_handling_api",
    "approvals.api.decide_route": "runs_decide_api",
    "approvals.api.list_approvals": "runs_decide_api",
    "approvals.api.read_approval": "runs_decide_api",
    "approvals.policies.api": "approvals_policy_api",
    "inference.ground.api": "inference_api",
    "inference.parse_api": "inference_api",
    "inference.predict.api": "inference_api",
    "inference.profiles.api": "inference_api",
    "inference.sessions.api": "inference_api",
    "machines.takeover.api": "runs_takeover_api",
    "runs.api.list_calls": "runs_calls_api",
    "runs.live.streams": "runs_streams",
    "runs.verbs_api": "runs_signals_api",
    "runs.verbs_api.resume": "runs_decide_api",
    "runs.verbs_api.resume_workflow_run": "runs_decide_api",
    "workflows.runs.api": "workflows_run_api",
}
CURSOR: Json = {
    "name": "cursor",
    "in": "query",
    "required": False,
    "description": "`next_cursor` of the page before.",
    "schema": {"type": "string"},
}
ANY = (400, 401, 403, 429, 500, 503)  # what any operation may refuse with
OF_CHANGES = (409, 413, 422)
# What clients know the refusals by; codes and their meanings are in docs/errors.md.
REFUSALS = {
    400: ("BadRequest", "The query or the body names nothing that there is to do"),
    401: ("Unauthorized", "No valid key and no session"),
    402: ("PaymentRequired", "The wallet or a budget has no room"),
    403: ("Forbidden", "The caller has no right to do this"),
    404: ("NotFound", "It is not there, or belongs to another team or world"),
    409: ("Conflict", "Its state does not allow this now"),
    413: ("TooLarge", "The body is too large"),
    422: ("Invalid", "The call holds something that is not valid; `details` names each thing"),
    429: ("TooManyRequests", "Too many calls or too much at once; Retry-After says when to come again"),
    500: ("InternalError", "A fault of the server"),
    502: ("BadGateway", "A model or machine answered with a fault"),
    503: ("Unavailable", "It cannot be done at the moment; Retry-After says when to come again"),
    504: ("GatewayTimeout", "A model or machine took too long"),
}


class Api(NinjaAPI):
    """NinjaAPI whose document also says how to authenticate, what errors look like and what is answered."""

    def get_openapi_operation_id(self, operation: Operation) -> str:
        view = operation.view_func
        names = f"{view.__module__}.{view.__name__}", view.__module__
        room = next((NAMED_AFTER[name] for name in names if name in NAMED_AFTER), view.__module__.replace(".", "_"))
        return f"{room}_{view.__name__}"

    def get_openapi_schema(self, *, path_prefix: str | None = None, path_params: Json | None = None) -> OpenAPISchema:
        """Made once: all of it stands in the code."""
        return self._document

    @cached_property
    def _document(self) -> OpenAPISchema:
        document = super().get_openapi_schema()
        schemas = document["components"]["schemas"] | {
            "List": _schema_of(Page[Any]),
            "ErrorObject": _schema_of(ErrorObject),
        }
        document["components"] = {
            "schemas": {_name(n): _plain(s) for n, s in schemas.items()},
            "responses": {name: {"description": words, "content": REFUSED} for name, words in REFUSALS.values()},
            "securitySchemes": SECURITY,
        }
        document["security"] = [{name: []} for name in SECURITY]
        scopes = {(method, path): needed for method, path, needed, _ in operations(self)}
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                methods[method] = _complete(_plain(operation), method.upper(), path, scopes[method.upper(), path])
        _link(document["paths"])
        _keep_used(document)
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


def _complete(operation: Json, method: str, path: str, scopes: tuple[str, ...]) -> Json:
    """The operation with what follows from its method, its path and its door."""
    needs = f"Needs the scope {' or '.join(f'`{scope}`' for scope in scopes)}." if scopes else ""
    operation["description"] = "\n\n".join(filter(None, (operation.get("description"), needs)))
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body is not None:
        body["example"] = example(method, path)
    if path in OPEN:
        operation["security"] = []
    operation["parameters"] = [_query(p) for p in operation["parameters"]] + _shared(operation, method)
    statuses = sorted({*operation["responses"], *_refusals(operation, method)})
    answers = {str(s): operation["responses"][s] if s not in REFUSALS else _refusal(s) for s in statuses}
    operation["responses"] = answers | {"default": {"description": "Refused", "content": REFUSED}}
    return operation


def _query(parameter: Json) -> Json:
    """Without null, which no address can hold."""
    schema = dict(parameter["schema"])
    forms = [form for form in schema.pop("anyOf", ()) if form != {"type": "null"}]
    return parameter | {"schema": schema | (forms[0] if forms else {})}


def _shared(operation: Json, method: str) -> list[Json]:
    named = {parameter["name"] for parameter in operation["parameters"]}
    shared = [limit_parameter(20), CURSOR] if _lists(operation) else []
    shared += [IDEMPOTENCY_KEY] if method == "POST" else []
    return [parameter for parameter in shared if parameter["name"] not in named]


def _lists(operation: Json) -> bool:
    """Does it answer a page of a list?"""
    content = operation["responses"].get(200, {}).get("content", {}).get("application/json", {})
    return str(content.get("schema", {}).get("$ref", "")).endswith("List")


def _refusals(operation: Json, method: str) -> list[int]:
    places = any(parameter["in"] == "path" for parameter in operation["parameters"])
    return [*ANY, *([404] if places else []), *(OF_CHANGES if method not in ("GET", "DELETE") else [])]


def _link(paths: Json) -> None:
    """From what a POST to a collection made to the operation that reads it."""
    for path, methods in paths.items():
        for child, of_child in paths.items():
            place = re.fullmatch(re.escape(path) + r"/{(\w+)}", child)
            if place and "post" in methods and "get" in of_child:
                key = "session_id" if place[1] == "session_id" else "id"
                link = {
                    "operationId": of_child["get"]["operationId"],
                    "parameters": {place[1]: f"$response.body#/{key}"},
                }
                for status in {"200", "201"} & set(methods["post"]["responses"]):
                    methods["post"]["responses"][status]["links"] = {"read": link}


def _keep_used(document: OpenAPISchema) -> None:
    """Ninja also names what filters are made of."""
    schemas = document["components"]["schemas"]
    text = json.dumps(document)
    document["components"]["schemas"] = {
        n: s for n, s in schemas.items() if n == "List" or f'"{REF.format(model=n)}"' in text
    }


def _schema_of(answer: Any) -> Json:
    return TypeAdapter(answer).json_schema(ref_template=REF)


def _refusal(status: int) -> Json:
    return {"$ref": f"#/components/responses/{REFUSALS[status][0]}"}


def _name(name: str) -> str:
    """`RunObject` is called Run by who calls the API, and a page of them RunList."""
    return re.sub(r"Page_(\w+?)(Object)?_$", r"\1List", name).removesuffix("Object")


def _plain(schema: Any) -> Any:
    """A part of the document without the titles that pydantic makes of names, and with the names of our answers."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _name(value) if key == "$ref" else _plain(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
    }
