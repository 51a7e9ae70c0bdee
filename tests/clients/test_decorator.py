"""@requires_approval: what runs is what was approved, and nothing else."""

import asyncio
from typing import Any

import pytest
from countersign import ActionChanged, AlreadyDone, NotApproved, requires_approval

from tests.clients.stub import Stub

DONE: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    DONE.clear()


@requires_approval()
def pay(amount: int, *, to: str = "shop", session: str = "", **labels: str) -> str:
    DONE.append((amount, to, labels))
    return f"paid {amount}"


@requires_approval("bank.pay", title="Pay somebody", risk="spend", external_id_from=lambda amount: f"pay-{amount}")
async def apay(amount: int) -> str:
    DONE.append(amount)
    return f"paid {amount}"


@requires_approval(omit=("session",))
def fail(amount: int, session: object) -> None:
    raise RuntimeError("no money: secret-token")


class Till:
    @requires_approval()
    def pay(self, amount: int) -> None:
        DONE.append((self, amount))


def approves(stub: Stub, **more: Any) -> None:
    stub.person = lambda _, row: stub.decide(row["id"], "approved", **more)


def edits(stub: Stub, **params: Any) -> None:
    stub.person = lambda _, row: stub.decide(
        row["id"], "approved", edited_action={"name": row["action"]["name"], "params": row["action"]["params"] | params}
    )


def results(stub: Stub) -> list[Any]:
    return [result for row in stub.rows.values() for result in row["results"]]


def test_it_asks_with_all_parameters_runs_once_and_says_so(stub: Stub) -> None:
    approves(stub)
    assert pay(40, why="party") == "paid 40"
    assert DONE == [(40, "shop", {"why": "party"})]
    assert stub.rows["apr_1"]["action"] == {
        "name": "pay",
        "params": {"amount": 40, "to": "shop", "session": "", "why": "party"},
    }
    assert results(stub) == [{"outcome": "executed"}]


def test_on_an_event_loop_with_a_name_of_its_own(stub: Stub) -> None:
    approves(stub)
    assert asyncio.run(apay(40)) == "paid 40"
    row = stub.rows["apr_1"]
    assert (row["title"], row["external_id"]) == ("Pay somebody", "pay-40")
    assert row["action"] == {"name": "bank.pay", "params": {"amount": 40}, "risk": "spend"}
    assert results(stub) == [{"outcome": "executed"}]


@pytest.mark.parametrize("status", ["rejected", "expired", "cancelled", "void"])
def test_without_a_yes_nothing_runs(stub: Stub, status: str) -> None:
    stub.person = lambda _, row: stub.decide(row["id"], status, "Not today.")
    with pytest.raises(NotApproved, match="Not today"):
        pay(40)
    with pytest.raises(NotApproved, match="Not today"):
        asyncio.run(apay(40))
    assert DONE == results(stub) == []


def test_an_edit_reaches_the_function(stub: Stub) -> None:
    edits(stub, amount=30, why="smaller party")
    assert pay(40, why="party") == "paid 30"
    assert DONE == [(30, "shop", {"why": "smaller party"})]


def test_an_edit_that_invents_a_parameter_runs_nothing(stub: Stub) -> None:
    edits(stub, bonus=1000)
    with pytest.raises(ActionChanged, match="parameters that pay does not have"):
        pay(40)
    assert DONE == []


def test_what_is_omitted_is_neither_shown_nor_sent(stub: Stub) -> None:
    approves(stub)
    with pytest.raises(RuntimeError):
        fail(40, object())
    assert stub.rows["apr_1"]["action"]["params"] == {"amount": 40}
    assert results(stub) == [{"outcome": "failed", "text": "RuntimeError"}]  # not its words: they may hold a secret


def test_a_method_shows_its_parameters_only(stub: Stub) -> None:
    approves(stub)
    till = Till()
    till.pay(40)
    assert [(till, 40)] == DONE
    assert stub.rows["apr_1"]["action"]["params"] == {"amount": 40}


def test_a_receipt_that_fails_does_not_undo_what_was_done(stub: Stub, caplog: pytest.LogCaptureFixture) -> None:
    @requires_approval()
    def act() -> str:
        stub.misdeeds = [(409, "INVALID_STATE")]
        return "done"

    approves(stub)
    assert act() == "done"
    assert "The receipt of apr_1 was not completed" in caplog.text


def test_one_approval_is_for_one_execution(stub: Stub) -> None:
    """A program that is started again asks under the same name: it hears the old yes, and has acted upon it."""
    approves(stub)
    assert asyncio.run(apay(40)) == "paid 40"
    stub.rows["apr_1"]["decision"]["receipt"] = {"outcome": "executed"}
    with pytest.raises(AlreadyDone, match="one execution"):
        asyncio.run(apay(40))
    assert DONE == [40]


def test_what_cannot_be_shown_is_not_asked(stub: Stub) -> None:
    with pytest.raises(TypeError, match="JSON"):
        pay(object())  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        pay()  # type: ignore[call-arg]
    assert stub.calls == []
