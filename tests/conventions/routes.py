"""Every route of /v1, taken from the router, and the scopes the contract gives it."""

import re

from accounts.actor import SCOPES
from config.api import api
from config.openapi.document import operations
from tests.cast import Cast
from tests.doors import Door, client_of, credential, filled_in, without_trace

# scope -> "METHOD path" of every route it opens; "a|b": either is enough; "": any key. From the tables of docs/api/.
_TABLES = {
    "": "GET /health, GET /idempotency/{}, GET /models",
    "team:read": "GET /team",
    "team:write": "PATCH /team",
    "keys": "POST /keys, GET /keys, DELETE /keys/{}",
    "machines:read": "GET /machines, GET /machines/{}, GET /machines/{}/screenshot",
    "machines:write": "POST /machines, PATCH /machines/{}, DELETE /machines/{}, POST /machines/{}/start, POST"
    " /machines/{}/stop,"
    " POST /machines/{}/terminate",
    "actions:exec": "POST /machines/{}/actions, POST /machines/{}/actions/batch, GET /machines/{}/takeover,"
    " POST /machines/{}/takeover, POST /machines/{}/takeover/heartbeat, POST /machines/{}/takeover/release",
    "terminal:exec": "POST /machines/{}/terminal",
    "connection:read": "GET /machines/{}/connection",
    "runs:write": "POST /runs, POST /runs/{}/cancel, POST /stop, POST /stop/{}/lift",
    "runs:read": "GET /stop, GET /stop/{},"
    " GET /runs, GET /runs/{}, GET /runs/{}/screenshots, GET /runs/{}/screenshots/{}, GET /runs/{}/events,"
    " GET /runs/{}/events/stream, GET /runs/{}/deliveries, GET /runs/{}/calls, POST /agents/playbook/parse",
    "approvals:decide": "POST /runs/{}/resume, POST /runs/{}/signal, POST /runs/{}/approve, POST /runs/{}/answer,"
    " PATCH /runs/{}/permission-mode, POST /workflows/runs/{}/resume, POST /workflows/runs/{}/signal,"
    " POST /workflows/runs/{}/approve, POST /workflows/runs/{}/answer, PATCH /workflows/runs/{}/permission-mode,"
    " POST /approvals/{}/decide, POST /approvals/{}/claim, POST /approvals/{}/release, POST /approvals/{}/assign,"
    " POST /approvals/{}/extend, POST /approvals/{}/undo, POST /permissions, PATCH /permissions/{}, DELETE /permissions/{}",
    "approvals:request": "POST /approvals, POST /approvals/{}/cancel, PUT /approvals/{}/result",
    "approvals:read|approvals:request": "GET /approvals, GET /approvals/{}, GET /approvals/{}/events, GET /approvals/{}/pictures/{}",
    "approvals:read": "GET /runs/{}/permissions, GET /workflows/runs/{}/permissions,"
    " POST /approvals/{}/comment, GET /permissions, GET /permissions/{}, POST /permissions/preview",
    "workflows:read": "GET /workflows, GET /workflows/{}, GET /workflows/{}/versions, GET /workflows/{}/versions/{},"
    " POST /workflows/validate, GET /workflows/runs",
    "workflows:write": "POST /workflows, PUT /workflows/{}, DELETE /workflows/{}, POST /workflows/{}/runs, POST"
    " /workflows/runs",
    "workflows:read|runs:read": "GET /workflows/runs/{}, GET /workflows/runs/{}/events, GET"
    " /workflows/runs/{}/events/stream,"
    " GET /workflows/runs/{}/screenshots, GET /workflows/runs/{}/screenshots/{}, GET /workflows/runs/{}/deliveries",
    "workflows:write|runs:write": "POST /workflows/runs/{}/cancel",
    "webhooks:read": "GET /webhooks, GET /webhooks/{}, GET /webhooks/{}/deliveries",
    "webhooks:write": "POST /webhooks, PATCH /webhooks/{}, DELETE /webhooks/{}, POST /webhooks/{}/test,"
    " POST /webhooks/{}/deliveries/{}/redeliver",
    "secrets:write": "POST /secrets, GET /secrets, PUT /secrets/{}, DELETE /secrets/{}",
    "usage": "GET /billing/balance, GET /billing/ledger, GET /billing/active, GET /usage",
    "predict": "POST /predict",
    "ground": "POST /ground",
    "parse": "POST /parse",
    "session": "POST /sessions, GET /sessions, GET /sessions/{}, POST /sessions/{}/predict, POST /sessions/{}/reset,"
    " DELETE /sessions/{}",
}
CONTRACT = {call.strip(): set(scope.split("|")) - {""} for scope, calls in _TABLES.items() for call in calls.split(",")}
ROUTES = sorted((method, path.removeprefix("/v1"), scopes) for method, path, scopes, _ in operations(api))


def filled(path: str, value: str = "x_none") -> str:
    """The path with every placeholder replaced."""
    return re.sub(r"{\w*}", lambda _: value, path)


def nameless(method: str, path: str) -> str:
    """`GET /runs/{}`."""
    return f"{method} {filled(path, '{}')}"


def statuses(doors: list[Door], who: str, cast: Cast, strangers: Cast, things: dict[str, str]) -> dict[str, int]:
    """What each door answers this caller, each tried on the same `things`: ids by their names in paths and bodies."""
    client = client_of(who, cast, strangers)
    answers = {}
    for door in doors:
        with without_trace(client):
            sent = credential(who, cast, frozenset(SCOPES) - CONTRACT[nameless(door.method, door.path)])
            path, body = f"/v1{filled_in(door.path, things)}", filled_in(door.body, things)
            answer = client.generic(door.method, path, body, content_type="application/json", headers=sent)
        answers[door.name] = answer.status_code
    return answers
