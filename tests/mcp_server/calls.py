"""Raw calls of /mcp, without any client: one body in, one answer out."""

import itertools
import json
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpResponse
from django.test import Client

NEW = "2026-07-28"
OLD = "2025-11-25"
META = "io.modelcontextprotocol"
TASKS = f"{META}/tasks"
_ids = itertools.count(1)


@dataclass
class Mcp:
    """A client with one key, or none. `tasks`: it declares the extension with each request."""

    key: str | None
    tasks: bool = False
    version: str = NEW
    client: Client = field(default_factory=Client)

    def send(self, body: Any, **headers: str) -> HttpResponse:
        """Any body, and no headers but the key and these."""
        sent = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post("/mcp", data, content_type="application/json", headers=sent)

    def call(self, method: str, params: dict[str, Any] | None = None, **headers: str) -> HttpResponse:
        """A request as clients of this version send it; a header of "" is left out."""
        body = {"jsonrpc": "2.0", "id": next(_ids), "method": method, "params": params or {}}
        sent = {"MCP_Protocol_Version": self.version}
        if self.version == NEW:
            body["params"] = {"_meta": self.meta()} | body["params"]
            sent["Mcp_Method"] = method
            name = (params or {}).get("name" if method == "tools/call" else "taskId")
            sent |= {"Mcp_Name": name} if isinstance(name, str) else {}
        return self.send(body, **{name: value for name, value in (sent | headers).items() if value})

    def meta(self) -> dict[str, Any]:
        extensions = {"extensions": {TASKS: {}}} if self.tasks else {}
        return {
            f"{META}/protocolVersion": NEW,
            f"{META}/clientCapabilities": extensions,
            f"{META}/clientInfo": {"name": "desk", "version": "1"},
        }

    def result(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        response = self.call(method, params)
        assert response.status_code == 200, response.content
        return dict(response.json()["result"])

    def tool(self, name: str, **arguments: Any) -> dict[str, Any]:
        """The tool's answer as programs read it; fails where the tool refused."""
        result = self.result("tools/call", {"name": name, "arguments": arguments})
        assert not result["isError"], result
        assert json.loads(result["content"][0]["text"]) == result["structuredContent"]
        return dict(result["structuredContent"])

    def refusal(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Why the tool refused."""
        result = self.result("tools/call", {"name": name, "arguments": arguments})
        assert result["isError"], result
        return dict(result["structuredContent"]["error"])


def error_of(response: HttpResponse) -> tuple[int, int]:
    """The status and the code of JSON-RPC that a call was refused with."""
    body = response.json()
    assert body["jsonrpc"] == "2.0", body
    assert "result" not in body, body
    return response.status_code, int(body["error"]["code"])
