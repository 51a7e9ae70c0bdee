"""Bad days of a model, from the API over the drive loop and the vendors' SDKs to the emulator: each has one clear outcome."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils import timezone

from database.sealing import seal
from inference.models import Call
from inference.wires import WIRES
from runs import services
from runs.driving import leases, loop, model_jobs
from runs.driving.loop import RunLoop
from runs.models import Run, RunEvent
from tests.agents.model.test_wires import needs
from tests.cast import Api
from tests.emulator.server import Emulator, in_thread
from tests.emulator.story import Fault, Story, Turn
from tests.inference.shots import profile
from tests.runs.driving import (
    Inline,
    Once,
    begin,
    drive_all,
    go,
    request_of,
    shift,
    show,
    simulated,
    status_of,
    until,
)  # fmt: skip
from tests.runs.invariants import check_run
from tests.runs.thinker import decide
from tests.takeover.control import release, take
from web.times import rfc3339

pytestmark = pytest.mark.django_db
KEY = "sk-test-0123456789abcdef"
CLICK = ("click", {"x": 32, "y": 200, "button": "left", "count": 1})
AGAIN = ("click", {"x": 64, "y": 200, "button": "left", "count": 1})
OUTSIDE = ("click", {"x": 5000, "y": 200, "button": "left", "count": 1})
END = Turn([("finish", {"passed": True, "summary": "Clicked."})])


def day(fault: Fault | None = None, *before: Turn) -> list[Turn]:
    """A click, then something goes wrong once, then another click and the end."""
    return [Turn([CLICK], thinking="Click."), *before, Turn([AGAIN], thinking="Again.", fault=fault), END]


STATUSES = {
    "401": Fault(status=401, message=f"Incorrect API key provided: {KEY}"), "403": Fault(status=403),
    "404": Fault(status=404), "refusal": Fault(stop="refusal"),
    "429": Fault(status=429, headers={"retry-after": "3600"}), "529": Fault(status=529),
    "cut": Fault(cut=True), "half": Fault(half=True),
    "tokens": Fault(stop="cut"), "full": Fault(stop="full"),
}  # fmt: skip
STORIES = {
    **{name: day(fault) for name, fault in STATUSES.items()},
    "words": day(None, Turn(text="I think I should click.")),
    "outside": day(None, Turn([OUTSIDE])),
    "hang": day(Fault(hang=True)),
}
ASKS = {
    "401": "misconfigured",
    "403": "misconfigured",
    "404": "misconfigured",
    "refusal": "refused",
}
WAITS, TOLD = ["429", "529", "cut", "half"], ["tokens", "full", "words", "outside"]


@pytest.fixture(autouse=True)
def _long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait passes by itself, however slow this machine is."""
    monkeypatch.setattr(model_jobs, "LEAST_WAIT", 60.0)


@pytest.fixture(params=list(WIRES))
def vendor(request: pytest.FixtureRequest, live: Api) -> Iterator[Emulator]:
    """A profile "seer" of this wire at the emulator of its vendor."""
    needs(request.param)
    with in_thread(Emulator(STORIES, wires=(request.param,))) as emulator:
        options = {"coordinates": "pixels"} if request.param == "compatible" else {}
        profile(
            "seer",
            wire=request.param,
            model="model-1",
            base_url=emulator.url(request.param),
            key=seal(KEY),
            options=options,
        )
        yield emulator


def requests(emulator: Emulator) -> int:
    return sum(emulator.requests.values())


def start(live: Api, story: str, **more: Any) -> dict[str, Any]:
    return begin(live, f"Click twice. story:{story}", agent="seer", machine_id=simulated(live), **more)


class Watching(Inline):
    """A host that looks at each run that waits for its model, and lets the time of the wait pass."""

    def __init__(self, look: Callable[[], Any]) -> None:
        self.look = look
        self.waits = 0

    async def wait_for_bell(self, run_id: str, seconds: float) -> bool:
        if seconds > 1000:  # the bell of a call
            return await super().wait_for_bell(run_id, seconds)
        self.waits += 1
        await self.db(self.look)
        await self.db(_time_passes, run_id)
        return True


def _time_passes(run_id: str) -> None:
    run = Run.objects.get(id=run_id)
    if run.model_wait:
        run.model_wait["until"] = rfc3339(timezone.now())
        run.save(update_fields=["model_wait"])


def drive(host: Inline) -> None:
    ((run_id, epoch),) = leases.claim(Inline.name, 1)
    go(Once(host, run_id, epoch))
    leases.let_go(run_id, Inline.name, epoch)


def whole(
    live: Api, vendor: Emulator, run: dict[str, Any], acted: list[Any], points: tuple[int, ...] = (32, 64)
) -> dict[str, Any]:
    """What holds after each bad day: it was done once, paid once, written down, and tells no key."""
    done = show(live, run["id"])
    assert done["status"] == "succeeded", done["error"]
    assert tuple(params["x"] for _, params in acted) == points
    assert (done["steps_completed"], done["cost_cents"]) == (len(points), 5 * len(points))
    assert Call.objects.filter(run_id=run["id"]).count() == requests(vendor)
    assert KEY not in told(live, run["id"])
    check_run(run["id"])
    return done


def told(live: Api, run_id: str) -> str:
    """Everything that is kept and shown of a run."""
    texts = [str(data) for data in RunEvent.objects.filter(run_id=run_id).values_list("data", flat=True)]
    calls = live.get(f"/runs/{run_id}/calls").content.decode()
    permissions = live.get(f"/runs/{run_id}/permissions").content.decode()
    return "\n".join(
        [*texts, calls, permissions, json.dumps(Run.objects.get(id=run_id).memory), json.dumps(show(live, run_id))]
    )


@pytest.mark.parametrize("story", ASKS)
def test_people_are_asked_what_only_they_can_mend(live: Api, vendor: Emulator, acted: list[Any], story: str) -> None:
    run = start(live, story)
    drive_all()
    seen = show(live, run["id"])
    assert (seen["status"], seen["waiting_on"]["code"], seen["steps_completed"]) == ("awaiting_human", "human", 1)
    request = request_of(live, run)
    assert (request["kind"], request["evidence"]["model"]) == ("approval", {"profile": "seer", "problem": ASKS[story]})
    assert KEY not in json.dumps(request)
    assert Call.objects.filter(run_id=run["id"]).count() == requests(vendor) == 2
    decide(live, run)
    whole(live, vendor, run, acted)


@pytest.mark.parametrize("story", WAITS)
def test_the_run_waits_for_what_passes(live: Api, vendor: Emulator, acted: list[Any], story: str) -> None:
    run = start(live, story)
    seen: list[dict[str, Any]] = []
    drive(Watching(lambda: seen.append(show(live, run["id"]))))
    assert (seen[0]["status"], seen[0]["waiting_on"]["code"]) == ("running", "model_busy")
    assert len(seen) == 1
    whole(live, vendor, run, acted)
    assert requests(vendor) == 4
    assert sorted(Call.objects.filter(run_id=run["id"]).values_list("status", flat=True)) == ["busy", "ok", "ok", "ok"]


@pytest.mark.parametrize("story", TOLD)
def test_the_model_is_told_what_it_can_mend(live: Api, vendor: Emulator, acted: list[Any], story: str) -> None:
    run = start(live, story)
    drive_all()
    # A new episode begins the story anew.
    whole(live, vendor, run, acted, (32, 32, 64) if story == "full" else (32, 64))
    assert requests(vendor) == (5 if story == "full" else 4)


# --- with a worker's own loop, whose calls run while people do something


@pytest.fixture
def calls(vendor: Emulator) -> Callable[[str], str]:
    """The statuses of a run's calls: one for each request that came."""

    def of(run_id: str) -> str:
        statuses = list(Call.objects.filter(run_id=run_id).order_by("started_at").values_list("status", flat=True))
        assert len(statuses) == requests(vendor)
        return " ".join(statuses)

    return of


Worker = Callable[[], RunLoop]
Calls = Callable[[str], str]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("story", "end"), [("hang", "cancelled"), ("hang", "timed_out"), ("429", "cancelled")])
def test_cancel_and_deadline_end_a_call_and_a_wait_at_once(
    live: Api, vendor: Emulator, worker: Worker, settings: Any, calls: Calls, story: str, end: str
) -> None:
    """What the lease would tell comes minutes later here."""
    settings.LEASE_SECONDS = 600
    host = worker()
    run_id = start(live, story, deadline_seconds=1000)["id"]
    until(lambda: requests(vendor) == 2)
    until(lambda: Run.objects.get(id=run_id).model_wait or story == "hang")
    if end == "cancelled":
        assert live.post(f"/runs/{run_id}/cancel").status_code == 200
    else:
        shift(run_id, 2000)
        assert services.time_out(run_id)
    until(lambda: Run.objects.get(id=run_id).stop_confirmed_at or (end == "timed_out" and run_id not in host.driving))
    assert status_of(run_id) == end
    until(lambda: vendor.left == (story == "hang"))
    until(lambda: Call.objects.filter(run_id=run_id).count() == 2)
    assert calls(run_id) == ("ok abandoned" if story == "hang" else "ok busy")
    check_run(run_id)


@pytest.mark.django_db(transaction=True)
def test_a_person_takes_control_while_the_model_hangs(
    live: Api, vendor: Emulator, worker: Worker, acted: list[Any], calls: Calls
) -> None:
    """Nothing is done with what it says then; given back, it is asked anew."""
    vendor.stories["slow"] = Story([Turn([CLICK], delay=1.0), Turn([AGAIN]), END])
    worker()
    run = start(live, "slow")
    until(lambda: requests(vendor) == 1)
    lease = take(live, run["machine_id"])
    until(lambda: status_of(run["id"]) == "awaiting_human")
    until(lambda: Call.objects.filter(run_id=run["id"]).count() == 1)
    assert acted == []
    release(live, lease, note="I closed the window.")
    until(lambda: status_of(run["id"]) == "succeeded")
    assert requests(vendor) == Call.objects.filter(run_id=run["id"]).count()
    assert "I closed the window." in json.dumps([body.json for body in vendor.bodies])
    check_run(run["id"])


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_stops_in_a_call_leaves_it_to_the_next(
    live: Api, vendor: Emulator, worker: Worker, monkeypatch: pytest.MonkeyPatch, acted: list[Any], calls: Calls
) -> None:
    monkeypatch.setattr(loop, "DRAIN_SECONDS", 0.1)
    first = worker()
    run = start(live, "hang")
    until(lambda: requests(vendor) == 2)
    first.stop(10)
    assert (status_of(run["id"]), calls(run["id"])) == ("running", "ok abandoned")
    assert Run.objects.get(id=run["id"]).lease_owner is None
    worker()
    until(lambda: status_of(run["id"]) == "succeeded", 20)
    whole(live, vendor, run, acted)
    assert calls(run["id"]) == "ok abandoned ok ok"
