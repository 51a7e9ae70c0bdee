"""The test of a profile: five targets on a picture, through the wire, with what becomes of it in the row."""

import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from PIL import Image

from accounts.models import AuditEntry
from config.own_processes import wait_until
from inference.errors import ModelBusy, ModelMisconfigured, ModelRefused
from inference.models import Call, Profile
from inference.profiles import services, trials
from inference.profiles.trial_picture import HEIGHT, TARGETS, WIDTH, picture
from inference.wires.base import Request, Thought, Wanted
from tests.cast import Cast
from tests.inference.conftest import Make
from tests.inference.wire import FakeWire, click, says
from web.times import rfc3339

pytestmark = pytest.mark.django_db
Over = Callable[..., FakeWire]
MIDDLES = [((left + right) // 2, (top + bottom) // 2) for left, top, right, bottom in (t.box for t in TARGETS)]


def aims(request: Request) -> Thought:
    """A model that sees well: it clicks in the middle of what it was asked for."""
    task = request.log[0]["task"]
    return click(*next(middle for target, middle in zip(TARGETS, MIDDLES, strict=True) if target.words in task))


def tried(first: Cast, row: Profile) -> trials.Trial:
    trial = trials.trial_of(trials.start(first.actor("olga"), row.id, in_thread=False))
    assert trial is not None
    trials.run(row.id, trial.id)
    row.refresh_from_db()
    ended = trials.trial_of(row)
    assert ended is not None
    assert not ended.running
    return ended


def test_the_targets_are_apart_and_inside_the_picture() -> None:
    assert Image.open(io.BytesIO(picture())).size == (WIDTH, HEIGHT)
    for one in TARGETS:
        left, top, right, bottom = one.box
        assert 0 <= left < right < WIDTH
        assert 0 <= top < bottom < HEIGHT
        assert not any(
            other.hit(*middle)
            for other, middle in zip(TARGETS, MIDDLES, strict=True)
            if other != one and one.hit(*middle)
        )
        assert one.hit(left, top)
        assert one.hit(right, bottom)
        assert not one.hit(left - 1, top)
        assert not one.hit(right, bottom + 1)


def test_a_model_that_hits_all_five_passes(first: Cast, make: Make, over: Over) -> None:
    wire, row = over(aims), make()
    trial = tried(first, row)
    assert (trial.passed, trial.problem, trial.version) == (True, "", 1)
    assert [(shot["name"], shot["hit"]) for shot in trial.targets] == [(t.name, True) for t in TARGETS]
    assert services.passed(row)
    assert len(wire.requests) == 5
    assert wire.closed >= 1
    assert wire.requests[0].view.width == WIDTH
    assert Call.objects.filter(profile="claude", purpose="test", status="ok", test=False).count() == 5
    assert AuditEntry.objects.get(verb="model.tested").data == {"name": "claude", "passed": True, "problem": ""}


def test_one_miss_is_enough_to_fail(first: Cast, make: Make, over: Over) -> None:
    over(lambda request: click(640, 400) if "Save" in request.log[0]["task"] else aims(request))
    trial = tried(first, make())
    assert not trial.passed
    assert trial.problem == "4 of 5 targets were hit."
    assert trial.targets[4] == {"name": "Save", "x": 640, "y": 400, "hit": False, "problem": "It clicked elsewhere."}


def test_coordinates_of_another_measure_fail(first: Cast, make: Make, over: Over) -> None:
    """What the test is for: a model that counts from 0 to 1000 behind a profile that says pixels."""

    def thousandths(request: Request) -> Thought:
        params = aims(request).wanted[0].params
        return click(params["x"] * 1000 // WIDTH, params["y"] * 1000 // HEIGHT)

    over(thousandths)
    assert not tried(first, make()).passed


def test_a_model_may_look_before_it_clicks(first: Cast, make: Make, over: Over) -> None:
    look = Thought(({"said": "look"},), "calls", (Wanted("c0", "look", "screenshot"),))
    wire = over(lambda request: aims(request) if len(request.log) > 1 else look)
    assert tried(first, make()).passed
    assert len(wire.requests) == 10
    assert next(item for item in wire.requests[1].log if "result" in item)["ok"]


def test_an_answer_that_was_cut_may_be_longer_the_next_time(first: Cast, make: Make, over: Over) -> None:
    wire = over(lambda request: aims(request) if request.longer else Thought((), "cut"))
    assert tried(first, make()).passed
    assert [request.longer for request in wire.requests[:2]] == [False, True]
    assert wire.requests[0].log == wire.requests[1].log


@pytest.mark.parametrize(
    ("move", "words"),
    [
        (says("I see a button."), "answered in words"),
        (Thought((), "calls", (Wanted("c", "act", "wait", {"ms": 1}),)), "did not click within 4"),
        (Thought((), "calls", (Wanted("c", "bad", problem="No such key."),)), "did not click within 4"),
        (Thought((), "cut"), "did not click within 4"), (Thought((), "paused"), "did not click within 4"),
        (Thought((), "full"), "too long"),
    ],
)  # fmt: skip
def test_what_is_no_click_is_told(first: Cast, make: Make, over: Over, move: Thought, words: str) -> None:
    over(move)
    trial = tried(first, make())
    assert trial.problem == "0 of 5 targets were hit."
    assert all(words in shot["problem"] for shot in trial.targets)


@pytest.mark.parametrize(
    "problem",
    [ModelMisconfigured("The key was refused."), ModelRefused("Not allowed."), ModelBusy("The server cannot be reached.", 900)],
)  # fmt: skip
def test_what_goes_wrong_ends_the_test_with_its_reason(first: Cast, make: Make, over: Over, problem: Exception) -> None:
    wire = over(problem)
    trial = tried(first, make())
    assert (trial.passed, trial.problem) == (False, str(problem))
    assert len(wire.requests) == 1
    assert Call.objects.get().status != "ok"


def test_a_fault_of_ours_ends_the_test_too(first: Cast, make: Make, over: Over) -> None:
    wire = over(aims)
    wire.view = None  # type: ignore[method-assign, assignment]
    assert "TypeError" in tried(first, make()).problem


def test_a_disabled_profile_can_be_tested_and_a_missing_sdk_is_told(first: Cast, make: Make, monkeypatch: Any) -> None:
    def missing(spec: Any) -> Any:
        raise ModelMisconfigured("run make models")

    monkeypatch.setattr(trials, "wire_for", missing)
    row = make()
    services.disable_profile(first.actor("olga"), row.id)
    assert tried(first, row).problem == "run make models"


def test_a_second_press_joins_the_test_under_way(first: Cast, make: Make) -> None:
    row, olga = make(), first.actor("olga")
    ids = {trials.start(olga, row.id, in_thread=False).tested["id"] for _ in range(2)}
    assert len(ids) == 1
    services.update_profile(olga, row.id, {"model": "other"})
    ids.add(trials.start(olga, row.id, in_thread=False).tested["id"])
    assert len(ids) == 2  # what is tested now is another version


def test_a_test_whose_process_ended_can_be_begun_again(first: Cast, make: Make) -> None:
    row, olga = make(), first.actor("olga")
    old = trials.start(olga, row.id, in_thread=False).tested
    assert not trials.Trial(**old).silent
    stale = old | {"beat": rfc3339(timezone.now() - trials.SILENT - timedelta(seconds=1))}
    Profile.objects.filter(id=row.id).update(tested=stale)
    assert trials.Trial(**stale).silent
    assert trials.start(olga, row.id, in_thread=False).tested["id"] != old["id"]


def test_a_test_that_was_overtaken_writes_nothing_more(first: Cast, make: Make, over: Over) -> None:
    row, olga = make(), first.actor("olga")
    old = trials.start(olga, row.id, in_thread=False).tested["id"]
    services.update_profile(olga, row.id, {"model": "other"})
    new = trials.start(olga, row.id, in_thread=False).tested
    wire = over(aims)
    trials.run(row.id, old)
    row.refresh_from_db()
    assert row.tested == new
    assert len(wire.requests) == 1  # and asks nothing more


def test_an_edit_during_the_test_makes_its_outcome_an_old_one(first: Cast, make: Make, over: Over) -> None:
    row, olga = make(), first.actor("olga")
    old = trials.start(olga, row.id, in_thread=False).tested["id"]
    services.update_profile(olga, row.id, {"model": "other"})
    over(aims)
    trials.run(row.id, old)
    row.refresh_from_db()
    assert row.tested["passed"]
    assert not services.passed(row)


@pytest.mark.django_db(transaction=True)
def test_in_the_web_process_a_thread_does_it(first: Cast, make: Make, over: Over) -> None:
    over(aims)
    row = make()
    trials.start(first.actor("olga"), row.id)

    assert wait_until(lambda: not Profile.objects.get(id=row.id).tested["running"], 20)
    row.refresh_from_db()
    assert services.passed(row)
