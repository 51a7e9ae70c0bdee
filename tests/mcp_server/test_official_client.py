"""The official client of MCP against real web processes, which are replaced under it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from countersign.mcp_tasks import Handle, Tasks, cancel, finished
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError

from approvals.models import Approval
from tests.cast import Api, Cast
from tests.live.web_process import Web, replaced
from tests.mcp_server.desk import MODES, Desk, desk
from tests.mcp_server.test_protocol import TOOLS
from tests.runs.driving import drive_all, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
MAIL = {"action": "mail.send", "params": {"to": "a@shop.test"}, "reason": "He asked for it."}
NEW = "2026-07-28"


@pytest.fixture
def key(cast: Cast) -> str:
    return cast.api(test=True, scopes=frozenset({"approvals:request", "runs:read", "runs:write"})).key


@pytest.fixture
def person(cast: Cast) -> Api:
    return cast.api(test=True, owner="ana", scopes=frozenset({"approvals:read", "approvals:decide"}))


def decide(person: Api, approval_id: str, **body: Any) -> None:
    response = person.post(f"/approvals/{approval_id}/decide", body)
    assert response.status_code == 200, response.content


def open_request() -> str:
    """The id of the one request that waits, as soon as there is one."""
    return str(until(lambda: Approval.objects.filter(status="pending").values_list("id", flat=True).first(), 60))


@pytest.mark.parametrize("mode", MODES)
def test_T_190_a_client_runs_asks_and_waits_over_restarts_of_both_ends(
    web: Web, key: str, person: Api, mode: str
) -> None:
    """What is asked is parked for two days, by the clock of the database."""
    address, colour = web(), {"question": "Which colour?", "options": ["Red", "Blue"], "external_id": "colour"}
    with desk(address, key, mode) as client:
        assert client.tools() == TOOLS
        run = client.tool("start_run", task="say hello", agent="scripted")
        asked = client.tool("ask_human", **colour)
        assert (run["status"], asked["status"]) == ("queued", "pending")
        replaced(web, address)
        assert client.tool("get_approval", id=asked["id"])["status"] == "pending"
        assert client.call("get_run", id="run_none").is_error
    drive_all()
    Approval.objects.update(created_at=Approval.objects.get().created_at - timedelta(days=2))
    decide(person, asked["id"], verdict="answer", answers={"answer": "Blue"})
    with desk(address, key, mode) as other:
        assert other.tool("get_run", id=run["id"])["result"]["passed"] is True
        assert other.tool("get_approval", id=asked["id"])["answer"] == "Blue"
        again = other.tool("ask_human", **colour)
        assert (again["id"], again["answer"]) == (asked["id"], "Blue")
        waits_for_a_decision(other, person, "approve", "approved")
        waits_for_a_decision(other, person, "reject", "rejected")
        in_vain = other.tool("request_approval", **MAIL, wait=1)
        assert in_vain["status"] == "pending"
        assert other.tool("get_approval", id=in_vain["id"], wait=1)["status"] == "pending"


def waits_for_a_decision(client: Desk, person: Api, verdict: str, status: str) -> None:
    with ThreadPoolExecutor(1) as beside:
        waiting = beside.submit(client.tool, "request_approval", **MAIL, wait=30)
        decide(person, open_request(), verdict=verdict, note="So be it.")
        said = waiting.result(60)
    assert (said["status"], said["note"]) == (status, "So be it.")


def test_a_client_with_tasks_waits_over_restarts_of_both_ends(web: Web, key: str, person: Api) -> None:
    address, kept = web(), list[str]()
    with desk(address, key, NEW, extensions=[Tasks(kept.append)]) as client, ThreadPoolExecutor(1) as beside:
        waiting = beside.submit(client.tool, "request_approval", **MAIL)
        asked = until(lambda: kept, 60)[0]  # who decides before the call is answered leaves nothing to wait for
        decide(person, asked, verdict="reject", note="Too dear.")
        said = waiting.result(60)
        assert (said["id"], said["status"], said["note"]) == (asked, "rejected", "Too dear.")
        waiting = beside.submit(client.call, "request_approval", **MAIL)
        taken_back = until(lambda: kept[1:], 60)[0]
        client.portal.call(cancel, client.client.session, taken_back)
        assert waiting.result(60).is_error
        assert Approval.objects.get(id=taken_back).status == "cancelled"
        parked = client.portal.call(handle_of, client.client)
    replaced(web, address)
    with desk(address, key, NEW, extensions=[Tasks()]) as other, ThreadPoolExecutor(1) as beside:
        waiting = beside.submit(other.portal.call, finished, other.client.session, parked)
        decide(person, parked, verdict="approve")
        assert waiting.result(60).structured_content["status"] == "approved"


async def handle_of(client: Client) -> str:
    """Asks, and does not wait: the id of the task."""
    result = await client.session.call_tool("request_approval", MAIL, allow_claimed=True)
    assert isinstance(result, Handle)
    return result.task_id


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_a_client_without_a_key_reads_what_it_lacks(web: Web, cast: Cast, mode: str) -> None:
    error = pytest.RaisesExc(MCPError, match="Send a valid API key")
    with (
        pytest.RaisesGroup(error, allow_unwrapped=True, flatten_subgroups=True),
        desk(web(), "cs_test_nobody", mode) as client,
    ):
        client.tools()
