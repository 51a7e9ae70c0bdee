"""Who may call what: every route × every scope, every route × every role (docs/api/README.md section 3).

The routes come from the router itself: a new one fails here until tests/conventions/routes.py says who may call it.
"""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from accounts.actor import SCOPES, scopes_of_roles
from config.api import api
from config.openapi.document import operations
from tests.cast import Cast
from tests.conventions.conftest import only, refused
from tests.conventions.routes import CONTRACT, ROUTES, filled, nameless

pytestmark = pytest.mark.django_db

READS = {"runs:read", "workflows:read", "approvals:read", "machines:read", "webhooks:read", "team:read"}
ROLE_SCOPES = {
    "bob": READS,
    "alice": READS
    | {"runs:write", "workflows:write", "machines:write", "actions:exec", "terminal:exec", "connection:read"},
    "ana": READS | {"approvals:decide", "takeover"},  # taking control is part of deciding; acting needs the lease
    "olga": set(SCOPES),
}
CONTROLS = {"ana": {"actions:exec"}}  # the doors of a takeover, and of what is done in one
CALLS = [route for route in ROUTES if route[1] != "/health"]
KEYED = ("once", "once_named", "once_outside", "answer_billed")  # what looks at the key
OPEN = {200, 201, 204, 400, 402, 404, 422}  # whatever comes after the scope


def test_every_route_is_listed_with_its_scope() -> None:
    for method, path, scopes in ROUTES:
        assert CONTRACT.get(nameless(method, path)) == set(scopes), (
            f"{method} {path}: which scope does the contract give it?"
        )


def test_roles_hold_the_scopes_of_the_contract() -> None:
    for role, name in (("viewer", "bob"), ("operator", "alice"), ("approver", "ana"), ("admin", "olga")):
        assert scopes_of_roles([role]) == ROLE_SCOPES[name]
    assert scopes_of_roles(["operator", "approver"]) >= ROLE_SCOPES["alice"] | ROLE_SCOPES["ana"]


def test_a_key_needs_one_of_the_scopes_of_the_route(cast: Cast) -> None:
    keys = {scope: only(cast, scope) for scope in SCOPES}
    for method, path, scopes in CALLS:
        for scope in scopes or ("parse",):
            assert keys[scope].request(method, filled(path)).status_code in OPEN, (method, path, scope)


def test_a_key_with_all_other_scopes_is_refused(cast: Cast) -> None:
    for wanted in {scopes for *_, scopes in CALLS if scopes}:
        others = set(SCOPES) - set(wanted)
        key = only(cast, *others)
        for method, path in [(method, path) for method, path, scopes in CALLS if scopes == wanted]:
            error = refused(key.request(method, filled(path)), 403, "INSUFFICIENT_SCOPE")
            assert (error["required_scope"], error["current_scopes"]) == (wanted[0], sorted(others)), (method, path)


@pytest.mark.parametrize("name", list(ROLE_SCOPES))
def test_a_role_opens_its_routes_and_no_other(cast: Cast, name: str) -> None:
    browser = cast.browser(name)
    for method, path, scopes in CALLS:
        answer = browser.generic(method, f"/v1{filled(path)}", b"", content_type="application/json")
        if not scopes or set(scopes) & (ROLE_SCOPES[name] | CONTROLS.get(name, set())):
            assert answer.status_code in OPEN, (method, path, answer.content)
        else:
            refused(answer, 403, "INSUFFICIENT_SCOPE")


def calls(function: Callable[..., Any], name: str) -> bool:
    """Whether the function, or one of its module that it calls, calls `name`."""
    inner = inspect.unwrap(function)
    near = [inner.__globals__.get(word) for word in inner.__code__.co_names]
    mine = [found for found in near if inspect.isfunction(found) and found.__module__ == inner.__module__]
    return name in inner.__code__.co_names or any(calls(found, name) for found in mine)


def test_every_post_takes_an_idempotency_key() -> None:
    posts = [(path, view) for method, path, _, view in operations(api) if method == "POST"]
    assert [path for path, view in posts if not any(calls(view, name) for name in KEYED)] == []
