"""What a valid document may cost and how long it may wait for people, at worst (docs/api/workflows.md 9)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from typing_extensions import TypedDict

from workflows.definition import step_types as rules
from workflows.definition.documents import Definition, run_defaults
from workflows.definition.step_types import WHILE_ITERATIONS, Step

Prices = Mapping[str, int]  # cents of one agent step by cua_version
DEFAULT_STEPS = 50
DEFAULT_ENGINE = "v3"


class EstimateObject(TypedDict):
    step_count: int
    depth: int
    max_agent_steps: int
    max_cost_cents: int
    max_wait_seconds: int | None
    unbounded: list[str]


@dataclass(frozen=True)
class _Worst:
    steps: int = 0
    cents: int = 0
    seconds: int = 0
    endless: tuple[str, ...] = ()  # ids of steps that may wait for ever

    def then(self, other: "_Worst", *, at_once: bool = False) -> "_Worst":
        seconds = max(self.seconds, other.seconds) if at_once else self.seconds + other.seconds
        ids = tuple(dict.fromkeys(self.endless + other.endless))
        return _Worst(self.steps + other.steps, self.cents + other.cents, seconds, ids)

    def times(self, n: int) -> "_Worst":
        return _Worst(self.steps * n, self.cents * n, self.seconds * n, self.endless) if n else _Worst()

    def or_else(self, other: "_Worst") -> "_Worst":
        """The dearer of two, measure by measure."""
        ids = tuple(dict.fromkeys(self.endless + other.endless))
        return _Worst(max(self.steps, other.steps), max(self.cents, other.cents), max(self.seconds, other.seconds), ids)


def estimate(definition: Definition, start: Mapping[str, Any], prices: Prices, most_steps: int) -> EstimateObject:
    """The estimate of a valid document. `start`: fields of the start body, validated. `most_steps`: the installation's ceiling.

    Waits inside tasks are not counted.
    """
    worst = _of_list(definition["steps"], _Terms(start, prices, most_steps))
    budget = start.get("budget_cents")
    budget = run_defaults(definition).get("budget_cents", 0) if budget is None else int(budget)
    return {
        "step_count": rules.count(definition["steps"]),
        "depth": rules.depth(definition["steps"]),
        "max_agent_steps": worst.steps,
        "max_cost_cents": min(worst.cents, budget) if budget else worst.cents,
        "max_wait_seconds": None if worst.endless else worst.seconds,
        "unbounded": list(worst.endless),
    }


def cheapest_step(definition: Definition, start: Mapping[str, Any], prices: Prices) -> int | None:
    """Cents of one agent step of the cheapest task; None when the document has no task."""
    terms = _Terms(start, prices, 1)
    costs = [terms.price(step) for _at, step in rules.walk(definition["steps"]) if step["type"] == "task"]
    return min(costs, default=None)


@dataclass(frozen=True)
class _Terms:
    start: Mapping[str, Any]
    prices: Prices
    most_steps: int

    def _field(self, step: Step, key: str, default: Any) -> Any:
        return next((each[key] for each in (step, self.start) if each.get(key) is not None), default)

    def price(self, step: Step) -> int:
        return self.prices[self._field(step, "cua_version", DEFAULT_ENGINE)]

    def agent_steps(self, step: Step) -> int:
        return min(int(self._field(step, "max_steps", DEFAULT_STEPS)), self.most_steps)

    def wait(self, step: Step) -> int | None:
        seconds = step.get("timeout_seconds") or self.start.get("awaiting_human_timeout_seconds")
        return int(seconds) if seconds else None


def _of_list(steps: list[Step], terms: _Terms) -> _Worst:
    worst = _Worst()
    for step in steps:
        worst = worst.then(_of_step(step, terms))
    return worst


def _of_step(step: Step, terms: _Terms) -> _Worst:
    kind = step["type"]
    if kind == "task":
        most = terms.agent_steps(step)
        return _Worst(most, most * terms.price(step))
    if kind == "human_approval":
        seconds = terms.wait(step)
        return _Worst(endless=(step["id"],)) if seconds is None else _Worst(seconds=seconds)
    if kind == "if":
        return _of_list(step["then"], terms).or_else(_of_list(step.get("else") or [], terms))
    if kind == "parallel":
        worst = _Worst()
        for branch in step["branches"]:
            worst = worst.then(_of_list(branch, terms), at_once=True)
        return worst
    if kind in ("loop", "retry"):
        return _of_list(step["body"], terms).times(_rounds(step))
    return _Worst()


def _rounds(step: Step) -> int:
    if step["type"] == "retry":
        return int(step["max_attempts"])
    most = step.get("max_iterations")
    if step.get("count") is None:
        return int(most or WHILE_ITERATIONS)
    return int(min(step["count"], most or step["count"]))
