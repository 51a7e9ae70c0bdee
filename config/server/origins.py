"""Which pages may open a websocket: those of our own origin."""

from typing import Any

from channels.security.websocket import WebsocketDenier

from web import origins

_SCHEMES = {"ws": "http", "wss": "https"}


class OwnOriginOnly:
    """ASGI middleware for websockets; every other origin, and none, is denied before anything is accepted."""

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        application = self._application if is_own(scope) else WebsocketDenier()
        return await application(scope, receive, send)


class OwnOriginOrNone:
    """Sockets at `paths` take no cookie, so that programs, which have no origin, may open them; pages of others may not."""

    def __init__(self, paths: frozenset[str], application: Any, others: Any) -> None:
        self._paths, self._application, self._others = paths, application, others

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        if scope["path"] not in self._paths:
            return await self._others(scope, receive, send)
        has_origin = any(name == b"origin" for name, _ in scope["headers"])
        application = self._application if is_own(scope) or not has_origin else WebsocketDenier()
        return await application(scope, receive, send)


def is_own(scope: dict[str, Any]) -> bool:
    """Whether the handshake comes from a page of ours."""
    headers = {name: value.decode("latin1") for name, value in scope["headers"]}
    scheme = _SCHEMES.get(scope.get("scheme", "ws"), "http")
    return origins.is_own(headers.get(b"origin", ""), scheme, headers.get(b"host", ""))
