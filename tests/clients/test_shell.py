"""countersign.sh: the exit codes that a job of a CI branches on."""

import json
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.clients.stub import KEY, Stub

MISSING = [program for program in ("bash", "curl", "jq") if not shutil.which(program)]
needs_programs = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
pytestmark = needs_programs
SCRIPT = Path(__file__).resolve().parents[2] / "clients" / "shell" / "countersign.sh"


def bash(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f". {SCRIPT}; {text}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("status", "code"), [("approved", 0), ("rejected", 1), ("expired", 2), ("cancelled", 2), ("void", 2)]
)
def test_the_exit_code_is_the_decision(stub: Stub, status: str, code: int) -> None:
    stub.person = lambda _, row: stub.decide(row["id"], status, "Because\x1b[2J.")
    outcome = bash("""countersign_approve deploy '{"env": "it'"'"'s \\"me\\"", "n": 3}'""")
    assert outcome.returncode == code, outcome.stderr
    assert "Because[2J." in outcome.stderr
    action = {"name": "deploy", "params": {"env": 'it\'s "me"', "n": 3}}
    assert stub.calls[0][2] == {"kind": "tool", "title": "Run deploy", "action": action}
    assert outcome.stdout == (json.dumps(action["params"], separators=(",", ":")) + "\n" if not code else "")


def test_it_waits_through_trouble_and_opens_once(stub: Stub) -> None:
    stub.misdeeds = ["cut after", 503, None, "half"]

    def person() -> None:
        stub.waits(2)
        stub.decide("apr_1", "approved")

    threading.Thread(target=person).start()
    outcome = bash("countersign_approve deploy")
    assert outcome.returncode == 0, outcome.stderr
    assert len(stub.rows) == 1


def test_an_answer_is_printed(stub: Stub) -> None:
    stub.person = lambda _, row: stub.decide(
        row["id"], "answered", answers={"answer": {"value": "blue", "custom": True}}
    )
    outcome = bash("colour=$(countersign_question 'Which colour?' job-7) && echo \"<$colour>\"")
    assert outcome.stdout == "<blue>\n", outcome.stderr
    assert stub.rows["apr_1"]["external_id"] == "job-7"


def test_an_edit_is_what_is_printed(stub: Stub) -> None:
    edit = {"name": "deploy", "params": {"env": "staging"}}
    stub.person = lambda _, row: stub.decide(row["id"], "approved", edited_action=edit, action_hash="of the edit")
    outcome = bash("""countersign_approve deploy '{"env": "production"}'""")
    assert (outcome.returncode, json.loads(outcome.stdout)) == (0, {"env": "staging"})


def test_a_decision_that_is_taken_back_is_none(stub: Stub) -> None:
    stub.regret = lambda _, row: stub.reject_instead(row["id"])
    stub.person = lambda _, row: stub.decide(row["id"], "approved", undo=1)
    assert bash("countersign_approve deploy").returncode == 1


@pytest.mark.parametrize(
    "change",
    [{"action_hash": "another"}, {"action": {"name": "deploy", "params": {"env": "production"}}},
     {"edited_action": {"name": "erase", "params": {}}}],
)  # fmt: skip
def test_an_approval_of_another_action_is_none(stub: Stub, change: dict[str, Any]) -> None:
    stub.person = lambda _, row: stub.decide(row["id"], "approved", **change)
    outcome = bash("countersign_approve deploy")
    assert (outcome.returncode, outcome.stdout) == (3, "")


@pytest.mark.parametrize("call", ["countersign_approve deploy 'no json'", "countersign_approve deploy"])
def test_anything_else_is_three(stub: Stub, call: str) -> None:
    stub.misdeeds = [(403, "INSUFFICIENT_SCOPE")]
    outcome = bash(call)
    assert outcome.returncode == 3
    assert "INSUFFICIENT_SCOPE" in outcome.stderr or not stub.calls


def test_nobody_there_is_three(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERSIGN_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("COUNTERSIGN_PATIENCE", "0")
    assert bash("countersign_approve deploy").returncode == 3


def test_the_key_is_no_argument_of_a_program(stub: Stub) -> None:
    stub.person = lambda _, row: stub.decide(row["id"], "approved")
    traced = bash("set -x; countersign_approve deploy")
    called = [line for line in traced.stderr.splitlines() if line.lstrip("+ ").startswith("curl ")]
    assert called
    assert KEY not in "\n".join(called)
