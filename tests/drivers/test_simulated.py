"""The simulated machine: nothing happens, quickly."""

import io
import time
from pathlib import Path

from PIL import Image

from machines.drivers.base import Action
from tests.drivers.conftest import Machine, spec_of


async def test_everything_succeeds_at_once(tmp_path: Path) -> None:
    machine = Machine(spec_of("simulated", tmp_path))
    await machine.start()
    frame = await machine.session.screenshot()
    assert Image.open(io.BytesIO(frame.png)).size == (1280, 720)
    assert len(frame.png) < 2048
    assert (await machine.session.screenshot()).png is frame.png
    assert (await machine.do("click", x=1, y=1)).success
    assert (await machine.session.terminal("ls", 1000)).exit_code == 0
    assert await machine.session.elements() == []
    assert await machine.session.text() == ""
    assert await machine.alive()
    await machine.stop()


async def test_waiting_is_real_but_bounded_by_the_timeout(tmp_path: Path) -> None:
    machine = Machine(spec_of("simulated", tmp_path))
    await machine.start()
    began = time.monotonic()
    result = await machine.session.act(Action("wait", {"ms": 60_000}, timeout_ms=50))
    assert 0.05 <= time.monotonic() - began < 1
    assert (result.success, result.error) == (False, "The wait was ended by its timeout after 50 ms.")
