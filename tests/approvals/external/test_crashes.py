"""Between any two lines: what a program asks, and what becomes of it, is whole or not at all."""

from collections.abc import Callable
from typing import Any

import pytest
from django_q.models import OrmQ

from accounts.models import WebhookDelivery
from approvals import clock, deciding
from approvals.models import Approval, ApprovalEvent, Decision, ExternalRequest, Notice, Policy, Vote
from tests.approvals.external.asking import BODIES, MAIL, ask, asker, decide, read
from tests.approvals.external.test_deciding import pass_time
from tests.cast import Api, Cast

pytestmark = pytest.mark.django_db
ROWS = (ExternalRequest, Approval, ApprovalEvent, Decision, Vote, Notice, Policy, WebhookDelivery, OrmQ)
HOOK = {"webhook_url": "https://93.184.216.34/x"}


class Died(Exception):
    """As if the process had ended here."""


def dies(*_: Any, **__: Any) -> None:
    raise Died


def rows() -> list[Any]:
    return [list(model.objects.order_by("pk").values()) for model in ROWS]


def check_undone(call: Callable[[], Any]) -> None:
    before = rows()
    answer = call()
    assert answer.status_code == 500
    assert rows() == before


ASKING = [
    "approvals.external.services._external_request",
    "approvals.external.services.open_request",
    "approvals.external.log.record",
    "approvals.external.webhooks.tell",
    "approvals.external.services.outbox.opened",
    "approvals.external.services.drop_effects",
    "approvals.external.services.void",
]


@pytest.mark.parametrize("line", ASKING)
def test_asking(cast: Cast, live: Api, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """Asked again afterwards, with the same Idempotency-Key, it is asked, and what it replaces is void."""
    program = asker(cast)
    row = ask(program, external_id="a", **HOOK)
    decide(live, row)
    body = BODIES["tool"] | HOOK | {"external_id": "a", "action": MAIL | {"params": {"to": "z"}}}
    with monkeypatch.context() as patch:
        patch.setattr(line, dies)
        check_undone(lambda: program.post("/approvals", body, Idempotency_Key="k"))
    assert read(program, row)["status"] == "approved"
    answer = program.post("/approvals", body, Idempotency_Key="k")
    assert (answer.status_code, answer.json()["status"]) == (201, "pending")
    assert read(program, row)["status"] == "void"


DECIDING = [
    "approvals.services._decide",
    "approvals.services._remember",
    "approvals.external.log.record",
    "approvals.external.webhooks.tell",
]


@pytest.mark.parametrize("line", DECIDING)
def test_deciding(cast: Cast, live: Api, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    row = ask(asker(cast), **HOOK)
    with monkeypatch.context() as patch:
        patch.setattr(line, dies)
        check_undone(lambda: decide(live, row, verdict="approve", remember=True))
    assert decide(live, row, verdict="approve", remember=True).json()["remembered"] is True


@pytest.mark.parametrize("line", ["approvals.external.log.record", "approvals.external.webhooks.tell"])
def test_taking_it_back(cast: Cast, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    program = asker(cast)
    row = ask(program, **HOOK)
    with monkeypatch.context() as patch:
        patch.setattr(line, dies)
        check_undone(lambda: program.post(f"/approvals/{row['id']}/cancel"))
    assert program.post(f"/approvals/{row['id']}/cancel").json()["status"] == "cancelled"


def test_the_receipt(cast: Cast, live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    program = asker(cast)
    row = ask(program)
    decide(live, row)
    path, body = f"/approvals/{row['id']}/result", {"outcome": "executed"}
    with monkeypatch.context() as patch:
        patch.setattr("approvals.external.log.record", dies)
        check_undone(lambda: program.put(path, body))
    assert program.put(path, body).status_code == 200


@pytest.mark.parametrize("on_timeout", ["expire", "reject"])
@pytest.mark.parametrize("line", ["approvals.external.log.record", "approvals.external.webhooks.tell"])
def test_silence(cast: Cast, monkeypatch: pytest.MonkeyPatch, line: str, on_timeout: str) -> None:
    row = ask(asker(cast), timeout_seconds=60, on_timeout=on_timeout, **HOOK)
    pass_time(row, 61)
    before = rows()
    with monkeypatch.context() as patch:
        patch.setattr(line, dies)
        with pytest.raises(Died):
            deciding.expire(row["id"])
    assert rows() == before
    assert clock.expiries() == 1
