"""What surrounds an agent that decides: while a model is asked the run stays answerable to people, and what the model said is
kept before anything is done with it. What is written of it stands in runs/driving/model_jobs.py.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from accounts.later import to_the_end
from database.outages import is_full, passes
from inference.calls.calling import Turn, record_on, waits_for_turn
from inference.errors import ModelBusy, ModelProblem
from inference.records import CallRecord
from machines.drivers.base import MachineGone, Session
from runs.agents.base import Again, Agent, Ask, Context, Decision, GuardReached
from runs.driving import jobs, model_jobs
from runs.driving.driven_machine import DrivenMachine
from runs.driving.steps import LeaseLost
from runs.log import Event
from runs.secrets.services import RunSecrets, cleared, kept_secrets

log = logging.getLogger(__name__)
T = TypeVar("T")
SHOWN_AFTER = 5.0  # seconds that a run waits for its turn before it says so
LONGEST_THOUGHT = 3600.0  # seconds; an agent has shorter limits of its own
_SHOWN = frozenset({"header", "question", "label", "description", "title", "default"})  # of questions and schemas
CUT_OFF_SECONDS = 2.0  # so long a thought that is cut off may take to say what it was


class Thinking(DrivenMachine):
    """The run's agent, asked for moves, plans and verdicts."""

    agent: Agent
    draining: bool

    async def _ask_agent(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
        """The agent's answer; None when there is none: what then follows is done. Raises LeaseLost, MachineUnavailable."""
        try:
            return await (self._watched(work()) if self.agent.thinks else work())
        except MachineGone as gone:
            await self._lost_sight(gone)
        except LeaseLost:
            raise
        except ModelProblem as problem:
            await self._no_answer(problem)
        except GuardReached as reached:
            await self.host.db(model_jobs.guard_reached, self.job, reached)
        except Exception as error:
            if is_full(error):
                self.host.disk.refused()  # it is asked again when there is room for what it needs to keep
            elif passes(error):
                raise
            else:  # whatever an agent does wrong ends its run, not the worker
                await self._agent_failed(error)
        return None

    async def _next(self, context: Context, session: Session) -> Decision:
        decision = await self.agent.next(context, session)
        if isinstance(decision.move, Again) and (decision.memory == context.memory or not self.agent.thinks):
            raise ValueError("There is nothing to do and nothing to remember: so it would be for ever.")
        return decision

    async def _agent_failed(self, error: Exception) -> None:
        log.error("agent %s failed on %s", self.job.run.agent, self.run_id, exc_info=error)
        await self.host.db(jobs.break_off, self.job, "AGENT_ERROR", f"The agent broke off: {type(error).__name__}.")

    async def _no_answer(self, problem: ModelProblem) -> None:
        """The model is not the agent: the run waits for it, or people are asked what to do about it."""
        work = model_jobs.busy if isinstance(problem, ModelBusy) else model_jobs.ask_about_model
        await self.host.db(work, self.job, problem)

    # --- while a model is asked

    async def _watched(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for a model, minutes perhaps; no longer than the run is ours. The calls of what fails or is cut off are
        written down: they may have been paid. A stop cuts them off. Raises LeaseLost.
        """
        records: list[CallRecord] = []
        turn = Turn(partial(self.host.db, jobs.require_unstopped, self.job))
        watch, shown = asyncio.create_task(self._until_lost()), asyncio.create_task(self._waits_for_turn(turn))
        task = asyncio.create_task(_noting(work, records, turn))
        try:
            await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                watch.result()
            return await task
        finally:
            await _cut_off(task, watch, shown)
            if records:
                await self.host.db(model_jobs.note_calls, self.job, tuple(records))

    async def _until_lost(self) -> None:
        """Each ring of the run's bell may tell of its end, or of a stop. Raises LeaseLost."""
        while await self.host.wait_for_bell(self.run_id, LONGEST_THOUGHT):
            await self.host.db(jobs.require_unstopped, self.job)

    async def _waits_for_turn(self, turn: Turn) -> None:
        """A run that waits long for its turn among the calls of its model says so."""
        while await turn.waits.wait():
            await asyncio.sleep(SHOWN_AFTER)
            if turn.waits.is_set():
                await to_the_end(self.host.db(model_jobs.waits_for_turn, self.job, turn.why))
                await turn.over.wait()
                await to_the_end(self.host.db(model_jobs.has_its_turn, self.job))

    async def _wait_for_model(self) -> None:
        """Until the model may be asked again, or something else happens to the run. Raises LeaseLost when it ended."""
        self.frame = None
        while not self.draining and (seconds := model_jobs.seconds_to_wait(self.job.run)) > 0:
            if not await self.host.wait_for_bell(self.run_id, seconds):
                continue
            fresh = await self.host.db(jobs.reload, self.job)
            if fresh is None:
                return
            self.job = fresh

    # --- what it said

    async def _kept(self, decision: Decision) -> Decision:
        """The decision of an agent that thinks, committed if it is a new one, and without secrets that it has read."""
        kept = kept_secrets(self.job.run)
        decision = replace(decision, text=cleared(decision.text, kept), reasoning=cleared(decision.reasoning, kept))
        if isinstance(decision.move, Ask):
            decision = replace(decision, move=_without_secrets(decision.move, kept))
        if decision.thought or isinstance(decision.move, Again):
            await self.host.db(model_jobs.thought, self.job, decision, words(decision) if decision.thought else ())
        return decision

    async def _commit(self, calls: tuple[CallRecord, ...], work: Callable[..., None], *args: Any) -> None:
        """Write what calls were made for; where that is refused, the calls are written all the same."""
        try:
            await self.host.db(work, self.job, *args)
        except LeaseLost:
            if calls:
                await self.host.db(model_jobs.note_calls, self.job, calls)
            raise


def _without_secrets(ask: Ask, kept: RunSecrets) -> Ask:
    """What people read of it. Names, kinds and types stay as they are: a secret may be spelled like one."""

    def clear(value: Any) -> Any:
        if isinstance(value, dict):
            shown = {name: each for name, each in value.items() if name in _SHOWN and isinstance(each, str)}
            return {name: clear(each) for name, each in value.items()} | {n: cleared(t, kept) for n, t in shown.items()}
        return [clear(each) for each in value] if isinstance(value, list) else value

    return replace(
        ask, message=cleared(ask.message, kept), questions=clear(ask.questions), input_schema=clear(ask.input_schema)
    )


def words(decision: Decision) -> tuple[Event, ...]:
    """What an agent says to its move, as events."""
    events: list[Event] = []
    if decision.reasoning:
        events.append(("reasoning", {"text": decision.reasoning}))
    if decision.text:
        events.append(("text", {"text": decision.text}))
    return tuple(events)


async def _noting(work: Coroutine[Any, Any, T], calls: list[CallRecord], turn: Turn) -> T:
    """The calls of an attempt that fails, or is cancelled, are on its exception."""
    waits_for_turn.set(turn)
    try:
        return await work
    except BaseException as error:
        calls += getattr(error, "calls", ())
        last = record_on(error)
        calls += [last] if last else []
        raise


async def _cut_off(*tasks: asyncio.Task[Any]) -> None:
    """End what is not done yet, and let it end; its errors are nobody's any more."""
    late = [task for task in tasks if not task.done()]
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=CUT_OFF_SECONDS)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()
