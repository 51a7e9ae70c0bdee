"""One caller of the API over one kept connection: as little as a client can cost."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit


class Caller:
    def __init__(self, address: str, key: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
        self._headers = {"X-API-Key": key, "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON. Raises RuntimeError when it is not 200."""
        self._connection.request(method, path, None if body is None else json.dumps(body), self._headers)
        response = self._connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise RuntimeError(f"{method} {path} answered {response.status}: {content[:300]!r}")
        return json.loads(content)
