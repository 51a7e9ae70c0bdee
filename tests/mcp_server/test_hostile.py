"""Bodies of any shape: what is answered is always JSON-RPC, and never a fault of ours."""

from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcp_server.methods import listed_tools
from mcp_server.tools import TOOLS
from tests.cast import Api
from tests.chance import TRIED
from tests.mcp_server.calls import META, NEW, OLD, Mcp

KNOWN = settings(TRIED, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
TEXT = st.text(max_size=30) | st.sampled_from(["\u202eevil", "\u200b", "<b>x</b>", "apr_x", "run_x", "\x00", "\ud800"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
METHODS = st.sampled_from(
    ["initialize", "ping", "server/discover", "tools/list", "tools/call", "tasks/get", "tasks/update", "tasks/cancel"]
)


def check(client: Mcp, send: Any) -> None:
    """What a call leaves is undone, so that the examples do not fill the queue."""
    with transaction.atomic():
        response = send()
        transaction.set_rollback(True)
    assert response.status_code in (200, 202, 400, 404, 429), response.content
    if response.status_code != 202:
        body = response.json()
        assert body["jsonrpc"] == "2.0"
        assert ("result" in body) != ("error" in body)


@KNOWN
@given(
    body=JSON | st.fixed_dictionaries({"jsonrpc": st.just("2.0"), "id": JSON, "method": METHODS | TEXT, "params": JSON})
)
def test_any_body(live: Api, body: Any) -> None:
    for headers in ({}, {"MCP_Protocol_Version": NEW}):
        client = Mcp(live.key)
        check(client, lambda headers=headers, client=client: client.send(body, **headers))


@KNOWN
@given(
    method=METHODS, params=st.dictionaries(TEXT | st.sampled_from(["name", "arguments", "taskId"]), JSON, max_size=4)
)
def test_any_parameters(live: Api, method: str, params: dict[str, Any]) -> None:
    for client in (Mcp(live.key, tasks=True), Mcp(live.key, version=OLD)):
        check(client, lambda client=client: client.call(method, params))


@KNOWN
@given(meta=st.dictionaries(st.sampled_from([f"{META}/clientCapabilities", f"{META}/clientInfo", "x"]), JSON))
def test_any_words_of_a_client_about_itself(live: Api, meta: dict[str, Any]) -> None:
    client = Mcp(live.key, tasks=True)
    params = {"name": "ask_human", "arguments": {"question": "x"}, "_meta": client.meta() | meta}
    check(client, lambda: client.call("tools/call", params))


@pytest.mark.parametrize("name", TOOLS)
@KNOWN
@given(data=st.data())
def test_any_arguments(live: Api, name: str, data: st.DataObject) -> None:
    (schema,) = [tool["inputSchema"] for tool in listed_tools() if tool["name"] == name]
    arguments = data.draw(st.fixed_dictionaries({}, optional=dict.fromkeys([*schema["properties"], "more"], JSON)))
    arguments.pop("wait", None)  # a call that waits has no place in the transaction of a test
    client = Mcp(live.key)
    check(client, lambda: client.call("tools/call", {"name": name, "arguments": arguments}))
