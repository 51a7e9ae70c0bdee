"""/mcp by raw bodies: the two eras of the protocol, headers that must agree with the body, and every way of saying no."""

import base64
import errno
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from mcp_types import methods

from tests.cast import Api, Cast, agent_credential
from tests.mcp_server.calls import META, NEW, OLD, TASKS, Mcp, error_of

TOOLS = ["ask_human", "request_approval", "get_approval", "start_run", "get_run", "cancel_run"]


@pytest.fixture
def mcp(live: Api) -> Mcp:
    return Mcp(live.key)


@pytest.fixture
def old(live: Api) -> Mcp:
    return Mcp(live.key, version=OLD)


def test_a_new_client_learns_what_is_served(mcp: Mcp) -> None:
    result = mcp.result("server/discover")
    assert {OLD, NEW} <= set(result["supportedVersions"])
    assert result["capabilities"] == {"tools": {}, "extensions": {TASKS: {}}}
    assert result["resultType"] == "complete"


@pytest.mark.parametrize(
    ("asked", "agreed"), [(OLD, OLD), ("2024-11-05", "2024-11-05"), ("1999-01-01", OLD), (NEW, OLD)]
)
def test_an_old_client_shakes_hands(live: Api, asked: str, agreed: str) -> None:
    params = {"protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "desk", "version": "1"}}
    body = {"jsonrpc": "2.0", "id": "a", "method": "initialize", "params": params}
    response = Mcp(live.key).send(body)
    assert response.json()["id"] == "a"
    assert response.json()["result"]["protocolVersion"] == agreed
    assert response.json()["result"]["capabilities"] == {"tools": {}}
    assert "Mcp-Session-Id" not in response


def test_an_old_client_may_name_no_version_after_its_handshake(live: Api) -> None:
    response = Mcp(live.key).send({"jsonrpc": "2.0", "id": 1, "method": "ping"})
    assert response.json() == {"jsonrpc": "2.0", "id": 1, "result": {}}


@pytest.mark.parametrize("version", [OLD, NEW])
def test_the_tools_are_listed_in_a_fixed_order(live: Api, version: str) -> None:
    result = Mcp(live.key, version=version).result("tools/list")
    assert [tool["name"] for tool in result["tools"]] == TOOLS
    assert ("ttlMs" in result) == (version == NEW)
    for tool in result["tools"]:
        assert tool["description"]
        assert tool["inputSchema"]["type"] == "object"
        assert tool["inputSchema"]["additionalProperties"] is False


@pytest.mark.parametrize("version", [OLD, NEW])
def test_T_190_no_tool_decides(live: Api, version: str) -> None:
    for tool in Mcp(live.key, version=version).result("tools/list")["tools"]:
        assert not {"decide", "approve", "reject", "answer", "claim", "undo"} & set(tool["name"].split("_"))
    refused = Mcp(live.key, version=version).call("tools/call", {"name": "decide", "arguments": {}})
    assert error_of(refused)[1] == -32602


@pytest.mark.parametrize(
    "method", ["prompts/list", "resources/list", "subscriptions/listen", "no/such", "logging/setLevel"]
)
def test_what_is_not_served_is_said_so(mcp: Mcp, old: Mcp, method: str) -> None:
    assert error_of(mcp.call(method)) == (404, -32601)
    assert error_of(old.call(method)) == (200, -32601)


@pytest.mark.parametrize("method", ["initialize", "ping"])
def test_what_the_new_version_has_no_more_is_unknown_there(mcp: Mcp, method: str) -> None:
    assert error_of(mcp.call(method)) == (404, -32601)


@pytest.mark.parametrize("method", ["server/discover", "tasks/get"])
def test_what_the_old_versions_do_not_have_is_unknown_there(old: Mcp, method: str) -> None:
    assert error_of(old.call(method, {"taskId": "run_x"})) == (200, -32601)


@pytest.mark.parametrize(
    "headers",
    [
        {"Mcp_Method": ""},
        {"Mcp_Method": "tools/list"},
        {"Mcp_Name": ""},
        {"Mcp_Name": "cancel_run"},
        {"Mcp_Name": "=?base64?###?="},
        {"MCP_Protocol_Version": ""},
        {"MCP_Protocol_Version": "2027-01-01"},
    ],
)
def test_headers_say_the_same_as_the_body(mcp: Mcp, headers: dict[str, str]) -> None:
    response = mcp.call("tools/call", {"name": "get_run", "arguments": {"id": "run_x"}}, **headers)
    assert error_of(response) == (400, -32020)


@pytest.mark.parametrize("headers", [{"Mcp_Method": "tasks/get"}, {"Mcp_Name": "get_approval"}])
def test_an_old_client_that_sends_them_does_not_lie(old: Mcp, headers: dict[str, str]) -> None:
    params = {"name": "get_run", "arguments": {"id": "x"}}
    assert error_of(old.call("tools/call", params, **headers)) == (400, -32020)
    assert old.call("tools/call", params, Mcp_Method="tools/call", Mcp_Name="get_run").json()["result"]["isError"]


def test_a_name_may_be_encoded(mcp: Mcp) -> None:
    name = base64.b64encode(b"get_run").decode()
    response = mcp.call("tools/call", {"name": "get_run", "arguments": {"id": "x"}}, Mcp_Name=f"=?base64?{name}?=")
    assert response.json()["result"]["structuredContent"]["error"]["code"] == "RUN_NOT_FOUND"


def test_an_unknown_version_is_told_which_are_served(mcp: Mcp) -> None:
    meta = mcp.meta() | {f"{META}/protocolVersion": "2027-01-01"}
    response = mcp.call("tools/list", {"_meta": meta}, MCP_Protocol_Version="2027-01-01")
    assert error_of(response) == (400, -32022)
    data = response.json()["error"]["data"]
    assert data["requested"] == "2027-01-01"
    assert NEW in data["supported"]


@pytest.mark.parametrize("lacks", ["protocolVersion", "clientCapabilities"])
def test_a_new_request_says_of_what_version_it_is_and_what_its_client_can(mcp: Mcp, lacks: str) -> None:
    meta = {key: value for key, value in mcp.meta().items() if key != f"{META}/{lacks}"}
    assert error_of(mcp.call("tools/list", {"_meta": meta})) == (400, -32602)
    assert error_of(mcp.call("tools/list", {"_meta": None})) == (400, -32602)


@pytest.mark.parametrize("capabilities", [None, [], "all", {"extensions": [TASKS]}, {"extensions": {TASKS: 1}}])
def test_capabilities_of_any_shape_are_no_fault_of_ours(mcp: Mcp, capabilities: Any) -> None:
    meta = mcp.meta() | {f"{META}/clientCapabilities": capabilities}
    for method, params in (("tools/list", {}), ("tasks/get", {"taskId": "run_x"})):
        assert mcp.call(method, params | {"_meta": meta}).status_code in (200, 400)


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
def test_tasks_are_for_clients_that_declare_them(live: Api, method: str) -> None:
    response = Mcp(live.key).call(method, {"taskId": "run_x"})
    assert error_of(response) == (400, -32021)
    assert response.json()["error"]["data"] == {"requiredCapabilities": {"extensions": {TASKS: {}}}}
    declared = Mcp(live.key, tasks=True)
    assert error_of(declared.call(method, {"taskId": "run_x"})) == (400, -32602)
    assert error_of(declared.call(method, {"taskId": 7})) == (400, -32602)
    assert error_of(declared.call(method)) == (400, -32602)


@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_notification_is_taken_without_an_answer(live: Api, version: str) -> None:
    body = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    response = Mcp(live.key).send(body, MCP_Protocol_Version=version, Mcp_Method="notifications/cancelled")
    assert (response.status_code, response.content) == (202, b"")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"\xff", -32700),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"n": NaN}}', -32700),
        (b"", -32600),
        ([], -32600),
        ([{"jsonrpc": "2.0", "id": 1, "method": "ping"}], -32600),
        ("ping", -32600),
        ({"id": 1, "method": "ping"}, -32600),
        ({"jsonrpc": "1.0", "id": 1, "method": "ping"}, -32600),
        ({"jsonrpc": "2.0", "id": None, "method": "ping"}, -32600),
        ({"jsonrpc": "2.0", "id": True, "method": "ping"}, -32600),
        ({"jsonrpc": "2.0", "id": 1.5, "method": "ping"}, -32600),
        ({"jsonrpc": "2.0", "id": {}, "method": "ping"}, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": 5}, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}, -32600),
        ({"jsonrpc": "2.0", "id": "\0", "method": "ping"}, -32600),
        ({"jsonrpc": "2.0", "id": 1, "result": {}}, -32600),
    ],
)
def test_what_is_no_message_is_refused_without_an_id(live: Api, body: Any, code: int) -> None:
    response = Mcp(live.key).send(body)
    assert error_of(response) == (400, code)
    assert response.json()["id"] is None


def test_text_that_cannot_be_stored_is_refused(mcp: Mcp) -> None:
    params = {"name": "start_run", "arguments": {"task": "a\0b"}}
    assert error_of(mcp.call("tools/call", params)) == (400, -32602)


@pytest.mark.parametrize("params", [{}, {"name": 5}, {"name": "get_run", "arguments": []}])
def test_parameters_must_fit_the_method(old: Mcp, params: dict[str, Any]) -> None:
    assert error_of(old.call("tools/call", params)) == (200, -32602)


def test_a_body_too_large_is_413(live: Api) -> None:
    response = Mcp(live.key).send({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"x": "y" * 1024 * 1024}})
    assert error_of(response) == (413, -32600)
    assert response.json()["error"]["data"]["code"] == "PAYLOAD_TOO_LARGE"


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"])
def test_only_post_is_taken(live: Api, method: str) -> None:
    response = Client().generic(method, "/mcp", headers={"X-API-Key": live.key})
    assert response.status_code == 405
    assert response["Allow"] == "POST"


def test_an_address_below_is_none(live: Api) -> None:
    response = Client().post("/mcp/sse", b"{}", content_type="application/json", headers={"X-API-Key": live.key})
    assert error_of(response) == (404, -32600)


def test_a_slash_at_the_end_changes_nothing(live: Api) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    response = Client().post("/mcp/", body, content_type="application/json", headers={"X-API-Key": live.key})
    assert response.json()["result"] == {}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer cs_live_nobody"}, {"X-API-Key": ""}])
def test_no_key_no_answer(db: None, headers: dict[str, str]) -> None:
    response = Client().post("/mcp", b"{}", content_type="application/json", headers=headers)
    assert error_of(response) == (401, -32600)
    assert response["WWW-Authenticate"] == "Bearer"
    assert response.json()["error"]["data"]["code"] == "INVALID_API_KEY"
    assert response.json()["error"]["data"]["request_id"] == response["X-Request-Id"]


def test_a_session_opens_nothing_here(cast: Cast) -> None:
    response = cast.browser("olga").post("/mcp", b"{}", content_type="application/json")
    assert error_of(response) == (401, -32600)


def test_an_agent_of_ours_is_no_caller(db: None) -> None:
    assert error_of(Mcp(agent_credential("run_x")).call("ping")) == (403, -32600)


@pytest.mark.parametrize(
    "origin", ["https://evil.test", "null", "http://testserver:9000", "http://testserver.evil.test"]
)
def test_a_page_of_another_origin_is_refused(mcp: Mcp, origin: str) -> None:
    response = mcp.call("tools/list", Origin=origin)
    assert error_of(response) == (403, -32600)
    assert response.json()["error"]["data"]["code"] == "FOREIGN_ORIGIN"


def test_a_page_of_ours_and_a_trusted_one_may_call(mcp: Mcp, settings: Any) -> None:
    assert mcp.call("tools/list", Origin="http://testserver").status_code == 200
    settings.CSRF_TRUSTED_ORIGINS = ["https://desk.test"]
    assert mcp.call("tools/list", Origin="https://desk.test").status_code == 200


def test_calls_count_as_those_of_the_api(mcp: Mcp, settings: Any) -> None:
    settings.RATE_LIMIT_PER_MINUTE = 1
    assert mcp.call("tools/list")["X-RateLimit-Remaining"] == "0"
    refused = mcp.call("tools/list")
    assert error_of(refused) == (429, -32600)
    assert int(refused["Retry-After"]) == refused.json()["error"]["data"]["retry_after"]


def test_looking_again_takes_nothing_from_other_calls(live: Api, settings: Any) -> None:
    settings.RATE_LIMIT_PER_MINUTE, settings.WAITS_PER_MINUTE = 1, 2
    client = Mcp(live.key, tasks=True)
    for _ in range(2):
        assert error_of(client.call("tasks/get", {"taskId": "run_x"})) == (400, -32602)
    assert error_of(client.call("tasks/get", {"taskId": "run_x"}))[0] == 429
    assert client.call("tools/list").status_code == 200
    assert client.call("tools/list", Mcp_Method="tasks/get").status_code == 429
    assert client.call("tools/call", {"name": "get_run", "arguments": {"id": "x"}}).status_code == 429
    assert client.call("tools/list", Mcp_Name="get_run").json()["error"]["data"]["code"] == "RATE_LIMITED"


def test_every_result_fits_the_protocol(live: Api) -> None:
    for version in (OLD, NEW):
        client = Mcp(live.key, version=version)
        for method, params in (
            ("tools/list", {}),
            ("tools/call", {"name": "get_run", "arguments": {"id": "run_x"}}),
        ):
            methods.validate_server_result(method, version, client.result(method, params))


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [(OperationalError("gone"), 503, "UPSTREAM_UNAVAILABLE"), (OSError(errno.ENOSPC, "full"), 503, "UPSTREAM_UNAVAILABLE"),
     (RuntimeError("a fault of ours"), 500, "INTERNAL_ERROR")],
)  # fmt: skip
def test_a_bad_moment_is_said_so_and_a_fault_tells_nothing(
    mcp: Mcp, monkeypatch: pytest.MonkeyPatch, fault: Exception, status: int, code: str
) -> None:
    def fail(*_: Any) -> None:
        raise fault

    monkeypatch.setattr("mcp_server.tools.runs.get_run", fail)
    response = mcp.call("tools/call", {"name": "get_run", "arguments": {"id": "run_x"}})
    assert error_of(response) == (status, -32603)
    assert response.json()["id"] is not None
    assert response.json()["error"]["data"]["code"] == code
    assert ("Retry-After" in response) == (status == 503)
    assert str(fault) not in response.content.decode()
