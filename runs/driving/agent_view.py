"""A session as an agent may see it: nothing of a private takeover, and none of the secrets that its run has, or has put in."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, replace
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
from runs.secrets.redaction import Redaction

T = TypeVar("T")


class AgentView:
    """Asks after each look whether it fell into a private takeover; then what was seen is dropped. Raises LeaseLost.

    `run_id`: None for a machine of the run's own, of which nobody takes control.
    """

    def __init__(
        self, session: Session, run_id: str | None, db: Callable[..., Awaitable[Any]], redaction: Redaction
    ) -> None:
        self._session = session
        self._run_id = run_id
        self._db = db
        self._redaction = redaction
        self._clear = redaction.cleared

    async def _kept(self, look: Awaitable[T]) -> T:
        start = timezone.now()
        view = await look
        if self._run_id is not None and await self._db(private_since, self._run_id, start):
            raise LeaseLost
        return view

    async def begin(self) -> None:
        await self._session.begin()

    async def screenshot(self, hidden: Sequence[str] = ()) -> Frame:
        texts = (*hidden, *self._redaction.painted)
        frame = await self._kept(self._session.screenshot(texts) if texts else self._session.screenshot())
        return replace(frame, text=self._clear(frame.text))

    async def elements(self) -> list[Element]:
        elements = await self._kept(self._session.elements())
        return [replace(each, name=self._clear(each.name), value=self._clear(each.value)) for each in elements]

    async def reach(self, ref: str) -> Reach | None:
        reach = await self._kept(self._session.reach(ref))
        return replace(reach, problem=self._clear(reach.problem)) if reach else None

    async def target(self, action: Action) -> Target | None:
        target = await self._kept(self._session.target(action))
        return Target(**self._clear(asdict(target))) if target else None

    async def prompt(self) -> Prompt | None:
        prompt = await self._kept(self._session.prompt())
        return replace(prompt, line=self._clear(prompt.line)) if prompt else None

    async def contents(self, action: Action) -> Contents | None:
        """Values of forms are for comparing: who may see no secrets may not see them either."""
        return None if self._redaction else await self._kept(self._session.contents(action))

    async def text(self) -> str:
        return self._clear(await self._kept(self._session.text()))

    async def state(self) -> MachineState:
        state, clear = await self._kept(self._session.state()), self._clear
        return replace(
            state, url=clear(state.url), title=clear(state.title), dialog=clear(state.dialog), waits=clear(state.waits)
        )

    async def read_file(self, path: str, limit: int = 1_048_576) -> bytes | None:
        return self._clear(await self._kept(self._session.read_file(path, limit)))

    async def act(self, action: Action) -> ActResult:
        return await self._session.act(action)

    async def terminal(self, command: str, timeout_ms: int, cwd: str | None = None) -> TerminalResult:
        result = await self._kept(self._session.terminal(command, timeout_ms, cwd))
        return replace(result, output=self._clear(result.output))

    async def close(self) -> None:
        await self._session.close()
