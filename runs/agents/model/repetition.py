"""Seeing that a model does the same thing again and again and nothing comes of it."""

from collections.abc import Awaitable, Callable

from approvals.action_hash import action_hash
from inference.wires.base import Json
from runs.agents.model.agent_memory import MOST_SEEN, State

SAY, ASK = 3, 5  # how often the same action may leave the screen as it was
SAME = 0.01  # the share of cells that may differ
LONG_WAIT_MS = 10_000
_KEYS = frozenset({"type_text", "key_press", "key_combo"})
NUDGE = "You have done exactly this {times} times and the screen has not changed. Try another way, or ask."
STUCK = "The agent has done the same thing {times} times and the screen has not changed: {what}."

Share = Callable[[str, str], Awaitable[float]]


async def times_done(state: State, machine: str, name: str, params: Json, before: str, after: str, share: Share) -> int:
    """Note down an action that was done, with the pictures around it. Returns how often this one has left the screen as it
    was; a short wait never counts. `share`: how much two pictures differ (0-1), asked for only when it matters.

    A key may change very little: for it only the very same picture counts.
    """
    if name == "wait" and params["ms"] <= LONG_WAIT_MS:
        return 0
    digest = action_hash(machine, name, params)
    state.seen = [*state.seen, [digest, before, after]][-MOST_SEEN:]
    pairs = [each for each in state.seen if each[0] == digest]
    if len(pairs) < SAY:
        return 0
    times = 0
    for _, one, other in reversed(pairs):
        if one != other and (name in _KEYS or await share(one, other) >= SAME):
            state.seen = [each for each in state.seen if each[0] != digest] + [
                [digest, b, a] for _, b, a in pairs[len(pairs) - times :]
            ]
            break
        times += 1
    return times if times >= SAY else 0
