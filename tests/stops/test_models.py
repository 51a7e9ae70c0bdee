"""A stop ends what a model is asked: nothing is done with an answer that nobody waits for any more."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from inference.models import Call
from runs.driving.loop import RunLoop
from runs.models import Run
from tests.cast import Api
from tests.runs.driving import begin, show, status_of, until
from tests.runs.invariants import check_run
from tests.runs.test_model_waits import Hanging
from tests.runs.thinker import DONE, Play, click
from tests.stops.stopping import lift, stop

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_stop_cuts_off_a_model_that_is_asked(
    test_key: Api, play: Play, worker: Callable[[], RunLoop], settings: Any, acted: list[Any]
) -> None:
    """Told by the run's bell: what a lease would tell comes minutes later here."""
    settings.LEASE_SECONDS = 600
    thinker = play([click(1)], [DONE])
    hanging = thinker.model.before = Hanging()
    worker()
    run_id = begin(test_key)["id"]
    until(lambda: hanging.asked)
    stopped = stop(test_key)
    until(lambda: Run.objects.get(id=run_id).lease_owner is None)
    assert list(Call.objects.filter(run_id=run_id).values_list("status", flat=True)) == ["abandoned"]
    run = Run.objects.get(id=run_id)
    assert (run.status, run.memory, run.takeovers, hanging.asked, acted) == ("running", {}, 0, 1, [])
    thinker.model.before = None
    lift(test_key, stopped)
    until(lambda: status_of(run_id) == "succeeded")
    calls = Call.objects.filter(run_id=run_id).order_by("started_at").values_list("status", flat=True)
    assert list(calls) == ["abandoned", "ok", "ok"]
    assert (show(test_key, run_id)["waiting_on"], acted) == (None, [click(1)])
    check_run(run_id)


def test_what_another_run_has_asked_stays_asked(
    test_key: Api, live: Api, play: Play, worker: Callable[[], RunLoop]
) -> None:
    """Its bell may ring."""
    thinker = play([click(1)], [DONE])
    asked, answers = threading.Event(), asyncio.Event()

    async def slowly() -> None:
        asked.set()
        await answers.wait()

    thinker.model.before = slowly
    host = worker()
    run_id = begin(test_key)["id"]
    assert asked.wait(10)
    stop(live)
    host.ring(run_id)
    until(lambda: not host.bells[run_id].is_set())
    host.loop.call_soon_threadsafe(answers.set)
    until(lambda: status_of(run_id) == "succeeded")
    assert list(Call.objects.filter(run_id=run_id).values_list("status", flat=True)) == ["ok", "ok"]
