"""What every wire does alike: ten moves, and days on which its vendor does not answer."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from inference.errors import ModelBusy, ModelProblem
from inference.wires import transport
from tests.emulator.server import Emulator
from tests.emulator.story import Fault
from tests.inference.conversing import KEY, Conversation


async def whole(conversation: Conversation, moves: int = 10) -> list[tuple[str, str, Any]]:
    """All moves of a story; the double click with a wait after it is denied."""
    wanted: list[tuple[str, str, Any]] = []
    for number in range(moves):
        thought = await conversation.think()
        assert thought.end == "calls", thought
        wanted += [(one.kind, one.name, one.params) for one in thought.wanted]
        if number < moves - 1:
            conversation.answer(thought, failed=(0, 1) if wanted[-1][1] == "wait" else ())
    return wanted


async def one_outcome(
    emulator: Emulator, wire: str, conversation: Conversation, fault: Fault, kind: type[ModelProblem], words: str
) -> Any:
    """One clear outcome and one request; the parameters of what is wanted when the fault is over."""
    began = time.monotonic()
    with pytest.raises(kind, match=words) as problem:
        await conversation.think()
    assert time.monotonic() - began < 20, "the SDK waited by itself"
    assert emulator.requests[wire] == 1
    assert KEY not in repr(problem.value)
    assert problem.value.__cause__ is None
    if isinstance(problem.value, ModelBusy):
        assert problem.value.retry_after == (3600 if fault.status == 429 else 0)
    thought = await conversation.think()  # the fault is over, the log as it was
    return thought.wanted[0].params


async def left_while_it_hangs(emulator: Emulator, wire: str, conversation: Conversation) -> None:
    """Within two seconds, and its server sees it."""
    asking = asyncio.create_task(conversation.think())
    await emulator.until(lambda: emulator.requests[wire] == 1)
    asking.cancel()
    async with asyncio.timeout(2):
        with pytest.raises(asyncio.CancelledError):
            await asking
        await emulator.until(lambda: emulator.left == 1)


async def busy_by_silence(monkeypatch: pytest.MonkeyPatch, talking: Callable[[], Conversation]) -> None:
    monkeypatch.setattr(transport, "SILENT_SECONDS", 0.3)
    with pytest.raises(ModelBusy, match="silent for too long"):
        await talking().think()
    monkeypatch.setattr(transport, "SILENT_SECONDS", 60.0)
    monkeypatch.setattr(transport, "WHOLE_SECONDS", 0.3)
    with pytest.raises(ModelBusy, match="silent for too long"):
        await talking().think()
