"""What validate says a document may cost and how long it may wait (docs/api/workflows.md 9)."""

from typing import Any

import pytest

from tests.workflows.documents import TRUE, approval, branch, check, fail, loop, nested, parallel, retry, succeed, task
from workflows.definition.estimate import cheapest_step, estimate

PRICES = {"v1": 8, "v3": 5, "v4": 5}


def measured(
    steps: list[Any], definition: dict[str, Any] | None = None, most_steps: int = 1000, **given: Any
) -> dict[str, Any]:
    return estimate({"steps": steps} | (definition or {}), given, PRICES, most_steps)


def cost(steps: list[Any], **more: Any) -> tuple[int, int]:
    found = measured(steps, **more)
    return found["max_agent_steps"], found["max_cost_cents"]


def wait(steps: list[Any], **more: Any) -> tuple[int | None, list[str]]:
    found = measured(steps, **more)
    return found["max_wait_seconds"], found["unbounded"]


ONE = task("a", max_steps=1)
TWO = task("b", max_steps=2, cua_version="v1")
COST: list[tuple[list[Any], tuple[int, int]]] = [
    ([check()], (0, 0)), ([succeed(), fail()], (0, 0)), ([ONE], (1, 5)), ([task()], (50, 250)), ([TWO], (2, 16)), ([ONE, TWO], (3, 21)),
    ([branch("i", TRUE, [ONE], [TWO])], (2, 16)), ([branch("i", TRUE, [TWO])], (2, 16)), ([branch("i", TRUE, [], [ONE])], (1, 5)),
    ([branch("i", TRUE, [task("a", max_steps=3)], [task("b", max_steps=2, cua_version="v1")])], (3, 16)),
    ([loop("l", [ONE], count=7)], (7, 35)), ([loop("l", [ONE], count=0)], (0, 0)), ([loop("l", [ONE], count=7, max_iterations=3)], (3, 15)),
    ([loop("l", [ONE], count=3, max_iterations=7)], (3, 15)), ([loop("l", [ONE], **{"while": TRUE})], (100, 500)),
    ([loop("l", [ONE], **{"while": TRUE}, max_iterations=9)], (9, 45)), ([retry("r", [ONE, TWO], 3)], (9, 63)),
    ([parallel("p", [ONE], [TWO], [])], (3, 21)), ([loop("l", [retry("r", [ONE], 3)], count=4), TWO], (14, 76)),
    ([loop("l", [loop("m", [ONE], count=100_000)], count=100_000)], (10**10, 5 * 10**10)),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "expected"), COST, ids=lambda value: str(value)[:60])
def test_T_162_the_cost_covers_branches_loops_and_retries(steps: list[Any], expected: tuple[int, int]) -> None:
    assert cost(steps) == expected


WAIT: list[tuple[list[Any], dict[str, Any], int | None, list[str]]] = [
    ([task()], {}, 0, []), ([approval(timeout_seconds=60)], {}, 60, []), ([approval()], {}, None, ["gate"]),
    ([approval()], {"awaiting_human_timeout_seconds": 30}, 30, []),
    ([approval(timeout_seconds=60)], {"awaiting_human_timeout_seconds": 30}, 60, []),
    ([approval("a", timeout_seconds=60), approval("b", timeout_seconds=5)], {}, 65, []),
    ([approval("a", timeout_seconds=60), approval("b")], {}, None, ["b"]),
    ([approval("a"), retry("r", [approval("b")])], {}, None, ["a", "b"]),
    ([branch("i", TRUE, [approval("a", timeout_seconds=60)], [approval("b", timeout_seconds=90)])], {}, 90, []),
    ([branch("i", TRUE, [], [approval("b")])], {}, None, ["b"]), ([loop("l", [approval(timeout_seconds=60)], count=3)], {}, 180, []),
    ([loop("l", [approval()], count=0)], {}, 0, []), ([retry("r", [approval(timeout_seconds=60)], 5)], {}, 300, []),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "given", "seconds", "unbounded"), WAIT, ids=lambda value: str(value)[:60])
def test_the_wait_is_that_of_human_approvals(
    steps: list[Any], given: dict[str, Any], seconds: int | None, unbounded: list[str]
) -> None:
    assert wait(steps, **given) == (seconds, unbounded)


@pytest.mark.parametrize(
    ("of_definition", "of_start", "cents"),
    [({}, {}, 250), ({}, {"budget_cents": 99}, 99), ({}, {"budget_cents": 999}, 250), ({"budget_cents": 40}, {}, 40),
     ({"budget_cents": 40}, {"budget_cents": 60}, 60), ({"budget_cents": 40}, {"budget_cents": 0}, 250), ({"budget_cents": 0}, {}, 250)],
)  # fmt: skip
def test_the_cost_is_capped_by_the_budget(of_definition: dict[str, Any], of_start: dict[str, Any], cents: int) -> None:
    assert measured([task()], of_definition, **of_start)["max_cost_cents"] == cents


def test_defaults_of_the_start_and_the_ceiling_of_the_installation_count() -> None:
    assert cost([task()], max_steps=3, cua_version="v1") == (3, 24)
    assert cost([task(max_steps=4, cua_version="v3")], max_steps=3, cua_version="v1") == (4, 20)
    assert cost([task(max_steps=900)], most_steps=200) == (200, 1000)


def test_steps_and_depth_are_counted() -> None:
    assert {key: measured(nested(8))[key] for key in ("step_count", "depth")} == {"step_count": 8, "depth": 8}
    assert measured([branch("i", TRUE, [])])["depth"] == 2
    assert set(measured([task()])) == {
        "step_count", "depth", "max_agent_steps", "max_cost_cents", "max_wait_seconds", "unbounded",
    }  # fmt: skip


def test_the_cheapest_step_of_a_document() -> None:
    assert cheapest_step({"steps": [check()]}, {}, PRICES) is None
    assert cheapest_step({"steps": [loop("l", [TWO], count=1)]}, {}, PRICES) == 8
    assert cheapest_step({"steps": [TWO, parallel("p", [ONE])]}, {}, PRICES) == 5
    assert cheapest_step({"steps": [ONE]}, {"cua_version": "v1"}, PRICES) == 8
