"""A session as an agent may see it: what was on the screen during a private takeover never gets through."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from django.utils import timezone

from machines.drivers.base import (
    Action,
    ActResult,
    Contents,
    Element,
    Frame,
    MachineState,
    Prompt,
    Reach,
    Session,
    Target,
    TerminalResult,
)
from machines.sql import private_since
from runs.driving.steps import LeaseLost

T = TypeVar("T")


class Shielded:
    """Asks after each look whether it fell into a private takeover; then what was seen is dropped. Raises LeaseLost."""

    def __init__(self, session: Session, run_id: str, db: Callable[..., Awaitable[Any]]) -> None:
        self._session = session
        self._run_id = run_id
        self._db = db

    async def _kept(self, look: Awaitable[T]) -> T:
        start = timezone.now()
        view = await look
        if await self._db(private_since, self._run_id, start):
            raise LeaseLost
        return view

    async def begin(self) -> None:
        await self._session.begin()

    async def screenshot(self, hidden: Sequence[str] = ()) -> Frame:
        return await self._kept(self._session.screenshot(hidden) if hidden else self._session.screenshot())

    async def elements(self) -> list[Element]:
        return await self._kept(self._session.elements())

    async def reach(self, ref: str) -> Reach | None:
        return await self._kept(self._session.reach(ref))

    async def target(self, action: Action) -> Target | None:
        return await self._kept(self._session.target(action))

    async def prompt(self) -> Prompt | None:
        return await self._kept(self._session.prompt())

    async def contents(self, action: Action) -> Contents | None:
        return await self._kept(self._session.contents(action))

    async def text(self) -> str:
        return await self._kept(self._session.text())

    async def state(self) -> MachineState:
        return await self._kept(self._session.state())

    async def read_file(self, path: str, limit: int = 1_048_576) -> bytes | None:
        return await self._kept(self._session.read_file(path, limit))

    async def act(self, action: Action) -> ActResult:
        return await self._session.act(action)

    async def terminal(self, command: str, timeout_ms: int, cwd: str | None = None) -> TerminalResult:
        return await self._kept(self._session.terminal(command, timeout_ms, cwd))

    async def close(self) -> None:
        await self._session.close()
