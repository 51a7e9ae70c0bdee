"""Letting go of a run that waits, and going on with it later (docs/api/runs.md section 5)."""

import pytest

from accounts.models import Team
from approvals import clock as approvals_clock
from runs import clock
from runs.driving import leases
from runs.driving.drive import Drive
from runs.models import Run
from tests.cast import Api, Cast
from tests.runs.driving import (
    Inline,
    begin,
    data_of,
    drive_all,
    go,
    request_of,
    shift,
    show,
    simulated,
    status_of,
    waiting,
)
from tests.runs.invariants import check_run

pytestmark = pytest.mark.django_db


class Patient(Inline):
    """A host whose bells never ring; it notes for how long the drive was ready to wait."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def wait_for_bell(self, run_id: str, seconds: float) -> bool:
        self.waits.append(seconds)
        self.drive.draining = len(self.waits) > 1
        return False

    drive: Drive


def _drive(host: Patient) -> None:
    ((run_id, epoch),) = leases.claim(host.name, 1)
    host.drive = Drive(host, run_id, epoch)
    go(host.drive)
    leases.let_go(run_id, host.name, epoch)


def test_T_045_the_worker_stays_for_the_hot_window_and_parks(cast: Cast, test_key: Api) -> None:
    run = begin(test_key, "x [pause]")
    host = Patient()
    _drive(host)
    assert 74 <= host.waits[0] <= 75
    assert status_of(run["id"]) == "awaiting_human"

    Team.objects.filter(id=cast.team.id).update(hot_window_seconds=0)
    other = begin(test_key, "x [pause]")
    _drive(Patient())
    parked = show(test_key, other["id"])
    assert parked["status"] == "awaiting_human"
    assert parked["parked_at"] is not None
    assert Run.objects.get(id=other["id"]).lease_owner is None
    third = begin(test_key)
    drive_all()
    assert status_of(third["id"]) == "succeeded"


def test_the_hot_window_is_the_one_the_team_has_when_the_request_opens(test_key: Api) -> None:
    begin(test_key, "x [pause:1] [pause:2]")

    class Changing(Patient):
        async def wait_for_bell(self, run_id: str, seconds: float) -> bool:
            if not self.waits:
                await self.db(lambda: test_key.patch("/team", {"hot_window_seconds": 30}))
                await self.db(lambda: test_key.post(f"/runs/{run_id}/resume"))
            return await super().wait_for_bell(run_id, seconds)

    host = Changing()
    _drive(host)
    first, second = host.waits
    assert second <= 30 < first


def test_a_decision_inside_the_hot_window_goes_on_with_the_same_worker(test_key: Api) -> None:
    run = begin(test_key, "x [pause]")

    class Answered(Inline):
        async def wait_for_bell(self, run_id: str, seconds: float) -> bool:
            await self.db(lambda: test_key.post(f"/runs/{run_id}/resume"))
            return True

    ((run_id, epoch),) = leases.claim(Inline.name, 1)
    go(Drive(Answered(), run_id, epoch))
    done = show(test_key, run["id"])
    assert (done["status"], done["steps_completed"], done["parked_at"]) == ("succeeded", 3, None)
    assert Run.objects.get(id=run["id"]).lease_epoch == 1
    check_run(run["id"])


def test_T_046_a_decision_after_a_restart_resumes_exactly_once(test_key: Api) -> None:
    run = waiting(test_key, "x [pause] [question]")
    leases.retire(Inline.name)  # every worker is gone, and comes back
    assert request_of(test_key, run)["status"] == "pending"
    resumed = test_key.post(f"/runs/{run['id']}/resume").json()
    assert (resumed["status"], resumed["parked_at"]) == ("running", None)
    drive_all()
    assert len(data_of(run["id"], "resumed")) == 1
    assert data_of(run["id"], "awaiting_human")[1]["kind"] == "question"
    test_key.post(f"/runs/{run['id']}/resume", {"note": "Sales"})
    drive_all()
    done = show(test_key, run["id"])
    assert (done["status"], done["steps_completed"], done["cost_cents"]) == ("succeeded", 3, 15)
    assert '"value":"Sales"' in done["result"]["summary"]
    check_run(run["id"])


def test_a_worker_that_ends_lets_go_of_what_waits(test_key: Api) -> None:
    run = begin(test_key, "x [pause]")
    ((run_id, epoch),) = leases.claim(Inline.name, 1)
    host = Patient()
    host.drive = drive = Drive(host, run_id, epoch)
    host.waits = [0.0]  # the first bell is the one that ends the process
    drive.job = None  # type: ignore[assignment]

    async def drain(_: str, seconds: float) -> bool:
        drive.draining = True
        return True

    host.wait_for_bell = drain  # type: ignore[method-assign]
    go(drive)
    leases.retire(Inline.name)
    row = Run.objects.get(id=run["id"])
    assert (row.status, row.lease_owner) == ("awaiting_human", None)
    assert row.parked_at is not None


def test_a_run_whose_worker_died_while_it_waited_is_parked(test_key: Api) -> None:
    run = waiting(test_key)
    Run.objects.filter(id=run["id"]).update(parked_at=None, lease_owner="dead", lease_until="2020-01-01T00:00Z")
    clock.stops()
    assert show(test_key, run["id"])["parked_at"] is not None
    test_key.post(f"/runs/{run['id']}/resume")
    drive_all()
    assert status_of(run["id"]) == "succeeded"
    assert Run.objects.get(id=run["id"]).takeovers == 0


def test_T_046_a_wait_of_three_days_over_new_workers_resumes_once_from_the_same_step(live: Api) -> None:
    """Timers, a double click and two workers that look for work: the run goes on once, after the step it had completed."""
    machine = simulated(live)
    run = waiting(live, "[steps:3] [pause:1]", machine_id=machine, agent="scripted", deadline_seconds=3600)
    request = request_of(live, run)
    leases.retire(Inline.name)
    shift(run["id"], 3 * 86_400)
    for chore in (
        clock.deadlines,
        approvals_clock.expiries,
        approvals_clock.effects,
        clock.stops,
        clock.vanished,
        clock.workers,
    ):
        chore()
    assert status_of(run["id"]) == "awaiting_human"
    for _ in range(2):
        assert live.post(f"/approvals/{request['id']}/decide", {"verdict": "approve"}).status_code == 200
    drive_all()
    drive_all()
    assert show(live, run["id"])["status"] == "succeeded"
    assert len(data_of(run["id"], "resumed")) == 1
    assert [call["step"] for call in data_of(run["id"], "tool_call")] == [1, 2, 3]
    check_run(run["id"])
