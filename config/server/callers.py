"""What the head of a request says before anybody looks into the database: who calls, and whether that takes long."""

import re
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

from django.conf import settings

from web import aliases
from web.json_rpc import is_mcp

Scope = Mapping[str, Any]
HEALTH = frozenset({"/healthz", "/v1/health"})
# What waits for a machine: minutes perhaps.
SLOW = re.compile(
    r"POST /v1/machines/[^/]+/(actions|actions/batch|terminal)"
    r"|GET /v1/machines/[^/]+/screenshot"
    r"|POST /machines/[^/]+/(look|control/act)"
    r"|GET /machines/[^/]+/screen\.png"
)
# What asks a model: it may wait for its Idempotency-Key, but holds no thread while the model thinks (accounts/later.py), and the
# calls that each key may have in hand are counted elsewhere (inference/billed_calls.py).
OF_MODELS = re.compile(r"POST /v1/(predict|ground|sessions/[^/]+/predict)")


def is_health(scope: Scope) -> bool:
    return scope["method"] in {"GET", "HEAD"} and scope["path"].rstrip("/") in HEALTH


def is_slow(scope: Scope) -> bool:
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    return SLOW.fullmatch(f"{method} {scope['path'].rstrip('/')}") is not None


def asks_model(scope: Scope) -> bool:
    return OF_MODELS.fullmatch(f"{scope['method']} {scope['path'].rstrip('/')}") is not None


def is_api(scope: Scope) -> bool:
    path = str(scope["path"])
    return path == "/v1" or path.startswith("/v1/") or is_mcp(path)


def caller_of(scope: Scope) -> str:
    """The key, else the session, else the computer: by what a caller's calls take turns. Nobody is believed anything."""
    headers = {name: value.decode("latin-1") for name, value in scope.get("headers", ())}
    scheme, _, token = headers.get(b"authorization", "").partition(" ")
    key = headers.get(b"x-api-key", "").strip() or (token.strip() if scheme.lower() == "bearer" else "")
    if key:
        return f"key {aliases.key_as_issued(key)}"
    if session := _session_of(headers.get(b"cookie", "")):
        return f"session {session}"
    return f"computer {(scope.get('client') or ['?'])[0]}"


def _session_of(cookies: str) -> str:
    try:
        morsel = SimpleCookie(cookies).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return ""
    return morsel.value if morsel else ""
