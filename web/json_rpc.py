"""Errors of JSON-RPC 2.0, in which /mcp answers: its clients show nothing of any other body."""

from typing import Any

from web.errors import Refusal

MCP_PATH = "/mcp"
INVALID_REQUEST = -32600
INTERNAL_ERROR = -32603


def is_mcp(path: str) -> bool:
    return path == MCP_PATH or path.startswith(f"{MCP_PATH}/")


def error_body(call_id: str | int | None, code: int, message: str, data: Any = None) -> dict[str, Any]:
    """`call_id`: null where the call's own id is not known."""
    error = {"code": code, "message": message} | ({} if data is None else {"data": data})
    return {"jsonrpc": "2.0", "id": call_id, "error": error}


def refusal_body(path: str, refusal: Refusal, request_id: str, call_id: str | int | None = None) -> dict[str, Any]:
    """A refusal as callers of this path read it: the envelope of the API, which stands in `data` at /mcp."""
    envelope = refusal.body(request_id)
    if not is_mcp(path):
        return envelope
    code = INTERNAL_ERROR if refusal.status >= 500 else INVALID_REQUEST
    return error_body(call_id, code, refusal.message, envelope["error"])
