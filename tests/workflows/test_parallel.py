"""Concurrent branches (docs/api/workflows.md 6)."""

from typing import Any

import pytest

from tests.workflows.documents import FALSE, branch, check, eq, loop, parallel, retry, task
from tests.workflows.play import Play
from workflows.interpreter.advance import iterations_used
from workflows.interpreter.effects import CancelTasks, Finish, StartTask
from workflows.interpreter.triggers import Started, TaskEnded

BUDGET = {"code": "GUARD_EXCEEDED", "reason_code": "budget_cents", "message": "Used up.", "details": None}


def test_branches_start_together_and_the_step_ends_when_all_have_ended() -> None:
    play = Play(
        [
            parallel("p", [task("a", "a"), task("b", "b")], [task("c", "c")], []),
            task("d", "d {{a.passed}} {{c.passed}}"),
        ]
    )
    assert play.ran == ["a", "c"]
    assert {t.branch for t in play.tasks.values()} == {1, 2}
    play.end("c")
    play.end("a")
    assert play.ran == ["a", "c", "b"]
    play.end("b")
    assert play.ran[3] == "d true true"
    assert play.tasks[4].branch == 0
    play.end()
    assert play.ending == Finish("succeeded")


def test_a_parallel_of_empty_branches_ends_at_once() -> None:
    assert Play([parallel("p", [], [], [])]).ending == Finish("succeeded")


def test_T_159_the_first_step_that_fails_cancels_the_other_branches() -> None:
    play = Play(
        [
            parallel("p", [task("slow", "slow")], [task("quick", "quick"), check("c", FALSE, message="Not there")]),
            task("after"),
        ]
    )
    play.end("quick")
    assert play.effects[-2:] == [CancelTasks((1,)), Finish("failed", error=play.ending.error)]
    assert play.error == ("STEP_FAILED", "step_failed", "Not there")
    assert play.tell(TaskEnded(1, "run_1", "cancelled", False)) == []


def test_T_159_also_a_child_run_that_was_started_in_the_same_moment() -> None:
    play = Play([parallel("p", [task("a")], [check("c", FALSE)])])
    assert [type(e) for e in play.effects if isinstance(e, StartTask | CancelTasks | Finish)] == [
        StartTask,
        CancelTasks,
        Finish,
    ]


def test_after_a_failure_no_step_of_another_branch_starts() -> None:
    play = Play([parallel("p", [check("c", FALSE)], [task("a")], [check("d"), task("b")])])
    assert play.ran == []
    assert play.error[2] == "assert 'c' failed"


def test_only_the_first_failure_counts() -> None:
    play = Play([parallel("p", [check("a", FALSE)], [check("b", FALSE)])])
    assert play.error[2] == "assert 'a' failed"
    assert [s["step_id"] for s in play.steps] == ["a"]


def test_a_retry_around_catches_the_failure_of_a_parallel() -> None:
    play = Play(
        [
            retry(
                "r",
                [
                    parallel(
                        "p",
                        [task("a", "a{{vars.attempt}}")],
                        [task("b", "b{{vars.attempt}}"), check("c", eq("{{vars.attempt}}", 2))],
                    )
                ],
                2,
            )
        ]
    )
    play.end("b")
    assert play.ran == ["a1", "b1", "a2", "b2"]
    assert play.texts == ["Attempt 1 of 2 of 'r' failed: assert 'c' failed"]
    play.through()
    assert play.ending == Finish("succeeded")


def test_a_retry_inside_a_branch_keeps_the_failure_from_the_others() -> None:
    play = Play([parallel("p", [task("a")], [retry("r", [check("c", eq("{{vars.attempt}}", 2))], 2)])])
    assert list(play.tasks) == [1]
    play.end("a")
    assert play.ending == Finish("succeeded")


def test_a_task_that_did_not_pass_counts_for_a_retry_around_the_parallel() -> None:
    play = Play([retry("r", [parallel("p", [task("a", "a")], [task("b", "b")])], 2)])
    play.through(lambda started: started.ticket != 2)
    assert play.ran == ["a", "b", "a", "b"]
    assert play.ending == Finish("succeeded")


def test_the_failure_of_an_inner_parallel_takes_the_outer_one_along() -> None:
    inner = parallel("q", [task("a")], [task("b"), check("c", FALSE)])
    play = Play([parallel("p", [inner], [task("d")], [loop("l", [task("e")], count=2)])])
    play.end("b")
    assert [play.effects[n].step_id for n in range(4)] == ["d", "e", "a", "b"]  # type: ignore[union-attr]
    assert play.effects[-3:-1] == [CancelTasks((3,)), CancelTasks((1, 2))]
    assert play.error[2] == "assert 'c' failed"


def test_loops_and_retries_of_branches_do_not_mix() -> None:
    def worker(key: str, n: int) -> list[Any]:
        return [loop(f"l{key}", [task(key, key + "{{vars.iteration}}")], count=n)]

    play = Play(
        [loop("o", [parallel("p", worker("a", 3), worker("b", 2), [task("c", "c{{vars.iteration}}")])], count=2)]
    )
    play.through()
    assert sorted(play.ran) == sorted(["a1", "a2", "a3", "b1", "b2", "c1", "a1", "a2", "a3", "b1", "b2", "c2"])
    assert iterations_used(play.state) == 2 + 2 * 5


def test_a_long_loop_in_one_branch_does_not_hold_up_another() -> None:
    play = Play(
        [parallel("p", [loop("l", [check("c")], count=50_000)], [branch("i", FALSE, [], [check("d"), task("a")])])],
        begin=False,
    )
    effects = play.tell_once(Started({}))
    assert any(isinstance(e, StartTask) for e in effects)


@pytest.mark.parametrize(
    "error",
    [BUDGET, {"code": "WALLET_EXHAUSTED", "reason_code": "wallet_exhausted", "message": "Empty.", "details": None}],
)
def test_a_used_up_budget_in_one_branch_ends_the_whole_run(error: dict[str, Any]) -> None:
    play = Play([retry("r", [parallel("p", [task("a")], [task("b")])])])
    play.end("b", passed=False, error=error)
    assert play.ending == Finish("failed", error=error, fatal=True)


def test_the_guard_of_iterations_holds_over_all_branches() -> None:
    play = Play([parallel("p", [loop("a", [], count=3)], [loop("b", [], count=3)], [task("c")])], max_iterations=4)
    assert play.error[:2] == ("GUARD_EXCEEDED", "max_iterations")
    assert iterations_used(play.state) == 5
