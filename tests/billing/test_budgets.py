"""Budgets of runs, keys and teams (docs/api/billing.md section 5)."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client

from accounts.keys.services import issue_key
from accounts.models import ApiKey, Team
from approvals.models import Approval, Decision
from billing import services
from billing.errors import BudgetReached
from billing.models import Transaction
from tests.cast import Api, Cast
from tests.runs.driving import (
    begin,
    data_of,
    drive_all,
    ended,
    kinds,
    request_of,
    show,
    simulated,
    someone_waits_for_a_lock,
    status_of,
    until,
    waiting,
)
from tests.runs.invariants import check_run

pytestmark = pytest.mark.django_db


def _decide(api: Api, approval: str, verdict: str = "approve", **body: Any) -> Any:
    return api.post(f"/approvals/{approval}/decide", {"verdict": verdict, **body})


# --- on_budget fail


@pytest.mark.parametrize(
    ("budget", "steps", "status"),
    [(4, 0, "failed"), (9, 1, "failed"), (14, 2, "failed"), (15, 3, "succeeded"), (0, 3, "succeeded")],
)
def test_a_run_budget(test_key: Api, budget: int, steps: int, status: str) -> None:
    run = ended(test_key, budget_cents=budget)
    assert (run["status"], run["steps_completed"], run["cost_cents"]) == (status, steps, steps * 5)
    if status == "failed":
        assert (run["error"]["code"], run["error"]["reason_code"]) == ("GUARD_EXCEEDED", "budget_cents")
        assert run["error"]["details"] == {"guard": "budget_cents", "scope": "run", "limit": budget, "used": steps * 5}
        assert kinds(run["id"])[-3:] == ["error", "failed", "done"]
        assert data_of(run["id"], "error")[0] == run["error"] | {"fatal": True}
    check_run(run["id"])


def test_a_run_budget_with_live_money(live: Api) -> None:
    run = ended(live, machine_id=simulated(live), agent="scripted", budget_cents=10)
    assert (run["status"], run["cost_cents"]) == ("failed", 10)
    check_run(run["id"])


@pytest.fixture
def thrifty(cast: Cast) -> Api:
    """A live key that may spend 12 cents a month."""
    issued = issue_key(
        cast.actor(), "thrifty", frozenset(ApiKey.objects.get(id=cast_key(cast)).scopes), budget_cents_month=12
    )
    return Api(issued.key, Client())


def cast_key(cast: Cast) -> str:
    cast.api()
    return str(ApiKey.objects.latest("created_at").id)


def test_a_key_budget(live: Api, thrifty: Api) -> None:
    machine = simulated(live)
    run = ended(thrifty, machine_id=machine, agent="scripted")
    assert (run["status"], run["steps_completed"]) == ("failed", 2)
    details = run["error"]["details"]
    assert details == {"guard": "budget_cents", "scope": "key", "limit": 12, "used": 10}
    refused = thrifty.post("/runs", {"task": "x", "machine_id": machine, "agent": "scripted"})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["scope"]) == (402, "BUDGET_EXCEEDED", "key")
    assert (error["limit_cents"], error["spent_cents"]) == (12, 10)
    assert ended(live, machine_id=machine, agent="scripted")["status"] == "succeeded"  # another key has its own
    (shown,) = live.get("/billing/balance").json()["budgets"]
    assert (shown["scope"], shown["limit_cents"], shown["spent_cents"], shown["held_cents"]) == ("key", 12, 10, 0)
    check_run(run["id"])


def test_a_team_budget(live: Api, cast: Cast) -> None:
    Team.objects.filter(id=cast.team.id).update(budget_cents_month=20)
    machine = simulated(live)
    assert ended(live, machine_id=machine, agent="scripted")["status"] == "succeeded"
    run = ended(cast.api(), machine_id=machine, agent="scripted")
    assert (run["status"], run["error"]["details"]["scope"], run["error"]["details"]["used"]) == ("failed", "team", 20)
    assert live.post("/runs", {"task": "x", "machine_id": machine}).json()["error"]["scope"] == "team"
    check_run(run["id"])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("scope", ["team", "key"])
def test_two_steps_at_once_do_not_share_the_last_cents_of_a_budget(cast: Cast, scope: str) -> None:
    """The second one looks at the budget only once the first has its hold, or is undone."""
    key = cast_key(cast)
    rows: Any = Team.objects if scope == "team" else ApiKey.objects
    rows.update(budget_cents_month=9)
    held, end = threading.Event(), threading.Event()

    def step(run: str, first: bool) -> str:
        try:
            with transaction.atomic():
                services.hold(
                    team_id=cast.team.id, run_id=run, step_index=1, cents=5, key_id=key, created_by={"type": "api_key"}
                )
                if first:
                    held.set()
                    assert end.wait(20)
            return "held"
        except BudgetReached as reached:
            return reached.scope
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(step, "run_1", True)
        assert held.wait(20)
        two = threads.submit(step, "run_2", False)
        until(someone_waits_for_a_lock)
        end.set()
        assert (one.result(20), two.result(20)) == ("held", scope)
    assert Transaction.objects.filter(type="hold").count() == 1


def test_the_first_limit_that_refuses_is_named(thrifty: Api, live: Api, cast: Cast) -> None:
    machine = simulated(live)
    Team.objects.filter(id=cast.team.id).update(budget_cents_month=10)
    run = ended(thrifty, machine_id=machine, agent="scripted", budget_cents=10)
    assert run["error"]["details"]["scope"] == "run"
    refused = thrifty.post("/runs", {"task": "x", "machine_id": machine}).json()["error"]
    assert refused["scope"] == "key"


def test_last_month_does_not_count(live: Api, thrifty: Api) -> None:
    machine = simulated(live)
    ended(thrifty, machine_id=machine, agent="scripted")
    with connection.cursor() as cursor:  # only a test may rewrite the ledger
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE billing_transaction DISABLE TRIGGER ledger_append_only")
        for row in Transaction.objects.all():
            Transaction.objects.filter(id=row.id).update(created_at=row.created_at - timedelta(days=32))
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE billing_transaction ENABLE TRIGGER ledger_append_only")
    assert ended(thrifty, "x [steps:2]", machine_id=machine, agent="scripted")["status"] == "succeeded"


def test_test_keys_have_no_key_or_team_budget(cast: Cast, test_key: Api) -> None:
    Team.objects.filter(id=cast.team.id).update(budget_cents_month=1)
    ApiKey.objects.update(budget_cents_month=1)
    assert ended(test_key)["status"] == "succeeded"


# --- on_budget ask


def test_T_167_approve_adds_the_budgets_own_size_and_no_step_repeats(test_key: Api) -> None:
    run = waiting(test_key, "x", budget_cents=10, on_budget="ask")
    assert (run["steps_completed"], run["cost_cents"]) == (2, 10)
    request = request_of(test_key, run)
    assert (request["kind"], request["reason_code"], request["input_kind"]) == ("budget", "AWAITING_BUDGET", "approval")
    assert request["budget"] == {"scope": "run", "limit_cents": 10, "used_cents": 10, "suggested_add_cents": 10}
    assert (request["on_reject"], request["allowed_verdicts"]) == ("fail_run", ["approve", "reject"])
    check_run(run["id"])
    result = _decide(test_key, request["id"]).json()
    assert (result["resumed"], result["decision"]["values"]) == (True, {"add_cents": 10})
    assert show(test_key, run["id"])["budget_cents"] == 20
    drive_all()
    done = show(test_key, run["id"])
    assert (done["status"], done["steps_completed"], done["cost_cents"]) == ("succeeded", 3, 15)
    assert Approval.objects.count() == 1
    assert [d["steps_completed"] for d in data_of(run["id"], "step")] == [1, 2, 3]
    check_run(run["id"])


def test_T_167_with_live_money(live: Api) -> None:
    run = waiting(live, "x", machine_id=simulated(live), agent="scripted", budget_cents=10, on_budget="ask")
    assert live.get("/billing/balance").json()["held_cents"] == 0
    live.post(f"/runs/{run['id']}/resume")
    drive_all()
    assert show(live, run["id"])["cost_cents"] == 15
    check_run(run["id"])


def test_T_167_reject_ends_the_run_as_the_guard_would(test_key: Api) -> None:
    run = waiting(test_key, "x", budget_cents=10, on_budget="ask")
    done = test_key.post(f"/runs/{run['id']}/resume", {"approved": False, "note": "enough"}).json()
    assert (done["status"], done["error"]["code"], done["error"]["reason_code"]) == (
        "failed",
        "GUARD_EXCEEDED",
        "budget_cents",
    )
    assert done["error"]["details"] == {"guard": "budget_cents", "scope": "run", "limit": 10, "used": 10}
    assert done["error"]["message"] == done["result"]["summary"] == "enough"
    assert kinds(run["id"])[-4:] == ["resumed", "error", "failed", "done"]
    assert (done["steps_completed"], done["cost_cents"]) == (2, 10)
    check_run(run["id"])


def test_T_167_it_asks_once_for_each_limit_reached(test_key: Api) -> None:
    run = waiting(test_key, "x [steps:4]", budget_cents=5, on_budget="ask")
    for limit in (5, 10, 15):
        budget = request_of(test_key, run)["budget"]
        assert (budget["limit_cents"], budget["used_cents"]) == (limit, limit)
        _decide(test_key, run_request(test_key, run), values={"add_cents": 5})
        drive_all()
    assert status_of(run["id"]) == "succeeded"
    assert Approval.objects.count() == 3
    check_run(run["id"])


def run_request(api: Api, run: dict[str, Any]) -> str:
    return str(show(api, run["id"])["open_approvals"][0])


@pytest.mark.parametrize(
    ("values", "loc"),
    [
        ({"add_cents": 0}, ["values", "add_cents"]), ({"add_cents": 10_000_001}, ["values", "add_cents"]),
        ({"add_cents": "5"}, ["values", "add_cents"]), ({"add_cents": True}, ["values", "add_cents"]),
        ({"add_cents": 1.5}, ["values", "add_cents"]), ({"more": 5}, ["values", "more"]),
    ],
)  # fmt: skip
def test_what_may_be_added(test_key: Api, values: dict[str, Any], loc: list[str]) -> None:
    run = waiting(test_key, "x", budget_cents=10, on_budget="ask")
    refused = _decide(test_key, run["open_approvals"][0], values=values)
    assert refused.status_code == 422, refused.content
    assert refused.json()["error"]["details"][0]["loc"] == ["body", *loc]
    assert show(test_key, run["id"]) == run


def test_the_default_is_the_same_decision_as_saying_it(test_key: Api) -> None:
    run = waiting(test_key, "x", budget_cents=10, on_budget="ask")
    approval = run["open_approvals"][0]
    first = _decide(test_key, approval).json()["decision"]["id"]
    assert _decide(test_key, approval, values={"add_cents": 10}).json()["decision"]["id"] == first
    assert _decide(test_key, approval, values={"add_cents": 11}).json()["error"]["code"] == "ALREADY_DECIDED"
    assert show(test_key, run["id"])["budget_cents"] == 20


def test_a_budget_request_comes_between_an_approval_and_its_action(test_key: Api) -> None:
    run = waiting(
        test_key, "x [steps:1]", budget_cents=4, on_budget="ask", human_in_the_loop=True, permission_mode="approval"
    )
    assert request_of(test_key, run)["kind"] == "tool"
    test_key.post(f"/runs/{run['id']}/resume")
    drive_all()
    assert request_of(test_key, run)["kind"] == "budget"
    test_key.post(f"/runs/{run['id']}/resume")
    drive_all()
    done = show(test_key, run["id"])
    assert (done["status"], done["steps_completed"]) == ("succeeded", 1)  # the approval still stands: asked once
    assert Approval.objects.filter(kind="tool").count() == 1
    check_run(run["id"])


def test_lifting_a_shared_limit_needs_an_admin(live: Api, thrifty: Api, cast: Cast) -> None:
    run = waiting(thrifty, "x", machine_id=simulated(live), agent="scripted", on_budget="ask")
    request = request_of(thrifty, run)
    assert request["budget"] == {"scope": "key", "limit_cents": 12, "used_cents": 10, "suggested_add_cents": 12}
    refused = live.post(f"/runs/{run['id']}/resume")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "NOT_ELIGIBLE")
    path = f"/v1/approvals/{request['id']}/decide"
    assert (
        cast.browser("ana").post(path, json.dumps({"verdict": "approve"}), content_type="application/json").status_code
        == 403
    )
    by_admin = cast.browser("olga").post(
        path, json.dumps({"verdict": "approve", "values": {"add_cents": 5}}), content_type="application/json"
    )
    assert by_admin.status_code == 200, by_admin.content
    drive_all()
    done = show(live, run["id"])
    assert (done["status"], done["cost_cents"], done["budget_cents"]) == ("succeeded", 15, 0)
    # for this run only: the key itself may spend no more than before
    assert thrifty.post("/runs", {"task": "x", "machine_id": run["machine_id"]}).json()["error"]["scope"] == "key"
    check_run(run["id"])


def test_anybody_who_decides_may_refuse_a_shared_limit(live: Api, thrifty: Api) -> None:
    run = waiting(thrifty, "x", machine_id=simulated(live), agent="scripted", on_budget="ask")
    done = live.post(f"/runs/{run['id']}/resume", {"approved": False}).json()
    assert (done["error"]["code"], done["error"]["details"]["scope"]) == ("GUARD_EXCEEDED", "key")
    check_run(run["id"])


def test_a_run_that_does_not_wait_does_not_ask_for_money(test_key: Api) -> None:
    run = ended(test_key, budget_cents=5, on_budget="ask", on_awaiting_human="fail")
    assert (run["status"], run["error"]["code"]) == ("failed", "AWAITING_HUMAN")
    check_run(run["id"])


def test_silence_adds_nothing(test_key: Api) -> None:
    from approvals import clock
    from tests.runs.driving import shift

    run = waiting(
        test_key, "x", budget_cents=5, on_budget="ask", on_timeout="default_answer", awaiting_human_timeout_seconds=5
    )
    shift(run["id"], 6)
    clock.expiries()
    done = show(test_key, run["id"])
    assert (done["status"], done["error"]["code"], done["budget_cents"]) == ("failed", "GUARD_EXCEEDED", 5)
    assert Decision.objects.get().verdict == "reject"
    assert begin(test_key)["status"] == "queued"
