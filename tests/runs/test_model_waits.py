"""A model that is busy, refuses or cannot be used: the run waits, or people are asked; it is never the agent's error."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from approvals.models import Decision
from inference.errors import ModelBusy, ModelMisconfigured, ModelProblem, ModelRefused
from inference.models import Call
from runs import services
from runs.agents.base import Ask
from runs.driving import drive, leases, loop, model_jobs
from runs.driving.drive import Drive
from runs.driving.loop import RunLoop
from runs.models import Run
from tests.cast import Api
from tests.runs.driving import (
    Inline,
    Once,
    begin,
    drive_all,
    drive_and_die,
    ended,
    expire_lease,
    go,
    kinds,
    request_of,
    shift,
    show,
    simulated,
    status_of,
    until,
    waiting,
)  # fmt: skip
from tests.runs.invariants import check_run
from tests.runs.thinker import ASKING, DONE, KEY, Play, click, decide, record
from tests.takeover.control import release, take

pytestmark = pytest.mark.django_db
LONG = 1000.0  # seconds: waits of more than that are no waits for a model


def busy(seconds: float = 0.01) -> ModelBusy:
    return ModelBusy("The model is overloaded.", seconds, record("busy"))


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_jobs, "LEAST_WAIT", 0.0)


class Waiting(Inline):
    """A host at which something happens when the run first waits for its model; then the bell rings."""

    def __init__(self, what: Callable[[], Any]) -> None:
        self.what: Callable[[], Any] | None = what

    async def wait_for_bell(self, run_id: str, seconds: float) -> bool:
        if seconds > LONG or self.what is None:
            await asyncio.sleep(min(seconds, 0.01))
            return False
        what, self.what = self.what, None
        await self.db(what)
        return True


def _driven(host: Inline, run_id: str) -> None:
    ((claimed, epoch),) = leases.claim(Inline.name, 1)
    assert claimed == run_id
    go(Once(host, run_id, epoch))
    leases.let_go(run_id, Inline.name, epoch)


# --- busy


def test_T_186_a_run_whose_model_is_busy_says_so_and_goes_on(test_key: Api, play: Play, acted: list[Any]) -> None:
    thinker = play([click(1)], [DONE])
    thinker.model.faults = [busy(0.05), busy()]
    run_id = begin(test_key)["id"]
    seen: list[dict[str, Any]] = []
    _driven(Waiting(lambda: seen.append(show(test_key, run_id))), run_id)
    assert (seen[0]["status"], seen[0]["waiting_on"]["code"]) == ("running", "model_busy")
    assert seen[0]["waiting_on"]["message"].startswith("The model is overloaded. Waiting for the model since ")
    run = show(test_key, run_id)
    assert (run["status"], run["waiting_on"], acted) == ("succeeded", None, [click(1)])
    assert sorted(Call.objects.filter(run_id=run_id).values_list("status", flat=True)) == ["busy", "busy", "ok", "ok"]
    assert "awaiting_human" not in kinds(run_id)
    assert Run.objects.get(id=run_id).lease_epoch == 1
    check_run(run_id)


def test_T_186_patience_ends(test_key: Api, play: Play, settings: Any) -> None:
    settings.MODEL_PATIENCE = 0.05
    thinker = play([click(1)])
    thinker.model.faults = [busy() for _ in range(1000)]
    run = ended(test_key)
    assert (run["status"], run["error"]["code"], run["error"]["reason_code"]) == (
        "failed", "MODEL_UNAVAILABLE", "model_unavailable"
    )  # fmt: skip
    assert run["error"]["message"].endswith("The model is overloaded.")
    assert Call.objects.filter(run_id=run["id"], status="busy").count() > 1
    check_run(run["id"])


def test_T_186_a_vendor_that_wants_an_hour_is_asked_once_more_before_patience_ends(test_key: Api, play: Play) -> None:
    thinker = play([click(1)], [DONE])
    thinker.model.faults = [busy(3600)]
    run_id = begin(test_key)["id"]
    ends: list[float] = []

    def patience_passes() -> None:
        run = Run.objects.get(id=run_id)
        ends.append(model_jobs.seconds_to_wait(run))
        run.model_wait["until"] = run.model_wait["since"]
        run.save(update_fields=["model_wait"])

    _driven(Waiting(patience_passes), run_id)
    assert 800 < ends[0] <= 900
    assert status_of(run_id) == "succeeded"


def test_T_186_another_worker_waits_on_and_counts_from_the_beginning(test_key: Api, play: Play, settings: Any) -> None:
    thinker = play([click(1)], [DONE])
    thinker.model.faults = [busy(600), busy(600)]
    run_id = begin(test_key)["id"]
    ((_, epoch),) = leases.claim("first", 1)
    host = Waiting(lambda: setattr(first, "draining", True))
    first = Once(host, run_id, epoch)
    assert go(first)
    leases.let_go(run_id, "first", epoch)
    began = Run.objects.get(id=run_id).model_wait
    assert status_of(run_id) == "running"
    settings.MODEL_PATIENCE = 0.0

    def the_hour_comes() -> None:
        assert len(thinker.contexts) == 1  # nothing was asked before its time
        run = Run.objects.get(id=run_id)
        run.model_wait["until"] = began["since"]
        run.save(update_fields=["model_wait"])

    _driven(Waiting(the_hour_comes), run_id)
    run = show(test_key, run_id)
    assert (run["status"], run["error"]["code"]) == ("failed", "MODEL_UNAVAILABLE")
    assert len(thinker.contexts) == 2
    check_run(run_id)


def test_T_186_an_answer_ends_the_wait_for_good(test_key: Api, play: Play, settings: Any) -> None:
    """Patience counts anew when the model has answered in between."""
    thinker = play([click(1)], [KEY], [DONE])
    thinker.model.faults = [busy()]
    run = waiting(test_key, **ASKING)
    assert Run.objects.get(id=run["id"]).model_wait is None
    thinker.model.faults = [busy()]
    run = decide(test_key, run)
    assert (run["status"], thinker.model.calls) == ("awaiting_human", 2)


@pytest.mark.parametrize("end", ["cancelled", "timed_out"])
def test_T_186_cancel_and_deadline_are_noticed_while_the_model_is_busy(test_key: Api, play: Play, end: str) -> None:
    thinker = play([click(1)])
    thinker.model.faults = [busy(600)]
    run_id = begin(test_key, deadline_seconds=100)["id"]

    def ends() -> None:
        if end == "cancelled":
            assert test_key.post(f"/runs/{run_id}/cancel").status_code == 200
        else:
            shift(run_id, 200)
            assert services.time_out(run_id)

    _driven(Waiting(ends), run_id)
    assert (status_of(run_id), len(thinker.contexts)) == (end, 1)
    assert Run.objects.get(id=run_id).model_wait is None
    check_run(run_id)


def test_T_186_a_person_may_work_while_the_model_is_busy(live: Api, play: Play, acted: list[Any]) -> None:
    thinker, machine = play([click(1)], [DONE]), simulated(live)
    thinker.model.faults = [busy(600)]
    run_id = begin(live, machine_id=machine, agent="scripted")["id"]
    leased: list[dict[str, Any]] = []
    _driven(Waiting(lambda: leased.append(take(live, machine))), run_id)
    run = show(live, run_id)
    assert (run["status"], run["waiting_on"]["code"]) == ("awaiting_human", "takeover")
    release(live, leased[0], note="the site is up again")
    drive_all()
    assert (status_of(run_id), acted) == ("succeeded", [click(1)])
    assert [m.kind for m in thinker.contexts[1].messages] == ["takeover"]
    check_run(run_id)


def test_T_186_an_unknown_outcome_is_still_unknown_after_the_wait(test_key: Api, play: Play) -> None:
    thinker = play([click(1)], [DONE])
    run_id = begin(test_key)["id"]
    drive_and_die("write_outcome")
    thinker.contexts.clear()
    thinker.model.faults = [busy(5)]
    ((_, epoch),) = leases.claim("second", 1)
    host = Waiting(lambda: setattr(second, "draining", True))
    second = Once(host, run_id, epoch)
    go(second)
    leases.let_go(run_id, "second", epoch)
    Run.objects.filter(id=run_id).update(model_wait=None)
    drive_all()
    assert [context.interrupted for context in thinker.contexts[:3]] == [True, True, False]
    assert status_of(run_id) == "succeeded"


# --- refused and misconfigured


PROBLEMS = [
    pytest.param(lambda: ModelRefused("The model will not do this.", "policy", record("refused")), "refused", id="refused"),
    pytest.param(lambda: ModelMisconfigured("The key of x was refused.", record("failed")), "misconfigured", id="misconfigured"),
]  # fmt: skip


@pytest.mark.parametrize(("problem", "word"), PROBLEMS)
def test_T_186_people_are_asked_what_to_do_about_a_model_and_it_is_tried_again(
    test_key: Api, play: Play, problem: Callable[[], ModelProblem], word: str
) -> None:
    thinker = play([click(1)], [DONE])
    thinker.model.faults = [problem()]
    run = waiting(test_key)
    request = request_of(test_key, run)
    assert (request["kind"], request["evidence"]["model"]) == ("approval", {"profile": "scripted", "problem": word})
    assert request["message"].startswith(str(problem().why))
    assert Call.objects.get(run_id=run["id"]).why is None
    run = decide(test_key, run, note="I have mended it")
    assert run["status"] == "succeeded"
    assert all(context.messages == () for context in thinker.contexts)  # what people say to it is not for the agent
    assert Decision.objects.get(counts=True).delivered_at is not None
    assert thinker.model.calls == 2
    check_run(run["id"])


@pytest.mark.parametrize(("problem", "word"), PROBLEMS)
def test_T_186_who_does_not_want_it_tried_again_ends_the_run(
    test_key: Api, play: Play, problem: Callable[[], ModelProblem], word: str
) -> None:
    thinker = play([click(1)])
    thinker.model.faults = [problem()]
    run = decide(test_key, waiting(test_key), "reject", note="too dear")
    assert (run["status"], run["error"]["code"], run["error"]["message"]) == ("failed", "REJECTED", "too dear")
    check_run(run["id"])


@pytest.mark.parametrize(("problem", "word"), PROBLEMS)
@pytest.mark.parametrize(
    ("fields", "code"), [({"human_in_the_loop": False}, "MODEL_ERROR"), ({"on_awaiting_human": "fail"}, "AWAITING_HUMAN")]
)  # fmt: skip
def test_T_186_where_nobody_can_be_asked_the_run_fails(
    test_key: Api, play: Play, problem: Callable[[], ModelProblem], word: str, fields: dict[str, Any], code: str
) -> None:
    thinker = play([click(1)])
    thinker.model.faults = [problem()]
    run = ended(test_key, **fields)
    assert (run["status"], run["error"]["code"]) == ("failed", code)
    assert problem().why in run["error"]["message"]
    check_run(run["id"])


def test_T_186_what_people_sent_before_is_neither_lost_nor_asked_for_again(test_key: Api, play: Play) -> None:
    thinker = play([Ask("approval", "Go on?")], [click(1)], [DONE])
    run = waiting(test_key)
    thinker.model.faults = [ModelMisconfigured("The key was refused.")]
    run = decide(test_key, run, note="go on")
    assert "model" in request_of(test_key, run)["evidence"]
    run = decide(test_key, run, note="mended")
    assert (run["status"], thinker.model.calls) == ("succeeded", 3)
    assert [[m.payload["note"] for m in c.messages] for c in thinker.contexts] == [[], ["go on"], ["go on"], []]
    assert kinds(run["id"]).count("awaiting_human") == 2 * 2
    check_run(run["id"])


def test_T_186_a_profile_that_is_gone_while_runs_wait_makes_them_ask(
    test_key: Api, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    thinker = play([click(1)], [DONE])
    run = waiting(test_key, **ASKING)
    find = drive.agent_for

    def gone(name: str) -> Any:
        raise ModelMisconfigured("There is no profile x any more.")

    monkeypatch.setattr(drive, "agent_for", gone)
    run = decide(test_key, run)
    assert request_of(test_key, run)["message"].startswith("There is no profile x any more.")
    monkeypatch.setattr(drive, "agent_for", find)
    run = decide(test_key, run)
    assert (run["status"], run["steps_completed"], thinker.model.calls) == ("succeeded", 1, 2)
    check_run(run["id"])


def test_T_186_a_verifier_that_is_busy_or_refuses_is_waited_for(test_key: Api, play: Play) -> None:
    thinker = play([click(1)], [DONE])
    thinker.verdicts = [busy(), ModelRefused("I will not judge this.", "", record("refused", "verify"))]
    run = waiting(test_key, cua_version="v4")
    run = decide(test_key, run)
    assert (run["status"], run["result"]["verdict"], thinker.model.calls) == ("succeeded", "pass", 2)
    statuses = Call.objects.filter(run_id=run["id"]).values_list("status", flat=True)
    assert sorted(statuses) == ["busy", "ok", "ok", "ok", "refused"]
    check_run(run["id"])


def test_T_186_a_plan_that_its_model_is_too_busy_for_is_waited_for(test_key: Api, play: Play) -> None:
    thinker = play([click(1)], [DONE])
    faults: list[Exception] = [busy(), ModelMisconfigured("The key was refused.")]
    plan = thinker.plan

    async def hardly(*args: Any) -> Any:
        if faults:
            raise faults.pop(0)
        return await plan(*args)

    thinker.plan = hardly  # type: ignore[method-assign]
    run = waiting(test_key, human_in_the_loop=True, permission_mode="plan")
    assert request_of(test_key, run)["kind"] == "approval"
    run = decide(test_key, run)
    assert request_of(test_key, run)["plan"]["text"] == "plan 1"
    run = decide(test_key, run)
    assert (run["status"], thinker.model.calls) == ("succeeded", 3)
    check_run(run["id"])


# --- with a worker's own loop


class Hanging:
    """A model that does not answer, and says what it was when it is cut off."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self) -> None:
        self.asked += 1
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError as cancelled:
            cancelled.record = record("abandoned")  # type: ignore[attr-defined]
            raise


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("hangs", [True, False], ids=["thinking", "busy"])
def test_T_186_cancel_works_at_once(
    test_key: Api, play: Play, worker: Callable[[], RunLoop], settings: Any, hangs: bool
) -> None:
    """Told by the run's bell: what a lease would tell comes minutes later here."""
    settings.LEASE_SECONDS = 600
    thinker = play([click(1)])
    hanging = thinker.model.before = Hanging()
    thinker.model.faults = [] if hangs else [busy(600)]
    host = worker()
    run_id = begin(test_key)["id"]
    until(lambda: hanging.asked if hangs else Run.objects.get(id=run_id).model_wait)
    assert test_key.post(f"/runs/{run_id}/cancel").status_code == 200
    until(lambda: Run.objects.get(id=run_id).stop_confirmed_at)
    assert run_id not in host.driving
    statuses = Call.objects.filter(run_id=run_id).values_list("status", flat=True)
    assert list(statuses) == ["abandoned" if hangs else "busy"]
    check_run(run_id)


@pytest.mark.django_db(transaction=True)
def test_T_186_a_call_in_flight_when_the_worker_stops_is_written_down_and_made_again(
    test_key: Api, play: Play, worker: Callable[[], RunLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "DRAIN_SECONDS", 0.1)
    thinker = play([click(1)], [DONE])
    hanging = thinker.model.before = Hanging()
    first = worker()
    run_id = begin(test_key)["id"]
    until(lambda: hanging.asked)
    first.stop(10)
    run = Run.objects.get(id=run_id)
    assert (run.status, run.lease_owner, run.memory) == ("running", None, {})
    assert Call.objects.get(run_id=run_id).status == "abandoned"
    thinker.model.before = None
    worker()
    until(lambda: status_of(run_id) == "succeeded")
    assert list(Call.objects.filter(run_id=run_id).order_by("started_at").values_list("status", flat=True)) == [
        "abandoned", "ok", "ok"
    ]  # fmt: skip
    check_run(run_id)


@pytest.mark.django_db(transaction=True)
def test_T_186_the_lease_holds_while_a_model_thinks_longer_than_it(
    test_key: Api, play: Play, worker: Callable[[], RunLoop], settings: Any
) -> None:
    settings.LEASE_SECONDS = 0.8
    thinker = play([click(1)], [DONE])
    done = asyncio.Event()

    async def slowly() -> None:
        thinker.model.before = None
        await done.wait()

    thinker.model.before = slowly
    host = worker()
    run_id = begin(test_key)["id"]
    first = until(lambda: Run.objects.get(id=run_id).lease_until)
    until(lambda: (Run.objects.get(id=run_id).lease_until - first).total_seconds() > 1.6)
    host.loop.call_soon_threadsafe(done.set)
    until(lambda: status_of(run_id) == "succeeded")
    run = Run.objects.get(id=run_id)
    assert (run.lease_epoch, run.takeovers, thinker.model.calls) == (1, 0, 2)


def test_a_lease_that_was_lost_while_the_model_was_busy_is_anothers(test_key: Api, play: Play) -> None:
    thinker = play([click(1)], [DONE])
    thinker.model.faults = [busy(600)]
    run_id = begin(test_key)["id"]

    def taken_over() -> None:
        expire_lease(run_id)
        assert len(leases.claim("another", 1)) == 1
        Run.objects.filter(id=run_id).update(model_wait=None)

    ((_, epoch),) = leases.claim(Inline.name, 1)
    assert go(Drive(Waiting(taken_over), run_id, epoch))
    assert (len(thinker.contexts), status_of(run_id)) == (1, "running")


@pytest.mark.django_db(transaction=True)
def test_T_186_who_gives_the_machine_back_does_not_wait_for_the_model_any_more(
    live: Api, play: Play, worker: Callable[[], RunLoop]
) -> None:
    thinker, machine = play([click(1)], [DONE]), simulated(live)
    thinker.model.faults = [busy(600)]
    worker()
    run_id = begin(live, machine_id=machine, agent="scripted")["id"]
    until(lambda: Run.objects.get(id=run_id).model_wait)
    lease = take(live, machine)
    assert status_of(run_id) == "awaiting_human"
    release(live, lease)
    until(lambda: status_of(run_id) == "succeeded")
    assert thinker.model.calls == 2
    check_run(run_id)
