"""countersign on the command line: what scripts of a CI see."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from countersign import Client, cli, plans

from config.own_processes import wait_until
from tests.clients.stub import Stub

PACKAGE = Path(__file__).resolve().parents[2] / "clients" / "python"


@pytest.mark.parametrize(
    ("status", "code"), [("approved", 0), ("rejected", 1), ("expired", 2), ("cancelled", 2), ("void", 2)]
)
def test_the_exit_code_is_the_decision(stub: Stub, capsys: pytest.CaptureFixture[str], status: str, code: int) -> None:
    stub.person = lambda _, row: stub.decide(row["id"], status, "Because.")
    assert (
        cli.main(["approve", "deploy", "env=production", "replicas:=3", "--risk", "destroy", "--timeout", "60"]) == code
    )
    printed = capsys.readouterr()
    assert printed.err.splitlines()[-1] == f"{status} by Ana: Because."
    assert printed.out == ""
    body = stub.calls[0][2]
    assert body["action"] == {"name": "deploy", "params": {"env": "production", "replicas": 3}, "risk": "destroy"}
    assert body["timeout_seconds"] == 60


def test_an_answer_is_printed_for_the_script(stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    stub.person = lambda _, row: stub.decide(
        row["id"], "answered", answers={"answer": {"value": "blue", "custom": True}}
    )
    assert cli.main(["ask", "Which colour?", "red", "green", "--source", "CI"]) == 0
    assert capsys.readouterr().out == "blue\n"
    assert stub.calls[0][2]["source"] == {"name": "CI"}


def test_an_edit_is_printed_for_the_script(stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    edit = {"name": "deploy", "params": {"env": "staging"}}
    stub.person = lambda _, row: stub.decide(row["id"], "approved", edited_action=edit)
    assert cli.main(["approve", "deploy", "env=production"]) == 0
    assert json.loads(capsys.readouterr().out) == {"env": "staging"}


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["approve"],
        ["approve", "x", "--timeout", "soon"],
        ["dance"],
        ["approve", "x", "y"],
        ["approve", "x", "n:=}"],
    ],
)
def test_a_mistake_in_the_command_is_neither_yes_nor_no(
    stub: Stub, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code: Any = cli.main(arguments)
    except SystemExit as end:
        code = end.code
    assert code == 3
    assert capsys.readouterr().err
    assert stub.calls == []


def test_no_server_no_key_and_a_refusal_are_three(
    stub: Stub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stub.misdeeds = [(403, "INSUFFICIENT_SCOPE")]
    assert cli.main(["approve", "deploy"]) == 3
    assert "403 INSUFFICIENT_SCOPE" in capsys.readouterr().err
    monkeypatch.setattr(plans, "PATIENCE", 0)
    monkeypatch.setenv("COUNTERSIGN_URL", "http://127.0.0.1:9")
    assert cli.main(["approve", "deploy"]) == 3
    monkeypatch.delenv("COUNTERSIGN_API_KEY")
    assert cli.main(["approve", "deploy"]) == 3
    assert "COUNTERSIGN_API_KEY" in capsys.readouterr().err


def test_an_empty_queue_says_so_beside_the_list(
    stub: Stub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Client, "queue", lambda self, **filters: [])
    assert cli.main(["queue"]) == 0
    assert capsys.readouterr() == ("", "Nothing waits.\n")


def test_a_list_shows_one_harmless_line_for_each(stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    stub.open({"kind": "approval", "title": "a\x1b[2J\u202eb\nc\u200b"}, None)
    assert cli.main(["queue"]) == 0
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert line.split("\t")[0] == "apr_1"
    assert line.endswith("\ta[2Jb c\n")
    assert cli.main(["queue", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["id"] == "apr_1"


def test_runs_are_listed_started_shown_and_cancelled(stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    commands = (["runs"], ["runs", "start", "Buy milk", "--machine", "mch_1"], ["runs", "show", "run_1"])
    for arguments in (*commands, ["runs", "cancel", "run_1"]):
        assert cli.main(arguments) == 0
        assert "run_1" in capsys.readouterr().out
    assert [(method, path.partition("?")[0]) for method, path, *_ in stub.calls] == [
        ("GET", "/v1/runs"), ("POST", "/v1/runs"), ("GET", "/v1/runs/run_1"), ("POST", "/v1/runs/run_1/cancel"),
    ]  # fmt: skip
    assert stub.calls[1][2] == {"task": "Buy milk", "machine_id": "mch_1"}


@pytest.fixture
def interruptible() -> Iterator[None]:
    """What a shell starts in the background ignores interrupts, and so would its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("again", [(), ("--external-id", "build-7")])
def test_who_is_interrupted_withdraws_what_nobody_would_come_back_for(stub: Stub, again: tuple[str, ...]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "countersign", "approve", "deploy", *again],
        env=os.environ | {"PYTHONPATH": str(PACKAGE)}, stderr=subprocess.PIPE,
    )  # fmt: skip
    stub.waits()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 3, said
    assert wait_until(lambda: stub.rows["apr_1"]["status"] == ("pending" if again else "cancelled"), 60)
