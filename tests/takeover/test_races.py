"""Control is taken at the same moment as something else happens, on real connections."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from approvals.models import Approval
from machines.models import TakeoverLease
from runs.models import Run, Step
from tests.cast import Api, Cast, make_cast
from tests.chance import ROUNDS as MANY
from tests.runs.driving import begin, data_of, log, simulated, status_of, until, work_until
from tests.runs.invariants import check_run
from tests.runs.test_races import Together
from tests.takeover.control import lapse, release, take

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 4


@pytest.fixture
def together() -> Iterator[Together]:
    threads = Together(4)
    yield threads
    threads.close()


@pytest.fixture
def team(transactional_db: None, settings: Any) -> Cast:
    settings.RATE_LIMIT_PER_MINUTE = settings.RATE_LIMIT_RUNS_PER_MINUTE = 100_000
    return make_cast("acme")


def test_of_simultaneous_takers_one_has_control(team: Cast, together: Together) -> None:
    takers = [Api(team.api().key, Client()) for _ in range(4)]
    for _ in range(ROUNDS):
        machine = simulated(takers[0])
        path = f"/machines/{machine}/takeover"
        answers = together.run(*(lambda taker=taker, path=path: taker.post(path, {}) for taker in takers))
        assert sorted(a.status_code for a in answers) == [200, 409, 409, 409]
        assert TakeoverLease.objects.filter(machine_id=machine, ended_at=None).count() == 1


def test_control_taken_while_a_run_works_stops_it_within_one_action(team: Cast, together: Together) -> None:
    """Whatever the worker does at that moment: at most one more action is in the log after the taking."""
    api = team.api()
    person = Api(api.key, Client())
    for round_ in range(ROUNDS):
        machine = simulated(api)
        task = f"x [steps:1000] round {round_}"  # it never ends by itself while we look
        run = begin(api, task, machine_id=machine, agent="scripted", max_steps=1000)["id"]

        def meddle(run: str = run, machine: str = machine, round_: int = round_) -> None:
            until(lambda: Step.objects.filter(run_id=run, status="completed").count() > 2)
            lease = take(person, machine)
            until(lambda: status_of(run) == "awaiting_human")
            done = Step.objects.filter(run_id=run).count()
            assert status_of(run) == "awaiting_human"
            assert Step.objects.filter(run_id=run).count() == done
            if round_ % 2:
                release(person, lease, note="there")
            else:
                lapse(lease)
            until(lambda: Step.objects.filter(run_id=run).count() > done + 1)
            assert person.post(f"/runs/{run}/cancel").status_code == 200

        def work(run: str = run) -> None:
            work_until(lambda: status_of(run) == "cancelled", "worker", 60)

        together.run(meddle, work)
        words = [kind for kind, _ in log(run)]
        taken = words.index("takeover")
        stood = next(i for i, (k, d) in enumerate(log(run)) if i > taken and d.get("status") == "awaiting_human")
        assert words[taken:stood].count("tool_call") == 0
        assert words[taken:stood].count("tool_result") <= 1
        assert [d["change"] for d in data_of(run, "takeover")] == ["taken", "lapsed" if round_ % 2 == 0 else "released"]
        check_run(run)


def test_a_run_starts_or_a_person_takes_control_but_never_both(team: Cast, together: Together) -> None:
    api = team.api()
    person = Api(api.key, Client())
    for _ in range(ROUNDS):
        machine = simulated(api)
        run = begin(api, "x [steps:1]", machine_id=machine, agent="scripted")["id"]

        def work(run: str = run) -> None:
            work_until(lambda: status_of(run) != "running", "worker", 60)

        lease, _ = together.run(lambda machine=machine: take(person, machine), work)
        row = Run.objects.get(id=run)
        if lease["run_id"] is None:
            assert row.status in ("queued", "succeeded")
            assert row.status == "succeeded" or not Step.objects.filter(run_id=run).exists()
        else:
            assert row.status in ("awaiting_human", "succeeded")
        release(person, lease)
        work_until(lambda run=run: status_of(run) == "succeeded", "worker", 60)
        check_run(run)


def test_a_decision_and_the_taking_of_control_lose_nothing(team: Cast, together: Together) -> None:
    """Whoever is first: the decision stands, it takes effect once, and never while the person has the machine."""
    one, two = Api(team.api().key, Client()), Api(team.api().key, Client())
    seen: Counter[str] = Counter()
    for _ in range(MANY):
        machine = simulated(one)
        run = begin(one, "x [steps:1] [pause:0]", machine_id=machine, agent="scripted")["id"]
        work_until(lambda run=run: status_of(run) == "awaiting_human", "worker", 60)
        request = Approval.objects.get(run_id=run, status="pending").id
        decided, lease = together.run(
            lambda request=request: one.post(f"/approvals/{request}/decide", {"verdict": "approve"}),
            lambda machine=machine: take(two, machine),
        )
        assert decided.status_code == 200
        first = "decided" if decided.json()["resumed"] else "taken"
        seen[first] += 1
        assert Approval.objects.get(id=request).effect_pending is (first == "taken")
        assert Step.objects.filter(run_id=run).count() == 0
        release(two, lease)
        work_until(lambda run=run: status_of(run) == "succeeded", "worker", 60)
        assert [d["approval_id"] for d in data_of(run, "resumed")].count(request) == 1
        check_run(run)
    assert sum(seen.values()) == MANY
