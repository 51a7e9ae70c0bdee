"""Decisions at the same moment, on real connections: exactly one wins, and the others are told the truth."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connections, transaction
from django.test import Client
from django.utils import timezone

from accounts.models import Team
from approvals import clock
from approvals.models import Approval, Decision
from runs import services
from runs.models import Run
from tests.cast import Api, Cast, make_cast
from tests.chance import ROUNDS
from tests.runs.driving import begin, data_of, drive_all, shift, someone_waits_for_a_lock, until
from tests.runs.invariants import check_run

pytestmark = pytest.mark.django_db(transaction=True)


class Together:
    """Threads that keep their connections and start every round at the same moment."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.pool = ThreadPoolExecutor(size)

    def run(self, *calls: Callable[[], Any]) -> list[Any]:
        """The results in the order of the calls; an exception is one of them."""
        barrier = threading.Barrier(len(calls))

        def one(call: Callable[[], Any]) -> Any:
            barrier.wait(10)
            return call()

        return [f.result(20) for f in [self.pool.submit(one, call) for call in calls]]

    def close(self) -> None:
        barrier = threading.Barrier(self.size)

        def end() -> None:
            barrier.wait(10)  # every thread, not one of them twice
            connections.close_all()

        for done in [self.pool.submit(end) for _ in range(self.size)]:
            done.result(20)
        self.pool.shutdown()


@pytest.fixture
def together() -> Iterator[Together]:
    threads = Together(8)
    yield threads
    threads.close()


@pytest.fixture
def team(transactional_db: None, settings: Any) -> Cast:
    settings.RATE_LIMIT_PER_MINUTE = settings.RATE_LIMIT_RUNS_PER_MINUTE = 100_000
    return make_cast("acme")


def _clients(team: Cast, n: int) -> list[Api]:
    """One client for each thread, all with the same key."""
    key = team.api(test=True).key
    return [Api(key, Client()) for _ in range(n)]


def _waiting(api: Api, n: int = ROUNDS, **fields: Any) -> list[tuple[str, str]]:
    """(run id, request id) of runs that wait."""
    runs = [begin(api, "x [steps:0] [pause:0]", **fields)["id"] for _ in range(n)]
    drive_all()
    rows = dict(Approval.objects.filter(status="pending").values_list("run_id", "id"))
    return [(run, rows[run]) for run in runs]


def _code(answer: Any) -> str:
    return "ok" if answer.status_code == 200 else str(answer.json()["error"]["code"])


def test_T_053_eight_resumes_without_a_name(team: Cast, together: Together) -> None:
    apis = _clients(team, 8)
    losers: Counter[str] = Counter()
    for run, _ in _waiting(apis[0]):
        answers = together.run(*[lambda a=a, r=run: a.post(f"/runs/{r}/resume", {}) for a in apis])
        codes = Counter(map(_code, answers))
        assert codes.pop("ok") == 1, codes
        losers += codes
        assert len(data_of(run, "resumed")) == 1
    assert set(losers) <= {"NOT_AWAITING_HUMAN", "RESUME_CONFLICT"}
    assert not Decision.objects.filter(counts=False).exists()
    drive_all()
    for run in Run.objects.values_list("id", flat=True):
        check_run(run)


def test_two_answers_without_a_name(team: Cast, together: Together) -> None:
    """The second one finds nothing open: it is no repetition of a request that it named."""
    one, two = _clients(team, 2)
    runs = [begin(one, "x [steps:1] [question]")["id"] for _ in range(ROUNDS)]
    drive_all()
    for run in runs:
        answers = together.run(
            *[lambda a=a, r=run: a.post(f"/runs/{r}/answer", {"answers": {"q1": "Sales"}}) for a in (one, two)]
        )
        assert sorted(map(_code, answers)) == ["NOT_AWAITING_HUMAN", "ok"]
        assert len(data_of(run, "resumed")) == 1


def test_T_054_resume_against_cancel(team: Cast, together: Together) -> None:
    one, two = _clients(team, 2)
    seen: Counter[tuple[str, str]] = Counter()
    for run, _ in _waiting(one):
        resume, cancel = together.run(
            lambda r=run: one.post(f"/runs/{r}/resume"), lambda r=run: two.post(f"/runs/{r}/cancel")
        )
        status = Run.objects.get(id=run).status
        seen[_code(resume), _code(cancel)] += 1
        # Both may succeed only in this order: resumed, and then cancelled while it ran.
        assert (_code(resume), _code(cancel), status) in {
            ("ok", "ok", "cancelled"), ("RESUME_CONFLICT", "ok", "cancelled"), ("ok", "INVALID_STATE", "running"),
        }  # fmt: skip
        assert len(data_of(run, "resumed")) == (_code(resume) == "ok")
        check_run(run)
    assert sum(seen.values()) == ROUNDS


def test_T_111_a_decision_against_the_sweeper(team: Cast, together: Together) -> None:
    """Around the very moment of expiry: the decision was made in time or it was not. Never both, and never neither."""
    one = _clients(team, 1)[0]

    def decide_at(moment: datetime, approval: str) -> Any:
        _at(moment)
        return one.post(f"/approvals/{approval}/decide", {"verdict": "approve"})

    def sweep_from(moment: datetime) -> None:
        _at(moment)
        clock.expiries()

    for n, (run, approval) in enumerate(_waiting(one, awaiting_human_timeout_seconds=1)):
        end = timezone.now() + timedelta(milliseconds=40)
        Approval.objects.filter(id=approval).update(expires_at=end)
        early = timedelta(milliseconds=n % 10 * 3)  # the nearer, the likelier that it comes too late
        decided, _ = together.run(lambda a=approval, t=end - early: decide_at(t, a), lambda t=end: sweep_from(t))
        clock.expiries()
        row = Run.objects.get(id=run)
        if _code(decided) == "ok":
            assert (row.status, Approval.objects.get(id=approval).status) == ("running", "approved")
        else:
            assert (_code(decided), row.status) == ("APPROVAL_EXPIRED", "cancelled")
            assert (row.error or {})["code"] == "SIGNAL_TIMEOUT"
            assert not data_of(run, "resumed")
        check_run(run)


def _at(moment: datetime) -> None:
    time.sleep(max(0.0, (moment - timezone.now()).total_seconds()))


def test_a_decision_against_the_deadline(team: Cast, together: Together) -> None:
    one = _clients(team, 1)[0]
    for run, approval in _waiting(one, deadline_seconds=1000, deadline_clock="wall"):
        shift(run, 1001)
        decided, _ = together.run(
            lambda a=approval: one.post(f"/approvals/{a}/decide", {"verdict": "approve"}),
            lambda r=run: services.time_out(r),
        )
        assert Run.objects.get(id=run).status == "timed_out"  # the deadline has fallen, decided or not
        assert _code(decided) in ("ok", "APPROVAL_CANCELLED")
        assert len(data_of(run, "resumed")) == (_code(decided) == "ok")
        check_run(run)


def test_a_double_click_decides_once(team: Cast, together: Together) -> None:
    one, two = _clients(team, 2)
    for run, approval in _waiting(one):
        path, body = f"/approvals/{approval}/decide", {"verdict": "approve"}
        answers = together.run(*[lambda a=a, to=path, sent=body: a.post(to, sent) for a in (one, two)])
        assert [_code(a) for a in answers] == ["ok", "ok"]
        assert answers[0].json()["decision"]["id"] == answers[1].json()["decision"]["id"]
        assert len(data_of(run, "resumed")) == 1
        check_run(run)


def test_a_double_click_with_one_idempotency_key(team: Cast, together: Together) -> None:
    one, two = _clients(team, 2)
    for n, (run, _) in enumerate(_waiting(one)):
        answers = together.run(
            *[lambda a=a, r=run, k=f"k{n}": a.post(f"/runs/{r}/resume", {}, Idempotency_Key=k) for a in (one, two)]
        )
        assert [_code(a) for a in answers] == ["ok", "ok"]
        assert answers[0].content == answers[1].content
        assert sum("Idempotency-Replayed" in a for a in answers) == 1
        assert len(data_of(run, "resumed")) == 1


def test_two_people_say_the_contrary(team: Cast, together: Together) -> None:
    olga, ana = Api(team.api(test=True).key, Client()), Api(team.api(test=True, owner="ana").key, Client())
    winners: Counter[str] = Counter()
    for run, approval in _waiting(olga):
        path = f"/approvals/{approval}/decide"
        yes, no = together.run(
            lambda to=path: olga.post(to, {"verdict": "approve"}),
            lambda to=path: ana.post(to, {"verdict": "reject", "note": "no"}),
        )
        assert sorted(map(_code, (yes, no))) == ["ALREADY_DECIDED", "ok"]
        won, lost = (yes, no) if yes.status_code == 200 else (no, yes)
        decision = won.json()["decision"]
        winners[decision["verdict"]] += 1
        error = lost.json()["error"]
        assert (error["verdict"], error["decided_by"]) == (
            decision["verdict"],
            decision["actor"],
        )  # it names the winner
        assert Run.objects.get(id=run).status == ("running" if decision["verdict"] == "approve" else "failed")
        assert Decision.objects.filter(approval_id=approval, counts=False).count() == 1
        check_run(run)
    assert sum(winners.values()) == ROUNDS


def test_the_last_place_for_a_run_is_taken_once(team: Cast) -> None:
    """The second call counts the runs only once the first one is there for all to see."""
    Team.objects.update(max_active_runs=1)
    keys = [team.api(test=True).key for _ in range(2)]  # of one key the calls would wait for its rate
    made, end = threading.Event(), threading.Event()

    def first() -> int:
        try:
            with transaction.atomic():
                answer = Api(keys[0], Client()).post("/runs", {"task": "x"})
                made.set()
                assert end.wait(20)
            return int(answer.status_code)
        finally:
            connections.close_all()

    def second() -> str:
        try:
            return _code(Api(keys[1], Client()).post("/runs", {"task": "x"}))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(first)
        assert made.wait(20)
        two = threads.submit(second)
        until(someone_waits_for_a_lock)
        end.set()
        assert (one.result(20), two.result(20)) == (200, "TOO_MANY_RUNS")
    assert Run.objects.count() == 1
