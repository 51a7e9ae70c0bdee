"""Gates, holds and captures of live runs (docs/api/billing.md sections 1 to 3)."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from billing import services
from billing.models import Transaction, Wallet
from runs.models import Run
from tests.cast import Api, Cast, actor_of_key, make_cast
from tests.runs.driving import begin, data_of, ended, kinds, show, simulated, waiting, work_until
from tests.runs.invariants import check_run
from web.errors import Invalid

pytestmark = pytest.mark.django_db


def _poor(cents: int) -> tuple[Api, str]:
    """A team with a machine and then only so much money."""
    cast = make_cast("poor", 100)
    api = cast.api()
    machine = simulated(api)
    if cents != 100:
        Wallet.objects.filter(team=cast.team).update(available_cents=cents)
        Transaction.objects.create(
            team=cast.team, type="adjustment", source="wallet", target="adjustment", amount_cents=100 - cents,
            available_after_cents=cents, created_by={"type": "system", "id": "system", "name": "test"},
        )  # fmt: skip
    return api, machine


def _balance(api: Api) -> dict[str, Any]:
    return api.get("/billing/balance").json()


def test_T_164_four_cents_start_nothing(db: None) -> None:
    api, machine = _poor(4)
    refused = api.post("/runs", {"task": "x", "machine_id": machine, "agent": "scripted"}, Idempotency_Key="k1")
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["required"], error["balance"]) == (
        402,
        "INSUFFICIENT_CREDITS",
        5,
        4,
    )
    assert error["type"] == "billing_error"
    assert not Run.objects.exists()
    services.topup(make_actor(api), 100, "more")
    assert (
        api.post("/runs", {"task": "x", "machine_id": machine, "agent": "scripted"}, Idempotency_Key="k1").status_code
        == 200
    )


def make_actor(api: Api) -> Any:
    return actor_of_key(api.key)


def test_a_machine_needs_twenty_cents_at_hand_and_costs_none(db: None) -> None:
    api, _ = _poor(19)
    refused = api.post("/machines", {"display_name": "Desk", "kind": "simulated"})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (402, "INSUFFICIENT_CREDITS")
    assert (error["required"], error["balance"]) == (20, 19)
    services.topup(make_actor(api), 1, "one more")
    assert api.post("/machines", {"display_name": "Desk", "kind": "simulated"}).status_code == 200
    assert _balance(api)["available_cents"] == 20


def test_T_164_twelve_cents_are_two_steps(db: None) -> None:
    api, machine = _poor(12)
    run = ended(api, machine_id=machine, agent="scripted")
    assert (run["status"], run["error"]["code"], run["error"]["reason_code"]) == (
        "failed",
        "WALLET_EXHAUSTED",
        "wallet_exhausted",
    )
    assert (run["steps_completed"], run["cost_cents"]) == (2, 10)
    assert kinds(run["id"])[-3:] == ["error", "failed", "done"]
    assert (_balance(api)["available_cents"], _balance(api)["held_cents"], _balance(api)["ledger_ok"]) == (2, 0, True)
    check_run(run["id"])


def test_T_164_a_v1_and_a_v3_step_cost_13(live: Api) -> None:
    machine = simulated(live)
    costs = [
        ended(live, "x [steps:1]", machine_id=machine, agent="scripted", cua_version=v)["cost_cents"]
        for v in ("v1", "v3")
    ]
    assert costs == [8, 5]
    assert _balance(live)["available_cents"] == 10_000 - 13


def test_exactly_enough_is_enough(db: None) -> None:
    api, machine = _poor(15)
    assert ended(api, machine_id=machine, agent="scripted")["status"] == "succeeded"
    assert _balance(api)["balance_cents"] == 0


def test_the_ledger_of_a_step(live: Api) -> None:
    run = ended(live, "x [steps:1]", machine_id=simulated(live), agent="scripted")
    rows = live.get(f"/billing/ledger?run_id={run['id']}").json()["data"]
    assert [(r["type"], r["amount_cents"], r["step_index"], r["available_after_cents"]) for r in rows] == [
        ("capture", 5, 1, 9_995), ("hold", 5, 1, 9_995)
    ]  # fmt: skip
    assert [e["account"] for e in rows[1]["entries"]] == ["wallet", "held"]
    assert [e["account"] for e in rows[0]["entries"]] == ["held", "usage"]
    for row in rows:
        assert row["object"] == "ledger.transaction"
        assert row["id"].startswith("led_")
        assert sum(e["credit_cents"] - e["debit_cents"] for e in row["entries"]) == 0
    assert data_of(run["id"], "billing") == [{"credits_charged": 5, "cost_cents": 5}]


def test_T_168_test_runs_leave_the_money_alone(test_key: Api, live: Api) -> None:
    rows, before = Transaction.objects.count(), _balance(live)
    run = ended(test_key)
    assert (run["cost_cents"], run["credits_charged"]) == (15, 15)
    assert (Transaction.objects.count(), _balance(live) | {"request_id": 0}) == (rows, before | {"request_id": 0})
    shown = _balance(test_key)
    assert (shown["balance_cents"], shown["available_cents"], shown["held_cents"], shown["ledger_ok"]) == (
        10_000,
        10_000,
        0,
        True,
    )
    assert test_key.get("/billing/ledger").json()["data"] == []


def test_test_runs_start_with_an_empty_wallet(db: None) -> None:
    api = make_cast("broke", 0).api(test=True)
    assert ended(api)["status"] == "succeeded"


def test_waiting_holds_nothing(live: Api) -> None:
    run = waiting(live, machine_id=simulated(live), agent="scripted")
    assert (_balance(live)["held_cents"], _balance(live)["available_cents"]) == (0, 9_995)
    check_run(run["id"])


# --- the ledger itself


def test_the_ledger_is_append_only(live: Api) -> None:
    row = Transaction.objects.get()
    attempts: list[Callable[[], Any]] = [
        lambda: Transaction.objects.filter(id=row.id).update(amount_cents=1), lambda: Transaction.objects.filter(id=row.id).delete()
    ]  # fmt: skip
    for change in attempts:
        with pytest.raises(IntegrityError, match="never changed or deleted"), transaction.atomic():
            change()
    assert Transaction.objects.get().amount_cents == row.amount_cents


def test_a_hold_ends_once_and_a_step_is_captured_once(cast: Cast) -> None:
    facts: dict[str, Any] = {
        "team_id": cast.team.id,
        "run_id": "run_x",
        "step_index": 1,
        "cents": 5,
        "key_id": None,
        "created_by": {},
    }
    first, second = services.hold(**facts), services.hold(**facts)
    services.capture(first)
    for repeated in (first, second):  # the same hold again; another hold of the same step
        with pytest.raises(IntegrityError), transaction.atomic():
            services.capture(repeated)
    assert services.release_holds("run_x") == 5
    assert services.release_holds("run_x") == 0
    with pytest.raises(IntegrityError), transaction.atomic():
        services.capture("led_nowhere")
    assert _balance(cast.api())["available_cents"] == 9_995
    assert _balance(cast.api())["ledger_ok"] is True


def test_the_wallet_never_falls_below_zero(cast: Cast) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Wallet.objects.update(available_cents=-1)


def test_the_proof_notices_a_wallet_that_was_tampered_with(cast: Cast) -> None:
    assert _balance(cast.api())["ledger_ok"] is True
    Wallet.objects.update(available_cents=10_001)
    assert _balance(cast.api())["ledger_ok"] is False


def test_a_top_up_counts_once_per_reference(cast: Cast, strangers: Cast) -> None:
    first = services.topup(cast.actor(), 500, "invoice 7")
    assert services.topup(cast.actor(), 500, "invoice 7").id == first.id
    assert services.topup(strangers.actor(), 500, "invoice 7").id != first.id
    assert _balance(cast.api())["available_cents"] == 10_500
    for cents in (0, -5, 100_000_001):
        with pytest.raises(Invalid):
            services.topup(cast.actor(), cents, f"bad {cents}")


# --- many at once


@pytest.mark.django_db(transaction=True)
def test_T_165_twenty_runs_and_a_hundred_cents(settings: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    cast = make_cast("poor", 100)
    api = cast.api()
    runs = [begin(api, machine_id=simulated(api, f"m{i}"), agent="scripted")["id"] for i in range(20)]
    assert api.get("/billing/balance").json()["available_cents"] == 100

    def done() -> bool:
        return not Run.objects.filter(finished_at__isnull=True).exists()

    def watch() -> set[tuple[bool, bool]]:
        """The proof holds at every moment, and nothing is spent that is not there."""
        seen, client = set(), Api(api.key, Client())
        while not done():
            body = client.get("/billing/balance").json()
            seen.add((body["ledger_ok"], 0 <= body["available_cents"] <= body["balance_cents"] <= 100))
        from django.db import connections

        connections.close_all()
        return seen

    settings.RATE_LIMIT_PER_MINUTE = 1_000_000
    with ThreadPoolExecutor(5) as threads:
        watched = threads.submit(watch)
        for worker in [threads.submit(work_until, done, f"worker-{i}") for i in range(4)]:
            worker.result(30)
        assert watched.result(30) <= {(True, True)}
    spent = sum(Transaction.objects.filter(type="capture").values_list("amount_cents", flat=True))
    assert spent == 100
    assert sum(Run.objects.values_list("cost_cents", flat=True)) == 100
    body = api.get("/billing/balance").json()
    assert (body["available_cents"], body["held_cents"], body["ledger_ok"]) == (0, 0, True)
    for run in runs:
        assert (show(api, run)["error"] or {"code": None})["code"] in (None, "WALLET_EXHAUSTED")
        check_run(run)
