"""Workers that die in the middle (docs/api/runs.md section 6)."""

from datetime import timedelta
from typing import cast

import pytest
from django.utils import timezone

from billing.models import Transaction
from machines.drivers.base import Action, Session
from runs import services
from runs.agents import registry
from runs.agents.base import Act, Agent, Context, Decision
from runs.driving import jobs, leases
from runs.driving.steps import LeaseLost, Outcome, write_outcome
from runs.models import Run, RunEvent, Step
from tests.cast import Api
from tests.runs.driving import (
    Inline,
    Once,
    begin,
    data_of,
    drive_all,
    drive_and_die,
    expire_lease,
    go,
    kinds,
    log,
    request_of,
    show,
    simulated,
    status_of,
    waiting,
)  # fmt: skip
from tests.runs.invariants import check_run

pytestmark = pytest.mark.django_db


def _live(api: Api, task: str = "do it", **fields: object) -> str:
    return str(begin(api, task, machine_id=simulated(api), agent="scripted", **fields)["id"])


@pytest.mark.parametrize(
    ("at", "nth"), [("load", 1), ("end", 1), *((at, n) for at in ("write_intent", "write_outcome") for n in (1, 2, 3))]
)
def test_T_047_no_step_is_repeated_or_billed_twice(live: Api, at: str, nth: int) -> None:
    """The worker dies at every point of a run's life; the next one finishes it."""
    run = _live(live)
    drive_and_die(at, nth)
    assert status_of(run) in ("queued", "running")
    check_run(run)
    drive_all()
    done = show(live, run)
    assert (done["status"], done["steps_completed"], done["cost_cents"]) == ("succeeded", 3, 15)
    balance = live.get("/billing/balance").json()
    assert (balance["available_cents"], balance["held_cents"], balance["ledger_ok"]) == (9_985, 0, True)
    check_run(run)


def test_T_047_an_action_whose_outcome_is_unknown_is_decided_anew(live: Api) -> None:
    run = _live(live)
    drive_and_die("write_outcome", 2)
    assert kinds(run)[-1] == "tool_call"
    drive_all()
    interrupted = [d for d in data_of(run, "tool_result") if d["error"] == "interrupted"]
    assert [(d["step"], d["success"], d["skipped"]) for d in interrupted] == [(2, False, False)]
    at = next(i for i, (_, data) in enumerate(log(run)) if data.get("error") == "interrupted")
    after = kinds(run)[at + 1 :]
    assert after.index("screenshot") < after.index("tool_call")  # it looks before it acts
    assert list(Step.objects.filter(run_id=run, index=2).order_by("id").values_list("status", flat=True)) == [
        "interrupted", "completed"
    ]  # fmt: skip
    assert list(Transaction.objects.filter(run_id=run, step_index=2).order_by("created_at").values_list("type", flat=True)) == [
        "hold", "release", "hold", "capture"
    ]  # fmt: skip
    check_run(run)


def test_T_166_many_kills_and_every_cent_is_accounted_for(live: Api) -> None:
    run = _live(live, "x [steps:6]")
    for nth in (1, 2, 1, 2):
        drive_and_die("write_outcome", nth)
        check_run(run)
    drive_all()
    captures = Transaction.objects.filter(run_id=run, type="capture")
    assert sorted(captures.values_list("step_index", flat=True)) == [1, 2, 3, 4, 5, 6]
    assert sum(captures.values_list("amount_cents", flat=True)) == show(live, run)["cost_cents"] == 30
    check_run(run)


def test_three_takeovers_without_a_step_end_the_run(live: Api) -> None:
    run = _live(live)
    drive_and_die("write_outcome", 2)
    for _ in range(2):
        drive_and_die("write_outcome")
    drive_all()
    done = show(live, run)
    assert (done["status"], done["error"]["code"], done["steps_completed"]) == ("failed", "WORKER_LOST", 1)
    assert data_of(run, "error")[0]["fatal"] is True
    check_run(run)


class Unwritable:
    """An agent whose memory no database takes: the outcome of its action cannot be written down."""

    thinks = False

    async def next(self, context: Context, session: Session) -> Decision:
        return Decision(Act(Action("key_press", {"key": "enter"})), {"read": "half a \0 word"})


def test_what_breaks_off_each_time_ends_too(live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same worker takes the run up again, and acts again: not for ever."""
    monkeypatch.setitem(registry._AGENTS, "scripted", cast("Agent", Unwritable()))
    run = _live(live)
    for _ in range(3):
        ((run_id, epoch),) = leases.claim(Inline.name, 1)
        assert go(Once(Inline(), run_id, epoch)) is False
        assert leases.claim(Inline.name, 1) == []  # not at once
        expire_lease(run_id)
    drive_all()
    done = show(live, run)
    assert (done["status"], done["error"]["code"], done["cost_cents"]) == ("failed", "WORKER_LOST", 0)
    assert kinds(run).count("tool_call") == 3
    assert live.get("/billing/balance").json()["held_cents"] == 0
    check_run(run)


def test_a_completed_step_starts_the_count_anew(live: Api) -> None:
    run = _live(live, "x [steps:8]")
    for _ in range(6):
        drive_and_die("write_outcome", 2)
    drive_all()
    assert status_of(run) == "succeeded"
    check_run(run)


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_worker_whose_clock_is_wrong_keeps_its_runs(
    test_key: Api, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    begin(test_key)
    ((run_id, _),) = leases.claim("punctual", 1)
    wrong = timezone.now() + timedelta(minutes=minutes)
    monkeypatch.setattr("django.utils.timezone.now", lambda: wrong)
    assert leases.renew("punctual", [run_id]) == []
    assert leases.claim("another", 1) == []


def test_a_worker_that_lets_go_is_no_takeover(test_key: Api) -> None:
    run = begin(test_key)
    for _ in range(5):
        ((run_id, epoch),) = leases.claim("short-lived", 1)
        jobs.load(run_id, epoch)
        leases.retire("short-lived")
    assert Run.objects.get(id=run["id"]).takeovers == 0
    drive_all()
    assert status_of(run["id"]) == "succeeded"


def test_what_people_sent_survives_a_crash(test_key: Api) -> None:
    run = waiting(test_key, "x [input]")
    approval = request_of(test_key, run)["id"]
    test_key.post(f"/approvals/{approval}/decide", {"verdict": "submit", "values": {"recipient": "zoe@example.com"}})
    drive_and_die("write_outcome")
    drive_all()
    done = show(test_key, run["id"])
    assert done["status"] == "succeeded"
    assert "zoe@example.com" in done["result"]["summary"]
    check_run(run["id"])


def test_an_approval_is_used_for_one_execution_also_when_the_worker_dies(test_key: Api) -> None:
    run = waiting(test_key, "x [steps:1]", human_in_the_loop=True, permission_mode="approval")
    first = request_of(test_key, run)["id"]
    test_key.post(f"/runs/{run['id']}/resume")
    drive_and_die("write_outcome")
    drive_all()
    assert status_of(run["id"]) == "awaiting_human"  # nobody knows whether the action ran: asked again
    second = request_of(test_key, run)["id"]
    assert second != first
    test_key.post(f"/runs/{run['id']}/resume")
    drive_all()
    assert status_of(run["id"]) == "succeeded"
    check_run(run["id"])


def test_a_denied_action_stays_denied_when_the_worker_dies(test_key: Api) -> None:
    run = waiting(test_key, "x [steps:1]", human_in_the_loop=True, permission_mode="approval")
    test_key.post(f"/runs/{run['id']}/resume", {"approved": False})
    drive_and_die("write_outcome")
    drive_all()
    assert status_of(run["id"]) == "succeeded"
    assert Step.objects.get(run_id=run["id"], status="completed").skipped
    check_run(run["id"])


def test_a_stale_worker_writes_nothing(live: Api) -> None:
    """The lease ran out while the worker slept; another one took over. Every write of the first one is refused."""
    run = _live(live)
    ((run_id, old),) = leases.claim("sleepy", 1)
    job = jobs.load(run_id, old)
    expire_lease(run_id)
    ((_, new),) = leases.claim("awake", 1)
    assert new == old + 1
    before = RunEvent.objects.count(), Run.objects.filter(id=run).values().get(), Transaction.objects.count()
    go(Once(Inline(), run_id, old))
    outcome = Outcome(run_id, old, 1, "call_1", True, None, False, 5, {}, {}, (), (), 0, timezone.now())
    for write in (
        lambda: write_outcome(outcome), lambda: jobs.note(job, "hello"), lambda: jobs.break_off(job, "AGENT_ERROR"),
        lambda: jobs.load(run_id, old),
    ):  # fmt: skip
        with pytest.raises(LeaseLost):
            write()
    assert not services.start(run_id, old)
    assert not jobs.park(run_id, old)
    leases.let_go(run_id, "sleepy", old)
    assert leases.renew("sleepy", [run_id]) == [run_id]
    assert (RunEvent.objects.count(), Run.objects.filter(id=run).values().get(), Transaction.objects.count()) == before


def test_an_outcome_may_be_written_twice(live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection broke after the commit: the loop writes again, and nothing is doubled."""

    class Stutter(Inline):
        async def db(self, work, *args):  # type: ignore[no-untyped-def]
            result = await super().db(work, *args)
            return await super().db(work, *args) if work.__name__ == "write_outcome" else result

    run = _live(live)
    ((run_id, epoch),) = leases.claim(Inline.name, 1)
    go(Once(Stutter(), run_id, epoch))
    assert (status_of(run), show(live, run)["cost_cents"]) == ("succeeded", 15)
    check_run(run)


def test_a_persons_answer_ends_the_row_of_lost_workers(test_key: Api) -> None:
    """A wait ended by a person is not another takeover in a row: a run that people keep answering is not given up."""
    run_id = test_key.post("/runs", {"task": "x [pause]"}).json()["id"]
    drive_all()
    Run.objects.filter(id=run_id).update(takeovers=2)
    assert test_key.post(f"/runs/{run_id}/resume", {}).status_code == 200
    assert Run.objects.get(id=run_id).takeovers == 0
    drive_all()
    assert test_key.get(f"/runs/{run_id}").json()["status"] == "succeeded"
