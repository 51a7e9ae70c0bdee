"""While a stop stands all clocks of its scope stand still; its lift gives them their time back, once, however many stops there were."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals import clock as approvals_clock
from approvals.mail import reminders
from approvals.models import Approval
from machines.models import TakeoverLease
from machines.takeover import control_leases as control
from machines.takeover import services as takeover
from runs import clock
from runs.models import Run
from tests.cast import Api, Cast
from tests.runs.driving import begin, drive_all, request_of, shift, show, simulated, waiting
from tests.runs.thinker import Play
from tests.stops.stopping import lift, stand_for, stop
from tests.takeover.control import take
from web.times import read_time

HOUR = 3600


def at(run_id: str) -> datetime:
    moment = Run.objects.values_list("deadline_at", flat=True).get(id=run_id)
    assert moment is not None
    return moment


def later(after: datetime, before: datetime) -> int:
    return round((after - before).total_seconds())


def about(seconds: float, expected: float) -> bool:
    """The stop itself stood for a moment, too: longer on a busy computer."""
    return expected - 1 <= seconds <= expected + 60


def tick() -> None:
    for work in (
        clock.deadlines,
        approvals_clock.expiries,
        approvals_clock.effects,
        reminders.remind_due,
        takeover.lapses,
    ):
        work()


def nothing_is_due() -> bool:
    from config.clock import SLEEPING, due_in

    names = {"deadlines", "expiries", "effects", "remind_due", "lapses", "begin_late", "go_on_late", "tell_late"}
    found = {c.work.__name__: left for c, left in zip(SLEEPING, due_in(), strict=True)}
    return all(left is None for name, left in found.items() if name in names)


@pytest.mark.parametrize("counted_by", ["active", "wall"])
def test_a_deadline_stands_still_and_comes_later_by_the_time_of_the_stop(test_key: Api, counted_by: str) -> None:
    run = begin(test_key, deadline_seconds=60, deadline_clock=counted_by)
    before = at(run["id"])
    stopped = stop(test_key)
    assert show(test_key, run["id"])["deadline_at"] is None
    stand_for(HOUR)
    shift(run["id"], 0)
    tick()
    assert nothing_is_due()
    assert show(test_key, run["id"])["status"] == "queued"
    lift(test_key, stopped)
    assert about(later(at(run["id"]), before), HOUR)
    shown = show(test_key, run["id"])
    assert read_time(shown["deadline_at"]) is not None
    Run.objects.filter(id=run["id"]).update(deadline_at=timezone.now() - timedelta(seconds=1))
    tick()
    assert show(test_key, run["id"])["status"] == "timed_out"


def test_what_was_used_up_before_the_stop_stays_used_up(test_key: Api) -> None:
    run = begin(test_key, deadline_seconds=60)
    shift(run["id"], 50)
    stopped = stop(test_key)
    shift(run["id"], HOUR)
    Run.objects.filter(id=run["id"]).update(stopped_at=timezone.now() - timedelta(seconds=HOUR))
    lift(test_key, stopped)
    assert show(test_key, run["id"])["active_seconds"] in range(50, 110)
    assert about(10 - (at(run["id"]) - timezone.now()).total_seconds(), 0)


@pytest.mark.parametrize(("counted_by", "used"), [("active", 30), ("wall", 60)])
def test_a_stop_in_a_wait_counts_once(test_key: Api, counted_by: str, used: int) -> None:
    """Thirty seconds of work, thirty of waiting, an hour of both being stopped, and the wait goes on to its decision."""
    run = waiting(test_key, deadline_seconds=100, deadline_clock=counted_by)
    past = timezone.now() - timedelta(seconds=60)
    Run.objects.filter(id=run["id"]).update(created_at=past, awaiting_human_since=past + timedelta(seconds=30))
    if counted_by == "wall":
        Run.objects.filter(id=run["id"]).update(deadline_at=past + timedelta(seconds=100))
    stopped = stop(test_key)
    Run.objects.filter(id=run["id"]).update(
        created_at=past - timedelta(seconds=HOUR), awaiting_human_since=past - timedelta(seconds=HOUR - 30),
        stopped_at=timezone.now() - timedelta(seconds=HOUR),
        **({"deadline_at": past + timedelta(seconds=100 - HOUR)} if counted_by == "wall" else {}),
    )  # fmt: skip
    lift(test_key, stopped)
    assert show(test_key, run["id"])["active_seconds"] in range(30, 90)
    assert test_key.post(f"/runs/{run['id']}/resume").json()["status"] == "running"
    assert show(test_key, run["id"])["active_seconds"] in range(30, 90)
    assert about(100 - used - (at(run["id"]) - timezone.now()).total_seconds(), 0)


def test_a_request_neither_expires_nor_reminds_and_its_claim_stays(test_key: Api) -> None:
    run = waiting(test_key, awaiting_human_timeout_seconds=100)
    asked = request_of(test_key, run)
    test_key.post(f"/approvals/{asked['id']}/claim")
    before = Approval.objects.get(id=asked["id"])
    stopped = stop(test_key)
    stand_for(HOUR)
    for name in ("expires_at", "remind_at", "claim_expires_at"):
        Approval.objects.filter(id=asked["id"]).update(**{name: getattr(before, name) - timedelta(seconds=HOUR)})
    tick()
    assert nothing_is_due()
    row = Approval.objects.get(id=asked["id"])
    assert (row.status, row.is_late(timezone.now()), row.holder is not None, row.reminders) == (
        "pending",
        False,
        True,
        0,
    )
    lift(test_key, stopped)
    row = Approval.objects.get(id=asked["id"])
    for name in ("expires_at", "remind_at", "claim_expires_at"):
        assert about(later(getattr(row, name), getattr(before, name)), 0), name
    assert row.stopped_at is None


def test_a_claim_renewed_during_a_stop_lives_as_long_after_it_as_any(test_key: Api) -> None:
    asked = request_of(test_key, waiting(test_key))
    stopped = stop(test_key)
    stand_for(HOUR)
    assert test_key.post(f"/approvals/{asked['id']}/claim").status_code == 200
    lift(test_key, stopped)
    row = Approval.objects.get(id=asked["id"])
    assert row.claim_expires_at is not None
    assert about(600 - (row.claim_expires_at - timezone.now()).total_seconds(), 0)


def test_more_time_can_be_given_during_a_stop(test_key: Api) -> None:
    asked = request_of(test_key, waiting(test_key, awaiting_human_timeout_seconds=100))
    before = Approval.objects.get(id=asked["id"]).expires_at
    stopped = stop(test_key)
    stand_for(HOUR)
    assert test_key.post(f"/approvals/{asked['id']}/extend", {"seconds": 50}).status_code == 200
    lift(test_key, stopped)
    after = Approval.objects.get(id=asked["id"]).expires_at
    assert before is not None
    assert after is not None
    assert about(later(after, before), HOUR + 50)


def test_overlapping_stops_give_back_the_time_of_all_of_them_once(test_key: Api) -> None:
    machine = simulated(test_key)
    run = begin(test_key, machine_id=machine, deadline_seconds=60)
    before = at(run["id"])
    first = stop(test_key)
    stand_for(HOUR)
    second = stop(test_key, "machine", machine)
    lift(test_key, first)
    assert at(run["id"]) == before
    stand_for(HOUR)
    lift(test_key, second)
    assert about(later(at(run["id"]), before), 2 * HOUR)


def test_control_by_hand_does_not_lapse_in_a_stop(live: Api) -> None:
    idle, driven = simulated(live, "idle"), simulated(live, "driven")
    run = begin(live, "do it [pause]", machine_id=driven, agent="scripted")
    drive_all()
    leases = [take(live, machine) for machine in (idle, driven)]
    stopped = stop(live)
    before = {row.id: row for row in TakeoverLease.objects.all()}
    past = timedelta(seconds=HOUR)
    stand_for(HOUR)
    for row in before.values():
        moved = {"expires_at": row.expires_at - past, "idle_expires_at": row.idle_expires_at - past}
        TakeoverLease.objects.filter(id=row.id).update(**moved)
    assert takeover.lapses() == 0
    assert all(row.lives for row in TakeoverLease.objects.all())
    assert control.due(timezone.now()) == []
    lift(live, stopped)
    for row in TakeoverLease.objects.all():
        assert row.stopped_at is None
        assert row.lives
        assert about(later(row.expires_at, before[row.id].expires_at), 0)
    assert show(live, run["id"])["waiting_on"]["code"] == "takeover"
    assert live.post(f"/machines/{idle}/takeover/release", {"lease_id": leases[0]["id"]}).status_code == 200


def test_an_undo_window_stands_still(test_key: Api, cast: Cast) -> None:
    cast.api(test=True).patch("/team", {"undo_window_seconds": 10})
    run = waiting(test_key)
    asked = request_of(test_key, run)
    test_key.post(f"/runs/{run['id']}/resume")
    stopped = stop(test_key)
    past = timedelta(seconds=HOUR)
    row = Approval.objects.get(id=asked["id"])
    assert row.effective_at is not None
    Approval.objects.filter(id=row.id).update(effective_at=row.effective_at - past, undo_until=row.effective_at - past)
    stand_for(HOUR)
    tick()
    assert show(test_key, run["id"])["status"] == "awaiting_human"
    lift(test_key, stopped)
    assert show(test_key, run["id"])["waiting_on"]["code"] == "undo_window"
    assert about(later(Approval.objects.get(id=row.id).effective_at or timezone.now(), row.effective_at), 0)
    assert test_key.post(f"/approvals/{asked['id']}/undo").status_code == 200
    assert show(test_key, run["id"])["waiting_on"]["code"] == "human"


def test_the_patience_with_a_model_does_not_run_out(test_key: Api, play: Callable[..., Play]) -> None:
    run = begin(test_key)
    drive_all()
    run = begin(test_key, "do it [pause]")
    drive_all()
    since = "2026-01-01T10:00:00.000Z"
    Run.objects.filter(id=run["id"]).update(model_wait={"since": since, "until": since, "why": "Busy."})
    stopped = stop(test_key)
    stand_for(HOUR)
    lift(test_key, stopped)
    wait: dict[str, Any] | None = Run.objects.get(id=run["id"]).model_wait
    assert wait is not None
    assert wait["since"].startswith("2026-01-01T11:0")
    assert wait["until"].startswith("2026-01-01T11:0")


def test_a_run_made_and_cancelled_within_a_stop_shows_no_active_time(test_key: Api) -> None:
    stop(test_key)
    run = begin(test_key, deadline_seconds=60)
    test_key.post(f"/runs/{run['id']}/cancel")
    assert show(test_key, run["id"])["active_seconds"] == 0
    assert Run.objects.get(id=run["id"]).stopped_at is None
