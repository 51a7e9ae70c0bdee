"""The official client of MCP against real web processes, which are replaced under it."""

import pytest
from mcp.shared.exceptions import MCPError

from tests.cast import Cast
from tests.live.web_process import Web, replaced
from tests.mcp_server.desk import MODES, desk
from tests.mcp_server.test_protocol import TOOLS
from tests.runs.driving import drive_all

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_a_client_outlives_the_process_that_it_called(web: Web, cast: Cast, mode: str) -> None:
    address, key = web(), cast.api(test=True).key
    with desk(address, key, mode) as client:
        assert client.tools() == TOOLS
        run = client.tool("start_run", task="say hello", agent="scripted")
        assert run["status"] == "queued"
        replaced(web, address)
        drive_all()
        assert client.tool("get_run", id=run["id"])["status"] == "succeeded"
        assert client.call("get_run", id="run_none").is_error
    with desk(address, key, mode) as other:  # the client was replaced too
        assert other.tool("get_run", id=run["id"])["result"]["passed"] is True


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_a_client_without_a_key_reads_what_it_lacks(web: Web, cast: Cast, mode: str) -> None:
    error = pytest.RaisesExc(MCPError, match="Send a valid API key")
    with (
        pytest.RaisesGroup(error, allow_unwrapped=True, flatten_subgroups=True),
        desk(web(), "cs_test_nobody", mode) as client,
    ):
        client.tools()
