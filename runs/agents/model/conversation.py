"""Asking the model: results and words go into the log, its answer continues it, episodes end before it gets too long."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from inference.records import CallRecord, Purpose
from inference.specs import Spec
from inference.wires.base import Json, Request, Thought, View, Wire
from runs.agents.base import Context, GuardReached
from runs.agents.model import old_logs, prompt
from runs.agents.model.agent_memory import State, as_text
from runs.agents.model.observation import Observation
from runs.agents.model.tools import ACTIONS, HANDS, tools_of

Think = Callable[[Spec, Request, Purpose], Awaitable[tuple[Thought, CallRecord]]]

MOST_BYTES = 256 * 1024  # of memory as JSON: each step writes it
MOST_PICTURES = 40
SHARE_OF_WINDOW = 0.6
DEPTH = 12  # calls in a row without a step, where the profile says nothing
_LONGEST_DIGEST = 8000  # characters
_LONGEST_SUMMARY = 24_000


@dataclass
class Conversation:
    """A model during one decision of a run. `calls`, `texts`, `reasoning`: what came of it, for the decision."""

    context: Context
    state: State
    observation: Observation
    spec: Spec
    wire: Wire
    view: View
    ask_model: Think

    def __post_init__(self) -> None:
        self.calls: list[CallRecord] = []
        self.texts: list[str] = []
        self.reasoning: list[str] = []
        self._told = ""  # with the newest request: a new episode says it again

    async def begin(self) -> None:
        """The first conversation of the run, or a new one where the old one cannot go on: the profile has another wire, model or
        form than it was begun with."""
        state, spec = self.state, self.spec
        same = (state.wire, state.model) == (spec.wire, spec.model) and state.form in ("", spec.form)
        if state.episode and same:
            return
        if state.episode:
            state.close_rest("the conversation had to begin anew.")
            await self.new_episode(digest(state))
            return
        state.episode, state.first = 1, await self.observation.picture()
        await self._open()

    async def _open(self) -> None:
        state, sent = self.state, await self.observation.sent(self.view)
        state.wire, state.model, state.profile = self.spec.wire, self.spec.model, self.spec.name
        state.form = self.spec.form
        state.log = self.wire.opening(prompt.opening(self.context, state.words, state.summary), sent)

    async def new_episode(self, summary: str) -> None:
        """The log becomes a file; a new one begins with the task, what people said and the summary."""
        state = self.state
        facts = {"run": self.context.run_id, "episode": state.episode, "wire": state.wire, "model": state.model}
        state.old.append(await asyncio.to_thread(old_logs.store, state.log, facts))
        state.episode, state.summary, state.window = state.episode + 1, summary, 0
        state.got, state.todo = [], []
        await self._open()
        if self._told:
            state.log += self.wire.note(self._told)

    async def think(self, purpose: Purpose = "act") -> Thought | None:
        """One call of the model, whose answer continues the log; None when it was needed to end an episode.

        Raises ModelProblem, GuardReached.
        """
        await self._flush()
        if await self._make_room():
            return None
        state = self.state
        self._goes_deeper()
        try:
            thought = await self._call(purpose, state.log)
        except FileNotFoundError:  # a picture of the log is not there any more
            await self.new_episode(digest(state))
            thought = await self._call(purpose, state.log)
        state.log += thought.items
        state.picture, state.begun = await self.observation.picture(), False
        if thought.end == "full":
            await self.new_episode(digest(state))
        self.texts += [thought.text, *thought.notes]
        self.reasoning.append(thought.reasoning)
        return thought

    async def _flush(self) -> None:
        """Results and notes become items of the log, with the screen where it is not the newest picture there."""
        state = self.state
        if state.got:
            state.log += self.wire.results(state.answers(), await self.observation.sent(self.view))
        self._told = "\n".join(state.notes)
        if self._told:
            now = await self.observation.sent(self.view)
            shown = list(pictures_in(state.log))[-1:]
            state.log += self.wire.note(self._told, None if shown == [now] else now)
        state.got, state.notes = [], []

    async def _make_room(self) -> bool:
        """True when the log was too long and a new episode has begun."""
        state, window = self.state, self.spec.options.get("window", 0)
        full = window and state.window > window * SHARE_OF_WINDOW
        if not full and _bytes(state.log) <= MOST_BYTES and sum(1 for _ in pictures_in(state.log)) <= MOST_PICTURES:
            return False
        question = [*state.log, *self.wire.note(prompt.SUMMARY)]
        self._goes_deeper()
        try:
            thought = await self._call("summary", question)
        except FileNotFoundError:
            await self.new_episode(digest(state))
            return False
        state.log = [*question, *thought.items]
        await self.new_episode(thought.text.strip()[:_LONGEST_SUMMARY] or digest(state))
        return True

    def _goes_deeper(self) -> None:
        """Each call without a step counts, also those that end an episode. Raises GuardReached."""
        state, depth = self.state, self.spec.limits.get("depth") or DEPTH
        if state.calls >= depth:
            raise GuardReached("depth", depth, state.calls)
        state.calls += 1

    async def _call(self, purpose: Purpose, log: list[Json]) -> Thought:
        state, limit = self.state, self.spec.limits.get("tokens", 0)
        if limit and state.tokens >= limit:
            raise GuardReached("budget_tokens", limit, state.tokens)
        thought, record = await self.ask_model(self.spec, self.request(log), purpose)
        self.calls.append(record)
        state.window = (thought.usage.input or 0) + (thought.usage.output or 0)
        state.tokens += state.window
        return thought

    def request(self, log: list[Json]) -> Request:
        """The same tools for every purpose: vendors bind what a model thought to them."""
        context = self.context
        return Request(
            prompt.system(context),
            log,
            self.view,
            tools_of(context),
            ACTIONS.get(context.machine_kind, HANDS),
            context.machine_kind,
            key=context.run_id,
            cursor=context.cursor,
            longer=self.state.longer,
        )


def pictures_in(value: Any) -> Iterator[str]:
    """The hashes of all pictures in a log."""
    if isinstance(value, dict):
        if isinstance(value.get("$img"), str):
            yield value["$img"]
        for each in value.values():
            yield from pictures_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from pictures_in(each)


def _bytes(log: list[Json]) -> int:
    return sum(len(as_text(item).encode()) for item in log)


def digest(state: State) -> str:
    """What is known without asking the model: the actions, and what came of them."""
    lines = [f"- {name} {json.dumps(params, ensure_ascii=False)}: {outcome}" for name, params, outcome in state.done]
    text = "\n".join([state.summary, "Done so far:", *lines] if lines else [state.summary])
    return text[-_LONGEST_DIGEST:].strip() or "Nothing was done yet."
