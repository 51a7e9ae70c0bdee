"""The official client of MCP, in a thread of its own, called from tests that look into the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult

MODES = ("legacy", "2026-07-28", "auto")


@dataclass
class Desk:
    """One connected client."""

    portal: BlockingPortal
    client: Client

    def tools(self) -> list[str]:
        listed = self.portal.call(self.client.list_tools)
        return [tool.name for tool in listed.tools]

    def call(self, name: str, **arguments: Any) -> CallToolResult:
        return self.portal.call(self.client.call_tool, name, arguments)

    def tool(self, name: str, **arguments: Any) -> dict[str, Any]:
        """The tool's answer; fails where it refused."""
        result = self.call(name, **arguments)
        assert not result.is_error, result
        assert result.structured_content is not None
        return dict(result.structured_content)


@contextmanager
def desk(address: str, key: str, mode: str, **options: Any) -> Iterator[Desk]:
    http = httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=60)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(http):
        client = Client(streamable_http_client(f"{address}/mcp", http_client=http), mode=mode, **options)
        with portal.wrap_async_context_manager(client):
            yield Desk(portal, client)
