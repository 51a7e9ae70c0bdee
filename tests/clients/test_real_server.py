"""The helpers and a web process as in production: what the stub of the other tests claims is true of it."""

import asyncio
import os
import signal
import subprocess
import threading
from typing import Any
from urllib.parse import urlsplit

import pytest
from countersign import AlreadyDone, AsyncClient, Client, NotApproved, Refused, cli, requires_approval

from accounts.models import Team
from approvals.models import Approval
from config.own_processes import wait_until
from tests.cast import Api, Cast
from tests.clients.test_shell import bash, needs_programs
from tests.live.web_process import Web, process_behind, shared_web, web  # noqa: F401  fixtures

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server(shared_web: str, program: None, monkeypatch: pytest.MonkeyPatch) -> str:  # noqa: F811
    """The address of a web process, named by the environment."""
    monkeypatch.setenv("COUNTERSIGN_URL", shared_web)
    return shared_web


@pytest.fixture
def program(transactional_cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a program with a key that can do nothing but ask."""
    monkeypatch.setenv("COUNTERSIGN_API_KEY", transactional_cast.api(scopes=frozenset({"approvals:request"})).key)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def transactional_cast(transactional_db: None) -> Cast:
    from tests.cast import make_cast

    return make_cast("helpers")


@pytest.fixture
def person(transactional_cast: Cast) -> Api:
    """Ana's key: another person's than that of the program."""
    return transactional_cast.api(owner="ana", scopes=frozenset({"approvals:read", "approvals:decide"}))


def open_request() -> Approval:
    """The one that waits, once it is there."""
    assert wait_until(lambda: Approval.objects.filter(status="pending").exists(), 60)
    return Approval.objects.get(status="pending")


def decides(person: Api, **answer: Any) -> threading.Thread:
    """As soon as a program asks."""
    outcome: list[Any] = []

    def decide() -> None:
        from django.db import connections

        approval = open_request()
        outcome.append(person.post(f"/approvals/{approval.id}/decide", answer))
        connections.close_all()

    thread = threading.Thread(target=decide)
    thread.start()
    return thread


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_yes_no_and_the_reason(server: str, person: Api, kind: type[Client | AsyncClient]) -> None:
    def approve() -> Any:
        outcome: Any = kind().approve("mail.send", {"to": "a@shop.test"}, risk="write", message="The customer asked.")
        return asyncio.run(outcome) if kind is AsyncClient else outcome

    thread = decides(person, verdict="approve")
    verdict = approve()
    thread.join()
    assert verdict
    assert verdict.params == {"to": "a@shop.test"}
    thread = decides(person, verdict="reject", note="Not today.")
    verdict = approve()
    thread.join()
    assert not verdict
    assert (verdict.status, verdict.note) == ("rejected", "Not today.")


def test_an_answer(server: str, person: Api) -> None:
    thread = decides(person, verdict="answer", answers={"answer": "blue"})
    verdict = Client().ask("Which colour?", ["red", "blue"])
    thread.join()
    assert verdict.answer == "blue"


def test_an_edit_binds_what_runs_and_the_receipt_says_so(server: str, person: Api) -> None:
    done: list[int] = []

    @requires_approval(external_id_from=lambda amount: "bill-1")
    def transfer(amount: int) -> None:
        done.append(amount)

    thread = decides(person, verdict="approve", edited_action={"name": "transfer", "params": {"amount": 30}})
    transfer(40)
    thread.join()
    assert done == [30]
    (approval,) = Approval.objects.all()
    assert Client().get(approval.id).outcome == "executed"
    with pytest.raises(AlreadyDone):
        transfer(40)
    assert done == [30]


def test_asked_again_under_its_name_it_is_the_same_request_and_a_changed_action_is_a_new_one(
    server: str, person: Api
) -> None:
    client = Client()
    first = client.approve("pay", {"amount": 40}, external_id="bill", wait=0)
    assert client.approve("pay", {"amount": 40}, external_id="bill", wait=0).id == first.id
    second = client.approve("pay", {"amount": 90}, external_id="bill", wait=0)
    assert second.id != first.id
    assert client.get(first.id).status == "void"
    with pytest.raises(NotApproved, match="void"):
        client.wait(first.id).or_raise()


@pytest.mark.slow
@pytest.mark.usefixtures("program")
def test_a_program_waits_through_a_restart_of_the_web_process(
    person: Api,
    web: Web,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = web()
    monkeypatch.setenv("COUNTERSIGN_URL", server)
    verdicts: list[Any] = []
    waiting = threading.Thread(target=lambda: verdicts.append(Client().approve("pay", {"amount": 40})))
    waiting.start()
    approval = open_request()
    os.kill(process_behind(server), signal.SIGKILL)
    person.post(f"/approvals/{approval.id}/decide", {"verdict": "approve"})
    web(urlsplit(server).port)
    waiting.join(60)
    assert [bool(verdict) for verdict in verdicts] == [True]
    assert Approval.objects.count() == 1


def test_a_decision_counts_when_it_can_no_longer_be_taken_back(server: str, person: Api) -> None:
    Team.objects.update(undo_window_seconds=2)
    verdicts: list[Any] = []
    waiting = threading.Thread(target=lambda: verdicts.append(Client().approve("pay", {"amount": 40})))
    waiting.start()
    approval = open_request()
    person.post(f"/approvals/{approval.id}/decide", {"verdict": "approve"})
    assert person.post(f"/approvals/{approval.id}/undo").status_code == 200
    assert person.post(f"/approvals/{approval.id}/decide", {"verdict": "reject", "note": "No."}).status_code == 200
    waiting.join(60)
    assert [(verdict.status, verdict.note) for verdict in verdicts] == [("rejected", "No.")]


def test_who_may_not_ask_is_told_so(server: str, transactional_cast: Cast) -> None:
    key = transactional_cast.api(scopes=frozenset({"runs:read"})).key
    with pytest.raises(Refused, match="INSUFFICIENT_SCOPE"):
        Client(key=key).approve("pay", {})
    with pytest.raises(Refused, match="INVALID_API_KEY"):
        Client(key="cs_live_nobody").approve("pay", {})
    with pytest.raises(Refused, match="VALIDATION_ERROR"):
        Client().approve("pay it", {})


@needs_programs
def test_the_command_line_and_the_shell_function(server: str, person: Api, capsys: pytest.CaptureFixture[str]) -> None:
    thread = decides(person, verdict="reject", note="Not on a Friday.")
    assert cli.main(["approve", "deploy", "env=production"]) == 1
    thread.join()
    assert "Not on a Friday." in capsys.readouterr().err
    thread = decides(person, verdict="approve")
    outcome: subprocess.CompletedProcess[str] = bash("""countersign_approve deploy '{"env": "production"}'""")
    thread.join()
    assert (outcome.returncode, outcome.stdout) == (0, '{"env":"production"}\n'), outcome.stderr
    approval = Client().open({"kind": "approval", "title": "Go on?"})
    capsys.readouterr()
    assert cli.main(["queue"]) == 0
    assert capsys.readouterr().out.startswith(f"{approval['id']}\t")
    assert Client().cancel(approval["id"], "No longer wanted.").status == "cancelled"
