"""How a document runs: tasks, asserts, ends, and the run as a whole (docs/api/workflows.md 5 and 6)."""

import json
from typing import Any

import pytest

from tests.workflows.documents import FALSE, branch, check, eq, fail, loop, retry, succeed, task
from tests.workflows.play import Play
from workflows.definition.templates import Place
from workflows.interpreter.advance import advance, iterations_used
from workflows.interpreter.effects import Finish, GoOn, StartTask, Write
from workflows.interpreter.triggers import Resumed, Started, TaskEnded

ITERATION = "{{vars.iteration}}"
WALLET = {"code": "WALLET_EXHAUSTED", "reason_code": "wallet_exhausted", "message": "Empty.", "details": None}
BUDGET = {
    "code": "GUARD_EXCEEDED", "reason_code": "budget_cents", "message": "The budget is used up.",
    "details": {"guard": "budget_cents", "scope": "run", "limit": 9, "used": 5},
}  # fmt: skip
BROKE = {"code": "TASK_FAILED", "reason_code": "task_failed", "message": "No such button.", "details": {"a": 1}}


# --- tasks


def test_a_task_starts_a_child_run_and_binds_what_became_of_it() -> None:
    play = Play(
        [task("go", "File {{inputs.file}}", save_as="filed")],
        output={"go": "{{go}}", "filed": "{{filed}}"},
        inputs={"file": "a.pdf"},
    )
    assert play.effects == [StartTask(1, "go", "File a.pdf", {}, 0, (Place(5, 5, "inputs.file"),))]
    play.end(result="Filed.", steps=3, cost_cents=15)
    bound = {
        "status": "succeeded", "passed": True, "result": "Filed.", "run_id": "run_1", "steps": 3, "error": None, "cost_cents": 15,
    }  # fmt: skip
    assert play.effects[1:] == [
        Write("step", {"step_id": "go", "type": "task", "passed": True, "status": "succeeded", "run_id": "run_1"}),
        Finish("succeeded", {"go": bound, "filed": bound}),
    ]


@pytest.mark.parametrize(
    ("status", "passed", "expected"),
    [
        ("succeeded", True, True), ("succeeded", False, False), ("failed", False, False), ("failed", True, False),
        ("cancelled", False, False), ("timed_out", False, False),
    ],
)  # fmt: skip
def test_T_146_a_task_that_did_not_pass_only_sets_its_binding(status: str, passed: bool, expected: bool) -> None:
    steps = [
        task(),
        branch(
            "i", {"op": "truthy", "value": "{{go.passed}}"}, [task("good", "good")], [task("bad", "bad {{go.status}}")]
        ),
    ]
    play = Play(steps)
    play.end(status=status, passed=passed, error=None if expected else BROKE)
    assert play.ran[1:] == (["good"] if expected else [f"bad {status}"])
    play.end()
    assert play.ending == Finish("succeeded")


def test_the_error_of_a_child_is_bound_as_code_and_message() -> None:
    play = Play([task()], output={"e": "{{go.error}}"})
    play.end(passed=False, error=BROKE)
    assert play.ending.output == {"e": {"code": "TASK_FAILED", "message": "No such button."}}


@pytest.mark.parametrize("error", [WALLET, BUDGET], ids=lambda error: error["code"])
@pytest.mark.parametrize("around", [lambda steps: steps, lambda steps: [retry("r", steps, 3)]], ids=["bare", "retry"])
def test_T_152_an_empty_wallet_or_used_up_budget_ends_the_whole_run(around: Any, error: dict[str, Any]) -> None:
    play = Play(around([task("a"), task("b")]))
    play.end(passed=False, status="failed", error=error)
    assert play.ran == ["File it"]
    assert [s["step_id"] for s in play.steps] == ["a"]
    assert play.ending == Finish("failed", error=error, fatal=True)


def test_a_guard_of_the_child_that_is_not_the_budget_is_only_bound() -> None:
    play = Play([task("a"), task("b")])
    play.end(passed=False, error=BUDGET | {"reason_code": "other"})
    assert len(play.ran) == 2


OPTIONS: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({}, {}, {}),
    ({"max_steps": 5}, {}, {"max_steps": 5}),
    ({"max_steps": 5.0}, {"max_steps": 9}, {"max_steps": 5}),
    ({}, {"max_steps": 9, "cua_version": "v1", "instructions": None}, {"max_steps": 9, "cua_version": "v1"}),
    ({"cua_version": "v4"}, {"cua_version": "v1"}, {"cua_version": "v4"}),
    ({"on_awaiting_human": "fail"}, {"on_awaiting_human": "pause", "max_steps": 1}, {"on_awaiting_human": "fail", "max_steps": 1}),
    ({"agent": "scripted"}, {}, {"agent": "scripted"}),
    ({"instructions": "For {{inputs.who}}"}, {"instructions": "x"}, {"instructions": "For Ann"}),
    ({"system_prompt": "{{inputs.who}}"}, {}, {"system_prompt": "Ann"}),
    ({}, {"instructions": "{{inputs.who}}"}, {"instructions": "{{inputs.who}}"}),  # of the start body: data
    ({"machine_id": "mch_1"}, {}, {"machine_id": "mch_1"}),
    ({"machine_id": "{{inputs.machine}}"}, {}, {"machine_id": "mch_2"}),
    ({"machine_id": "{{inputs.gone}}"}, {}, {"machine_id": None}),
    ({"machine_id": "{{inputs.long}}"}, {}, {"machine_id": None}),
]  # fmt: skip


@pytest.mark.parametrize(("step", "defaults", "expected"), OPTIONS, ids=str)
def test_a_child_gets_the_options_of_its_step_before_those_of_the_start(
    step: dict[str, Any], defaults: dict[str, Any], expected: dict[str, Any]
) -> None:
    play = Play([task(**step)], inputs={"who": "Ann", "machine": "mch_2", "long": "m" * 129}, task_defaults=defaults)
    assert play.tasks[1].options == expected


EXPANDED: list[tuple[str, Any, str | None]] = [
    ("{{inputs.x}}", "x" * 16_000, "x" * 16_000), ("{{inputs.x}}", "x" * 16_001, None), ("{{inputs.x}}", "", None),
    ("{{inputs.x}}", None, None), ("{{inputs.x}}{{inputs.x}}", "  ", None), ("{{inputs.x}}", 7, "7"), ("{{inputs.x}}", {"a": 1}, '{"a":1}'),
    ("Go {{inputs.x}}", "{{inputs.y}}", "Go {{inputs.y}}"), ("x{{inputs.x}}", "x" * 16_000, None), (" {{inputs.x}} ", "a", "a"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value", "expected"), EXPANDED, ids=lambda value: str(value)[:30])
def test_a_task_that_is_empty_or_too_long_once_expanded_fails_its_step(
    text: str, value: Any, expected: str | None
) -> None:
    play = Play([task("go", text)], inputs={"x": value})
    if expected is None:
        assert play.error[:2] == ("STEP_FAILED", "step_failed")
        assert "'go'" in play.error[2]
        assert not play.ending.fatal
    else:
        assert play.ran == [expected]


def test_the_task_of_the_start_is_readable_unless_inputs_has_that_key() -> None:
    assert Play([task(text="{{inputs.task}}")], task="Sweep").ran == ["Sweep"]
    assert Play([task(text="{{inputs.task}}")], task="Sweep", inputs={"task": "Mop"}).ran == ["Mop"]
    assert Play([task(text="{{inputs.task}}")], task="Sweep", inputs={"task": None}).error[0] == "STEP_FAILED"


# --- assert, succeed, fail, the end


def test_an_assert_writes_its_step_and_fails_when_false() -> None:
    play = Play([check("good"), check("bad", FALSE), task()])
    assert play.steps == [
        {"step_id": "good", "type": "assert", "passed": True},
        {"step_id": "bad", "type": "assert", "passed": False},
    ]
    assert play.error == ("STEP_FAILED", "step_failed", "assert 'bad' failed")
    assert (play.ending.status, play.ending.fatal, play.ending.summary) == ("failed", False, "assert 'bad' failed")


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("n is {{inputs.n}}", "n is 3"),
        ("{{inputs.n}}", "3"),
        ("{{inputs.gone}}", "assert 'c' failed"),
        ("", "assert 'c' failed"),
    ],
)
def test_the_message_of_an_assert_is_a_template(message: str, said: str) -> None:
    assert Play([check("c", FALSE, message=message)], inputs={"n": 3}).error[2] == said


def test_very_long_messages_are_cut() -> None:
    assert len(Play([check("c", FALSE, message="{{inputs.x}}")], inputs={"x": "x" * 100_000}).error[2]) == 16_000


@pytest.mark.parametrize(
    ("step", "output", "message"),
    [
        (succeed(), None, None), (succeed(output={}), {}, None), (succeed(output={"n": ["{{inputs.n}}"]}), {"n": [3]}, None),
        (succeed(message="Done {{inputs.n}}"), None, "Done 3"), (succeed(message=""), None, None),
        (succeed(message="{{inputs.gone}}"), None, None),
    ],
    ids=str,
)  # fmt: skip
def test_succeed_ends_the_run_with_its_own_output(step: dict[str, Any], output: Any, message: str | None) -> None:
    play = Play([step, task()], output={"of": "document"}, inputs={"n": 3})
    assert play.ending == Finish("succeeded", output, message=message)
    assert play.texts == ([message] if message else [])
    assert play.ending.summary == (message or "")


def test_succeed_ends_the_run_from_any_depth() -> None:
    steps = [
        loop("l", [retry("r", [branch("i", eq(ITERATION, 2), [succeed(output={"i": ITERATION})])], 3)], count=5),
        task(),
    ]
    assert Play(steps).ending.output == {"i": 2}


def test_the_end_of_the_steps_gives_the_output_of_the_document() -> None:
    assert Play([check()]).ending == Finish("succeeded")
    assert Play(
        [check()], output={"a": {"b": ["{{inputs.n}}", "n={{inputs.n}}", "{{check.passed}}"]}}, inputs={"n": 3}
    ).ending.output == {"a": {"b": [3, "n=3", None]}}


def test_an_output_that_is_too_large_fails_the_run() -> None:
    many = {"a": ["{{inputs.x}}"] * 300}
    for play in (
        Play([check()], output=many, inputs={"x": "x" * 1000}),
        Play([succeed(output=many)], inputs={"x": "x" * 1000}),
    ):
        assert play.error == ("STEP_FAILED", "step_failed", "The output is larger than 256 KiB.")


@pytest.mark.parametrize(
    ("message", "said"), [(None, "fail step 'no'"), ("", "fail step 'no'"), ("n={{inputs.n}}", "n=3")]
)
def test_a_fail_step_ends_the_run(message: str | None, said: str) -> None:
    play = Play([fail(message=message), task()], inputs={"n": 3})
    assert play.error == ("WORKFLOW_FAILED", "workflow_failed", said)
    assert (play.ending.status, play.ending.fatal) == ("failed", False)


def test_T_149_a_fail_step_inside_retry_ends_the_run_at_once() -> None:
    play = Play([retry("r", [task(), fail(message="Enough")], 5)]).through()
    assert play.error == ("WORKFLOW_FAILED", "workflow_failed", "Enough")
    assert (play.ran, play.texts) == (["File it"], [])


# --- the run as a whole


def test_T_157_cancelling_the_child_alone_lets_the_workflow_go_on() -> None:
    play = Play([task(), task("after", "after {{go.status}}")])
    play.end(status="cancelled", passed=False)
    assert play.ran[1] == "after cancelled"


def test_triggers_that_nobody_waits_for_change_nothing() -> None:
    play = Play([task("a"), task("b")])
    state = play.state
    for ticket in (0, 2, 99):
        assert play.tell(TaskEnded(ticket, "run_9", "succeeded", True)) == []
    assert play.tell(Started({"x": 1})) == []
    assert play.tell(Resumed(0)) == []
    assert play.tell(Resumed(1)) == []
    assert play.state == state
    assert advance(play.definition, {}, Resumed(1)) == ({}, [])


def test_a_long_loop_is_cut_into_slices() -> None:
    play = Play([loop("l", [check("c")], count=100_000)], begin=False)
    effects = play.tell_once(Started({}))
    assert 300 < len(effects) <= 1001
    assert effects[-1] == GoOn(1)
    size = len(str(play.state))
    for n in range(1, 20):
        effects = play.tell_once(Resumed(n))
        assert effects[-1] == GoOn(n + 1)
        assert play.tell_once(Resumed(n)) == []
    assert len(str(play.state)) < size + 50
    assert iterations_used(play.state) < 100_000


def test_the_state_of_a_long_loop_stays_small() -> None:
    play = Play([loop("l", [task(), check("c")], count=300)])
    sizes = []
    while play.finish is None:
        sizes.append(len(json.dumps(play.state).encode()))
        play.end(result="Filed.", steps=3, cost_cents=15)
    assert len(sizes) == 300
    assert max(sizes) < 1000  # bytes
    assert max(sizes[10:]) - sizes[10] < 20  # numbers get longer


def test_a_heavy_loop_is_cut_sooner() -> None:
    heavy = check("c", {"op": "ne", "left": "{{inputs.x}}!", "right": "{{inputs.x}}?"})
    play = Play([loop("l", [heavy], count=1000)], begin=False)
    effects = play.tell_once(Started({"x": "x" * 200_000}))
    assert len(effects) < 10
    assert isinstance(effects[-1], GoOn)


def test_a_step_whose_values_are_too_large_fails() -> None:
    play = Play([check("c", eq("{{inputs.x}}" * 20, ""))], inputs={"x": "x" * 100_000})
    assert play.error[0] == "STEP_FAILED"
