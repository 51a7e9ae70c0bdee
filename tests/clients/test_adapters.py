"""The examples of docs/, each with its framework as it is: what people decide reaches the graph, the agent, the action."""

from pathlib import Path
from typing import Any

import pytest

from config.own_processes import wait_until
from tests.clients.frameworks import lines, start, start_own
from tests.clients.stub import Stub

EXAMPLES = [
    pytest.param("langgraph", "ask_langgraph.py", "orders", id="langgraph"),
    pytest.param("openai-agents", "ask_openai_agents.py", "bills", id="openai-agents"),
    pytest.param("browser-use", "ask_browser_use.py", "x", id="browser-use", marks=pytest.mark.slow),
]


def treasurer(stub: Stub, row: dict[str, Any]) -> None:
    """Approves what is cheap, lowers what is dear, rejects what is absurd."""
    amount = row["action"]["params"]["amount"]
    if amount > 5000:
        stub.decide(row["id"], "rejected", "Too much.")
    elif amount > 500:
        stub.decide(row["id"], "approved", edited_action={"name": "pay", "params": {"amount": 500}})
    else:
        stub.decide(row["id"], "approved")


@pytest.mark.parametrize(("framework", "script", "name"), EXAMPLES)
def test_yes_and_no_reach_the_program(stub: Stub, tmp_path: Path, framework: str, script: str, name: str) -> None:
    stub.person = treasurer
    printed = lines(start(framework, script, str(tmp_path / name), "40", "9000"))
    assert printed[0] == "paid 40"
    assert "Too much." in printed[1]
    assert "paid" not in printed[1].replace("not paid", "")
    assert [row["action"]["params"]["amount"] for row in stub.rows.values()] == [40, 9000]


def test_an_edit_reaches_a_graph(stub: Stub, tmp_path: Path) -> None:
    stub.person = treasurer
    assert lines(start("langgraph", "ask_langgraph.py", str(tmp_path / "orders"), "900")) == ["paid 500"]


def test_all_that_a_turn_asks_is_open_at_once(stub: Stub) -> None:
    """One after the other would add up the hours of people."""
    program = start("openai-agents", "ask_openai_agents.py", "bills", "1", "2", "3")
    stub.waits(3)
    assert [row["external_id"] for row in stub.rows.values()] == ["bills:call-1", "bills:call-2", "bills:call-3"]
    for approval_id in reversed(stub.rows):
        stub.decide(approval_id, "approved")
    assert lines(program) == ["paid 1", "paid 2", "paid 3"]


@pytest.mark.parametrize(("framework", "script", "name"), EXAMPLES[:2])
def test_a_program_that_is_started_again_finds_what_it_asked(
    stub: Stub, tmp_path: Path, framework: str, script: str, name: str
) -> None:
    program = start(framework, script, str(tmp_path / name), "40")
    stub.waits()
    program.kill()
    program.communicate()
    again = start(framework, script, str(tmp_path / name), "40")
    stub.waits(2)
    stub.decide("apr_1", "approved")
    assert lines(again) == ["paid 40"]
    assert len(stub.rows) == 1


def test_the_reviewing_middleware_of_langchain_hears_yes_no_and_an_edit(stub: Stub) -> None:
    stub.person = treasurer
    printed = lines(start_own("langgraph", "reviewed_agent.py", "40", "900", "9000"))
    assert {"paid 40", "paid 500"} < set(printed)
    assert sum("Too much." in line for line in printed) == 1
    assert len({row["external_id"] for row in stub.rows.values()}) == 3


@pytest.mark.slow
def test_a_wait_that_browser_use_would_cut_is_gone_on_with(stub: Stub) -> None:
    program = start_own("browser-use", "patient_agent.py")
    stub.waits(2)
    stub.decide("apr_1", "approved")
    assert wait_until(lambda: len(stub.rows) == 2, 60)
    stub.decide("apr_2", "answered", answers={"answer": {"value": "red", "custom": False}})
    printed = lines(program)
    assert printed[0] == "waiting pay"
    assert "paid 40" in printed
    assert printed[-1] == "A person answered 'Which colour?': red"
    assert [row["action"] and row["action"]["params"] for row in stub.rows.values()] == [{"amount": 40}, None]


def test_an_edited_call_of_the_agents_sdk_is_made_again_and_not_asked_again(stub: Stub) -> None:
    stub.person = treasurer
    assert lines(start_own("openai-agents", "obedient_agent.py")) == ["paid 500"]
    assert len(stub.rows) == 1
