"""A workflow run and its tasks at the same moment, on real connections."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from approvals.models import Approval, Decision
from billing import access as money
from billing.models import Wallet
from runs.driving import leases
from runs.models import Run, Step
from tests.cast import Api, Cast, make_cast
from tests.chance import ROUNDS
from tests.runs.driving import (
    Inline,
    Once,
    data_of,
    drive_all,
    drive_and_die,
    go,
    show,
    simulated,
    someone_waits_for_a_lock,
    until,
)
from tests.runs.invariants import check_run
from tests.runs.test_races import Together
from tests.workflows.engine import begin, check, deliver, task, tasks_of, work
from workflows.runs import running

pytestmark = pytest.mark.django_db(transaction=True)
NEVER = "2100-01-01T00:00Z"


@pytest.fixture
def team(transactional_db: None, settings: Any) -> Cast:
    settings.RATE_LIMIT_PER_MINUTE = settings.RATE_LIMIT_RUNS_PER_MINUTE = 100_000
    return make_cast("acme")


@pytest.fixture
def together() -> Iterator[Together]:
    threads = Together(4)
    yield threads
    threads.close()


def again(api: Api) -> Api:
    """The same caller, for another thread."""
    return Api(api.key, Client())


def parallel(*branches: list[Any], step_id: str = "p") -> dict[str, Any]:
    return {"id": step_id, "type": "parallel", "branches": list(branches)}


# --- the end of the parent against its tasks


class Halting(Inline):
    """A worker that tells when it is about to write its n-th outcome, and waits until it may."""

    def __init__(self, nth: int) -> None:
        self.left, self.about, self.may = nth, threading.Event(), threading.Event()

    async def db(self, work: Callable[..., Any], *args: Any) -> Any:
        if work.__name__ == "write_outcome":
            self.left -= 1
            if self.left == 0:
                self.about.set()
                assert self.may.wait(10)
        return await super().db(work, *args)

    def drive(self, run_id: str, epoch: int) -> None:
        go(Once(self, run_id, epoch))
        leases.let_go(run_id, Inline.name, epoch)

    def cancel(self, api: Api, run_id: str) -> int:
        assert self.about.wait(10)
        self.may.set()
        return int(api.post(f"/runs/{run_id}/cancel").status_code)


@pytest.mark.parametrize("nth", [1, 2])
def test_cancelling_the_run_while_a_worker_writes_an_outcome(team: Cast, together: Together, nth: int) -> None:
    live = team.api()
    for _ in range(ROUNDS):
        endless = task("a", "x [steps:1000]", agent="scripted", max_steps=1000)  # it never ends before it is cancelled
        run = begin(live, [endless], machine_id=simulated(live))
        deliver()
        ((child_id, epoch),) = leases.claim(Inline.name, 1)
        worker = Halting(nth)
        drive, cancel = partial(worker.drive, child_id, epoch), partial(worker.cancel, again(live), run["id"])
        assert together.run(drive, cancel) == [None, 200]
        ended, child = show(live, run["id"]), show(live, child_id)
        assert (ended["status"], child["status"]) == ("cancelled", "cancelled")
        assert ended["cost_cents"] == child["cost_cents"]
        assert money.held(team.team.id) == 0
        assert live.get("/billing/balance").json()["ledger_ok"]
        check_run(child_id)


def test_deciding_on_a_task_while_its_run_is_cancelled(team: Cast, together: Together) -> None:
    api = team.api(test=True)
    for _ in range(ROUNDS * 2):
        run = begin(api, [task("a", "x [pause] [steps:2]"), task("b")])
        work()
        (asked,) = show(api, run["id"])["open_approvals"]
        decide = partial(again(api).post, f"/approvals/{asked}/decide", {"verdict": "approve"})
        cancel = partial(again(api).post, f"/runs/{run['id']}/cancel")
        decided, cancelled = together.run(decide, cancel)
        assert cancelled.status_code == 200
        assert decided.status_code == 200 or decided.json()["error"]["code"] == "APPROVAL_CANCELLED"
        work()
        (child,) = tasks_of(api, run)
        assert (show(api, run["id"])["status"], child["status"]) == ("cancelled", "cancelled")
        assert not Approval.objects.filter(status="pending").exists()
        assert Decision.objects.filter(approval_id=asked, counts=True).count() == 1
        check_run(child["id"])


def test_two_branches_end_at_once(team: Cast, together: Together) -> None:
    api = team.api(test=True)
    for _ in range(ROUNDS):
        run = begin(api, [parallel([task("a")], [task("b")]), task("c")])
        deliver()
        drive_all()
        first, second = (each["id"] for each in tasks_of(api, run))
        ends = [partial(running.task_ended, each) for each in (first, first, second, second)]
        assert sorted(together.run(*ends)) == [False, False, True, True]
        assert len(tasks_of(api, run)) == 3
        work()
        ended = show(api, run["id"])
        assert (ended["status"], ended["cost_cents"]) == ("succeeded", 15)
        assert len(data_of(run["id"], "billing")) == 3


# --- the order of locks: runs, then machines, then the wallet


def acting(live: Api, name: str, text: str = "x [steps:1]") -> dict[str, Any]:
    return task(name, text, agent="scripted", machine_id=simulated(live, name))


def drive_only(run_id: str, drive: Callable[[], Any]) -> None:
    """The others are nobody's turn meanwhile."""
    others = Run.objects.filter(kind="agent", finished_at=None).exclude(id=run_id)
    held = list(others.values_list("id", flat=True))
    Run.objects.filter(id__in=held).update(lease_until=NEVER)
    drive()
    Run.objects.filter(id__in=held).update(lease_until=None)


def test_a_task_pays_while_it_and_another_one_are_given_up(team: Cast, together: Together) -> None:
    """The inner branch is given up before the outer one. It holds money; the outer one has its row and wants the wallet."""
    live = team.api()
    fails = [acting(live, "fails", "x [steps:0]"), check("no", 1, 2)]
    run = begin(live, [parallel([acting(live, "out")], [parallel([acting(live, "in")], fails, step_id="q")])])
    deliver()
    ids = dict(Run.objects.filter(parent_id=run["id"]).values_list("step_id", "id"))
    drive_only(ids["fails"], drive_all)
    for name in ("in", "out"):
        drive_only(ids[name], partial(drive_and_die, "write_outcome"))
    assert Step.objects.filter(status="acting").count() == 2
    has_row, may = threading.Event(), threading.Event()

    def pay() -> None:
        with transaction.atomic():
            Run.objects.select_for_update().get(id=ids["out"])
            has_row.set()
            assert may.wait(10)
            Wallet.objects.select_for_update().get(team=team.team)

    def give_up() -> bool:
        assert has_row.wait(10)
        return running.task_ended(ids["fails"])

    def watch() -> None:
        until(someone_waits_for_a_lock)
        may.set()

    assert together.run(pay, give_up, watch) == [None, True, None]
    ended = show(live, run["id"])
    assert (ended["status"], ended["error"]["message"]) == ("failed", "assert 'no' failed")
    assert money.held(team.team.id) == 0
