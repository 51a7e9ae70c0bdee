"""Balance, ledger and usage as the API tells them (docs/api/billing.md section 3)."""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from billing.models import Transaction
from machines.models import Machine
from tests.cast import Api, Cast
from tests.runs.driving import ended, simulated

pytestmark = pytest.mark.django_db


@pytest.fixture
def spent(live: Api) -> str:
    """A live run of three steps; its id."""
    return str(ended(live, machine_id=simulated(live), agent="scripted")["id"])


def test_the_balance(live: Api, spent: str) -> None:
    body = live.get("/billing/balance").json()
    assert re.fullmatch(r"req_\w+", body.pop("request_id"))
    assert body == {
        "object": "balance", "currency": "USD", "balance_cents": 9_985, "held_cents": 0, "available_cents": 9_985,
        "ledger_ok": True, "budgets": [],
    }  # fmt: skip


def test_ledger_filters(live: Api, spent: str, strangers: Cast) -> None:
    def types(query: str) -> list[str]:
        answer = live.get(f"/billing/ledger?{query}")
        assert answer.status_code == 200, answer.content
        return [r["type"] for r in answer.json()["data"]]

    assert types("") == ["capture", "hold"] * 3 + ["topup"]
    assert types("type=capture") == ["capture"] * 3
    assert types("type=topup,hold") == ["hold"] * 3 + ["topup"]
    assert len(types(f"run_id={spent}")) == 6
    assert types("run_id=run_nowhere") == []
    now = datetime.now(UTC)
    assert types(f"from={quote((now + timedelta(minutes=1)).isoformat())}") == []
    assert len(types(f"to={quote((now + timedelta(minutes=1)).isoformat())}")) == 7
    assert len(types(f"from={now.date()}&to={now.date() + timedelta(days=1)}")) == 7
    assert types(f"to={now.date()}") == []


@pytest.mark.parametrize(("query", "status", "code"), [
    ("type=gift", 400, "INVALID_FILTER"), ("from=yesterday", 422, "VALIDATION_ERROR"), ("to=2026-13-01", 422, "VALIDATION_ERROR"),
    ("limit=0", 400, "INVALID_LIMIT"), ("cursor=abc", 400, "INVALID_CURSOR"),
])  # fmt: skip
def test_filters_that_make_no_sense(live: Api, query: str, status: int, code: str) -> None:
    answer = live.get(f"/billing/ledger?{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_the_ledger_in_pages(live: Api, spent: str) -> None:
    ids: list[str] = []
    cursor = ""
    for _ in range(4):
        page = live.get(f"/billing/ledger?limit=2{cursor}").json()
        ids += [r["id"] for r in page["data"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert len(ids) == len(set(ids)) == 7
    assert page["has_more"] is False


def test_usage(live: Api, test_key: Api, spent: str) -> None:
    month = datetime.now(UTC).strftime("%Y-%m")
    expected = {
        "period": month, "total_requests": 3, "total_credits": 15, "total_cost_cents": 15,
        "breakdown": {"agent_step": {"requests": 3, "credits": 15}}, "balance": 9_985, "wallet_balance_cents": 9_985,
        "wallet_balance_usd": "99.85",
    }  # fmt: skip
    assert live.get("/usage").json() == live.get(f"/usage?period={month}").json() == expected
    empty = live.get("/usage?period=2020-12").json()
    assert (empty["period"], empty["total_requests"], empty["total_credits"], empty["breakdown"]) == (
        "2020-12",
        0,
        0,
        {},
    )
    assert test_key.get("/usage").json()["total_credits"] == 0
    assert test_key.get("/usage").json()["balance"] == 10_000


@pytest.mark.parametrize("period", ["2026-13", "2026-00", "2026", "26-01", "0000-01", "2026-1", "x", "2026-01-01"])
def test_a_bad_period(live: Api, period: str) -> None:
    answer = live.get(f"/usage?period={period}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "VALIDATION_ERROR")
    assert answer.json()["error"]["details"][0]["loc"] == ["query", "period"]


@pytest.mark.parametrize("period", ["9999-12", "0001-01"])
def test_months_at_the_ends_of_time(live: Api, period: str) -> None:
    assert live.get(f"/usage?period={period}").json()["total_credits"] == 0


def test_money_needs_its_scope(cast: Cast, plain_live: Api) -> None:
    for path in ("/billing/balance", "/billing/ledger", "/usage"):
        refused = plain_live.get(path)
        assert (refused.status_code, refused.json()["error"]["required_scope"]) == (403, "usage")
        assert cast.api(scopes=frozenset({"usage"})).get(path).status_code == 200


def test_the_money_of_others(live: Api, strangers: Cast, spent: str) -> None:
    other = strangers.api()
    assert other.get("/billing/balance").json()["available_cents"] == 10_000
    assert [r["type"] for r in other.get("/billing/ledger").json()["data"]] == ["topup"]
    assert Transaction.objects.count() == 8


def test_the_machines_that_cost_money_now(live: Api, test_key: Api, strangers: Cast) -> None:
    def terminal(api: Api, status: str) -> str:
        machine = simulated(api)
        Machine.objects.filter(id=machine).update(kind="terminal", status=status)
        return machine

    running, stopped = terminal(live, "running"), terminal(live, "stopped")
    simulated(live)
    for api, status in ((live, "error"), (strangers.api(), "running"), (test_key, "running")):
        terminal(api, status)
    body = live.get("/billing/active").json()
    assert [(m["machine_id"], m["kind"], m["status"], m["cents_per_hour"]) for m in body["active"]] == [
        (running, "terminal", "running", 5), (stopped, "terminal", "stopped", 1)
    ]  # fmt: skip
    assert body["active"][0]["since"].endswith("Z")
    assert body["current_run_rate_cents_per_hour"] == 6
    assert test_key.get("/billing/active").json() == {"active": [], "current_run_rate_cents_per_hour": 0}
