"""The machine that is no machine: every action succeeds at once. Test keys get it, and so do tests."""

import io
from collections.abc import Sequence
from functools import lru_cache

from PIL import Image, ImageDraw

from machines.drivers.base import (
    Action,
    ActResult,
    Element,
    Frame,
    Handle,
    MachineSpec,
    MachineState,
    Reach,
    Target,
    TerminalResult,
    waited,
)


@lru_cache(maxsize=16)
def _picture(width: int, height: int) -> bytes:
    """A plain window on a plain desk, in three colours."""
    image = Image.new("P", (width, height), 0)
    image.putpalette([230, 233, 239, 255, 255, 255, 148, 158, 175])
    pen = ImageDraw.Draw(image)
    left, top, right, bottom = width // 8, height // 8, width * 7 // 8, height * 7 // 8
    pen.rectangle((left, top, right, bottom), fill=1, outline=2)
    pen.rectangle((left, top, right, top + height // 16), fill=2)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


class SimulatedSession:
    def __init__(self, spec: MachineSpec) -> None:
        self.spec = spec

    async def begin(self) -> None:
        return None

    async def screenshot(self, hidden: Sequence[str] = ()) -> Frame:
        return Frame(_picture(self.spec.width, self.spec.height), self.spec.width, self.spec.height)

    async def act(self, action: Action) -> ActResult:
        return await waited(action) if action.name == "wait" else ActResult(success=True)

    async def elements(self) -> list[Element]:
        return []

    async def reach(self, ref: str) -> Reach | None:
        return None

    async def target(self, action: Action) -> Target | None:
        return None

    async def contents(self, action: Action) -> None:
        return None

    async def prompt(self) -> None:
        return None

    async def text(self) -> str:
        return ""

    async def state(self) -> MachineState:
        return MachineState()

    async def read_file(self, path: str, limit: int = 1_048_576) -> bytes | None:
        return None

    async def terminal(self, command: str, timeout_ms: int, cwd: str | None = None) -> TerminalResult:
        return TerminalResult(output="", exit_code=0, truncated=False)

    async def close(self) -> None:
        return None


class SimulatedDriver:
    kind = "simulated"

    def missing(self) -> list[str]:
        return []

    async def start(self, spec: MachineSpec, handle: Handle | None) -> Handle:
        return {"simulated": True}

    async def attach(self, spec: MachineSpec, handle: Handle, *, stands: bool = False) -> SimulatedSession:
        return SimulatedSession(spec)

    async def alive(self, spec: MachineSpec, handle: Handle) -> bool:
        return True

    async def stop(self, spec: MachineSpec, handle: Handle) -> None:
        return None
