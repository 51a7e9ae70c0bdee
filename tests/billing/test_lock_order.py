"""Run, machine, wallet: whoever locks two of them does so in this order, so nobody waits in a circle."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, connections, transaction

from billing.services import charge_machine
from machines import services as machines
from runs.services import cancel_run
from tests.cast import Cast
from tests.runs.driving import begin, drive_and_die, simulated, status_of, until
from tests.runs.invariants import check_run

pytestmark = pytest.mark.django_db(transaction=True)


def _somebody_waits_for_us() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        )
        return bool(cursor.fetchone()[0])


def test_a_run_ends_while_its_machine_is_charged(cast: Cast) -> None:
    """The meter holds the machine and wants the wallet; the run gives back what it held for a step, and the machine."""
    machine = simulated(cast.api())
    run = begin(cast.api(), "x [steps:2]", machine_id=machine, agent="scripted")["id"]
    drive_and_die("write_outcome")  # in the middle of a step: its price is held

    def cancel() -> None:
        try:
            cancel_run(cast.actor(), run)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            machines.locked(machine)
            cancelling = pool.submit(cancel)
            until(_somebody_waits_for_us)
            assert charge_machine(cast.actor(), machine, 5, "Machine time")
        cancelling.result(20)
    assert status_of(run) == "cancelled"
    balance = cast.api().get("/billing/balance").json()
    assert (balance["available_cents"], balance["held_cents"], balance["ledger_ok"]) == (9_995, 0, True)
    check_run(run)
