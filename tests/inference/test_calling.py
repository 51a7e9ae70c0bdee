"""inference/calls/calling.py: room, breaker, waiting times, cancelling, records and costs."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from inference.calls import calling
from inference.calls.calling import cost_of, patiently, record_on, think
from inference.errors import ModelBusy, ModelMisconfigured, ModelRefused
from inference.records import CallRecord, Usage
from inference.specs import Spec
from tests.inference.wire import FakeWire, click, request, says

SPEC = Spec("claude", "anthropic", "claude-opus-5-5", key="sk-very-secret", prices={"input": 500, "output": 2500})


@pytest.fixture(autouse=True)
async def closed() -> AsyncIterator[None]:
    yield
    await calling.close()


def over(monkeypatch: pytest.MonkeyPatch, *moves: Any) -> FakeWire:
    wire = FakeWire(*moves)
    monkeypatch.setattr(calling, "wire_for", wire)
    return wire


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  anything that the test counts
            await asyncio.sleep(0)


async def test_an_answer_comes_with_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    over(monkeypatch, click(3, 4, request_id="req_1"))
    thought, record = await think(SPEC, request(), "act")
    assert thought.wanted[0].params["x"] == 3
    assert (record.profile, record.wire, record.model, record.purpose) == ("claude", "anthropic", SPEC.model, "act")
    assert (record.status, record.why, record.request_id) == ("ok", None, "req_1")
    assert record.usage == Usage(input=1000, output=10)
    assert record.cost_microcents == 1000 * 500 + 10 * 2500
    assert record.first_byte_at is not None
    assert record.started_at <= record.first_byte_at <= record.ended_at
    assert len(record.request_hash) == 64


async def test_the_hash_is_that_of_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    over(monkeypatch, says("yes"))
    hashes = [(await think(SPEC, request(text), "act"))[1].request_hash for text in ("a", "b", "a")]
    assert hashes[0] == hashes[2] != hashes[1]


async def test_client_and_body_are_made_outside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    wire, threads = over(monkeypatch, says("yes")), []
    made, body = wire.__call__, wire.body
    monkeypatch.setattr(calling, "wire_for", lambda spec: threads.append(threading.current_thread()) or made(spec))
    monkeypatch.setattr(wire, "body", lambda r: threads.append(threading.current_thread()) or body(r))
    await think(SPEC, request(), "act")
    assert len(threads) == 2
    assert threading.current_thread() not in threads


async def test_all_calls_of_a_profile_share_one_client_and_a_changed_profile_gets_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wire = over(monkeypatch, says("yes"))
    await asyncio.gather(*(think(SPEC, request(), "act") for _ in range(20)))
    assert wire.specs == [SPEC]
    wire.gate = asyncio.Event()
    old = asyncio.create_task(think(SPEC, request(), "act"))
    await until(lambda: wire.under_way == 1)
    changed = Spec(**{**vars(SPEC), "key": "another", "version": 2})
    new = asyncio.create_task(think(changed, request(), "act"))
    await until(lambda: wire.under_way == 2)
    assert wire.specs == [SPEC, changed]
    assert wire.closed == 0  # a call of the old one is under way
    wire.gate.set()
    await asyncio.gather(old, new)
    assert wire.closed == 1


async def test_no_more_calls_at_once_than_the_profile_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = over(monkeypatch, says("yes"))
    wire.gate = asyncio.Event()
    narrow = Spec(**{**vars(SPEC), "limits": {"concurrent": 3}})
    tasks = [asyncio.create_task(think(narrow, request(), "act")) for _ in range(10)]
    await until(lambda: wire.under_way == 3)
    tasks[9].cancel()  # waits for room, and can be called off there
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await tasks[9]
    assert record_on(cancelled.value) is None
    wire.gate.set()
    await asyncio.gather(*tasks[:9])
    assert (wire.most, len(wire.requests)) == (3, 9)


async def test_the_usual_room_is_for_eight(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = over(monkeypatch, says("yes"))
    wire.gate = asyncio.Event()
    tasks = [asyncio.create_task(think(SPEC, request(), "act")) for _ in range(12)]
    await until(lambda: wire.under_way == 8)
    wire.gate.set()
    await asyncio.gather(*tasks)
    assert wire.most == 8


async def test_a_cancelled_call_is_told_as_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = over(monkeypatch, None)
    task = asyncio.create_task(think(SPEC, request(), "act"))
    await until(lambda: wire.under_way == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await task
    record = record_on(cancelled.value)
    assert record is not None
    assert (record.status, record.cost_microcents) == ("abandoned", None)
    assert wire.under_way == 0


async def test_without_a_time_of_the_vendor_the_waits_double(monkeypatch: pytest.MonkeyPatch) -> None:
    over(monkeypatch, ModelBusy("overloaded", 0))
    waits = []
    for _ in range(4):
        with pytest.raises(ModelBusy) as busy:
            await think(SPEC, request(), "act")
        waits.append(busy.value.retry_after)
        assert busy.value.record
        assert (busy.value.record.status, busy.value.record.why) == ("busy", "overloaded")
    for wait, nominal in zip(waits, (1, 2, 4, 8), strict=True):
        assert 0.75 * nominal <= wait <= 1.25 * nominal


async def test_the_vendor_s_own_time_counts_however_long(monkeypatch: pytest.MonkeyPatch) -> None:
    over(monkeypatch, ModelBusy("rate limit", 3600))
    with pytest.raises(ModelBusy) as busy:
        await think(SPEC, request(), "act")
    assert busy.value.retry_after == 3600


class Clock:
    """The loop's clock, moved on by the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        loop = asyncio.get_running_loop()
        usual = loop.time
        monkeypatch.setattr(loop, "time", lambda: usual() + self.ahead)


async def opened(wire: FakeWire) -> None:
    for _ in range(5):
        with pytest.raises(ModelBusy):
            await think(SPEC, request(), "act")
    assert len(wire.requests) == 5


async def test_after_five_failures_all_wait_on_one_timer_without_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    wire = over(monkeypatch, *[ModelBusy("down", 30)] * 5, says("back"))
    await opened(wire)
    for passed in (0, 10, 19):
        clock.ahead = passed
        with pytest.raises(ModelBusy) as busy:
            await think(SPEC, request(), "act")
        assert busy.value.record is None
        assert 0 < busy.value.retry_after <= 30 - passed
    assert len(wire.requests) == 5
    clock.ahead = 31
    assert (await think(SPEC, request(), "act"))[0].text == "back"
    await asyncio.gather(*(think(SPEC, request(), "act") for _ in range(4)))  # and for all


async def test_one_call_tries_whether_the_model_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    wire = over(monkeypatch, *[ModelBusy("down", 30)] * 5, says("back"))
    await opened(wire)
    clock.ahead, wire.gate = 31, asyncio.Event()
    tasks = [asyncio.create_task(think(SPEC, request(), "act")) for _ in range(200)]
    await until(lambda: wire.under_way == 1)
    for _ in range(100):
        await asyncio.sleep(0)
    assert (wire.under_way, any(task.done() for task in tasks)) == (1, False)  # and nobody comes and goes meanwhile
    tasks[100].cancel()
    wire.gate.set()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(end) for end in ends if isinstance(end, BaseException)] == [asyncio.CancelledError]
    assert len(wire.requests) == 5 + 199


async def test_a_call_that_tries_in_vain_sends_all_to_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    wire = over(monkeypatch, ModelBusy("down", 30))
    await opened(wire)
    clock.ahead = 31
    tasks = [asyncio.create_task(think(SPEC, request(), "act")) for _ in range(200)]
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert len(wire.requests) == 6
    waits = [end.retry_after for end in ends if isinstance(end, ModelBusy)]
    assert len(waits) == 200
    assert max(waits) == 30
    assert min(waits) > 29


async def test_who_waits_for_its_turn_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = over(monkeypatch, says("yes"))
    wire.gate = asyncio.Event()
    others = [asyncio.create_task(think(SPEC, request(), "act")) for _ in range(8)]
    await until(lambda: wire.under_way == 8)
    turn = calling.Turn()
    calling.waits_for_turn.set(turn)
    mine = asyncio.create_task(think(SPEC, request(), "act"))
    async with asyncio.timeout(20):
        await turn.waits.wait()
        assert "8 times at once" in turn.why
        wire.gate.set()
        await turn.over.wait()
        await asyncio.gather(mine, *others)
    assert not turn.waits.is_set()


async def test_a_probe_that_is_called_off_leaves_the_way_free(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    wire = over(monkeypatch, *[ModelBusy("down", 30)] * 5, None, says("back"))
    await opened(wire)
    clock.ahead = 31
    probe = asyncio.create_task(think(SPEC, request(), "act"))
    await until(lambda: wire.under_way == 1)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert (await think(SPEC, request(), "act"))[0].text == "back"


async def test_who_waits_for_room_while_the_breaker_opens_makes_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = over(monkeypatch, ModelBusy("down", 30))
    wire.gate = asyncio.Event()
    tasks = [asyncio.create_task(think(SPEC, request(), "act")) for _ in range(40)]
    await until(lambda: wire.under_way == 8)
    wire.gate.set()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(end, ModelBusy) for end in ends)
    assert len(wire.requests) < 40
    assert sum(1 for end in ends if isinstance(end, ModelBusy) and end.record) == len(wire.requests)


@pytest.mark.parametrize(
    ("problem", "status"),
    [(ModelRefused("no", "cyber"), "refused"), (ModelMisconfigured("The key sk-very-secret was refused."), "failed")],
)
async def test_a_refusal_has_its_record_no_key_and_opens_no_breaker(
    monkeypatch: pytest.MonkeyPatch, problem: Exception, status: str
) -> None:
    wire = over(monkeypatch, problem)
    for _ in range(7):
        with pytest.raises(type(problem)) as raised:
            await think(SPEC, request(), "act")
        record = raised.value.record  # type: ignore[attr-defined]
        assert record.status == status
        assert "secret" not in f"{raised.value} {record}"
        assert "secret" not in raised.value.why  # type: ignore[attr-defined]
    assert len(wire.requests) == 7


async def test_a_fault_of_a_wire_has_an_outcome_and_a_record(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    over(monkeypatch, KeyError("choices"))
    with pytest.raises(ModelMisconfigured, match="KeyError") as raised:
        await think(SPEC, request(), "act")
    assert raised.value.record is not None
    assert raised.value.record.status == "failed"
    assert "KeyError" in caplog.text


async def test_a_model_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = over(monkeypatch, None)
    monkeypatch.setattr(calling, "WHOLE_SECONDS", 0.05)
    with pytest.raises(ModelBusy, match="did not answer within") as busy:
        await think(SPEC, request(), "act")
    assert busy.value.record
    assert busy.value.record.status == "busy"
    assert wire.under_way == 0


async def test_a_missing_sdk_is_a_matter_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(spec: Spec) -> Any:
        raise ModelMisconfigured("The SDK is not installed.")

    monkeypatch.setattr(calling, "wire_for", missing)
    with pytest.raises(ModelMisconfigured, match="not installed"):
        await think(SPEC, request(), "act")


async def test_a_patient_caller_asks_again_until_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = over(monkeypatch, ModelBusy("busy", 0.01), ModelBusy("busy", 0.01), says("yes"))
    failures: list[CallRecord] = []
    thought, record = await patiently(SPEC, request(), "predict", 20, failures.append)
    assert (thought.text, record.status, [f.status for f in failures]) == ("yes", "ok", ["busy", "busy"])
    assert len(wire.requests) == 3


async def test_a_patient_caller_does_not_wait_for_what_comes_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = over(monkeypatch, ModelBusy("busy", 3600))
    with pytest.raises(ModelBusy):
        await patiently(SPEC, request(), "predict", 20)
    assert len(wire.requests) == 1


async def test_a_patient_caller_gives_a_hanging_model_up(monkeypatch: pytest.MonkeyPatch) -> None:
    over(monkeypatch, None)
    with pytest.raises(ModelBusy, match="within") as busy:
        await patiently(SPEC, request(), "predict", 0.05)
    assert busy.value.record
    assert busy.value.record.status == "abandoned"


@pytest.mark.parametrize(
    ("prices", "usage", "cost"),
    [
        ({"input": 500, "output": 2500}, Usage(input=10, output=2), 10 * 500 + 2 * 2500),
        ({"input": 500, "cached": 50, "cache_written": 625, "output": 2500},
         Usage(input=100, cached=60, cache_written=30, output=4, reasoning=3), 10 * 500 + 60 * 50 + 30 * 625 + 4 * 2500),
        ({"input": 500, "output": 2500}, Usage(input=100, cached=60, output=0), 100 * 500),
        ({"input": 0, "output": 0}, Usage(input=10, output=2), 0),
        ({"input": 0.5, "output": 1.25}, Usage(input=3, output=1), 3),
        ({}, Usage(input=10, output=2), None),
        ({"input": 500}, Usage(input=10, output=2), None),
        ({"input": 500, "output": 2500}, Usage(), None),
        ({"input": 500, "output": 2500}, Usage(input=10), None),
    ],
)  # fmt: skip
def test_what_a_call_costs_and_where_that_is_unknown(prices: dict[str, float], usage: Usage, cost: int | None) -> None:
    assert cost_of(prices, usage) == cost


def test_a_spec_does_not_show_its_key() -> None:
    assert "sk-very-secret" not in repr(SPEC)
    assert json.dumps(SPEC.options) == "{}"
