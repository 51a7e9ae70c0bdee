"""What each type of step may hold, and how steps nest (docs/api/workflows.md 3 and 8)."""

from typing import Any

import pytest

from tests.workflows.documents import (
    FALSE,
    TOP,
    TRUE,
    approval,
    branch,
    check,
    eq,
    fail,
    loop,
    nested,
    parallel,
    retry,
    succeed,
    task,
    whole,
    wrong,
    wrong_steps,
)  # fmt: skip
from workflows.definition.documents import check_document
from workflows.definition.step_types import count, depth, walk

NEED = {"group": "finance", "count": 1}
ONE: list[tuple[Any, list[tuple[Any, ...]]]] = [
    # every step
    (7, [(0, "type_error")]),
    (None, [(0, "type_error")]),
    ({}, [(0, "id", "missing"), (0, "type", "missing")]),
    ({"id": "a"}, [(0, "type", "missing")]),
    ({"id": "a", "type": "sleep"}, [(0, "type", "value_error")]),
    ({"id": "a", "type": []}, [(0, "type", "type_error")]),
    ({"id": "a", "type": "Task", "task": "x"}, [(0, "type", "value_error")]),
    (task(None), [(0, "id", "missing")]),  # type: ignore[arg-type]
    (task(""), [(0, "id", "value_error")]),
    (task("a b"), [(0, "id", "value_error")]),
    (task("a.b"), [(0, "id", "value_error")]),
    (task("ä"), [(0, "id", "value_error")]),
    (task("a\n"), [(0, "id", "value_error")]),
    (task("A-z_0"), []),
    (task("x" * 64), []),
    (task("x" * 65), [(0, "id", "value_error")]),
    (task(5), [(0, "id", "type_error")]),  # type: ignore[arg-type]
    # task
    ({"id": "a", "type": "task"}, [(0, "task", "missing")]),
    (task(text=""), [(0, "task", "value_error")]),
    (task(text="x" * 16_000), []),
    (task(text="x" * 16_001), [(0, "task", "value_error")]),
    (task(text=["x"]), [(0, "task", "type_error")]),  # type: ignore[arg-type]
    (task(machine_id="{{inputs.machine}}"), []),
    (task(machine_id=""), [(0, "machine_id", "value_error")]),
    (task(machine_id="x" * 129), [(0, "machine_id", "value_error")]),
    (task(machine_id=1), [(0, "machine_id", "type_error")]),
    (task(cua_version="v1"), []),
    (task(cua_version="v2"), [(0, "cua_version", "value_error")]),
    (task(cua_version=3), [(0, "cua_version", "type_error")]),
    (task(instructions="x" * 16_000), []),
    (task(instructions="x" * 16_001), [(0, "instructions", "value_error")]),
    (task(system_prompt="x" * 32_000), []),
    (task(system_prompt="x" * 32_001), [(0, "system_prompt", "value_error")]),
    (task(max_steps=1), []),
    (task(max_steps=1000.0), []),
    (task(max_steps=0), [(0, "max_steps", "value_error")]),
    (task(max_steps=1001), [(0, "max_steps", "value_error")]),
    (task(max_steps=True), [(0, "max_steps", "type_error")]),
    (task(max_steps="5"), [(0, "max_steps", "type_error")]),
    (task(max_steps=10**400), [(0, "max_steps", "value_error")]),
    (task(on_awaiting_human="cancel"), []),
    (task(on_awaiting_human="wait"), [(0, "on_awaiting_human", "value_error")]),
    (task(agent=""), [(0, "agent", "value_error")]),
    (task(agent="x" * 65), [(0, "agent", "value_error")]),
    (task(save_as="result"), []),
    (task(save_as="go"), []),
    (task(save_as="in puts"), [(0, "save_as", "value_error")]),
    (task(save_as="inputs"), [(0, "save_as", "value_error")]),
    (task(save_as="vars"), [(0, "save_as", "value_error")]),
    (task(save_as=1), [(0, "save_as", "type_error")]),
    (task(max_steps=None, save_as=None, machine_id=None), []),
    # assert
    ({"id": "a", "type": "assert"}, [(0, "condition", "missing")]),
    (check(condition=None), [(0, "condition", "missing")]),
    (check(message=""), []),
    (check(message=7), [(0, "message", "type_error")]),
    (check(save_as="not a name"), []),  # an unknown key there
    # if
    (branch("i", TRUE, []), []),
    (branch("i", TRUE, [], []), []),
    (branch("i", None, []), [(0, "condition", "missing")]),
    (branch("i", TRUE, None), [(0, "then", "missing")]),  # type: ignore[arg-type]
    (branch("i", TRUE, {}), [(0, "then", "type_error")]),  # type: ignore[arg-type]
    (branch("i", TRUE, [], None), [(0, "else", "type_error")]),  # type: ignore[arg-type]
    (branch("i", TRUE, [], "x"), [(0, "else", "type_error")]),  # type: ignore[arg-type]
    (branch("i", TRUE, [1], [{}]), [(0, "then", 0, "type_error"), (0, "else", 0, "id", "missing"), (0, "else", 0, "type", "missing")]),
    # loop
    (loop("l", [], count=0), []),
    (loop("l", [], count=100_000), []),
    (loop("l", [], count=100_001), [(0, "count", "value_error")]),
    (loop("l", [], count=-1), [(0, "count", "value_error")]),
    (loop("l", [], count=1.5), [(0, "count", "type_error")]),
    (loop("l", [], count="{{inputs.n}}"), [(0, "count", "type_error")]),
    (loop("l", [], count=3, max_iterations=1), []),
    (loop("l", [], count=3, max_iterations=0), [(0, "max_iterations", "value_error")]),
    (loop("l", [], count=3, max_iterations=100_001), [(0, "max_iterations", "value_error")]),
    (loop("l", [], **{"while": TRUE}), []),
    (loop("l", [], **{"while": {"op": "like"}}), [(0, "while", "op", "value_error")]),
    (loop("l", [], **{"while": "yes"}), [(0, "while", "op", "value_error")]),
    (loop("l", None, count=1), [(0, "body", "missing")]),  # type: ignore[arg-type]
    (loop("l", "x", count=1), [(0, "body", "type_error")]),  # type: ignore[arg-type]
    # parallel
    ({"id": "p", "type": "parallel"}, [(0, "branches", "missing")]),
    ({"id": "p", "type": "parallel", "branches": {}}, [(0, "branches", "type_error")]),
    (parallel("p"), [(0, "branches", "value_error")]),
    (parallel("p", []), []),
    (parallel("p", [], [task()], []), []),
    (parallel("p", [], "x", None), [(0, "branches", 1, "type_error"), (0, "branches", 2, "type_error")]),  # type: ignore[arg-type]
    # human_approval
    (approval(), []),
    (approval(message=1), [(0, "message", "type_error")]),
    (approval(instruction=1), [(0, "instruction", "type_error")]),
    (approval(timeout_seconds=1), []),
    (approval(timeout_seconds=86_400), []),
    (approval(timeout_seconds=0), [(0, "timeout_seconds", "value_error")]),
    (approval(timeout_seconds=86_401), [(0, "timeout_seconds", "value_error")]),
    (approval(on_timeout="default_answer"), []),
    (approval(on_timeout="approve"), [(0, "on_timeout", "value_error")]),
    (approval(four_eyes=True), []),
    (approval(four_eyes="yes"), [(0, "four_eyes", "type_error")]),
    (approval(assignee="usr_1"), []),
    (approval(assignee=""), [(0, "assignee", "value_error")]),
    (approval(approvers=[]), []),
    (approval(approvers=[NEED, {"group": "anyone", "count": 20}]), []),
    (approval(approvers=NEED), [(0, "approvers", "type_error")]),
    (approval(approvers=["finance"]), [(0, "approvers", 0, "type_error")]),
    (approval(approvers=[{}]), [(0, "approvers", 0, "group", "missing"), (0, "approvers", 0, "count", "missing")]),
    (approval(approvers=[NEED | {"count": 0}]), [(0, "approvers", 0, "count", "value_error")]),
    (approval(approvers=[NEED | {"count": 21}]), [(0, "approvers", 0, "count", "value_error")]),
    (approval(approvers=[NEED | {"group": ""}]), [(0, "approvers", 0, "group", "value_error")]),
    (approval(approvers=[NEED | {"who": 1}]), [(0, "approvers", 0, "who", "extra_forbidden")]),
    (approval(approvers=[NEED] * 21), [(0, "approvers", "value_error")]),
    (approval(input_schema={"type": "object", "properties": {"a": {"type": "string"}}}), []),
    (approval(input_schema=[]), [(0, "input_schema", "type_error")]),
    (approval(input_schema={"type": "text"}), [(0, "input_schema", "value_error")]),
    (approval(input_schema={"$ref": "https://schemas.test/a.json"}), [(0, "input_schema", "value_error")]),
    (approval(input_schema={"$ref": "#"}), [(0, "input_schema", "value_error")]),
    (approval(save_as="vars"), [(0, "save_as", "value_error")]),
    # retry
    (retry("r", [], 1), []),
    (retry("r", [], 0), [(0, "max_attempts", "value_error")]),
    (retry("r", None), [(0, "body", "missing")]),  # type: ignore[arg-type]
    (retry("r", "x"), [(0, "body", "type_error")]),  # type: ignore[arg-type]
    # succeed, fail
    (succeed(output={"a": ["{{go}}"]}), []),
    (succeed(output="{{go}}"), [(0, "output", "type_error")]),
    (succeed(message=1), [(0, "message", "type_error")]),
    (fail(message="No {{inputs.n}}"), []),
    (fail(message={}), [(0, "message", "type_error")]),
]  # fmt: skip


@pytest.mark.parametrize(("step", "expected"), ONE, ids=lambda value: str(value)[:70])
def test_every_type_of_step_has_its_fields(step: Any, expected: list[tuple[Any, ...]]) -> None:
    assert [(*loc, kind) for loc, kind in wrong_steps([step])] == expected


@pytest.mark.parametrize("levels", range(1, 12))
def test_T_138_lists_nest_eight_deep(levels: int) -> None:
    place: tuple[Any, ...] = (0, "then") * 8
    assert wrong_steps(nested(levels)) == ([] if levels <= 8 else [(place, "value_error")])


def test_T_138_what_lies_below_the_ninth_list_is_not_reported() -> None:
    steps: list[Any] = [{"type": "nonsense"}]
    for level in range(8):
        steps = [loop(f"l{level}", steps, count=1)]
    assert wrong_steps(steps) == [((0, "body") * 8, "value_error")]


@pytest.mark.parametrize("n", [199, 200, 201, 202])
def test_T_138_a_document_has_at_most_200_steps(n: int) -> None:
    steps = [branch("i", TRUE, [task(f"a{k}") for k in range(50)], [task(f"b{k}") for k in range(n - 51)])]
    assert count(steps) == n
    assert wrong_steps(steps) == ([] if n <= 200 else [((), "value_error")])


def test_T_138_with_top_level_steps_the_201st_is_refused_at_steps() -> None:
    assert wrong({"name": "A", "steps": [task(f"a{k}") for k in range(201)]}) == [(("body", "steps"), "value_error")]


@pytest.mark.parametrize(("n", "right"), [(1, True), (16, True), (17, False)])
def test_T_138_parallel_has_at_most_16_branches(n: int, right: bool) -> None:
    steps = [parallel("p", *([task(f"t{k}")] for k in range(n)))]
    assert wrong_steps(steps) == ([] if right else [((0, "branches"), "value_error")])


def test_T_138_max_attempts_is_20_at_most_and_required() -> None:
    assert wrong_steps([retry("r", [task()], 20)]) == []
    assert wrong_steps([retry("r", [task()], 21)]) == [((0, "max_attempts"), "value_error")]
    assert wrong_steps([{"id": "r", "type": "retry", "body": [task()]}]) == [((0, "max_attempts"), "missing")]


def test_T_139_a_loop_with_both_or_neither_of_count_and_while_is_refused_at_the_loop() -> None:
    assert wrong_steps([loop("l", [], count=1, **{"while": TRUE})]) == [((0,), "value_error")]
    assert wrong_steps([loop("l", [])]) == [((0,), "missing")]
    assert wrong_steps([loop("l", [], count=None, **{"while": None})]) == [((0,), "missing")]
    assert wrong_steps([loop("l", [], count=None, **{"while": FALSE})]) == []


def test_T_140_a_repeated_id_is_refused_at_the_second_step() -> None:
    assert wrong_steps([task("a"), branch("b", TRUE, [task("a")], [task("b")])]) == [
        ((1, "then", 0, "id"), "value_error"),
        ((1, "else", 0, "id"), "value_error"),
    ]
    assert wrong_steps([task("a"), task("A")]) == []


@pytest.mark.parametrize("reserved", ["inputs", "vars"])
def test_T_140_the_ids_inputs_and_vars_are_refused(reserved: str) -> None:
    assert wrong_steps([task(reserved)]) == [((0, "id"), "value_error")]


def test_save_as_is_not_the_id_of_another_step_before_or_after() -> None:
    assert wrong_steps([task("a", save_as="b"), task("b", save_as="a")]) == [
        ((0, "save_as"), "value_error"),
        ((1, "save_as"), "value_error"),
    ]
    assert wrong_steps([task("a", save_as="x"), task("b", save_as="x")]) == []


FORBIDDEN = [approval("x"), succeed("x"), fail("x")]
AROUND = {
    "branch": lambda step: ([step], ()),
    "then": lambda step: ([branch("i", TRUE, [step])], (0, "then")),
    "else": lambda step: ([branch("i", TRUE, [], [step])], (0, "else")),
    "loop": lambda step: ([loop("l", [step], count=1)], (0, "body")),
    "retry": lambda step: ([retry("r", [step])], (0, "body")),
    "parallel": lambda step: ([parallel("q", [], [step])], (0, "branches", 1)),
    "deep": lambda step: ([retry("r", [loop("l", [branch("i", TRUE, [step])], count=1)])], (0, "body", 0, "body", 0, "then")),
}  # fmt: skip


@pytest.mark.parametrize("step", FORBIDDEN, ids=lambda step: step["type"])
@pytest.mark.parametrize("around", AROUND)
def test_people_and_ends_are_forbidden_anywhere_below_parallel(around: str, step: dict[str, Any]) -> None:
    inner, place = AROUND[around](step)
    assert wrong_steps([parallel("p", inner)]) == [((0, "branches", 0, *place, 0, "type"), "value_error")]
    assert wrong_steps([parallel("p", [task()]), step]) == []
    if around not in ("branch", "parallel"):
        assert wrong_steps(inner) == []


def test_walk_names_every_step_with_its_place_in_the_order_of_the_document() -> None:
    steps = [
        branch("i", TRUE, [task("a")], [parallel("p", [task("b")], [task("c")])]),
        loop("l", [retry("r", [])], count=1),
    ]
    assert [(at, step["id"]) for at, step in walk(steps, TOP)] == [
        ((*TOP, 0), "i"), ((*TOP, 0, "then", 0), "a"), ((*TOP, 0, "else", 0), "p"),
        ((*TOP, 0, "else", 0, "branches", 0, 0), "b"), ((*TOP, 0, "else", 0, "branches", 1, 0), "c"),
        ((*TOP, 1), "l"), ((*TOP, 1, "body", 0), "r"),
    ]  # fmt: skip
    assert (count(steps), depth(steps)) == (7, 3)


def test_messages_name_what_is_accepted() -> None:
    said = {
        loc[-1]: msg
        for loc, msg, _kind in check_document(
            whole([task("a", cua_version="v9"), {"id": "b", "type": "go"}]), "create"
        ).violations
    }
    assert "v1, v3, v4" in said["cua_version"]
    assert all(kind in said["type"] for kind in ("task", "assert", "human_approval", "succeed"))


def test_eq_of_nothing_is_a_condition() -> None:
    assert wrong_steps([check(condition=eq(None, None))]) == []


def test_the_schemas_of_a_document_are_bounded_together() -> None:
    schema = {"type": "object", "properties": {f"a{n}": {} for n in range(398)}}
    steps = [approval(f"a{n}", input_schema=schema) for n in range(7)]
    assert wrong_steps(steps[:5]) == []
    assert wrong_steps(steps) == [((5, "input_schema"), "value_error"), ((6, "input_schema"), "value_error")]
