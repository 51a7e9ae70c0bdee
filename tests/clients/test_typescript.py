"""countersign.ts: compiled as strictly as the compiler can, then the same rules as those of the Python client."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clients import compiled
from tests.clients.stub import Stub
from tests.clients.test_python_client import decides, later

CALL = """
import { Countersign } from "./countersign.js";
const [method, args] = JSON.parse(process.argv[2]);
const client = new Countersign({ mostPause: 0.02, patience: 5 });
try {
  const verdict = await client[method](...args);
  const { id, status, approved, note, params, edited, answer, answers } = verdict;
  console.log(JSON.stringify({ id, status, approved, note, params, edited, answer, answers }));
} catch (error) {
  console.log(JSON.stringify({ error: error.constructor.name, message: error.message, code: error.code }));
}
"""


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("typescript")
    compiled.compile_into(place)
    (place / "call.js").write_text(CALL)
    return place


@pytest.fixture
def call(folder: Path, stub: Stub) -> Any:
    """call("approve", …): the verdict, or the error."""

    def run(method: str, *arguments: Any) -> dict[str, Any]:
        sent = json.dumps([method, arguments])
        command = [compiled.node(), "call.js", sent]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        outcome: dict[str, Any] = json.loads(done.stdout)
        return outcome

    return run


def test_yes_no_and_the_reason_reach_the_example(folder: Path, stub: Stub) -> None:
    def person(_: Stub, row: dict[str, Any]) -> None:
        dear = row["action"]["params"]["amount"] > 500
        stub.decide(row["id"], "rejected" if dear else "approved", "Too much." if dear else "")

    stub.person = person
    done = subprocess.run(
        [compiled.node(), "ask.js", "40", "900"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.stdout == "paid 40\nnot paid: Too much.\n", done.stderr
    assert [row["results"] for row in stub.rows.values()] == [[{"outcome": "executed"}], []]


def test_an_answer_and_an_edit(call: Any, stub: Stub) -> None:
    stub.person = decides("answered", answers={"answer": {"value": "blue", "custom": False}})
    assert call("ask", "Which colour?", ["red", "blue"])["answer"] == "blue"
    stub.person = decides(
        "approved", edited_action={"name": "pay", "params": {"amount": 30}}, action_hash="of the edit"
    )
    verdict = call("approve", "pay", {"amount": 40})
    assert (verdict["approved"], verdict["edited"], verdict["params"]) == (True, True, {"amount": 30})


@pytest.mark.parametrize("status", ["expired", "cancelled", "void"])
def test_what_nobody_approved_is_not_approved(call: Any, stub: Stub, status: str) -> None:
    stub.person = decides(status)
    assert call("approve", "pay", {})["approved"] is False


def test_it_opens_once_and_waits_through_trouble(call: Any, stub: Stub) -> None:
    stub.misdeeds = ["cut after", 503, None, "half", "cut", 429]
    later(stub, *[lambda i: None] * 3, lambda i: stub.decide(i, "approved"))
    assert call("approve", "pay", {"amount": 40})["approved"] is True
    assert len(stub.rows) == 1
    assert len({sent[3]["Idempotency-Key"] for sent in stub.calls if sent[0] == "POST"}) == 1


@pytest.mark.parametrize("misdeed", [(422, "VALIDATION_ERROR"), "redirect"])
def test_a_refusal_is_not_repeated(call: Any, stub: Stub, misdeed: Any) -> None:
    stub.misdeeds = [misdeed]
    assert call("approve", "pay", {})["error"] == "Refused"
    assert len(stub.calls) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"action_hash": "another"},
        {"action": {"name": "pay", "params": {"amount": 9000}}},
        {"edited_action": {"name": "erase", "params": {"amount": 40}}},
    ],
)
def test_an_approval_of_another_action_is_none(call: Any, stub: Stub, change: dict[str, Any]) -> None:
    stub.person = decides("approved", **change)
    assert call("approve", "pay", {"amount": 40})["error"] == "ActionChanged"


def test_a_decision_that_is_taken_back_is_none(call: Any, stub: Stub) -> None:
    stub.regret = lambda _, row: stub.reject_instead(row["id"])
    stub.person = decides("approved", undo=0.1)
    assert call("approve", "pay", {"amount": 40})["status"] == "rejected"


def test_a_wait_with_an_end_leaves_it_open(call: Any, stub: Stub) -> None:
    verdict = call("approve", "pay", {"amount": 40}, {}, {"seconds": 0.01})
    assert (verdict["status"], verdict["approved"]) == ("pending", False)
    stub.decide(verdict["id"], "approved")
    assert call("wait", verdict["id"])["approved"] is True
