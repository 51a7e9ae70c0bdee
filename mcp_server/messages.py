"""One message of MCP as it comes in: JSON-RPC in the body, and headers that repeat what proxies need to know of it.

Two eras. Up to 2025-11-25 a client shakes hands (initialize) and names the version in a header. In 2026-07-28 every request
stands alone and says in `_meta` which version it is of and what its client can do. There are no sessions in either.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest
from mcp_types import CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY, PROTOCOL_VERSION_META_KEY
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from mcp_server.errors import HeaderMismatch, InvalidParams, InvalidRequest, ParseError, UnsupportedVersion
from web.bodies import read_json
from web.errors import Invalid
from web.json_values import unstorable_at

VERSIONS = (*HANDSHAKE_PROTOCOL_VERSIONS, *MODERN_PROTOCOL_VERSIONS)
UNNAMED_VERSION = "2025-03-26"  # of clients that name none after their handshake
VERSION_HEADER = "MCP-Protocol-Version"
# What Mcp-Name repeats of the parameters.
NAMED_BY = {"tools/call": "name", "tasks/get": "taskId", "tasks/update": "taskId", "tasks/cancel": "taskId"}
_ENCODED = re.compile(r"=\?base64\?(.*)\?=")


@dataclass(frozen=True)
class Message:
    """`id` None: a notification, which is not answered."""

    id: str | int | None
    method: str
    params: dict[str, Any]


@dataclass(frozen=True)
class Envelope:
    """What a message says of its client."""

    version: str
    extensions: frozenset[str] = field(default_factory=frozenset)  # of the protocol, that the client declared
    client: str | None = None  # its name, in its own words

    @property
    def is_modern(self) -> bool:
        return self.version in MODERN_PROTOCOL_VERSIONS


def message_in(request: HttpRequest) -> Message:
    """Raises ParseError, InvalidRequest, PayloadTooLarge."""
    try:
        body = read_json(request)
    except Invalid as invalid:
        [(_, message, kind), *_] = invalid.violations
        raise (ParseError(message) if kind == "json_invalid" else InvalidRequest(message)) from invalid
    call_id, method, params = body.get("id"), body.get("method"), body.get("params")
    if body.get("jsonrpc") != "2.0" or not isinstance(method, str) or not _may_be_id(call_id, given="id" in body):
        raise InvalidRequest
    if unstorable_at([call_id, method]) is not None or not isinstance(params, dict | None):
        raise InvalidRequest
    return Message(call_id, method, params or {})


def _may_be_id(value: Any, *, given: bool) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)) or not given


def envelope_of(message: Message, headers: Mapping[str, str]) -> Envelope:
    """Raises InvalidParams, HeaderMismatch, UnsupportedVersion, in the order of the specification."""
    if unstorable_at(message.params) is not None:
        raise InvalidParams("Text must not contain the NUL character or half a surrogate pair.")
    version = headers.get(VERSION_HEADER)
    meta = message.params.get("_meta")
    stands_alone = isinstance(meta, dict) and PROTOCOL_VERSION_META_KEY in meta
    if version in HANDSHAKE_PROTOCOL_VERSIONS or (version is None and not stands_alone):
        _require_honest(message, headers)
        return Envelope(version or UNNAMED_VERSION)
    if message.id is None:
        return Envelope(_served(version))
    return _of_request(message, meta, headers)


def _served(version: Any) -> str:
    if version not in MODERN_PROTOCOL_VERSIONS:
        raise UnsupportedVersion(supported=list(VERSIONS), requested=str(version))
    return str(version)


def _of_request(message: Message, meta: Any, headers: Mapping[str, str]) -> Envelope:
    missing = [
        key
        for key in (PROTOCOL_VERSION_META_KEY, CLIENT_CAPABILITIES_META_KEY)
        if not isinstance(meta, dict) or key not in meta
    ]
    if missing:
        raise InvalidParams(f"_meta lacks {' and '.join(missing)}.")
    _require_same(VERSION_HEADER, headers.get(VERSION_HEADER), meta[PROTOCOL_VERSION_META_KEY])
    _require_same("Mcp-Method", headers.get("Mcp-Method"), message.method)
    name = _name_of(message)
    if isinstance(name, str):  # of anything else the method says what is wrong
        _require_same("Mcp-Name", _decoded(headers.get("Mcp-Name")), name)
    capabilities = meta[CLIENT_CAPABILITIES_META_KEY]
    if not isinstance(capabilities, dict):
        raise InvalidParams(f"{CLIENT_CAPABILITIES_META_KEY} must be an object.")
    extensions = capabilities.get("extensions")
    return Envelope(
        _served(meta[PROTOCOL_VERSION_META_KEY]),
        frozenset(extensions if isinstance(extensions, dict) else ()),
        _client(meta.get(CLIENT_INFO_META_KEY)),
    )


def _require_honest(message: Message, headers: Mapping[str, str]) -> None:
    """Who need not send these headers must not lie with them: rates go by them."""
    for header, expected in (("Mcp-Method", message.method), ("Mcp-Name", _name_of(message))):
        if header in headers:
            _require_same(header, _decoded(headers[header]), expected)


def _name_of(message: Message) -> Any:
    return message.params.get(NAMED_BY.get(message.method, ""))


def _require_same(header: str, value: str | None, expected: Any) -> None:
    if value is None or value != expected:
        raise HeaderMismatch(f"The header {header} is missing, or says otherwise than the body.")


def _decoded(value: str | None) -> str | None:
    """A header's value, which stands as `=?base64?…?=` where it is not plain ASCII; None for what cannot be read."""
    encoded = _ENCODED.fullmatch(value or "")
    if encoded is None:
        return value
    try:
        content = base64.b64decode(encoded[1], validate=True)
        return content.decode() if base64.b64encode(content).decode() == encoded[1] else None
    except (binascii.Error, UnicodeDecodeError):
        return None


def _client(info: Any) -> str | None:
    name = (info.get("title") or info.get("name")) if isinstance(info, dict) else None
    return name if isinstance(name, str) and name.strip() else None
