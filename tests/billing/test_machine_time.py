"""What machines cost by the minute (docs/api/billing.md sections 1 and 2). Time passes by moving rows into the past."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone
from django_q.models import OrmQ

from billing.models import Transaction, Wallet
from machines import services
from machines.models import Machine
from machines.processes import metering
from machines.takeover import services as takeover
from tests.cast import Api, Cast
from tests.runs.driving import simulated, waiting

pytestmark = pytest.mark.django_db


def _machine(api: Api, status: str = "running", **fields: Any) -> Machine:
    answer = api.post("/machines", {"display_name": "Desk", "kind": "terminal"})
    assert answer.status_code == 200, answer.content
    Machine.objects.filter(id=answer.json()["id"]).update(**{"status": status, "metered_at": timezone.now()} | fields)
    return Machine.objects.get(id=answer.json()["id"])


def _minutes(count: int) -> None:
    """The clock ticks once a minute."""
    for _ in range(count):
        Machine.objects.update(metered_at=F("metered_at") - timedelta(seconds=60))
        metering.charge_all()


def _charged() -> list[int]:
    rows = Transaction.objects.filter(type="machine_time").order_by("created_at")
    return list(rows.values_list("amount_cents", flat=True))


@pytest.mark.parametrize(
    ("fields", "minutes"),
    [
        ({"status": "running"}, 12), ({"status": "starting"}, 12), ({"status": "stopping"}, 12),
        ({"status": "running", "os": "windows", "kind": "desktop"}, 7), ({"status": "stopped"}, 60),
        ({"status": "suspended"}, 60),
    ],
)  # fmt: skip
def test_a_cent_is_charged_when_it_is_whole(live: Api, fields: dict[str, Any], minutes: int) -> None:
    _machine(live, **fields)
    _minutes(minutes - 1)
    assert _charged() == []
    _minutes(1)
    assert _charged() == [1]


@pytest.mark.parametrize(
    "fields", [{"status": "creating"}, {"status": "error"}, {"kind": "simulated"}, {"test": True},
               {"status": "terminated", "terminated_at": timezone.now()}]
)  # fmt: skip
def test_what_costs_nothing(live: Api, fields: dict[str, Any]) -> None:
    _machine(live, **fields)
    _minutes(61)
    assert _charged() == []


def test_the_row_of_machine_time(live: Api) -> None:
    machine = _machine(live, meter=3 * metering.CENT)
    metering.charge_all()
    (row,) = live.get("/billing/ledger?type=machine_time").json()["data"]
    assert (row["amount_cents"], row["machine_id"], row["run_id"], row["step_index"]) == (3, machine.id, None, None)
    assert [(e["account"], e["debit_cents"], e["credit_cents"]) for e in row["entries"]] == [
        ("wallet", 3, 0), ("usage", 0, 3)
    ]  # fmt: skip
    assert (row["available_after_cents"], row["created_by"]["type"]) == (9_997, "system")
    balance = live.get("/billing/balance").json()
    assert (balance["available_cents"], balance["ledger_ok"]) == (9_997, True)
    usage = live.get("/usage").json()
    assert (usage["total_credits"], usage["breakdown"]) == (3, {"machine_time": {"requests": 0, "credits": 3}})


def test_each_status_counts_at_its_own_price(live: Api, cast: Cast) -> None:
    machine = _machine(live, metered_at=timezone.now() - timedelta(seconds=60))
    services.terminate(cast.actor(), machine.id)
    machine.refresh_from_db()
    assert (machine.status, machine.meter) == ("terminating", 60 * 5)
    Machine.objects.update(meter=metering.CENT)
    metering.charge_all()
    assert _charged() == [1]


def test_time_that_no_clock_saw_is_not_charged(live: Api) -> None:
    machine = _machine(live, metered_at=timezone.now() - timedelta(days=3))
    metering.charge_all()
    machine.refresh_from_db()
    assert machine.meter == services.UNSEEN_SECONDS * 5


def _empty(cents: int = 0) -> None:
    Wallet.objects.update(available_cents=cents)


def test_with_an_empty_wallet_machines_are_suspended_and_never_destroyed(live: Api) -> None:
    running, stopped = _machine(live), _machine(live, "stopped")
    Machine.objects.update(meter=3 * metering.CENT)
    _empty(2)
    OrmQ.objects.all().delete()
    metering.charge_all()
    assert (_charged(), live.get("/billing/balance").json()["available_cents"]) == ([2], 0)
    assert Machine.objects.get(id=running.id).status == "suspended"
    assert [row.func() for row in OrmQ.objects.all()] == ["machines.tasks.stop"]
    _minutes(5)
    assert list(Machine.objects.order_by("created_at").values_list("id", "status")) == [
        (running.id, "suspended"), (stopped.id, "stopped")
    ]  # fmt: skip


@pytest.mark.parametrize("needed", ["takeover", "run"])
def test_a_machine_that_somebody_needs_goes_last(live: Api, cast: Cast, needed: str) -> None:
    machine = simulated(live)
    if needed == "run":
        waiting(live, machine_id=machine, agent="scripted")
    Machine.objects.filter(id=machine).update(kind="terminal")
    if needed == "takeover":
        takeover.take(cast.actor(), machine)
    _empty()
    metering.charge_all()
    assert Machine.objects.get(id=machine).status == "running"
    Machine.objects.update(unpaid_since=timezone.now() - timedelta(minutes=59))
    metering.charge_all()
    assert Machine.objects.get(id=machine).status == "running"
    Machine.objects.update(unpaid_since=timezone.now() - timedelta(minutes=60))
    metering.charge_all()
    assert Machine.objects.get(id=machine).status == "suspended"


def test_money_in_time_ends_the_hour(live: Api, cast: Cast) -> None:
    machine = simulated(live)
    waiting(live, machine_id=machine, agent="scripted")
    Machine.objects.filter(id=machine).update(kind="terminal", unpaid_since=timezone.now() - timedelta(minutes=90))
    metering.charge_all()
    found = Machine.objects.get(id=machine)
    assert (found.status, found.unpaid_since) == ("running", None)
