"""if, loop and retry, and what templates see of them (docs/api/workflows.md 5 and 6)."""

from typing import Any

import pytest

from tests.workflows.documents import FALSE, TRUE, branch, check, eq, fail, loop, retry, task
from tests.workflows.play import Play
from workflows.interpreter.advance import iterations_used
from workflows.interpreter.effects import Finish

ITERATION = "{{vars.iteration}}"
ATTEMPT = "{{vars.attempt}}"


# --- if


@pytest.mark.parametrize(
    ("steps", "ran"),
    [
        ([branch("i", TRUE, [task("a", "a")], [task("b", "b")])], ["a"]),
        ([branch("i", FALSE, [task("a", "a")], [task("b", "b")])], ["b"]),
        ([branch("i", FALSE, [task("a", "a")]), task("c", "c")], ["c"]),
        ([branch("i", TRUE, [], [task("b", "b")]), task("c", "c")], ["c"]),
        (
            [branch("i", TRUE, [branch("j", FALSE, [], [task("a", "a")]), task("b", "b")]), task("c", "c")],
            ["a", "b", "c"],
        ),
    ],
)
def test_if_runs_one_of_its_lists(steps: list[Any], ran: list[str]) -> None:
    play = Play(steps).through()
    assert play.ran == ran
    assert play.ending == Finish("succeeded")


# --- loop


@pytest.mark.parametrize(
    ("how", "iterations"),
    [
        ({"count": 0}, 0), ({"count": 1}, 1), ({"count": 3}, 3), ({"count": 3.0}, 3), ({"count": 5, "max_iterations": 2}, 2),
        ({"count": 2, "max_iterations": 5}, 2), ({"while": FALSE}, 0), ({"while": TRUE, "max_iterations": 3}, 3),
        ({"while": {"op": "lt", "left": ITERATION, "right": 4}}, 4),
        ({"while": {"op": "lt", "left": ITERATION, "right": 4}, "max_iterations": 2}, 2),
        ({"while": eq(ITERATION, 0)}, 1), ({"count": 150}, 150), ({"while": TRUE}, 100), ({"while": TRUE, "max_iterations": 101}, 101),
    ],
    ids=str,
)  # fmt: skip
def test_T_150_a_loop_runs_as_often_as_it_says_and_ends_quietly(how: dict[str, Any], iterations: int) -> None:
    play = Play([loop("l", [task(text=ITERATION)], **how), task("after", "after " + ITERATION)]).through()
    assert play.ran == [*(str(n + 1) for n in range(iterations)), f"after {iterations}"]
    assert play.ending.status == "succeeded"
    assert iterations_used(play.state) == iterations


def test_T_139_count_0_runs_nothing() -> None:
    assert Play([loop("l", [fail()], count=0)]).ending == Finish("succeeded")


def test_a_while_condition_sees_what_the_body_has_bound() -> None:
    steps = [loop("l", [task(text="look")], **{"while": {"op": "falsy", "value": "{{go.passed}}"}})]
    play = Play(steps)
    play.through(lambda started: started.ticket == 4)
    assert len(play.ran) == 4


def test_T_161_vars_iteration_is_that_of_the_innermost_loop() -> None:
    inner = loop("inner", [task("b", "b{{vars.iteration}}")], count=2)
    steps = [
        task("a", "a" + ITERATION),
        loop("outer", [task("x", "x" + ITERATION), inner, task("c", "c" + ITERATION)], count=2),
        task("d", "d" + ITERATION),
    ]
    assert Play(steps).through().ran == ["a0", "x1", "b1", "b2", "c1", "x2", "b1", "b2", "c2", "d2"]


def test_vars_iteration_is_0_again_when_a_loop_starts() -> None:
    steps = [
        loop("l", [], count=3),
        loop("w", [fail()], **{"while": {"op": "gt", "left": ITERATION, "right": 0}}),
        task("a", ITERATION),
    ]
    assert Play(steps).ran == ["0"]


@pytest.mark.parametrize(
    ("steps", "limit", "used", "fails"),
    [
        ([loop("l", [task()], count=5)], 2, 3, True),
        ([loop("l", [task()], count=5)], 5, 5, False),
        ([loop("l", [], count=5)], 4, 5, True),
        ([loop("a", [], count=3), loop("b", [], count=3)], 5, 6, True),
        ([loop("a", [loop("b", [], count=3)], count=2)], 8, 8, False),
        ([loop("a", [loop("b", [], count=3)], count=2)], 7, 8, True),
        ([loop("l", [], **{"while": TRUE})], 1, 2, True),
        ([loop("l", [], count=0)], 1, 0, False),
        ([retry("r", [loop("l", [check("c", FALSE)], count=1)], 5)], 2, 3, True),
    ],
)
def test_T_151_max_iterations_counts_all_iterations_of_all_loops(
    steps: list[Any], limit: int, used: int, fails: bool
) -> None:
    play = Play(steps, max_iterations=limit).through()
    assert iterations_used(play.state) == used
    if fails:
        assert play.error[:2] == ("GUARD_EXCEEDED", "max_iterations")
        assert play.ending.fatal
        details = play.ending.error and play.ending.error["details"]
        assert details == {"guard": "max_iterations", "scope": "run", "limit": limit, "used": used}
    else:
        assert play.ending.status == "succeeded"


# --- retry


def test_T_147_retry_over_a_failing_bare_task_goes_on_with_its_binding() -> None:
    play = Play([retry("r", [task()], 2), task("after", "after {{go.passed}} {{go.run_id}}")])
    play.through(lambda started: started.step_id == "after")
    assert play.ran == ["File it", "File it", "after false run_2"]
    assert play.texts == [
        "Attempt 1 of 2 of 'r' failed: task 'go' did not pass",
        "Attempt 2 of 2 of 'r' failed: task 'go' did not pass",
    ]
    assert play.ending.status == "succeeded"


def test_T_148_a_failed_assert_in_retry_reruns_the_body() -> None:
    play = Play([retry("r", [task(), check("c", FALSE, message="Not there in attempt " + ATTEMPT)], 3)]).through()
    assert play.ran == ["File it"] * 3
    assert play.error == ("STEP_FAILED", "step_failed", "Not there in attempt 3")
    assert play.texts == [f"Attempt {n} of 3 of 'r' failed: Not there in attempt {n}" for n in (1, 2, 3)]


def test_retry_ends_with_the_first_attempt_that_passes() -> None:
    play = Play([retry("r", [task(), check("c", eq("{{go.passed}}", True))], 5), task("after", "after")])
    play.through(lambda started: started.ticket != 1)
    assert play.ran == ["File it", "File it", "after"]
    assert len(play.texts) == 1


def test_a_first_step_that_fails_ends_the_attempt() -> None:
    play = Play([retry("r", [check("c", eq(ATTEMPT, 2)), task(text="attempt " + ATTEMPT)], 3)]).through()
    assert play.ran == ["attempt 2"]


def test_an_attempt_fails_even_if_later_steps_handled_the_task() -> None:
    handled = branch("i", eq("{{go.passed}}", False), [task("mend", "mend")])
    play = Play([retry("r", [task(), handled], 2)]).through(lambda started: started.step_id == "mend")
    assert play.ran == ["File it", "mend"] * 2
    assert play.ending.status == "succeeded"


def test_a_task_counts_for_every_retry_around_it() -> None:
    steps = [retry("outer", [retry("inner", [task(text="{{vars.attempt}}")], 2)], 2)]
    play = Play(steps).through(lambda started: started.ticket != 1)
    assert play.ran == ["1", "2", "1"]
    assert [text.partition(" failed")[0] for text in play.texts] == [
        "Attempt 1 of 2 of 'inner'",
        "Attempt 1 of 2 of 'outer'",
    ]


def test_retries_inside_retries_multiply() -> None:
    steps = [retry("outer", [retry("inner", [task(text="x"), check("c", FALSE)], 2)], 3)]
    play = Play(steps).through()
    assert len(play.ran) == 6
    assert play.error[2] == "assert 'c' failed"
    assert sum("'inner'" in text for text in play.texts) == 6
    assert sum("'outer'" in text for text in play.texts) == 3


def test_a_failing_step_leaves_loops_on_its_way_to_the_retry() -> None:
    steps = [retry("r", [loop("l", [check("c", {"op": "lt", "left": ITERATION, "right": 3})], count=9)], 2)]
    play = Play(steps, output={"i": ITERATION})
    assert iterations_used(play.state) == 6
    assert play.error[0] == "STEP_FAILED"


def test_T_161_the_output_sees_the_attempt_that_passed() -> None:
    play = Play([check(), retry("r", [task()], 3)], output={"attempt": ATTEMPT, "iteration": ITERATION})
    play.through(lambda started: started.ticket == 2)
    assert play.ending.output == {"attempt": 2, "iteration": 0}


def test_vars_attempt_is_1_at_start_and_that_of_the_innermost_retry() -> None:
    inner = retry("inner", [task("b", "b" + ATTEMPT), check("c", eq(ATTEMPT, 2))], 2)
    steps = [
        task("a", "a" + ATTEMPT),
        retry("outer", [task("x", "x" + ATTEMPT), inner, task("d", "d" + ATTEMPT)], 1),
        task("e", "e" + ATTEMPT),
    ]
    assert Play(steps).through().ran == ["a1", "x1", "b1", "b2", "d1", "e1"]


def test_bindings_outlive_loops_branches_and_attempts_and_the_last_write_wins() -> None:
    steps = [
        loop("l", [branch("i", TRUE, [task("go", ITERATION, save_as="last")])], count=2), task("other", "o", save_as="last"),
        check("c", eq("{{last.run_id}}", "{{other.run_id}}")),
    ]  # fmt: skip
    play = Play(steps, output={"go": "{{go.run_id}}", "last": "{{last.run_id}}"}).through()
    assert play.ending.output == {"go": "run_2", "last": "run_3"}
