"""The machine of a driven run: what the drive loop sees of it and does to it.

A machine that dies is started again and looked at anew; nothing of a private takeover gets through.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from django.utils import timezone

from database.stored_files import StorageFull
from machines import pictures
from machines.actions.canonical import READ_ONLY
from machines.drivers.base import Action, ActResult, Contents, Frame, MachineGone, Prompt, Session
from machines.drivers.web_host import web_host
from machines.errors import MachineUnavailable
from machines.processes.sessions import Connected, open_for_run, simulated_machine
from machines.sql import private_since
from runs.agents.action_summary import risk_of
from runs.agents.base import Act
from runs.driving.agent_view import AgentView
from runs.driving.disk_watch import DiskWatch
from runs.driving.jobs import Job
from runs.driving.steps import LeaseLost, Picture
from runs.secrets.redaction import NO_SECRETS, REDACTED, Redaction
from runs.secrets.services import (
    Later,
    Withheld,
    cleared,
    kept_secrets,
    not_put_in,
    opened,
    own_put_in,
    ready,
    without_secrets,
)

T = TypeVar("T")
RECONNECTS = 3


class Host(Protocol):
    """What a run needs of the loop that drives it."""

    async def db(self, work: Callable[..., T], *args: Any) -> T: ...

    async def wait_for_bell(self, run_id: str, seconds: float) -> bool:
        """True when the run's bell rang, False after `seconds`."""
        ...

    @property
    def disk(self) -> DiskWatch: ...


class DrivenMachine:
    """What the agent of a run that this worker drives sees and acts on."""

    job: Job

    def __init__(self, host: Host, run_id: str, epoch: int) -> None:
        self.host = host
        self.run_id = run_id
        self.epoch = epoch
        self.connected: Connected | None = None
        self.frame: Frame | None = None  # the picture after the last step serves as the one before the next
        self.gone = 0  # how often in a row the machine ended while the agent looked at it

    async def _connect(self) -> Connected:
        if self.connected is None:
            run, db = self.job.run, self.host.db
            if run.owns_machine:
                self.connected = simulated_machine()
            else:
                self.connected = await open_for_run(run.machine_id or "", run.root_id, db)
        return self.connected

    async def _disconnect(self) -> None:
        """Let go of the machine, whether or not it is still there."""
        connected, self.connected = self.connected, None
        if connected is not None:
            with suppress(MachineGone):
                await connected.session.close()

    async def _lost_sight(self, gone: MachineGone) -> None:
        """Look again, on a new connection: not for ever. Raises MachineUnavailable."""
        await self._disconnect()
        self.frame = None
        self.gone += 1
        if self.gone >= RECONNECTS:
            raise MachineUnavailable(f"The machine ends again and again while it is looked at. {gone}") from gone

    async def _retry(self, look: Callable[[Connected], Awaitable[T]]) -> T:
        for _ in range(RECONNECTS):
            connected = await self._connect()
            try:
                return await look(connected)
            except MachineGone:
                await self._disconnect()
        raise MachineUnavailable("The machine ends again and again while it is looked at.")

    # --- looking

    def _agents_view(self, connected: Connected) -> Session:
        """The machine as an agent may see it: nothing of a private takeover, no secret of the run."""
        return self._view(connected, kept_secrets(self.job.run).hidden)

    def _view(self, connected: Connected, redaction: Redaction = NO_SECRETS) -> Session:
        run = self.job.run
        if run.owns_machine and not redaction:
            return connected.session
        return AgentView(connected.session, None if run.owns_machine else run.id, self.host.db, redaction)

    async def _observe(self) -> Frame:
        return await self._retry(lambda c: self._agents_view(c).screenshot())

    async def _picture(self, frame: Frame, phase: str, index: int) -> Picture:
        sha = await self._stored(frame.png)
        return Picture(index, phase, sha, replace(frame, text=cleared(frame.text, kept_secrets(self.job.run))))

    async def _stored(self, png: bytes) -> str:
        """Kept as soon as there is room for it: what the machine did is not lost, nor done again."""
        while True:
            try:
                return await asyncio.to_thread(pictures.store, png)
            except StorageFull:
                self.host.disk.refused()
                await self.host.disk.until_room()

    async def _evidence(self, before: Frame) -> Picture:
        """The picture that people are shown; the job keeps the address beside it."""
        browser = self.job.run.machine_kind == "browser"
        self.job.url = (await self._retry(lambda c: self._agents_view(c).state())).url if browser else None
        return await self._picture(before, "before", self.job.run.next_screenshot)

    async def _placed(self, act: Act) -> Act:
        """The action with what it would reach and the host it acts on: the machine says so, whatever the agent says."""
        if act.action.name in READ_ONLY or self.job.run.machine_kind == "simulated":
            return await self._at_host(act)
        target = await self._retry(lambda c: self._agents_view(c).target(act.action))
        return await self._at_host(replace(act, target=target, missing=await self._missing(act)))

    async def _missing(self, act: Act) -> frozenset[str]:
        """Files that the command would make: whether it can be undone depends on it."""
        if act.action.name != "run_line" or ">" not in str(act.action.params.get("command", "")):
            return frozenset()
        contents = await self._contents(act)
        items = contents.items if contents else ()
        return frozenset(item.name for item in items if item.kind == "file" and not item.says)

    async def _at_host(self, act: Act) -> Act:
        if self.job.run.machine_kind != "browser":
            return act
        if act.action.name == "open_url":
            return replace(act, host=web_host(act.action.params["url"]))
        state = await self._retry(lambda c: self._agents_view(c).state())
        return replace(act, host=state.host or web_host(state.url or ""))

    async def _prompt(self) -> Prompt | None:
        """As it is: what was approved is bound to this very line. Who shows it clears it."""
        return await self._retry(lambda c: self._view(c).prompt())

    async def _contents(self, act: Act) -> Contents | None:
        """What the action works with, as it is: secrets are in it, and only their hashes are kept."""
        if self.job.run.machine_kind == "simulated" or act.action.name in READ_ONLY:
            return None
        return await self._retry(lambda c: self._view(c).contents(act.action))

    def _shown(self, prompt: Prompt | None) -> Prompt | None:
        """The prompt as people are shown it and requests keep it."""
        return replace(prompt, line=cleared(prompt.line, kept_secrets(self.job.run))) if prompt else None

    # --- acting

    async def _do(self, act: Act, *, firm: bool = False) -> ActResult:
        """Act on the machine; a machine that dies under the action is a failed action, and is restarted for the next."""
        run, connected, start = self.job.run, await self._connect(), timezone.now()
        try:
            action = replace(
                _bound(act, await self._with_secrets(act), firm=firm), hidden=tuple(kept_secrets(run).hidden.painted)
            )
            result = without_secrets(await connected.session.act(action), kept_secrets(run))
        except Withheld as why:
            return ActResult(False, str(why))
        except MachineGone as gone:
            await self._disconnect()
            return ActResult(False, f"The machine did not answer: {gone}")
        if "withheld" in result.data:
            await self.host.db(not_put_in, run, act, result.data["withheld"])
        terminal = run.machine_kind == "terminal"
        if terminal and await self.host.db(private_since, run.id, start):
            return _hidden(result)  # somebody may have taken control privately and given it back meanwhile
        return result

    async def _with_secrets(self, act: Act) -> Action:
        """A code of the moment that is about to run out is not typed; the next one is. Raises Withheld, LeaseLost."""
        if (action := ready(self.job.run, act)) is not None:
            if action.secret:
                await self.host.db(own_put_in, self.job.run, act)
            return action
        handed: Action | Later = await self.host.db(opened, self.job.run, self.epoch, act)
        if isinstance(handed, Later):
            await asyncio.sleep(handed.seconds)
            return await self._with_secrets(act)
        return handed

    async def _look_after(self, result: ActResult) -> tuple[Frame | None, Picture | None, ActResult]:
        """The screen after an action, its picture, and what the machine said; nothing of a private takeover."""
        try:
            after = await self._observe()
        except LeaseLost:
            return None, None, _hidden(result)
        return after, await self._picture(after, "after", self.job.run.next_screenshot), result


def _bound(act: Act, action: Action, *, firm: bool) -> Action:
    """A click goes to what it was judged by; `firm`: a person agreed to it, or it is more than a write."""
    if action.name != "click" or act.target is None or action.ref is not None or REDACTED in act.target.name:
        return action
    return replace(action, expects=act.target, firm=firm or risk_of(act) != "write")


def _hidden(result: ActResult) -> ActResult:
    """What is known of an action during which a private takeover lived: whether it worked."""
    return ActResult(result.success, None if result.success else "Hidden by a private takeover.")
