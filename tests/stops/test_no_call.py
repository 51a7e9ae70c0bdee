"""No call of a model starts after the commit of a stop, however far the worker is with it; one that was sent before is kept."""

from typing import Any

import pytest

from inference.calls import calling
from inference.models import Call
from runs.driving import leases
from runs.models import Step
from tests.cast import Api, Cast
from tests.emulator.story import Story, Turn
from tests.runs.driving import Inline, Once, begin, drive_all, go, show, simulated
from tests.runs.invariants import check_run
from tests.runs.ten_moves import click, emulated, profile
from tests.stops.stopping import Shown, lift, stop

pytestmark = pytest.mark.django_db
END = Turn([("finish", {"passed": True, "summary": "Done."})])
STORIES = {"one": Story([Turn([click(32)]), END])}


@pytest.mark.parametrize(("moment", "sent"), [("_built", 0), ("_send", 1)])
def test_no_call_of_a_model_is_sent_after_a_stop(
    live: Api, cast: Cast, monkeypatch: pytest.MonkeyPatch, moment: str, sent: int
) -> None:
    """Its request is complete and nothing sent; or its answer is there."""
    stops: list[Shown] = []
    real = getattr(calling, moment)

    async def then_stopped(*args: Any) -> Any:
        result = await real(*args)
        if not stops:
            await Inline().db(lambda: stops.append(stop(live)))
        return result

    monkeypatch.setattr(calling, moment, then_stopped)
    with emulated("anthropic", STORIES) as vendor:
        profile(cast, vendor)
        run = begin(live, "Click. story:one", agent="eye", machine_id=simulated(live))
        ((run_id, epoch),) = leases.claim(Inline.name, 1)
        go(Once(Inline(), run_id, epoch))
        leases.let_go(run_id, Inline.name, epoch)
        drive_all()
        assert sum(vendor.requests.values()) == sent
        assert not Step.objects.filter(run_id=run_id).exists()
        assert show(live, run["id"])["waiting_on"]["code"] == "stopped"
        lift(live, stops[0])
        drive_all()
        assert show(live, run["id"])["status"] == "succeeded"
        assert sum(vendor.requests.values()) == Call.objects.filter(run_id=run_id).count() == 2
        check_run(run_id)
