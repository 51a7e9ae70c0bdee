"""A session as an agent may see it: without the secrets that its run has, or has put in."""

from collections.abc import Sequence
from dataclasses import asdict, replace

from machines.drivers.base import (
    Action,
    ActResult,
    Element,
    Frame,
    MachineState,
    Prompt,
    Reach,
    Session,
    Target,
    TerminalResult,
)
from runs.secrets.redaction import Hidden


class Cleared:
    def __init__(self, session: Session, hidden: Hidden) -> None:
        self._session = session
        self._hidden = hidden

    async def begin(self) -> None:
        await self._session.begin()

    async def screenshot(self, hidden: Sequence[str] = ()) -> Frame:
        texts = (*hidden, *self._hidden.painted)
        frame = await (self._session.screenshot(texts) if texts else self._session.screenshot())
        return replace(frame, text=self._hidden.cleared(frame.text))

    async def elements(self) -> list[Element]:
        clear = self._hidden.cleared
        return [replace(e, name=clear(e.name), value=clear(e.value)) for e in await self._session.elements()]

    async def reach(self, ref: str) -> Reach | None:
        reach = await self._session.reach(ref)
        return replace(reach, problem=self._hidden.cleared(reach.problem)) if reach else None

    async def target(self, action: Action) -> Target | None:
        target = await self._session.target(action)
        return Target(**self._hidden.cleared(asdict(target))) if target else None

    async def prompt(self) -> Prompt | None:
        prompt = await self._session.prompt()
        return replace(prompt, line=self._hidden.cleared(prompt.line)) if prompt else None

    async def contents(self, action: Action) -> None:
        """Values of forms are for comparing, and not for agents."""

    async def text(self) -> str:
        return self._hidden.cleared(await self._session.text())

    async def state(self) -> MachineState:
        state, clear = await self._session.state(), self._hidden.cleared
        return replace(
            state, url=clear(state.url), title=clear(state.title), dialog=clear(state.dialog), waits=clear(state.waits)
        )

    async def read_file(self, path: str, limit: int = 1_048_576) -> bytes | None:
        return self._hidden.cleared(await self._session.read_file(path, limit))

    async def act(self, action: Action) -> ActResult:
        return await self._session.act(action)

    async def terminal(self, command: str, timeout_ms: int, cwd: str | None = None) -> TerminalResult:
        result = await self._session.terminal(command, timeout_ms, cwd)
        return replace(result, output=self._hidden.cleared(result.output))

    async def close(self) -> None:
        await self._session.close()
