"""Mode plan: what the model means to do, before it may do anything."""

from collections.abc import Iterator
from contextlib import contextmanager

from inference.records import CallRecord
from machines.drivers.storable import clean
from runs.agents.base import Plan
from runs.agents.model import prompt
from runs.agents.model.conversation import Conversation
from runs.agents.model.human_messages import News

MOST_TRIES = 3
NO_PLAN = "The model gave no plan."
_LONGEST = 16_000
_WORDS = "Words only: write the plan, and call nothing yet."


async def plan(conversation: Conversation) -> Plan:
    """One conversation with what is done afterwards; what was decided before the plan is not done."""
    state, now = conversation.state, conversation.state.now
    for words in News.of(conversation.context.messages, now).words:
        state.tell(words)
    await conversation.begin()
    if now is not None and now["wanted"] and now["episode"] == state.episode:
        state.todo = [now["wanted"], *state.todo]
    state.now = None
    state.close_rest(prompt.CLOSED_FOR_PLAN)
    state.notes.append(prompt.PLAN)
    with carrying(conversation.calls):
        text = await _written(conversation)
    state.calls = 0
    return Plan(clean(text[:_LONGEST]) or NO_PLAN, state.memory(), tuple(conversation.calls))


async def _written(conversation: Conversation) -> str:
    state = conversation.state
    for _ in range(MOST_TRIES):
        thought = await conversation.think("plan")
        if thought is None:
            continue  # a new episode; the wish for a plan is in it
        state.longer = thought.end == "cut"
        state.todo = [wanted.as_json() for wanted in thought.wanted] if thought.end == "calls" else []
        state.close_rest(prompt.CLOSED_FOR_PLAN)
        if thought.text.strip() and thought.end in ("said", "calls"):
            return thought.text.strip()
        state.notes.append(_WORDS)
    return ""


@contextmanager
def carrying(calls: list[CallRecord]) -> Iterator[None]:
    """What ends this early tells of the calls that were answered before it: they were paid."""
    try:
        yield
    except BaseException as error:
        error.calls = tuple(calls)  # type: ignore[attr-defined]
        raise
