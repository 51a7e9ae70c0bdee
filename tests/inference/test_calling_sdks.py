"""Calls through the vendors' own SDKs, against the emulator of their APIs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from inference.calls import calling
from inference.calls.calling import record_on, think
from inference.errors import ModelBusy, ModelMisconfigured
from inference.models import Call, Profile
from inference.profiles import services, trials
from inference.profiles.trial_picture import TARGETS, Target, picture, picture_hash
from inference.specs import Spec
from inference.wires import WIRES, wire_for
from inference.wires.base import Request
from tests.cast import Cast
from tests.emulator import server
from tests.emulator.server import Emulator
from tests.emulator.story import Fault, Turn
from tests.inference.conftest import VALUES

SPOKEN = [
    pytest.param(
        wire, marks=pytest.mark.skipif(wire not in server.installed(), reason=f"The SDK or the emulator of {wire} is missing")
    )
    for wire in WIRES
]  # fmt: skip
KEY = "sk-test-0123456789abcdef"
PRICES = {"input": 100.0, "output": 500.0}


@pytest.fixture(autouse=True)
async def closed() -> AsyncIterator[None]:
    yield
    await calling.close()


def fault(**more: Any) -> Turn:
    return Turn(fault=Fault(times=0, **more))


STORIES = {
    "click": [Turn(wants=[("click", {"x": 100, "y": 200})])], "hang": [fault(hang=True)],
    "later": [fault(status=429, headers={"retry-after": "3600"})], "down": [fault(status=503)], "cut": [fault(cut=True)],
    "half": [fault(half=True)],
}  # fmt: skip


def spec(emulator: Emulator, wire: Any) -> Spec:
    return Spec(
        "eye", wire, "model-1", base_url=emulator.url(wire), key=KEY, prices=PRICES, options={"coordinates": "pixels"}
    )


def asked(one: Spec, name: str) -> Request:
    """Only asked after the wire was made by a call, in a thread, as the agent does."""
    wire = wire_for(one)
    pictures = {picture_hash(): picture()}
    return Request(
        "Be careful.", wire.opening(f"Click. story:{name}", picture_hash()), wire.view(1280, 800), actions=frozenset({"click"}),
        key="run_1", picture=pictures.__getitem__,
    )  # fmt: skip


@pytest.mark.parametrize("wire", SPOKEN)
async def test_a_whole_answer_has_its_record(wire: str) -> None:
    async with Emulator(STORIES) as emulator:
        one = spec(emulator, wire)
        thought, record = await think(one, asked(one, "click"), "act")
    assert [(w.name, w.params["x"], w.params["y"]) for w in thought.wanted] == [("click", 100, 200)]
    assert (record.status, record.wire, record.model) == ("ok", wire, "model-1")
    assert record.usage.input
    assert record.usage.output
    assert record.cost_microcents == calling.cost_of(PRICES, record.usage)
    assert record.first_byte_at
    assert emulator.requests[wire] == 1


@pytest.mark.parametrize("wire", SPOKEN)
@pytest.mark.parametrize("name", ["later", "down", "cut", "half"])
async def test_a_bad_day_is_one_request_and_a_time_to_wait(wire: str, name: str) -> None:
    async with Emulator(STORIES) as emulator:
        one = spec(emulator, wire)
        with pytest.raises(ModelBusy) as busy:
            await think(one, asked(one, name), "act")
    assert emulator.requests[wire] == 1  # no SDK asks again by itself
    assert busy.value.record
    assert busy.value.record.status == "busy"
    assert busy.value.retry_after == (3600 if name == "later" else pytest.approx(1, rel=0.26))
    assert KEY not in busy.value.why


@pytest.mark.parametrize("wire", SPOKEN)
async def test_a_revoked_key_is_told_without_it(wire: str) -> None:
    async with Emulator(STORIES, keys={"another"}) as emulator:
        one = spec(emulator, wire)
        with pytest.raises(ModelMisconfigured, match="key") as refused:
            await think(one, asked(one, "click"), "act")
    assert KEY not in f"{refused.value} {refused.value.record}"
    assert emulator.requests[wire] == 1


@pytest.mark.parametrize("wire", SPOKEN)
async def test_a_cancelled_call_is_gone_at_once_and_the_server_sees_it(wire: str) -> None:
    async with Emulator(STORIES) as emulator:
        one = spec(emulator, wire)
        task = asyncio.create_task(think(one, asked(one, "hang"), "act"))
        await emulator.until(lambda: emulator.requests[wire] == 1)
        task.cancel()
        async with asyncio.timeout(2):
            with pytest.raises(asyncio.CancelledError) as cancelled:
                await task
        await emulator.until(lambda: emulator.left == 1)
    record = record_on(cancelled.value)
    assert record
    assert record.status == "abandoned"


@pytest.mark.parametrize("wire", SPOKEN)
async def test_fifty_calls_at_once_all_have_their_answer(wire: str) -> None:
    async with Emulator(STORIES, delay=0.02) as emulator:
        one = spec(emulator, wire)
        request = asked(one, "click")
        answers = await asyncio.gather(*(think(one, request, "act") for _ in range(50)))
    assert len(answers) == 50
    assert len({record.request_hash for _, record in answers}) == 1


@pytest.fixture
def aimed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., dict[str, Any]]]:
    """Targets whose words choose the story that clicks in their middle, each beside it by so many pixels."""

    def aim(beside: int = 0) -> dict[str, Any]:
        named = tuple(Target(t.name, f"{t.words} story:{t.name}", t.box) for t in TARGETS)
        monkeypatch.setattr(trials, "TARGETS", named)
        middles = {t.name: ((t.box[0] + t.box[2]) // 2, (t.box[1] + t.box[3]) // 2) for t in TARGETS}
        return {
            name: [Turn(wants=[("screenshot", {})]), Turn(wants=[("click", {"x": x - beside, "y": y})])]
            for name, (x, y) in middles.items()
        }

    return aim


@pytest.mark.django_db
@pytest.mark.parametrize("wire", SPOKEN)
@pytest.mark.parametrize("beside", [0, 90])
def test_the_test_of_a_profile_through_the_real_wire(
    first: Cast, aimed: Callable[..., dict[str, Any]], wire: str, beside: int
) -> None:
    with server.in_thread(Emulator(aimed(beside))) as emulator:
        options = {"coordinates": "pixels"} if wire == "compatible" else {}
        row = services.create_profile(
            first.actor("olga"), VALUES | {"wire": wire, "base_url": emulator.url(wire), "options": options}
        )
        trial = trials.trial_of(trials.start(first.actor("olga"), row.id, in_thread=False))
        assert trial is not None
        trials.run(row.id, trial.id)
    tested = trials.trial_of(Profile.objects.get(id=row.id))
    assert tested is not None
    assert tested.passed is (beside == 0), tested.problem
    assert len(tested.targets) == 5


TROUBLE = {
    "401": (fault(status=401), "was refused (401)"), "403": (fault(status=403), "may not be used"),
    "404": (fault(status=404), "There is no model"), "later": (fault(status=429, headers={"retry-after": "3600"}), "429"),
    "529": (fault(status=529), "529"), "cut": (fault(cut=True), "broke off|could not be reached"),
    "hang": (fault(hang=True), "did not answer within"),
    "refusal": (Turn(stop="refusal", text="I will not."), ""),
}  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize("wire", SPOKEN)
def test_the_test_of_a_profile_on_bad_days_says_why_it_failed(
    first: Cast, monkeypatch: pytest.MonkeyPatch, wire: str
) -> None:
    monkeypatch.setattr(calling, "_jitter", lambda: 1000.0)  # nobody waits that long for another try
    with server.in_thread(Emulator({name: [turn] for name, (turn, _) in TROUBLE.items()})) as emulator:
        for name, (_, words) in TROUBLE.items():
            monkeypatch.setattr(trials, "TARGET_SECONDS", 1.0 if name == "hang" else 150.0)
            monkeypatch.setattr(trials, "TARGETS", (Target("red", f"the red box story:{name}", (0, 0, 10, 10)),) * 5)
            values = VALUES | {"name": f"p{name}", "wire": wire, "base_url": emulator.url(wire), "key": KEY}
            before = emulator.requests[wire]
            row = services.create_profile(first.actor("olga"), values)
            trial = trials.trial_of(trials.start(first.actor("olga"), row.id, in_thread=False))
            assert trial is not None
            trials.run(row.id, trial.id)
            tested = trials.trial_of(Profile.objects.get(id=row.id))
            assert tested is not None
            assert (tested.running, tested.passed) == (False, False)
            assert tested.problem
            assert any(each in tested.problem for each in words.split("|"))
            assert KEY not in tested.problem
            if name != "hang":  # which may be given up before it was sent
                assert Call.objects.filter(profile=row.name).count() == emulator.requests[wire] - before == 1
