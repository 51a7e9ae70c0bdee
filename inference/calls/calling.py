"""Calling models: the only place that calls a wire.

A profile has one channel in each event loop of each process: a client, room for so many calls at once, and a breaker. Nothing
here asks twice; who wants another answer waits `retry_after` and comes again.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from inference.errors import ModelBusy, ModelMisconfigured, ModelProblem, ModelRefused
from inference.records import CallRecord, Purpose, Status, Usage
from inference.specs import Spec
from inference.wires import wire_for
from inference.wires.base import Json, Request, Thought, Wire
from inference.wires.transport import WHOLE_SECONDS

CONCURRENT = 8
BREAK_AFTER = 5  # failures in a row
LONGEST_BACKOFF = 60.0  # seconds, where the vendor names no time
LONGEST_WHY = 1000

log = logging.getLogger(__name__)
# Bodies with pictures are built here: megabytes that an event loop must not wait for, and no more than two at once.
_builders = ThreadPoolExecutor(2, thread_name_prefix="model-request")


async def think(spec: Spec, request: Request, purpose: Purpose) -> tuple[Thought, CallRecord]:
    """Ask once. Waits for room among the profile's calls and for the answer, at most 300 s; both can be cancelled.

    Raises ModelBusy (also without a call, while the breaker is open: its record is None), ModelRefused and
    ModelMisconfigured, each with its record; FileNotFoundError for a picture that is gone. A call that is cancelled after it
    was sent may have been paid: record_on() finds its record on the CancelledError.
    """
    channel = _channel_of(spec)
    channel.callers += 1
    try:
        channel.check()
        async with channel.its_turn():
            wire = await channel.wire()
            body, digest = await _built(wire, request, spec)
            if (turn := waits_for_turn.get()) and turn.require:
                await turn.require()
            return await _send(channel, wire, body, request, _OpenCall(spec, purpose, digest))
    finally:
        channel.callers -= 1
        if channel.callers == 0 and not channel.current:
            await channel.close()


async def patiently(
    spec: Spec,
    request: Request,
    purpose: Purpose,
    seconds: float,
    on_record: Callable[[CallRecord], None] = lambda record: None,
) -> tuple[Thought, CallRecord]:
    """think(), again and again while the model is busy, for so many seconds in all; then ModelBusy.

    `on_record` is handed the record of every call that brought no answer, but not the last one's: that is on the exception.
    """
    try:
        async with asyncio.timeout(seconds) as limit:
            while True:
                try:
                    return await think(spec, request, purpose)
                except ModelBusy as busy:
                    ends = limit.when()
                    if ends is None or asyncio.get_running_loop().time() + busy.retry_after >= ends:
                        raise
                    if busy.record:
                        on_record(busy.record)
                    await asyncio.sleep(busy.retry_after)
    except TimeoutError as late:
        why = f"The model of the profile {spec.name} did not answer within {seconds:g} s."
        raise ModelBusy(why, 1.0, record_on(late.__cause__ or late.__context__)) from None


def record_on(error: BaseException | None) -> CallRecord | None:
    """The record of the call that ended with this exception, a cancellation among them; None when nothing had been sent."""
    record = getattr(error, "record", None)
    return record if isinstance(record, CallRecord) else None


def cost_of(prices: dict[str, float], usage: Usage) -> int | None:
    """Micro-cents by prices in cents per million tokens; None where a price or a number of tokens is not known.

    What was read from or written to the vendor's cache counts as plain input where it has no price of its own.
    """
    if usage.input is None or usage.output is None or not {"input", "output"} <= prices.keys():
        return None
    cached, written = usage.cached or 0, usage.cache_written or 0
    plain = max(0, usage.input - cached - written)
    return round(
        plain * prices["input"]
        + cached * prices.get("cached", prices["input"])
        + written * prices.get("cache_written", prices["input"])
        + usage.output * prices["output"]
    )


class Turn:
    """Whether a caller of think() waits for its turn: `waits` while it does, `why` in words, `over` while it does not.

    `require` is awaited right before each call is sent, and raises when it may not be any more.
    """

    def __init__(self, require: Callable[[], Awaitable[None]] | None = None) -> None:
        self.why = ""
        self.require = require
        self.waits, self.over = asyncio.Event(), asyncio.Event()

    def begin(self, why: str) -> None:
        self.why = why
        self.over.clear()
        self.waits.set()

    def end(self) -> None:
        self.waits.clear()
        self.over.set()


# Where a caller puts a Turn of its own, in its context.
waits_for_turn: ContextVar[Turn | None] = ContextVar("waits_for_turn", default=None)


@dataclass(eq=False)
class _Channel:
    """What all calls of a profile in one event loop share. `probe`: one call tries for all whether the model is back; set when
    it has ended."""

    spec: Spec
    room: asyncio.Semaphore
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    current: bool = True  # until the profile is changed
    callers: int = 0
    failures: int = 0
    shut_until: float = 0.0  # of the loop's clock
    probe: asyncio.Event | None = None
    _wire: Wire | None = None

    async def wire(self) -> Wire:
        """The client. The first call makes it."""
        async with self.opening:
            if self._wire is None:
                self._wire = await asyncio.to_thread(wire_for, self.spec)
            return self._wire

    async def close(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()

    def check(self) -> None:
        """Raises ModelBusy while the breaker is open."""
        left = self.shut_until - asyncio.get_running_loop().time()
        if left > 0:
            raise ModelBusy(f"The model of the profile {self.spec.name} failed {self.failures} times in a row.", left)

    @contextlib.asynccontextmanager
    async def its_turn(self) -> AsyncIterator[None]:
        """Room for one call. The first one after the timer of an open breaker goes alone; the others wait for what comes of it."""
        async with contextlib.AsyncExitStack() as stack:
            with self._waiting():
                await stack.enter_async_context(self.room)
                while self.probe is not None:
                    await self.probe.wait()
                self.check()
            if self.failures >= BREAK_AFTER:
                self.probe = asyncio.Event()
                stack.callback(self._probed)
            yield

    def _probed(self) -> None:
        probe, self.probe = self.probe, None
        if probe is not None:
            probe.set()

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        """Who asked to be told knows meanwhile that it waits for its turn, and why."""
        turn = waits_for_turn.get()
        if turn is None or not (self.room.locked() or self.probe):
            yield
            return
        most = max(1, self.spec.limits.get("concurrent", CONCURRENT))
        turn.begin(
            f"The model of the profile {self.spec.name} is asked {most} times at once, which is the most it may be."
        )
        try:
            yield
        finally:
            turn.end()

    def answered(self) -> None:
        self.failures, self.shut_until = 0, 0.0

    def failed(self, asked_for: float) -> float:
        """Count a failure; how long to wait: as the vendor asks, else twice as long as the time before, from 1 to 60 s."""
        self.failures += 1
        wait = asked_for if asked_for > 0 else min(LONGEST_BACKOFF, 2.0 ** (self.failures - 1)) * _jitter()
        if self.failures >= BREAK_AFTER:
            self.shut_until = asyncio.get_running_loop().time() + wait
        return wait


def _jitter() -> float:
    return random.uniform(0.75, 1.25)  # noqa: S311  not a secret


_channels: dict[asyncio.AbstractEventLoop, dict[str, _Channel]] = {}


def _channel_of(spec: Spec) -> _Channel:
    """A changed profile gets a new channel, without the failures of the old one, whose client ends with its last call."""
    loop = asyncio.get_running_loop()
    if loop not in _channels:
        for ended in [other for other in _channels if other.is_closed()]:
            del _channels[ended]
    channels = _channels.setdefault(loop, {})
    channel = channels.get(spec.name)
    if channel is None or channel.spec != spec:
        if channel is not None:
            channel.current = False
            if channel.callers == 0:
                _closing.add(task := loop.create_task(channel.close()))
                task.add_done_callback(_closing.discard)
        channel = channels[spec.name] = _Channel(
            spec, asyncio.Semaphore(max(1, spec.limits.get("concurrent", CONCURRENT)))
        )
    return channel


_closing: set[asyncio.Task[None]] = set()  # the loop itself keeps only weak references


async def close() -> None:
    """Close the clients of this event loop."""
    for channel in _channels.pop(asyncio.get_running_loop(), {}).values():
        channel.current = False
        if channel.callers == 0:
            await channel.close()


async def _built(wire: Wire, request: Request, spec: Spec) -> tuple[Json, str]:
    """Raises FileNotFoundError for a picture that is gone, ModelMisconfigured for what no vendor could be sent."""
    try:
        return await asyncio.get_running_loop().run_in_executor(_builders, _build, wire, request, spec)
    except (FileNotFoundError, ModelProblem):
        raise
    except Exception as error:
        log.exception("the wire of the profile %s could not write a request", spec.name)
        raise ModelMisconfigured(_unforeseen("request to", error)) from error


def _unforeseen(what: str, error: Exception) -> str:
    return (
        f"The {what} the model failed in an unforeseen way ({type(error).__name__}); the log of the worker tells more."
    )


def _build(wire: Wire, request: Request, spec: Spec) -> tuple[Json, str]:
    """The body, and the hash of what was asked: pictures stand in it by their own hashes, so it is small."""
    question = {
        "model": spec.model,
        "system": request.system,
        "log": list(request.log),
        "view": asdict(request.view),
        "tools": [asdict(tool) for tool in request.tools],
        "actions": sorted(request.actions),
        "schema": request.schema,
    }
    digest = hashlib.sha256(json.dumps(question, sort_keys=True, default=repr).encode()).hexdigest()
    return wire.body(request), digest


@dataclass
class _OpenCall:
    """A call while it is under way."""

    spec: Spec
    purpose: Purpose
    digest: str
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    first_byte: datetime | None = None

    def first(self) -> None:
        self.first_byte = self.first_byte or datetime.now(UTC)

    def record(self, status: Status, why: str | None = None, **more: Any) -> CallRecord:
        spec = self.spec
        usage: Usage = more.get("usage") or Usage()
        return CallRecord(
            spec.name,
            spec.wire,
            spec.model,
            self.purpose,
            status,
            self.began,
            datetime.now(UTC),
            first_byte_at=self.first_byte,
            request_hash=self.digest,
            usage=usage,
            request_id=(more.get("request_id") or "")[:128] or None,
            cost_microcents=cost_of(spec.prices, usage),
            why=why,
        )


async def _send(
    channel: _Channel, wire: Wire, body: Json, request: Request, call: _OpenCall
) -> tuple[Thought, CallRecord]:
    name = channel.spec.name
    try:
        async with asyncio.timeout(WHOLE_SECONDS):
            thought = await wire.send(body, request, call.first)
    except asyncio.CancelledError as cancelled:
        cancelled.record = call.record("abandoned", "Nobody waited for the answer any more.")  # type: ignore[attr-defined]
        raise
    except (TimeoutError, ModelBusy) as error:
        silence = f"The model did not answer within {WHOLE_SECONDS:g} s."
        busy = error if isinstance(error, ModelBusy) else ModelBusy(silence, 0)
        record = _record_of(busy, "busy", call)
        raise ModelBusy(record.why or "", channel.failed(busy.retry_after), record) from None
    except ModelRefused as refused:
        channel.answered()
        record = _record_of(refused, "refused", call)
        raise ModelRefused(record.why or "", refused.category, record) from None
    except ModelMisconfigured as wrong:
        channel.answered()
        record = _record_of(wrong, "failed", call)
        raise ModelMisconfigured(record.why or "", record) from None
    except Exception as error:
        log.exception("the wire of the profile %s failed", name)
        why = _unforeseen("call of", error)
        raise ModelMisconfigured(why, call.record("failed", why)) from error
    channel.answered()
    return thought, call.record("ok", usage=thought.usage, request_id=thought.request_id)


def _record_of(problem: ModelProblem, status: Status, call: _OpenCall) -> CallRecord:
    """What the wire knows of the call, else only that it was."""
    usage = problem.record.usage if problem.record else None
    request_id = problem.record.request_id if problem.record else None
    return call.record(status, _without_key(problem.why, call.spec), usage=usage, request_id=request_id)


def _without_key(why: str, spec: Spec) -> str:
    """Vendors like to quote the key that they refuse."""
    if spec.key:
        why = why.replace(spec.key, "[key]")
    return why if len(why) <= LONGEST_WHY else f"{why[:LONGEST_WHY]}…"
