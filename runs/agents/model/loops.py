"""Seeing that a model does the same thing again and again and nothing comes of it."""

from inference.wires.base import Json
from machines.actions import action_hash
from runs.agents.model.memory import MOST_SEEN, State

SAY, ASK = 3, 5  # how often the same action may leave the screen as it was
SAME = 0.01  # the share of cells that may differ
LONG_WAIT_MS = 10_000
_KEYS = frozenset({"type_text", "key_press", "key_combo"})
NUDGE = "You have done exactly this {times} times and the screen has not changed. Try another way, or ask."
STUCK = "The agent has done the same thing {times} times and the screen has not changed: {what}"


def stayed(name: str, identical: bool, changed: float) -> bool:
    """Whether an action left the screen as it was. A key may change very little, so only the very same picture counts."""
    return identical or (name not in _KEYS and changed < SAME)


def seen(state: State, machine: str, name: str, params: Json, same: bool) -> int:
    """Note down an action that was done. Returns how often this one has left the screen as it was; a short wait never counts."""
    if name == "wait" and params["ms"] <= LONG_WAIT_MS:
        return 0
    digest = action_hash(machine, name, params)
    state.seen = [*state.seen, [digest, same]][-MOST_SEEN:]
    if not same:
        state.seen = [each for each in state.seen if each[0] != digest]
        return 0
    return sum(each == [digest, True] for each in state.seen)
