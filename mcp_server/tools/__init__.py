"""The tools that models may call. None of them decides."""

from typing import Any

from mcp_server.tools import requests, runs
from mcp_server.tools.tool import Tool

TOOLS: dict[str, Tool[Any]] = {tool.name: tool for tool in (*requests.TOOLS, *runs.TOOLS)}
