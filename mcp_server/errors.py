"""What a call of MCP is refused with: errors of JSON-RPC, with the status that protocol 2026-07-28 gives them.

Earlier versions answer errors of a call with 200. What no client can mend by another call is no error of these: it is
refused as in the API (web/errors.py).
"""

from typing import Any

from mcp_types import jsonrpc

from web.errors import Refusal


class RpcError(Exception):
    """The call was refused."""

    code = jsonrpc.INVALID_PARAMS
    status = 400
    always = False  # its status counts in every version

    def __init__(self, message: str | None = None, **data: Any) -> None:
        self.message = message or " ".join((self.__doc__ or "").split())
        self.data = data or None
        super().__init__(self.message)


class ParseError(RpcError):
    """The body is not valid JSON."""

    code, always = jsonrpc.PARSE_ERROR, True


class InvalidRequest(RpcError):
    """The body is not one request or notification of JSON-RPC 2.0."""

    code, always = jsonrpc.INVALID_REQUEST, True


class InvalidParams(RpcError):
    """The parameters do not fit the method."""


class MethodNotFound(RpcError):
    """There is no such method in this version of the protocol."""

    code, status = jsonrpc.METHOD_NOT_FOUND, 404


class HeaderMismatch(RpcError):
    """A header is missing, or says otherwise than the body."""

    code = jsonrpc.HEADER_MISMATCH


class CapabilityMissing(RpcError):
    """This method needs a capability that the client did not declare with this request."""

    code = jsonrpc.MISSING_REQUIRED_CLIENT_CAPABILITY


class UnsupportedVersion(RpcError):
    """This version of the protocol is not served."""

    code, always = jsonrpc.UNSUPPORTED_PROTOCOL_VERSION, True


class ForeignOrigin(Refusal):
    """Pages of other origins may not call this address. Add the origin to CSRF_TRUSTED_ORIGINS if it is one of yours."""

    code, status = "FOREIGN_ORIGIN", 403
